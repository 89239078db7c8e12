"""Decoded pictures in memory, on disk and nowhere: the same bytes, and never those of other pictures."""

import errno
import hashlib
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from training.data import cache, pipeline, stored
from training.data.pipeline import evaluation_batches, training_batches
from training.data.prepare import prepare
from training.data.sources import open_source
from training.runs.command import InputError


@pytest.fixture
def pictures(tmp_path):
    """A folder of two classes of 15 random pictures; one more is broken."""
    rng = np.random.default_rng(0)
    for i in range(30):
        file = tmp_path / "pictures" / "ab"[i % 2] / f"{i:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).save(file)
    (tmp_path / "pictures" / "a" / "07b.png").write_bytes(b"broken")
    return tmp_path / "pictures"


@pytest.fixture
def read(pictures, tmp_path):
    """A function that prepares `pictures`, at 8 pixels, with a cache in `tmp_path / "cache"`."""

    def prepared(kind="disk", **options):
        options = {"image_size": 8, "channels": 3, "cache_dir": tmp_path / "cache"} | options
        return prepare(open_source(str(pictures)), cache=kind, quiet=True, **options)

    return prepared


@pytest.fixture
def no_decoding(monkeypatch):
    """Make every attempt to decode a picture fail."""

    def forbidden(*_):
        raise AssertionError("decoded again")

    return lambda: monkeypatch.setattr("training.data.decode.resize", forbidden)


def shown(data):
    """Everything that a fit sees of its pictures: two epochs of training, and the validation."""
    train, _ = training_batches(data.splits["train"], 4, 2, policy="light", seed=3)
    batches = [*train, *evaluation_batches(data.splits["val"], 4)]
    return [(images.numpy().tobytes(), labels.numpy().tolist()) for images, labels in batches]


def pixels(data):
    return [split.pixels.tolist() for split in data.splits.values()]


def facts(data):
    parts = data.splits.items()
    return [(n, s.fingerprint, s.names, s.labels.tolist()) for n, s in parts], data.left_out


def test_every_cache_gives_the_same_pictures(read, no_decoding, tmp_path):
    plain = read("none")
    assert all(split.pixels is None for split in plain.splits.values())
    assert [Path(bad.name).name for bad in plain.left_out] == ["07b.png"]
    expected, known = shown(plain), facts(plain)
    cold = read("disk")
    assert "from an earlier run" not in cold.cache
    for other in (read("memory"), read("auto"), cold):
        assert facts(other) == known
        assert shown(other) == expected
    no_decoding()
    warm = read("disk")
    assert "on disk" in warm.cache
    assert "from an earlier run" in warm.cache
    assert facts(warm) == known
    assert shown(warm) == expected
    for split, other in zip(warm.splits.values(), cold.splits.values(), strict=True):
        for i in range(len(split)):
            np.testing.assert_array_equal(split.picture(i), other.picture(i))
    with pytest.raises(InputError, match=r"07b\.png: it is not a picture"):
        read("disk", on_bad_image="fail")


def test_larger_training_pictures_are_stored_too(read, no_decoding):
    cold = read(train_size=11)
    expected = [cold.to_augment.picture(i) for i in range(len(cold.to_augment))]
    small = cold.splits["train"].picture(2)
    plain = read("none", train_size=11)
    np.testing.assert_array_equal(small, plain.splits["train"].picture(2))
    no_decoding()
    warm = read(train_size=11)
    np.testing.assert_array_equal(warm.to_augment.pixels, expected)


def test_other_pictures_and_settings_are_decoded_anew(read, pictures, tmp_path, monkeypatch):
    before = read().splits["train"]

    def names():
        return {path.name for path in (tmp_path / "cache").iterdir()}

    first = names()
    assert len(first) == 3
    read(channels=1)
    read(image_size=9)
    assert len(names()) == 9
    second = names()
    file = Path(before.names[3])  # the same name, size and time, another picture
    about = file.stat()
    content = file.read_bytes()
    Image.fromarray(np.full((9, 12, 3), 77, np.uint8)).save(file)
    file.write_bytes(file.read_bytes().ljust(about.st_size, b"\0"))
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert file.stat().st_size == len(content)
    after = read().splits["train"]
    assert after.picture(3).tolist() == np.full((8, 8, 3), 77).tolist()
    assert len(names() - second) == 1
    monkeypatch.setattr("PIL.__version__", "0")
    assert "earlier run" not in read().cache
    monkeypatch.setattr("training.data.decode.CONTRACT", {"resize": "otherwise"})
    assert "earlier run" not in read().cache


def change_pixel(place):
    with (place / "pixels.uint8").open("r+b") as file:
        file.seek(100)
        byte = file.read(1)
        file.seek(100)
        file.write(bytes([byte[0] ^ 1]))


DAMAGE = {
    "a changed pixel": change_pixel,
    "cut off": lambda place: os.truncate(place / "pixels.uint8", 500),
    "too long": lambda place: os.truncate(place / "pixels.uint8", 10_000),
    "no pixels": lambda place: (place / "pixels.uint8").unlink(),
    "no index": lambda place: (place / "index.npz").unlink(),
    "half an index": lambda place: os.truncate(place / "index.npz", 300),
    "another index": lambda place: np.savez(place / "index.npz", crc32=np.zeros(2, np.uint32)),
    "an index of objects": lambda place: np.savez(
        place / "index.npz", crc32=np.array([{}]), bad=[], reasons=[]
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_is_not_read_and_made_again(read, tmp_path, damage):
    expected = pixels(read())
    for place in (tmp_path / "cache").iterdir():
        DAMAGE[damage](place)
    again = read()
    assert "earlier run" not in again.cache
    assert pixels(again) == expected
    assert "earlier run" in read().cache


def leftovers(folder):
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", ["os.posix_fallocate", "training.data.stored.Writer.add", "os.fsync"])
def test_a_full_disk_is_told_and_nothing_stays_on_it(read, tmp_path, monkeypatch, where):
    """At once, in the middle, and at the end."""
    expected = facts(read("none"))
    monkeypatch.setattr(where, full)
    with pytest.raises(InputError, match=r"--cache disk: .* No space left on device.*--cache-dir"):
        read("disk")
    assert leftovers(tmp_path / "cache") == []
    monkeypatch.setattr(cache, "memory_bytes", lambda: 1000)
    data = read("auto")
    assert data.cache.startswith("none: ")
    assert "No space left on device" in data.cache
    assert leftovers(tmp_path / "cache") == []
    assert facts(data) == expected


def test_a_limit_of_the_system_leaves_nothing(pictures, tmp_path):
    """A process that may write files of 2000 bytes only, in which the largest split does not fit."""
    code = (
        "import sys\nfrom training.data.prepare import prepare\n"
        "from training.data.sources import open_source\nfrom training.runs.command import InputError\n"
        "from pathlib import Path\n"
        "try:\n    prepare(open_source(sys.argv[1]), 8, 3, cache='disk', cache_dir=Path(sys.argv[2]))\n"
        "except InputError as error:\n    sys.exit(str(error))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(pictures), str(tmp_path / "cache")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )
    assert "--cache disk" in done.stderr, done.stderr
    assert "File too large" in done.stderr
    assert leftovers(tmp_path / "cache") == []


def test_an_interrupted_write_leaves_nothing(read, tmp_path, monkeypatch):
    def interrupted(self, picture):
        raise KeyboardInterrupt

    monkeypatch.setattr(stored.Writer, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read()
    assert leftovers(tmp_path / "cache") == []


def test_a_place_that_cannot_be_written_is_told(read, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"--cache disk: .*file"):
        read(cache_dir=tmp_path / "file" / "below")


def test_old_ones_go_and_nothing_else(read, tmp_path):
    folder = tmp_path / "cache"
    read()
    old, recent, ours = sorted(folder.iterdir())
    (folder / "notes of mine").mkdir()
    for name in (".tmp-pictures-new", ".tmp-pictures-old"):
        (folder / name / "new").mkdir(parents=True)
        (folder / name / "new" / "pixels.uint8").touch()
    long_ago = time.time() - 31 * 24 * 3600
    gone = folder / ".tmp-pictures-old"
    for path in (old, folder / "notes of mine", *gone.rglob("*"), gone, folder / ".tmp-pictures-new"):
        os.utime(path, (long_ago, long_ago))
    read(image_size=9)
    assert not old.exists()
    assert not gone.exists()
    left = {path.name for path in folder.iterdir()}
    assert {recent.name, ours.name, "notes of mine", ".tmp-pictures-new"} <= left
    os.utime(recent, (long_ago, long_ago))
    read()
    assert time.time() - recent.stat().st_mtime < 1000  # used: kept


def test_without_a_folder_nothing_is_stored(read, monkeypatch, tmp_path):
    """What evaluate and export read once; only what was asked for goes to the user's caches."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cache, "memory_bytes", lambda: 1000)
    assert read("auto", cache_dir=None).cache.startswith("none: ")
    assert not (tmp_path / "home").exists()
    read("disk", cache_dir=None)
    assert len(leftovers(tmp_path / "home" / "cnn_keras")) == 3


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_tensorflow_shares_the_cached_pixels(read, kind):
    """A change of the array shows in the tensor: there is one copy of the pixels."""
    pixels = read(kind).splits["train"].pixels
    assert cache.is_shareable(pixels)
    tensor = pipeline._tensor(pixels)
    pixels[2, 3, 4, 1] ^= 255
    np.testing.assert_array_equal(tensor, pixels)
    odd = np.zeros(65, np.uint8)[1:].reshape(4, 4, 4, 1)
    np.testing.assert_array_equal(pipeline._tensor(odd), odd)


def test_the_order_of_bytes_is_part_of_the_key(tmp_path):
    """Arrays of the same bytes and another shape are other pictures."""
    x = np.random.default_rng(0).integers(0, 256, (12, 6, 10), np.uint8)
    found = []
    for shape in ((12, 6, 10), (12, 10, 6)):
        np.savez(tmp_path / "a.npz", x=x.reshape(shape), y=np.arange(12) % 2)
        source = open_source(str(tmp_path / "a.npz"))
        data = prepare(source, 8, 1, cache="disk", cache_dir=tmp_path / "cache", quiet=True)
        found.append(data.splits["train"])
        plain = prepare(source, 8, 1, cache="none", quiet=True).splits["train"]
        np.testing.assert_array_equal(found[-1].pixels[5], plain.picture(5))
    assert found[0].fingerprint != found[1].fingerprint


def test_the_fingerprint_is_the_hash_of_files_and_labels(read):
    split = read("none").splits["train"]
    expected = hashlib.sha256()
    for name, label in zip(split.names, split.labels, strict=True):
        expected.update(hashlib.sha256(Path(name).read_bytes()).digest() + bytes([label, 0, 0, 0]))
    assert split.fingerprint == expected.hexdigest()


def test_iterating_makes_no_copy_of_the_pixels():
    """64 MB in memory: a pass over them raises the process by far less."""
    count = 4096
    pixels = cache.in_memory((count, 128, 128, 1))
    pixels[:] = 7
    split = pipeline.Split(np.zeros(count, np.int32), (), pixels.__getitem__, pixels, "")
    small = cache.in_memory((64, 128, 128, 1))
    few = pipeline.Split(np.zeros(64, np.int32), (), small.__getitem__, small, "")
    assert len(list(evaluation_batches(few, 16))) == 4  # TensorFlow takes what it needs at all
    before = peak = own_memory()
    for images, _ in evaluation_batches(split, 16):
        assert images[15, 0, 0, 0] == 7
        peak = max(peak, own_memory())
    assert peak - before < 32e6


def own_memory():
    """Bytes that are this process's own, not mapped from files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssShmem")))


@pytest.fixture
def two_writers(tmp_path):
    """Two processes' writers of the same pictures, all of them added; their hashes and the pictures."""
    ids = np.arange(96, dtype=np.uint8).reshape(3, 32)
    pictures = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)
    shape = pictures.shape
    with stored.writer(tmp_path, shape) as one, stored.writer(tmp_path, shape) as two:
        for own in (one, two):
            for picture in pictures:
                own.add(picture)
        yield one, two, ids, pictures


def test_two_processes_that_store_the_same_at_once(two_writers, tmp_path):
    """Each finishes with the pixels, whoever comes first."""
    *writers, ids, pictures = two_writers
    for own in writers:
        np.testing.assert_array_equal(own.finish(ids, {}).pixels, pictures)
    finished = [path for path in tmp_path.iterdir() if not path.name.startswith(".tmp")]
    assert len(finished) == 1


def test_another_process_puts_its_own_there_in_between(two_writers, monkeypatch):
    """The folder is there by the time that ours is to get its name."""
    one, two, ids, pictures = two_writers
    real, calls = stored.find, []

    def late(*arguments):
        calls.append(1)
        if len(calls) > 1:
            return real(*arguments)
        one.finish(ids, {})
        return None

    monkeypatch.setattr(stored, "find", late)
    np.testing.assert_array_equal(two.finish(ids, {}).pixels, pictures)
