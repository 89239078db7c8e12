"""Data sets of TensorFlow Datasets, offline."""

import gzip
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest

from training.data.sources import open_source
from training.runs.command import InputError


def write_mnist_like(folder, train=60, test=20):
    """Write the four files of Fashion-MNIST's format with few drawn pictures."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    written = {}
    for part, count in (("train", train), ("t10k", test)):
        images = rng.integers(0, 256, (count, 28, 28), np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        header = np.array([2051, count, 28, 28], ">i4").tobytes()
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.tobytes()))
        header = np.array([2049, count], ">i4").tobytes()
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(header + labels.tobytes()))
        written[part] = (images, labels)
    return written


def test_a_wrong_archive_is_refused(tmp_path):
    write_mnist_like(tmp_path / "downloads" / "manual")
    with pytest.raises(InputError, match="could not be prepared"):
        open_source("tfds:fashion_mnist", str(tmp_path))


def test_a_missing_archive_without_a_network_is_named(tmp_path, monkeypatch):
    def no_network(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    with pytest.raises(InputError, match=r"put .*train-images-idx3-ubyte\.gz.* under .*manual"):
        open_source("tfds:fashion_mnist", str(tmp_path))


SHARED = Path(__file__).parents[2] / "shared" / "data" / "fashion_mnist"


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the original archives of Fashion-MNIST")
def test_fashion_mnist_prepares_offline(tmp_path):
    shutil.copytree(SHARED, tmp_path / "downloads" / "manual")
    source = open_source("tfds:fashion_mnist", str(tmp_path))
    assert {n: len(e) for n, e in source.splits.items()} == {"train": 54000, "val": 6000, "test": 10000}
    assert source.class_names[:2] == ("T-shirt/top", "Trouser")
    assert source.grey
    assert source.mirrored
    # the first test picture of the original file is an ankle boot
    assert source.splits["test"].load(0).size == (28, 28)
