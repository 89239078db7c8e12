"""What is wrong in a CSV, an npz or a Python function is told."""

import io

import numpy as np
import pytest
from PIL import Image

from training.data.prepare import prepare
from training.data.sources import open_as_test, open_source
from training.runs.checks import check_data_name
from training.runs.command import InputError


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
