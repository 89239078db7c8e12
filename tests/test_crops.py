"""Crops decoded straight from JPEG files, against the whole picture decoded by Pillow."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from training.data import crops, decode, jpeg
from training.data.augment import POLICIES, stored_size
from training.data.pipeline import evaluation_batches, training_batches
from training.data.prepare import prepare
from training.data.sources import open_source

SIZE = 24
WIDTH, HEIGHT = 120, 88


def scene(seed=0, size=(WIDTH, HEIGHT)):
    """A picture with edges and colours, none of it symmetric."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def as_jpeg(image, orientation=1, **options):
    """Encode with the best quality; with an orientation, the tag says how to turn it."""
    exif = Image.Exif()
    if orientation > 1:
        exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95, subsampling=0, exif=exif, **options)
    return file.getvalue()


def cropped(tmp_path, content, box, size=SIZE, channels=3):
    """Return the crop through the graph, and the box that was meant."""
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    files = jpeg.Jpegs(lambda i: str(path), np.array([jpeg.layout(str(path))], np.int32))
    assert files.layouts[0, 2] > 0
    take = tf.function(crops.crops(files, size, channels, otherwise=None))
    return take(tf.constant(0), None if box is None else tf.constant(box, tf.float32)).numpy()


def test_a_crop_at_full_size_is_cut_out_of_the_full_decode(tmp_path):
    """Nothing to resize: the very pixels of TensorFlow's own decoder, and nearly those of Pillow."""
    content = as_jpeg(scene())
    box = [16 / HEIGHT, 40 / WIDTH, SIZE / HEIGHT, SIZE / WIDTH]
    found = cropped(tmp_path, content, box)
    whole = tf.io.decode_jpeg(content, dct_method="INTEGER_ACCURATE").numpy()
    np.testing.assert_array_equal(found, whole[16:40, 40:64])
    pillow = np.asarray(Image.open(io.BytesIO(content)))[16:40, 40:64]
    assert np.abs(found.astype(int) - pillow).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_box_is_that_of_the_upright_picture(tmp_path, orientation):
    """Cut out of what Pillow turns upright: the same pixels, wherever the file has them."""
    content = as_jpeg(scene(), orientation)
    upright = decode.open_picture(content)
    assert upright.size == ((WIDTH, HEIGHT) if orientation < 5 else (HEIGHT, WIDTH))
    rows, columns = upright.height, upright.width
    box = [8 / rows, 32 / columns, SIZE / rows, SIZE / columns]
    found = cropped(tmp_path, content, box)
    expected = np.asarray(upright)[8 : 8 + SIZE, 32 : 32 + SIZE]
    assert np.abs(found.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("size", [(120, 88), (260, 200), (900, 500), (20, 14), (300, 40)])
def test_a_reduced_picture_is_near_that_of_pillow(tmp_path, size):
    """From a picture smaller than the result to one of which an eighth is decoded, and a panorama."""
    image = scene(size=size)
    for channels in (1, 3):
        expected = decode.resize(decode.open_picture(as_jpeg(image)), SIZE, channels).astype(int)
        difference = np.abs(cropped(tmp_path, as_jpeg(image), None, channels=channels) - expected)
        assert difference.mean() < 4
        assert difference.shape == (SIZE, SIZE, channels)


def test_the_decoder_reduces_no_further_than_the_result_needs():
    layouts = tf.constant([[88, 120, 1], [200, 260, 1], [500, 900, 1], [14, 20, 1]])
    whole = crops.plan(layouts, tf.constant([0.0, 0.0, 1.0, 1.0]), SIZE)
    # least side / (0.9 * 24 pixels): 4.1, 9.3, 23 and 0.6
    assert whole.halvings.numpy().tolist() == [2, 3, 3, 0]
    assert whole.window.numpy().tolist() == [
        [0, 0, 22, 30],
        [0, 0, 25, 33],
        [0, 0, 63, 113],
        [0, 0, 14, 20],
    ]
    assert whole.averaged.numpy().tolist() == [False, False, True, False]


def test_what_only_pillow_reads_is_no_jpeg(tmp_path):
    def found(content):
        path = tmp_path / "file"
        path.write_bytes(content)
        return jpeg.layout(str(path))

    plain = as_jpeg(scene())
    assert found(plain) == found(as_jpeg(scene(), progressive=True)) == (HEIGHT, WIDTH, 1)
    assert found(as_jpeg(scene(), 6)) == (HEIGHT, WIDTH, 6)
    assert found(as_jpeg(scene().convert("L"))) == (HEIGHT, WIDTH, 1)
    assert found(as_jpeg(scene().convert("CMYK"))) == (0, 0, 0)
    cut = plain[: len(plain) // 2] + bytes(len(plain))  # Pillow takes the zeros for grey; others refuse
    assert decode.open_picture(cut).size == (WIDTH, HEIGHT)
    assert found(cut) == (0, 0, 0)
    arithmetic = plain.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc9\x00\x11\x08")
    assert arithmetic != plain
    assert found(arithmetic) == (0, 0, 0)
    file = io.BytesIO()
    scene().save(file, "PNG")
    assert found(file.getvalue()) == (0, 0, 0)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Two classes of every kind of file: JPEG plain, turned, grey, CMYK and progressive; PNG."""
    folder = tmp_path_factory.mktemp("mixed")
    for part, name in ((p, n) for p in ("train", "val") for n in ("a", "b")):
        place = folder / part / name
        place.mkdir(parents=True)
        for i in range(2):
            image = scene(i + 2 * (name == "b") + 10 * (part == "val"))
            image.save(place / f"{i}.png")
            for kind, content in {
                "plain": as_jpeg(image),
                "turned": as_jpeg(image, 6 + 2 * i),
                "grey": as_jpeg(image.convert("L")),
                "cmyk": as_jpeg(image.convert("CMYK")),
                "progressive": as_jpeg(image, progressive=True),
            }.items():
                (place / f"{kind}{i}.jpg").write_bytes(content)
    return open_source(str(folder))


def prepared(source, policy, cache):
    return prepare(source, SIZE, 3, train_size=stored_size(policy, SIZE), cache=cache, quiet=True)


def images(data, policy, threads=2, seed=0, epochs=1):
    dataset, _ = training_batches(data.to_augment, 24, epochs, policy=policy, seed=seed, image_size=SIZE)
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    return np.stack([x for x, _ in dataset.with_options(options).as_numpy_iterator()]).astype(int)


@pytest.mark.parametrize(
    "policy",
    [
        "light",
        "standard",
        *(
            pytest.param(p, marks=pytest.mark.slow)
            for p in POLICIES
            if p not in ("light", "standard", "strong", "trivial")
        ),
    ],
)
def test_straight_from_the_files_is_what_cached_pixels_give(mixed, policy):
    """The same pictures in the same order, the same boxes and draws; only the resampling differs."""
    data = prepared(mixed, policy, "none")
    assert np.sum(data.to_augment.jpegs.layouts[:, 2] > 0) == 16  # of 24: CMYK and PNG are not
    straight = images(data, policy)
    cached = images(prepared(mixed, policy, "memory"), policy)
    assert np.abs(straight - cached).mean((0, 2, 3, 4)).max() < 12
    other = images(data, policy, seed=1)
    assert policy == "none" or np.abs(straight - other).mean() > 12


@pytest.mark.parametrize("policy", ["standard", pytest.param("strong", marks=pytest.mark.slow)])
def test_same_seed_same_bytes_with_one_thread_and_two(mixed, policy):
    data = prepared(mixed, policy, "none")
    first = images(data, policy, threads=1, epochs=2)
    np.testing.assert_array_equal(first, images(data, policy, threads=2, epochs=2))
    assert not np.array_equal(first[0], first[1])


def test_judging_takes_pillows_bytes(mixed):
    """Only training decodes its crops: the other splits are the same with and without a cache."""
    data = prepared(mixed, "standard", "none")
    for part in ("train", "val"):
        (batch, _), *_ = evaluation_batches(data.splits[part], 100).as_numpy_iterator()
        expected = prepared(mixed, "standard", "memory").splits[part]
        np.testing.assert_array_equal(batch, [expected.picture(i) for i in range(len(expected))])
