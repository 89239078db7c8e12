"""CSV, NumPy and Python sources, and that every source means the same."""

import json

import numpy as np
import pytest
from PIL import Image

from training.data.prepare import prepare
from training.data.sources import open_again, open_as_test, open_source
from training.runs.command import InputError

NAMES = ("ash", "birch", "oak")


def drawn(count, seed, shape=(12, 10, 3)):
    """Random pictures, uint8, with labels in turn."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, *shape), np.uint8), np.arange(count) % len(NAMES)


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    """The same 45 pictures in three splits as a folder, a CSV, an npz, a function and a TFDS set."""
    place = tmp_path_factory.mktemp("sources")
    parts = {"train": drawn(27, 0), "val": drawn(9, 1), "test": drawn(9, 2)}
    lines, arrays = ["path,label,split"], {"class_names": np.array(NAMES)}
    for part, (images, labels) in parts.items():
        suffix = "" if part == "train" else f"_{part}"
        arrays |= {f"x{suffix}": images, f"y{suffix}": labels}
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            file = place / "folder" / part / NAMES[label] / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(file)
            lines.append(f"{file.relative_to(place)},{NAMES[label]},{part}")
    (place / "list.csv").write_text("\n".join(lines), encoding="utf-8")
    np.savez(place / "arrays.npz", **arrays)
    (place / "drawn_pictures.py").write_text(
        "import numpy as np\n"
        "def load():\n"
        "    a = np.load('arrays.npz')\n"
        "    names = [str(n) for n in a['class_names']]\n"
        "    def pairs(part):\n"
        "        return ((x, names[y]) for x, y in zip(a['x' + part], a['y' + part]))\n"
        "    return {'train': pairs(''), 'validation': pairs('_val'), 'test': pairs('_test')}\n"
        "def tensors():\n"
        "    import tensorflow as tf\n"
        "    a = np.load('arrays.npz')\n"
        "    sets = {p or '_train': tf.data.Dataset.from_tensor_slices((a['x' + p], a['y' + p]))\n"
        "            for p in ('', '_val', '_test')}\n"
        "    return {k[1:]: v for k, v in sets.items()} | {'class_names': list(a['class_names'])}\n"
    )
    return place


def tree_set(parts):
    """Register a TFDS builder over drawn pictures."""
    import tensorflow_datasets as tfds

    def info(self):
        image, label = tfds.features.Image(), tfds.features.ClassLabel(names=list(NAMES))
        features = tfds.features.FeaturesDict({"picture": image, "tree": label})
        return tfds.core.DatasetInfo(builder=self, features=features)  # without supervised keys

    def generate(images, labels):
        yield from (
            (i, {"picture": x, "tree": int(y)})
            for i, (x, y) in enumerate(zip(images, labels, strict=True))
        )

    def splits(self, manager):
        theirs = {"train": "train", "val": "validation", "test": "test"}
        return {theirs[part]: generate(*pair) for part, pair in parts.items()}

    body = {
        "VERSION": tfds.core.Version("1.0.0"),
        "_info": info,
        "_split_generators": splits,
        "_generate_examples": None,
        "__module__": __name__,
    }
    name = "DrawnTrees" + "".join(part.title() for part in parts)
    return type(name, (tfds.core.GeneratorBasedBuilder,), body).name


def contents(data, data_dir=None):
    """Per split, the class and the bytes of every picture at a network's size."""
    source = open_source(data, data_dir)
    prepared = prepare(source, 16, 3, quiet=True)
    assert source.class_names == NAMES
    assert source.own_splits
    assert source.picture_size == 10
    return {
        part: [(int(y), x.tobytes()) for y, x in zip(split.labels, split.pixels, strict=True)]
        for part, split in prepared.splits.items()
    }


def test_every_source_gives_the_same_bytes_and_labels(data_set, monkeypatch):
    monkeypatch.chdir(data_set)
    name = tree_set({"train": drawn(27, 0), "val": drawn(9, 1), "test": drawn(9, 2)})
    found = {
        data: contents(data, str(data_set / "tfds"))
        for data in (
            *("folder", "list.csv", "arrays.npz", "drawn_pictures:load", "drawn_pictures:tensors"),
            f"tfds:{name}",
        )
    }
    expected = {
        part: [
            (int(y), np.asarray(Image.fromarray(x).resize((16, 12), 2).resize((16, 16), 2)).tobytes())
            for x, y in zip(*drawn(count, seed), strict=True)
        ]
        for part, count, seed in (("train", 27, 0), ("val", 9, 1), ("test", 9, 2))
    }
    assert found["arrays.npz"] == expected  # in the order of the file
    assert found["drawn_pictures:load"] == found["drawn_pictures:tensors"] == expected
    for data, parts in found.items():
        assert {k: sorted(v) for k, v in parts.items()} == {k: sorted(v) for k, v in expected.items()}, (
            data
        )


def test_unsplit_sources_are_split_alike(data_set, tmp_path, monkeypatch):
    """A folder, a CSV of its files and an npz of their pixels hold the same pictures out."""
    files = sorted((data_set / "folder" / "train").rglob("*.png"))
    rows = "".join(f"{file},{file.parent.name}\n" for file in files)
    (tmp_path / "list.csv").write_text("path,label\n" + rows)
    pixels = np.stack([np.asarray(Image.open(file)) for file in files])
    np.savez(tmp_path / "a.npz", x=pixels, y=np.array([file.parent.name for file in files]))
    found = []
    for data in (data_set / "folder" / "train", tmp_path / "list.csv", tmp_path / "a.npz"):
        source = open_source(str(data), seed=3)
        parts = prepare(source, 16, 3, quiet=True).splits
        found.append({name: split.pixels.tobytes() for name, split in parts.items()})
        assert {name: len(split) for name, split in parts.items()} == {"train": 19, "val": 4, "test": 4}
        assert not source.own_splits
    assert found[0] == found[1] == found[2]


def test_tfds_sets_of_one_split(data_set, tmp_path):
    train, test = tree_set({"train": drawn(27, 0)}), tree_set({"test": drawn(9, 2)})
    source = open_source(f"tfds:{train}", str(tmp_path))
    assert {name: len(e) for name, e in source.splits.items()} == {"train": 24, "val": 3}
    assert len(open_as_test(f"tfds:{test}", str(tmp_path), NAMES).splits["test"]) == 9
    with pytest.raises(InputError, match="none for train"):
        open_source(f"tfds:{test}", str(tmp_path))


def test_classes_are_aligned_by_name(tmp_path):
    """Orders that differ, a class that val lacks and one that only test has."""
    rows = [("train", "b"), ("train", "a"), ("train", "c"), ("val", "c"), ("val", "a"), ("test", "z")]
    rows += [("test", "b"), ("test", "c")]
    lines = ["label,split,path"]
    for i, (part, label) in enumerate(rows):
        Image.new("L", (4, 4), i).save(tmp_path / f"{i}.png")
        lines.append(f"{label},{part},{i}.png")
    (tmp_path / "list.csv").write_text("\n".join(lines))

    def pairs(part):
        chosen = [(i, label) for i, (p, label) in enumerate(rows) if p == part]
        images = np.stack([np.full((4, 4), i, np.uint8) for i, _ in chosen])
        return images, np.array([label for _, label in chosen])

    arrays = {}
    for part, suffix in (("train", ""), ("val", "_val"), ("test", "_test")):
        arrays[f"x{suffix}"], arrays[f"y{suffix}"] = pairs(part)
    np.savez(tmp_path / "a.npz", **arrays)
    for file in ("list.csv", "a.npz"):
        source = open_source(str(tmp_path / file))
        assert source.class_names == ("a", "b", "c")
        labels = {part: entries.labels.tolist() for part, entries in source.splits.items()}
        assert labels == {"train": [1, 0, 2], "val": [2, 0], "test": [1, 2]}
        assert np.asarray(source.splits["test"].load(0)).max() == 6  # z's picture is gone, not b's
        told = "\n".join(source.notices)
        assert "class 'z' is in 'test' but not in 'train': its 1 pictures are left out" in told
        assert "class 'b' has no pictures in 'val'" in told
        assert source.grey


def fit_words(data, out, *more):
    words = (
        "--arch",
        "linear",
        "--epochs",
        2,
        "--image-size",
        16,
        "--batch-size",
        8,
        "--export",
        "none",
    )
    return ("training.fit", *words, "--data", data, "--out", out, "--name", "run", *more)


@pytest.mark.parametrize("kind", ["csv", "npz", "function"])
def test_fit_evaluate_and_again(data_set, tmp_path, monkeypatch, kind):
    """What is not split is split the same again; other pictures than those of the fit are noticed."""
    from training import evaluate, fit
    from training.data import sources

    monkeypatch.chdir(tmp_path)
    images, labels = drawn(60, 5)
    if kind == "csv":
        for i, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / f"{i}.png")
        rows = "".join(f"{i}.png,{NAMES[y]}\n" for i, y in enumerate(labels))
        (tmp_path / "list.csv").write_text("path,label\n" + rows)
        data = "list.csv"
    else:
        np.savez(tmp_path / "a.npz", x=images, y=np.array(NAMES)[labels])
        (tmp_path / "mine_again.py").write_text(
            "import numpy as np\n"
            "def load():\n"
            "    a = np.load('a.npz')\n"
            "    return {'train': zip(a['x'], a['y'])}\n"
        )
        data = "a.npz" if kind == "npz" else "mine_again:load"
    assert fit.main([str(w) for w in fit_words(data, tmp_path)[1:]]) == 0
    run = tmp_path / "run"
    card = json.loads((run / "card.json").read_text())
    expected = data if kind == "function" else str(tmp_path / data)
    assert card["data"]["source"] == expected
    assert card["class_names"] == list(NAMES)
    before = (run / "metrics.json").read_text()
    again = prepare(sources.open_again(card), 16, 1, quiet=True)
    assert {n: s.fingerprint for n, s in again.splits.items()} == card["data"]["fingerprint"]
    assert evaluate.main([str(run)]) == 0
    assert (run / "metrics.json").read_text() == before
    assert evaluate.main([str(run), "--data", data]) == 0  # the same pictures, so the same judgement
    assert not list(run.glob("evaluation-*"))
    if kind == "function":
        (tmp_path / "mine_again.py").unlink()
        with pytest.raises(InputError, match="no module 'mine_again'"):
            open_again(card)
        return
    (tmp_path / data).rename(tmp_path / f"moved.{kind}")
    assert evaluate.main([str(run)]) == 2
    assert evaluate.main([str(run), "--moved-to", str(tmp_path / f"moved.{kind}")]) == 0
    assert (run / "metrics.json").read_text() == before


def test_another_file_is_judged_whole(tmp_path):
    """All of a CSV that is not split, the test rows of one that is."""
    for i in range(6):
        Image.new("L", (8, 8), 40 * i).save(tmp_path / f"{i}.png")
    (tmp_path / "all.csv").write_text("path,label\n" + "".join(f"{i}.png,{i}\n" for i in range(6)))
    (tmp_path / "one.csv").write_text("path,label,split\n0.png,0,train\n1.png,1,val\n2.png,2,test\n")
    names = tuple(map(str, range(10)))
    for file, labels in (("all.csv", [0, 1, 2, 3, 4, 5]), ("one.csv", [2])):
        source = open_as_test(str(tmp_path / file), None, names)
        assert source.splits["test"].labels.tolist() == labels
