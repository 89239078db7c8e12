"""CSV, NumPy and Python sources, and that every source means the same."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from training.data.prepare import prepare
from training.data.sources import open_again, open_as_test, open_source
from training.runs.checks import check_data_name
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


def csv_file(tmp_path, text, encoding="utf-8"):
    for name in "abcdef":
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    (tmp_path / "list.csv").write_bytes(text.encode(encoding))
    return str(tmp_path / "list.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_csv_reads_text_labels_and_quoted_names(tmp_path, encoding):
    text = 'Path, Label,note\r\n"a.png",01,x\r\nb.png,1,y\r\n\r\nc.png,"Pi\u00f1a, b",\r\n'
    text += f'"{tmp_path}/x\u2028, y.png",01,\r\n'
    file = csv_file(tmp_path, text, encoding)
    Image.new("RGB", (4, 4)).save(tmp_path / "x\u2028, y.png")
    source = open_as_test(file, None, ("01", "1", "Pi\u00f1a, b"))
    entries = source.splits["test"]
    assert entries.labels.tolist() == [0, 1, 2, 0]
    assert [entries.load(i).size for i in range(4)] == [(4, 4)] * 4
    assert any("column 'note' is ignored" in notice for notice in source.notices)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path;label\na.png;x\n", "line 1: expected the names of the columns"),
        ("a.png,x\nb.png,y\n", "line 1: expected"),
        ("path,label\na.png,x\nb.png\n", "line 3: 1 values for 2 columns"),
        ("path,label\na.png,x\nb.png,\n", "line 3: the label is empty"),
        ("path,label\n,x\n", "line 2: the path is empty"),
        ("path,label\na.png,x\n\nb.png,y\na.png,y\n", r"line 5: .*a\.png is in line 2 already"),
        ("path,label,split\na.png,x,trian\n", "line 2: split 'trian' is none of train"),
        ("path,label,split\na.png,x,train\nb.png,y,\n", "1 of 2 lines have no split"),
        ("path,label,group\na.png,x,\n", "line 2: the group is empty"),
        ('path,label\n"a.png,x\n', "line 2: unexpected end"),
        ("path,label\n", "lists no pictures"),
        ("", "line 1: expected .* not nothing"),
        ("path,label\na.png,x\nb.png,x\n", "fewer than two classes with pictures: only 'x'"),
        ("path,label\na.png,x\nb.png,X\n", "two classes with one name"),
        ("path,label,split\na.png,x,val\nb.png,y,test\n", "for val, test but none for train"),
    ],
)
def test_what_is_wrong_in_a_csv_is_told_by_its_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        open_source(csv_file(tmp_path, text))


def test_several_wrong_lines_are_told_at_once(tmp_path):
    text = "path,label\n" + "a.png\n" * 7
    with pytest.raises(InputError, match=r"line 2: (.*\n)*line 6: .*\n\.\.\. and 2 more") as told:
        open_source(csv_file(tmp_path, text))
    assert len(str(told.value).splitlines()) == 7


def test_csv_of_another_encoding_names_the_line(tmp_path):
    with pytest.raises(InputError, match="line 3: this is not UTF-8"):
        open_source(csv_file(tmp_path, "path,label\na.png,x\nb.png,\u00e9t\u00e9\n", "latin-1"))


def test_missing_files_are_all_listed_like_broken_ones(tmp_path):
    lines = [
        f"{name}.png,{'xy'[i % 2]},{'train' if i < 4 else 'val'}" for i, name in enumerate("abcdef")
    ]
    lines += [f"gone{i}.png,x,train" for i in range(7)]
    source = open_source(csv_file(tmp_path, "path,label,split\n" + "\n".join(lines)))
    left_out = prepare(source, 16, 3, quiet=True).left_out
    assert {(bad.name, bad.reason) for bad in left_out} == {
        (str(tmp_path / f"gone{i}.png"), "there is no such file") for i in range(7)
    }
    nothing = "\n".join(["path,label,split", *lines[6:], "a/b.png,y,train", *lines[4:6]])
    with pytest.raises(InputError, match="no picture of 'train' could be read") as told:
        prepare(open_source(csv_file(tmp_path, nothing)), 16, 3, quiet=True)
    for name in [f"gone{i}.png" for i in range(7)] + ["a/b.png"]:
        assert f"{tmp_path / name}: there is no such file" in str(told.value)


X, Y = np.zeros((4, 5, 6, 3), np.uint8), np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X.astype("float32") + 0.5, "y": Y}, r"x is float32 from 0.5 to 0.5\. Expected uint8"),
        ({"x": X.astype("int64"), "y": Y}, "x is int64 from 0 to 0"),
        ({"x": X[0], "y": Y}, r"shape \(5, 6, 3\)|shape \(5,\)|one label for each"),
        ({"x": X[..., :2], "y": Y}, r"x has the shape \(4, 5, 6, 2\)"),
        ({"x": X, "y": Y[:3]}, r"y has the shape \(3,\)\. Expected \(4,\)"),
        ({"x": X, "y": Y[:, None]}, r"y has the shape \(4, 1\).*reshape"),
        ({"x": X, "y": Y + 0.0}, "y: labels are float64"),
        ({"x": X, "y": Y, "class_names": np.array(["a"])}, "y: label 1 is none of the 1 class names"),
        ({"x": X, "y": Y - 1, "class_names": np.array(["a", "b"])}, "label -1 is none"),
        ({"x": X, "y": Y, "class_names": np.array(["a", "a"])}, "each name once"),
        ({"x": X}, "has x but no y"),
        ({"y_val": Y}, "has y_val but no x_val"),
        ({"images": X, "labels": Y}, "has images, labels. Expected x and y"),
        ({"x": X, "y": Y, "x_train": X, "y_train": Y}, "both x and x_train"),
        ({"x": X, "y": np.array(["a", {}, "b", 1], object)}, "Python objects, which is never loaded"),
    ],
)
def test_a_wrong_npz_is_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=message):
        open_source(str(tmp_path / "a.npz"))


def test_a_damaged_npz_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"no whole \.npz file"):
        open_source(str(tmp_path / "a.npz"))
    stream = io.BytesIO()
    np.save(stream, X)
    (tmp_path / "a.npz").write_bytes(stream.getvalue())
    with pytest.raises(InputError, match=r"no whole \.npz file"):
        open_source(str(tmp_path / "a.npz"))


def test_npz_of_grey_pictures_and_numbers(tmp_path):
    """Numbers are sorted as such, whether the pictures have an axis of one channel or none."""
    images = np.arange(12, dtype=np.uint8)[:, None, None] * np.ones((1, 5, 6), np.uint8)
    labels = np.repeat([10, 9, 100], 4)
    for name, x in (("a", images), ("b", images[..., None])):
        np.savez_compressed(tmp_path / f"{name}.npz", x_train=x, y_train=labels)
        source = open_source(str(tmp_path / f"{name}.npz"))
        assert source.class_names == ("9", "10", "100")
        assert source.grey
        assert source.pool.labels.tolist() == [1] * 4 + [0] * 4 + [2] * 4
        assert [np.asarray(source.pool.load(i))[2, 3] for i in range(12)] == list(range(12))


FUNCTIONS = {
    "import nothing_of_this_name\ndef f(): pass": r"raised ModuleNotFoundError: .*\(NAME\.py, line 1\)",
    "def f():\n    return 1 / 0": r"raised ZeroDivisionError: .*\(NAME\.py, line 2\)",
    "def f(x): pass": "raised TypeError",
    "def g(): pass": r"NAME\.py has no function 'f'",
    "def f(): return [1]": "returned list. Expected a dict",
    "def f(): return {}": "without pictures",
    "def f(): return {'train': []}": "'train' has no pictures",
    "def f(): return {'tain': []}": "'tain' is none of train",
    "def f(): return {'train': 3}": "'train' is int. Expected pairs",
    "def f(): return {'train': [3]}": r"item 0 of 'train' is int\. Expected \(picture, label\)",
    "import numpy as np\ndef f(): return {'train': [(np.zeros((4, 4)), 1)]}": "is float64 .* uint8",
    "import numpy as np\ndef f(): return {'train': [(np.zeros((2, 4, 4, 3), 'u1'), 1)]}": "unbatch",
    "import numpy as np\ndef f(): return {'train': [(np.zeros((4, 4), 'u1'), 0.5)]}": "label 0.5",
    "import numpy as np\n"
    "def f(): return {'train': [(np.zeros((4, 4), 'u1'), 0), (np.zeros((4, 4), 'u1'), 'a')]}": "mixes",
    "def f():\n    def g():\n        raise OSError('mine')\n        yield\n    return {'train': g()}": (
        r"raised OSError: mine \(NAME\.py, line 3\)"
    ),
}


@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
def test_errors_of_the_users_function_are_shown_as_such(tmp_path, monkeypatch, number):
    code, message = list(FUNCTIONS.items())[number]
    name = f"mine_{number}"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message.replace("NAME", name)):
        open_source(f"{name}:f")


def test_functions_are_taken_from_the_current_folder_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no module 'os' in the current folder"):
        open_source("os:getcwd")
    (tmp_path / "json.py").write_text("def f(): pass")
    with pytest.raises(InputError, match="the name 'json' is taken"):
        open_source("json:f")


@pytest.mark.parametrize("name", ["list.csv", "arrays.npz", "x.CSV"])
def test_a_file_that_is_not_there(tmp_path, name):
    with pytest.raises(InputError, match="there is no such file"):
        check_data_name(str(tmp_path / name))


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
