"""Data sets of TensorFlow Datasets, offline."""

import gzip
import hashlib
import shutil
import socket
from pathlib import Path
from types import SimpleNamespace

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


@pytest.mark.parametrize("config", ["", "/small"])
def test_archives_put_there_by_hand_are_prepared_and_read(tmp_path, monkeypatch, config):
    """A set of our own, with its checksums; with a configuration the folders are one deeper."""
    manual = tmp_path / "downloads" / "manual"
    written = write_mnist_like(manual)
    builder = drawn_set(manual, ("small",) if config else ())
    monkeypatch.setattr("training.data.tfds._check_reachable", nothing_missing)
    for _ in range(2):  # prepared, then found
        source = open_source(f"tfds:{builder.name}{config}", str(tmp_path), seed=1)
        assert {n: len(e) for n, e in source.splits.items()} == {"train": 54, "val": 6, "test": 20}
        assert source.own_splits
        images, labels = written["t10k"]
        test = source.splits["test"]
        stored = sorted((n, np.asarray(test.load(i)).tobytes()) for i, n in enumerate(test.labels))
        assert stored == sorted((n, image.tobytes()) for n, image in zip(labels, images, strict=True))


def drawn_set(archives, configs):
    """Register a TFDS builder that downloads the four files in `archives` from nowhere."""
    import tensorflow_datasets as tfds

    url = "http://nowhere.invalid/"
    infos = {}
    for file in archives.iterdir():
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        infos[url + file.name] = tfds.download.checksums.UrlInfo(
            size=file.stat().st_size, checksum=digest, filename=file.name
        )

    def generate(images, labels):
        files = [gzip.decompress(Path(path).read_bytes()) for path in (images, labels)]
        read = [np.frombuffer(content, np.uint8) for content in files]
        for i, label in enumerate(read[1][8:]):
            yield i, {"image": read[0][16:].reshape(-1, 28, 28, 1)[i], "label": int(label)}

    def info(self):
        features = {
            "image": tfds.features.Image(shape=(28, 28, 1)),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
        keys = ("image", "label")
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=keys
        )

    def splits(self, manager):
        parts = {"train": "train", "test": "t10k"}
        kinds = ("images-idx3", "labels-idx1")
        return {
            name: generate(*manager.download([f"{url}{part}-{kind}-ubyte.gz" for kind in kinds]))
            for name, part in parts.items()
        }

    return type(
        f"Drawn{'Configured' if configs else 'Plain'}",
        (tfds.core.GeneratorBasedBuilder,),
        {
            "VERSION": tfds.core.Version("1.0.0"),
            "BUILDER_CONFIGS": [tfds.core.BuilderConfig(name=name) for name in configs],
            "url_infos": infos,
            "_info": info,
            "_split_generators": splits,
            "_generate_examples": None,
            "__module__": __name__,
        },
    )


def nothing_missing(builder, manual):
    assert not [f for f in builder.url_infos.values() if not (manual / f.filename).is_file()]


def test_behind_a_proxy_hosts_are_not_looked_up(tmp_path, monkeypatch):
    """There only the proxy can: the download itself is tried, and its failure told."""
    looked_up = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_: looked_up.append(host))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    from training.data import tfds

    info = SimpleNamespace(filename="x.gz")
    tfds._check_reachable(SimpleNamespace(url_infos={"http://example.org/x.gz": info}), tmp_path)
    assert looked_up == []


def test_a_missing_archive_without_a_network_is_named(tmp_path, monkeypatch):
    def no_network(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr("urllib.request.getproxies", dict)
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
