"""The search for copies, against a comparison of every picture with every other, SciPy and NumPy."""

import io
import time

import numpy as np
import pytest
import scipy.fft
from PIL import ImageEnhance, ImageFilter
from planted import scene

from training.data import decode, duplicates


def small(image):
    return decode.resize(image, 32, 1)[..., 0]


@pytest.fixture(scope="module")
def scenes():
    return np.stack([small(scene(seed)) for seed in range(300)])


def test_hashes_are_the_lowest_frequencies_about_their_median(scenes):
    codes = duplicates.hashes(scenes[:20])
    for picture, code in zip(scenes, codes, strict=False):
        spectrum = scipy.fft.dctn(picture.astype(float), norm=None)
        lowest = sorted(
            ((u, v) for u in range(32) for v in range(32) if (u, v) != (0, 0)),
            key=lambda place: (sum(place), place),
        )[:64]
        values = np.array([spectrum[place] for place in lowest])
        bits = values > np.median(values)
        np.testing.assert_array_equal(np.unpackbits(code.reshape(1).view(np.uint8)), bits)


def test_every_pair_of_near_hashes_is_proposed():
    """Against all pairs; among them hashes that differ in exactly 0 to 9 bits."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2**64, 400, np.uint64)
    for i in range(200):
        places = rng.permutation(64)[: i % 10].astype(np.uint64)
        codes[200 + i] = codes[i] ^ np.bitwise_or.reduce(np.uint64(1) << places, initial=np.uint64(0))
    bits = np.unpackbits(codes.view(np.uint8).reshape(400, 8), axis=1).astype(int)
    apart = (bits[:, None] != bits[None]).sum(axis=2)
    expected = {(i, j) for i, j in zip(*np.nonzero(apart <= 7), strict=True) if i < j}
    proposed = {(i, j) for a, b in duplicates._candidates(codes) for i, j in zip(a, b, strict=True)}
    assert proposed == expected
    assert len(expected) >= 160


def test_pairs_come_in_blocks(monkeypatch):
    """Many equal hashes: no more pairs at once than allowed, and none is lost."""
    monkeypatch.setattr(duplicates, "_PAIRS_AT_ONCE", 100)
    start, stop = np.array([0, 0, 3, 5, 5, 0]), np.array([40, 0, 33, 5, 95, 250])
    blocks = list(duplicates._ranges(start, stop))
    expected = [(row, i) for row in range(6) for i in range(start[row], stop[row])]
    assert [pair for a, b in blocks for pair in zip(a, b, strict=True)] == expected
    assert max(len(a) for a, _ in blocks) == 250  # one row is not cut
    codes = np.zeros(50, np.uint64)
    pairs = {(i, j) for a, b in duplicates._candidates(codes) for i, j in zip(a, b, strict=True)}
    assert len(pairs) == 50 * 49 // 2


def test_alike_is_correlation_and_difference(scenes):
    rng = np.random.default_rng(0)
    noise = rng.normal(0, np.linspace(0, 20, 100)[:, None, None], (100, 32, 32))
    other = np.clip(scenes[:100] + noise, 0, 255).astype(np.uint8)
    other[50:60] = scenes[50:60] // 2 + 60  # the same shape, other levels

    def residual(a, b):
        """What a straight line through the levels of one leaves of the other."""
        line = np.polyfit(a, b, 1)
        return np.sqrt(np.mean((np.polyval(line, a) - b) ** 2))

    expected = []
    for a, b in zip(scenes[:100].astype(float), other.astype(float), strict=True):
        a, b = a.ravel(), b.ravel()
        near = np.sqrt(np.mean((a - b) ** 2)) <= 12
        fitted = max(residual(a, b), residual(b, a)) <= 8
        expected.append(np.corrcoef(a, b)[0, 1] >= 0.98 and (near or fitted))
    assert duplicates.alike(scenes[:100], other).tolist() == expected
    assert 20 < sum(expected) < 80
    assert all(expected[50:60])


CHANGES = {
    "quality 75": lambda image: jpeg(image, 75),
    "quality 30": lambda image: jpeg(image, 30),
    "half": lambda image: image.resize((image.width // 2, image.height // 2)),
    "quarter, quality 75": lambda image: jpeg(image.resize((image.width // 4, image.height // 4)), 75),
    "double": lambda image: image.resize((image.width * 2, image.height * 2)),
    "stretched": lambda image: image.resize((200, 200)),
    "grey": lambda image: image.convert("L"),
    "brighter": lambda image: image.point(lambda level: 80 + level * 2 // 3),
    "a third darker": lambda image: ImageEnhance.Brightness(image).enhance(0.67),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.6),
    "sharpened": lambda image: image.filter(ImageFilter.SHARPEN),
}


def jpeg(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return decode.open_picture(buffer.getvalue())


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_and_nothing_else(scenes, change):
    copies = np.stack([small(CHANGES[change](scene(seed, 300, 240))) for seed in range(30)])
    originals = np.stack([small(scene(seed, 300, 240)) for seed in range(30)])
    every = np.concatenate([originals, scenes[30:], copies])
    digests = [b"%d" % i for i in range(len(every))]
    found = [group.tolist() for group in duplicates.groups(digests, every)]
    assert found == [[i, 300 + i] for i in range(30)]


def test_the_same_bytes_are_copies_whatever_they_show():
    flat = np.full((6, 32, 32), 7, np.uint8)
    digests = [b"a", b"b", b"a", b"", b"", b"c"]
    assert [group.tolist() for group in duplicates.groups(digests, flat)] == [[0, 2]]


def test_copies_of_both_kinds_are_one_group(scenes):
    near = np.clip(scenes[0].astype(int) + 2, 0, 255).astype(np.uint8)
    every = np.stack([scenes[0], near, scenes[1], scenes[0], near])
    found = duplicates.groups([b"a", b"b", b"c", b"a", b"b"], every)
    assert [group.tolist() for group in found] == [[0, 1, 3, 4]]


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_compare(scenes, count):
    assert duplicates.groups([b"a"] * count, scenes[:count]) == []


@pytest.mark.slow
def test_a_hundred_thousand_pictures_are_no_matter_of_minutes(scenes):
    count, rng = 100_000, np.random.default_rng(0)
    low = rng.integers(0, 256, (count, 8, 8), np.uint8)
    every = np.repeat(np.repeat(low, 4, axis=1), 4, axis=2)
    every[-50:] = every[:50] ^ np.uint8(1)
    start = time.perf_counter()
    found = duplicates.groups([b"%d" % i for i in range(count)], every)
    assert [group.tolist() for group in found] == [[i, count - 50 + i] for i in range(50)]
    assert time.perf_counter() - start < 60  # about 2 s on two cores


def test_a_scene_that_stands_still_is_one_group(scenes):
    rng = np.random.default_rng(0)
    every = np.clip(scenes[0].astype(int) + rng.integers(-3, 4, (1500, 32, 32)), 0, 255).astype(np.uint8)
    (group,) = duplicates.groups([b"%d" % i for i in range(1500)], every)
    assert len(group) == 1500


def test_patterns_that_differ_in_their_place_are_different():
    stripes = np.zeros((2, 32, 32), np.uint8)
    stripes[0, :16], stripes[1, 16:] = 200, 200
    assert duplicates.groups([b"a", b"b"], stripes) == []
