"""Splits that lack a class, or have others in another order, mean the same from every source."""

import numpy as np
import pytest
from PIL import Image

from training.data import augment
from training.data.given import are_characters
from training.data.sources import aligned, open_as_test, open_source

# of another order in each split; val lacks birch, only test has zelkova
ROWS = [("train", "birch"), ("train", "ash"), ("train", "oak"), ("val", "oak"), ("val", "ash")]
ROWS += [("test", "zelkova"), ("test", "birch"), ("test", "oak")]
NAMES = ("ash", "birch", "oak")
STORED = ("zelkova", "oak", "birch", "ash")  # the order of the sources that have one of their own


def picture(i):
    return np.random.default_rng(i).integers(0, 256, (6, 7, 3), np.uint8)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The rows as a folder, a CSV, two npz, a function and a set of TensorFlow Datasets, by --data."""
    import tensorflow_datasets as tfds

    place = tmp_path_factory.mktemp("aligned")
    lines, text, numbers = ["label,split,path"], {}, {"class_names": np.array(STORED)}
    for part in ("train", "val", "test"):
        chosen = [(i, label) for i, (p, label) in enumerate(ROWS) if p == part]
        suffix = "" if part == "train" else f"_{part}"
        text |= {
            f"x{suffix}": np.stack([picture(i) for i, _ in chosen]),
            f"y{suffix}": np.array([label for _, label in chosen]),
        }
        numbers[f"x{suffix}"] = text[f"x{suffix}"]
        numbers[f"y{suffix}"] = np.array([STORED.index(label) for _, label in chosen])
        for i, label in chosen:
            file = place / "folder" / part / label / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(i)).save(file)
            lines.append(f"{label},{part},{file.relative_to(place)}")
    (place / "list.csv").write_text("\n".join(lines))
    np.savez(place / "text.npz", **text)
    np.savez(place / "numbers.npz", **numbers)
    (place / "aligned_pictures.py").write_text(
        "import numpy as np\n"
        "def load():\n"
        "    a = np.load('numbers.npz')\n"
        "    parts = {p or '_train': zip(a['x' + p], a['y' + p]) for p in ('', '_val', '_test')}\n"
        "    parts = {p[1:]: pairs for p, pairs in parts.items()}\n"
        "    return parts | {'class_names': list(a['class_names'])}\n"
    )

    def generate(part):
        for i, (p, label) in enumerate(ROWS):
            if p == part:
                yield i, {"image": picture(i), "label": label}

    features = {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(names=list(STORED))}
    body = {
        "VERSION": tfds.core.Version("1.0.0"),
        "_info": lambda self: tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        ),
        "_split_generators": lambda self, manager: {
            name: generate(part)
            for part, name in (("train", "train"), ("val", "validation"), ("test", "test"))
        },
        "_generate_examples": None,
        "__module__": __name__,
    }
    name = type("AlignedTrees", (tfds.core.GeneratorBasedBuilder,), body).name
    files = ("folder", "list.csv", "text.npz", "numbers.npz")
    return place, [*files, "aligned_pictures:load", f"tfds:{name}"]


def contents(entries, class_names):
    """Class and pixels of every picture."""
    names = [class_names[label] for label in entries.labels]
    return sorted((n, np.asarray(entries.load(i)).tobytes()) for i, n in enumerate(names))


def expected(part):
    rows = [(label, picture(i).tobytes()) for i, (p, label) in enumerate(ROWS) if p == part]
    return sorted(row for row in rows if row[0] in NAMES)


def test_every_source_aligns_its_splits(sources, monkeypatch):
    place, every = sources
    monkeypatch.chdir(place)
    for data in every:
        source = open_source(data, str(place / "tfds"))
        assert sorted(source.class_names) == list(NAMES), data
        for part in ("train", "val", "test"):
            assert contents(source.splits[part], source.class_names) == expected(part), (data, part)
        told = "\n".join(source.notices)
        assert "class 'zelkova' is in" in told, data
        assert "its 1 pictures are left out" in told, data
        assert "class 'birch' has no pictures in" in told, data
        again = aligned(source, NAMES)  # as a run that was trained on another source needs it
        assert again.class_names == NAMES
        assert contents(again.splits["val"], NAMES) == expected("val"), data


def test_every_source_is_judged_by_name(sources, monkeypatch):
    """A network of other classes in another order sees the same pictures under the same names."""
    place, every = sources
    monkeypatch.chdir(place)
    names = ("oak", "fir", "ash", "birch")
    for data in every:
        test = open_as_test(data, str(place / "tfds"), names).splits["test"]
        assert contents(test, names) == expected("test"), data
        assert set(test.labels.tolist()) == {0, 3}, data


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("0", "1", "9"), True),
        (("A", "b", "\u00e9", "7"), True),
        (("00", "01", "42"), True),
        (("cat", "dog"), False),
        (("a", "dog"), False),
        (("1 star", "2 stars"), False),
    ],
)
def test_characters_are_never_mirrored_unasked_whatever_the_source(tmp_path, names, expected):
    assert are_characters(names) is expected
    labels = [name for name in names for _ in range(8)]
    x = np.arange(len(labels), dtype=np.uint8)[:, None, None] + np.zeros((1, 4, 4), np.uint8)
    np.savez(tmp_path / "a.npz", x=x, y=np.array(labels))
    lines = ["path,label"]
    for image, label in zip(x, labels, strict=True):
        file = tmp_path / "folder" / label / f"{image[0, 0]}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
        lines.append(f"{file},{label}")
    (tmp_path / "list.csv").write_text("\n".join(lines), encoding="utf-8")
    for data in ("a.npz", "list.csv", "folder"):
        judged = open_as_test(str(tmp_path / data), None, names)
        source = open_source(str(tmp_path / data))
        assert source.mirrored is judged.mirrored is not expected
        assert any("does not mirror" in notice for notice in source.notices) is expected
        assert augment.resolve("auto", mirrored=source.mirrored) == ("digits" if expected else "light")
