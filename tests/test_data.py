"""Where pictures come from, and how they are split."""

import os

import numpy as np
import pytest
from PIL import Image

from training.data.pipeline import training_batches
from training.data.prepare import prepare
from training.data.sources import array_entries, open_again, open_as_test, open_source, split
from training.runs.command import InputError

COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}


def draw(folder, name="a.png", colour="red", number=0):
    """Write a picture whose pixels say which one it is."""
    folder.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (40, 32), COLOURS.get(colour, (128, 128, 128)))
    image.putpixel((0, 0), (number % 256, number // 256, 7))
    image.save(folder / name)
    return folder / name


@pytest.fixture
def pictures(tmp_path):
    """Three classes of 20 pictures in one folder."""
    for colour in COLOURS:
        for i in range(20):
            draw(tmp_path / "pics" / colour, f"{i}.png", colour, i)
    return tmp_path / "pics"


def parts(source):
    return {name: set(entries.names) for name, entries in source.splits.items()}


def test_digits_are_split_stratified():
    source = open_source("digits")
    assert {name: len(entries) for name, entries in source.splits.items()} == {
        "train": 1258,
        "val": 180,
        "test": 359,
    }
    names = [name for entries in source.splits.values() for name in entries.names]
    assert len(names) == len(set(names)) == 1797
    for name, share in (("val", 0.1), ("test", 0.2)):
        counts = np.bincount(source.splits[name].labels)
        np.testing.assert_allclose(counts, share * 179.7, atol=2)


def test_the_seed_decides_the_split():
    assert parts(open_source("digits", seed=1)) == parts(open_source("digits", seed=1))
    assert parts(open_source("digits", seed=1)) != parts(open_source("digits", seed=2))


def test_split_keeps_every_class_in_train():
    entries = array_entries(np.zeros((7, 4, 4), np.uint8), [0, 0, 0, 0, 1, 1, 2])
    found = split(entries, {"val": 0.5, "test": 0.3}, seed=0)
    assert set(found["train"].labels) == {0, 1, 2}
    assert sum(map(len, found.values())) == 7


def test_one_folder(pictures):
    source = open_source(str(pictures))
    assert source.class_names == ("blue", "green", "red")
    assert {name: len(e) for name, e in source.splits.items()} == {"train": 42, "val": 9, "test": 9}
    for entries in source.splits.values():
        for name, label in zip(entries.names, entries.labels, strict=True):
            assert f"/{source.class_names[label]}/" in name
    assert not set.intersection(*parts(source).values())


def test_given_splits_are_aligned_by_name(tmp_path):
    for name, colours in {
        "train": ("blue", "green", "red"),
        "val": ("green", "red"),
        "test": ("red",),
    }.items():
        for colour in colours:
            for i in range(3):
                draw(tmp_path / name / colour, f"{i}.png", colour, i)
    source = open_source(str(tmp_path))
    data = prepare(source, 32, 3, quiet=True)
    assert source.class_names == ("blue", "green", "red")
    assert data.splits["val"].labels.tolist() == [1, 1, 1, 2, 2, 2]
    assert data.splits["test"].labels.tolist() == [2, 2, 2]
    assert data.splits["test"].picture(0)[16, 16].tolist() == [255, 0, 0]
    assert any("'blue' has no pictures in val/" in notice for notice in source.notices)


def test_train_and_test_without_val(pictures, tmp_path):
    (tmp_path / "set").mkdir()
    pictures.rename(tmp_path / "set" / "train")
    draw(tmp_path / "set" / "test" / "red")
    source = open_source(str(tmp_path / "set"))
    assert {name: len(e) for name, e in source.splits.items()} == {"train": 51, "val": 9, "test": 1}


def test_a_class_that_is_only_in_val_is_named_and_left_out(pictures, tmp_path):
    (tmp_path / "set").mkdir()
    pictures.rename(tmp_path / "set" / "train")
    draw(tmp_path / "set" / "val" / "red")
    draw(tmp_path / "set" / "val" / "yellow")
    source = open_source(str(tmp_path / "set"))
    assert any("'yellow' is in val/ but not in train/" in notice for notice in source.notices)
    assert len(source.splits["val"]) == 1


def test_a_class_with_one_picture_and_an_empty_class_are_named(pictures):
    draw(pictures / "single")
    (pictures / "nothing").mkdir()
    (pictures / "red" / "notes.txt").write_text("x")
    source = open_source(str(pictures))
    notices = "\n".join(source.notices)
    assert "class 'single' has one picture" in notices
    assert "class 'nothing' is empty" in notices
    assert "notes.txt" in notices
    label = source.class_names.index("single")
    assert [name for name, e in source.splits.items() if label in e.labels] == ["train"]


@pytest.mark.parametrize("second", ["Red", "red ", "\uff52ed"])
def test_two_classes_with_one_name_are_refused(pictures, second):
    draw(pictures / second)
    with pytest.raises(InputError, match="two classes with one name"):
        open_source(str(pictures))


def test_fewer_than_two_classes_are_refused(tmp_path):
    with pytest.raises(InputError, match="fewer than two classes with pictures: none"):
        open_source(str(tmp_path))
    draw(tmp_path / "red")
    with pytest.raises(InputError, match="only 'red'"):
        open_source(str(tmp_path))


def test_val_and_test_without_train_are_refused(tmp_path):
    for part in ("val", "test"):
        draw(tmp_path / part / "red")
    with pytest.raises(InputError, match="no train/"):
        open_source(str(tmp_path))


def test_train_beside_classes_is_refused(pictures):
    draw(pictures / "train" / "x")
    with pytest.raises(InputError, match="train/ but also blue, green, red"):
        open_source(str(pictures))


def test_broken_pictures_are_left_out_counted_and_kept(pictures):
    bad = pictures / "red" / "bad name\n.jpg"
    bad.write_text("I am text")
    (pictures / "blue" / "empty.png").touch()
    data = prepare(open_source(str(pictures)), 32, 3, quiet=True)
    assert {(item.name, item.reason) for item in data.left_out} == {
        (str(bad), "it is not a picture (JPEG, PNG, BMP, GIF or WebP expected)"),
        (str(pictures / "blue" / "empty.png"), "the file is empty"),
    }
    assert sum(map(len, data.splits.values())) == 60
    assert bad.exists()
    for entries in data.splits.values():  # what is left still matches its label
        for i, label in enumerate(entries.labels):
            assert entries.picture(i)[16, 16].tolist() == list(COLOURS[data.class_names[label]])


def test_a_pipe_is_left_out_and_not_waited_for(pictures):
    """Neither when the pictures are looked at nor when they are read; the same in a list."""
    pipe = pictures / "blue" / "0.png"  # the first that is looked at
    pipe.unlink()
    os.mkfifo(pipe)
    files = [*pictures.rglob("*.png")]
    rows = "".join(f"{file},{file.parent.name}\n" for file in files)
    (pictures.parent / "list.csv").write_text("path,label\n" + rows)
    for data in (pictures, pictures.parent / "list.csv"):
        left_out = prepare(open_source(str(data)), 32, 3, quiet=True).left_out
        assert [(bad.name, bad.reason) for bad in left_out] == [(str(pipe), "it is no regular file")]


def test_a_broken_picture_can_stop_it(pictures):
    (pictures / "blue" / "empty.png").touch()
    with pytest.raises(InputError, match=r"empty\.png: the file is empty"):
        prepare(open_source(str(pictures)), 32, 3, on_bad_image="fail", quiet=True)


def test_a_class_of_broken_pictures_is_refused(pictures):
    for i in range(5):
        (pictures / "broken").mkdir(exist_ok=True)
        (pictures / "broken" / f"{i}.png").write_bytes(b"x")
    with pytest.raises(InputError, match="class 'broken' could be read"):
        prepare(open_source(str(pictures)), 32, 3, quiet=True)


def test_grey_pictures_are_noticed(tmp_path):
    for name in ("a", "b"):
        for i in range(4):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.new("L", (20, 30), 10 * i).save(tmp_path / name / f"{i}.png")
    source = open_source(str(tmp_path))
    assert source.grey
    assert source.picture_size == 20


def test_fingerprint_follows_the_content(pictures):
    first = prepare(open_source(str(pictures)), 32, 3, quiet=True).splits["train"].fingerprint
    assert prepare(open_source(str(pictures)), 64, 1, quiet=True).splits["train"].fingerprint == first
    for i in range(20):
        draw(pictures / "red", f"{i}.png", "red", i + 100)
    assert prepare(open_source(str(pictures)), 32, 3, quiet=True).splits["train"].fingerprint != first


def test_open_as_test_takes_all_and_aligns(pictures):
    names = ("red", "violet", "blue")
    source = open_as_test(str(pictures), None, names)
    assert source.class_names == names
    assert np.bincount(source.splits["test"].labels, minlength=3).tolist() == [20, 0, 20]
    assert any("'green' is not one of the network's" in notice for notice in source.notices)
    with pytest.raises(InputError, match="none of the network's classes"):
        open_as_test(str(pictures), None, ("x", "y"))


def test_open_as_test_holds_nothing_out(tmp_path):
    """One class with one picture is enough to judge a network on."""
    draw(tmp_path / "red")
    source = open_as_test(str(tmp_path), None, ("blue", "red"))
    assert source.splits["test"].labels.tolist() == [1]


def test_open_as_test_takes_test_of_split_pictures(tmp_path):
    for part, count in (("train", 4), ("val", 3), ("test", 2)):
        for colour in COLOURS:
            for i in range(count):
                draw(tmp_path / part / colour, f"{i}.png", colour)
    assert len(open_as_test(str(tmp_path), None, tuple(COLOURS)).splits["test"]) == 6
    for file in (tmp_path / "test").rglob("*.png"):
        file.unlink()
    with pytest.raises(InputError, match="has no pictures"):
        open_as_test(str(tmp_path), None, tuple(COLOURS))


def test_a_link_to_a_folder_above_adds_no_pictures(pictures):
    (pictures / "red" / "again").symlink_to(pictures / "red")
    counts = {n: len(e) for n, e in open_source(str(pictures)).splits.items()}
    assert counts == {"train": 42, "val": 9, "test": 9}


def test_loose_pictures_are_mentioned(pictures):
    draw(pictures, "loose.png")
    assert any("in no class folder, e.g. 'loose.png'" in n for n in open_source(str(pictures)).notices)


def test_two_folders_for_one_split_are_refused(pictures, tmp_path):
    (tmp_path / "set").mkdir()
    pictures.rename(tmp_path / "set" / "train")
    for part in ("val", "validation"):
        draw(tmp_path / "set" / part / "red")
    with pytest.raises(InputError, match="both val/ and validation/"):
        open_source(str(tmp_path / "set"))


def test_moved_pictures_are_asked_for(pictures):
    about = {"source": str(pictures), "data_dir": None, "seed": 0}
    card = {"data": about, "class_names": ["blue", "green", "red"]}
    before = open_again(card)
    moved = pictures.rename(pictures.with_name("moved"))
    with pytest.raises(InputError, match="Say with --moved-to where they are"):
        open_again(card)
    again = open_again(card, str(moved))
    assert [e.labels.tolist() for e in again.splits.values()] == [
        e.labels.tolist() for e in before.splits.values()
    ]


def test_open_again_gives_the_same_split(pictures):
    source = open_source(str(pictures), seed=5)
    about = {"source": str(pictures), "data_dir": None, "seed": 5}
    again = open_again({"data": about, "class_names": list(source.class_names)})
    assert parts(again) == parts(source)


@pytest.mark.parametrize("data", ["tfds:no_such_set", "nowhere/at/all"])
def test_unknown_data(data, tmp_path):
    with pytest.raises(InputError, match=r"no such folder|has no 'no_such_set'"):
        open_source(data, str(tmp_path))


def test_labels_stay_with_their_pictures(pictures):
    data = prepare(open_source(str(pictures)), 32, 3, quiet=True)
    dataset, _ = training_batches(data.splits["train"], 7, 3, policy="light", seed=0)
    for images, labels in dataset.as_numpy_iterator():
        for image, label in zip(images, labels, strict=True):
            assert image[16, 16].tolist() == list(COLOURS[data.class_names[label]])


def test_copies_across_splits_are_told(tmp_path):
    """The same file in train and val, to the byte."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("val", 4)):
        for i in range(count):
            file = tmp_path / part / "ab"[i % 2] / f"{part}{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).save(file)

    def notices():
        data = prepare(open_source(str(tmp_path)), 8, 3, quiet=True)
        return [notice for notice in data.source.notices if "among the training" in notice]

    assert notices() == []
    (tmp_path / "val" / "a" / "again.png").write_bytes(
        (tmp_path / "train" / "a" / "train0.png").read_bytes()
    )
    (notice,) = notices()
    assert notice.startswith("1 of 5 'val' pictures are among the training pictures too, e.g. ")
    assert "again.png" in notice
