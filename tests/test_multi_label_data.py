"""Pictures with several labels: where they come from, and how they are divided."""

import numpy as np
import pytest
from PIL import Image

from training.data.folds import Fold, in_fold, k_folds
from training.data.labels import in_words
from training.data.prepare import prepare
from training.data.sources import open_again, open_as_test, open_source
from training.data.stratify import parts, with_every_class
from training.data.targets import LabelTargets, label_weights
from training.runs.command import InputError
from training.runs.task import problem_of

LABELS = ("ash", "birch|oak", "", "oak", "ash | oak | birch", "birch")
ROWS = [[1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 1], [1, 1, 1], [0, 1, 0]]  # ash, birch, oak


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with 24 random pictures: a list of them, and the same as arrays and as a function."""
    place = tmp_path_factory.mktemp("several")
    images = np.random.default_rng(0).integers(0, 256, (24, 9, 9, 3), np.uint8)
    split = ["train"] * 12 + ["val"] * 6 + ["test"] * 6
    lines = ["path,label,split"]
    for i, image in enumerate(images):
        Image.fromarray(image).save(place / f"{i}.png")
        lines.append(f"{i}.png,{LABELS[i % 6]},{split[i]}")
    (place / "list.csv").write_text("\n".join(lines), encoding="utf-8")
    rows, names = np.array(ROWS * 4), np.array(["ash", "birch", "oak"])
    arrays = {"x": images[:12], "x_val": images[12:18], "x_test": images[18:]}
    arrays |= {"y": rows[:12], "y_val": rows[12:18], "y_test": rows[18:] == 1}
    np.savez(place / "arrays.npz", **arrays, class_names=names)
    (place / "several_labels.py").write_text(
        "import numpy as np\n"
        "def load(texts=True):\n"
        "    a = np.load('arrays.npz')\n"
        "    names = a['class_names']\n"
        "    def of(y):\n"
        "        return [str(n) for n in names[y == 1]] if texts else y\n"
        "    parts = {'train': '', 'val': '_val', 'test': '_test'}\n"
        "    sets = {p: zip(a['x' + s], map(of, a['y' + s])) for p, s in parts.items()}\n"
        "    return sets if texts else sets | {'class_names': [str(n) for n in names]}\n"
        "def rows():\n"
        "    return load(texts=False)\n"
    )
    return place


def test_every_source_gives_the_same_bytes_and_labels(place, monkeypatch):
    monkeypatch.chdir(place)
    found = {}
    for data in ("list.csv", "arrays.npz", "several_labels:load", "several_labels:rows"):
        source = open_source(data)
        assert source.class_names == ("ash", "birch", "oak")
        assert source.multi_label
        splits = prepare(source, 9, 3, quiet=True).splits
        np.testing.assert_array_equal(splits["train"].labels, ROWS * 2)
        found[data] = {part: (s.labels.tolist(), s.pixels.tobytes()) for part, s in splits.items()}
    assert found["list.csv"]["test"][0] == ROWS
    assert all(one == found["list.csv"] for one in found.values())


def test_labels_are_part_of_the_fingerprint(place):
    first = prepare(open_source(str(place / "list.csv")), 9, 3, quiet=True)
    text = (place / "list.csv").read_text(encoding="utf-8").replace("0.png,ash,", "0.png,ash|oak,", 1)
    (place / "changed.csv").write_text(text, encoding="utf-8")
    other = prepare(open_source(str(place / "changed.csv")), 9, 3, quiet=True)
    assert first.splits["train"].fingerprint != other.splits["train"].fingerprint
    assert first.splits["val"].fingerprint == other.splits["val"].fingerprint


def csv(place, text):
    file = place / "own.csv"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_wrong_lists_name_the_line(place):
    with pytest.raises(InputError, match=r"line 3: the label 'oak\|' has nothing on one side of a bar"):
        open_source(csv(place, "path,label\n0.png,ash|oak\n1.png,oak|\n"))
    with pytest.raises(InputError, match="line 3: the label is empty"):  # no bars: a slip
        open_source(csv(place, "path,label\n0.png,ash\n1.png,\n"))


def test_a_label_that_is_not_trained_on_is_ignored_and_its_picture_kept(place):
    text = "path,label,split\n0.png,ash|oak,train\n1.png,ash,train\n2.png,elm|ash,val\n3.png,elm,val\n"
    source = open_source(csv(place, text))
    assert source.class_names == ("ash", "oak")
    assert source.splits["val"].labels.tolist() == [[1, 0], [0, 0]]
    assert any("'elm' is in 'val' but not in 'train': this label of its 2" in n for n in source.notices)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.eye(3, dtype=int)[[0, 1, 2, 0]], "argmax"),
        (np.full((4, 3), 2), "Expected 0 and 1"),
        (np.array([[0.5, 1], [1, 1], [0, 0], [1, 0]]), "Expected 0 and 1"),
        (np.ones((3, 3), int), "one label for each"),
    ],
)
def test_arrays_that_are_no_labels_are_refused(tmp_path, y, message):
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 9, 9), np.uint8), y=y)
    with pytest.raises(InputError, match=message):
        open_source(str(tmp_path / "a.npz"))


def test_class_names_must_fit_the_columns(tmp_path):
    y, names = np.array([[1, 1], [0, 1]]), np.array(["a", "b", "c"])
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 9, 9), np.uint8), y=y, class_names=names)
    with pytest.raises(InputError, match="2 columns of labels but 3 class names"):
        open_source(str(tmp_path / "a.npz"))


def random_labels(n, seed=0):
    """Labels of very different frequency, some of them together as a rule."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 6)) < (0.5, 0.3, 0.1, 0.05, 0.02, 0)).astype(int)
    labels[:, 5] = labels[:, 0] & (rng.random(n) < 0.6)
    return labels


@pytest.mark.parametrize("seed", range(3))
def test_every_part_has_its_share_of_every_label(seed):
    labels, shares = random_labels(600, seed), np.array([0.7, 0.15, 0.15])
    part = parts(labels, shares, seed)
    for p, share in enumerate(shares):
        assert abs((part == p).sum() - share * 600) <= 4
        assert np.abs(labels[part == p].sum(0) - share * labels.sum(0)).max() <= 2
    by_chance = np.random.default_rng(seed).choice(3, 600, p=shares)
    off = [np.abs(labels[p == 1].sum(0) - 0.15 * labels.sum(0)).max() for p in (part, by_chance)]
    assert off[0] < off[1]
    np.testing.assert_array_equal(part, parts(labels, shares, seed))
    assert (part != parts(labels, shares, seed + 1)).any()


def test_the_rarest_label_is_dealt_out_first_by_hand():
    """Label 1 has two pictures: one for each half. Then label 0, of which the halves want 3 each.

    In a split by label 0 alone both pictures of label 1 may come into one half.
    """
    labels = np.array([[1, 1], [1, 1], [1, 0], [1, 0], [1, 0], [1, 0], [0, 0], [0, 0]])
    for seed in range(10):
        part = parts(labels, [0.5, 0.5], seed)
        assert labels[part == 0].sum(0).tolist() == [3, 1]
        assert (part == 0).sum() == 4


def test_groups_stay_whole_and_labels_are_still_shared():
    labels, groups = random_labels(600), np.repeat(np.arange(150), 4)
    part = parts(labels, [0.7, 0.15, 0.15], 0, groups)
    assert all(len(set(part[groups == g])) == 1 for g in range(150))
    shares = (0.7, 0.15, 0.15)

    def off(part):
        """How far the labels of the parts are from their shares, in pictures, summed."""
        sums = [labels[part == p].sum(0) - share * labels.sum(0) for p, share in enumerate(shares)]
        return np.abs(sums).sum()

    np.testing.assert_allclose(np.bincount(part) / 600, shares, atol=0.05)
    rng = np.random.default_rng(1)
    by_chance = [off(np.repeat(rng.choice(3, 150, p=shares), 4)) for _ in range(50)]
    assert off(part) < 0.5 * np.median(by_chance)


def test_every_class_is_trained_on():
    labels = np.array([[1, 0], [1, 1], [1, 1]])
    part = with_every_class(np.array([0, 1, 2]), labels)
    assert part.tolist() == [0, 0, 2]
    whole = with_every_class(np.array([0, 1, 1]), labels, np.array(["a", "b", "b"]))
    assert whole.tolist() == [0, 0, 0]


def test_splits_and_folds_of_a_list(place):
    lines = [f"{i}.png,{label}" for i, label in enumerate(LABELS * 4)]
    source = open_source(csv(place, "\n".join(["path,label", *lines])), seed=3)
    names = [set(entries.names) for entries in source.splits.values()]
    assert sum(map(len, names)) == len(set.union(*names)) == 24
    assert source.splits["train"].labels.any(0).all()
    tested = [tested for _, tested in k_folds(source.pool, 4, 0)]
    assert sorted(np.concatenate(tested)) == list(range(24))
    for fold in tested:  # of 8, 12 and 12 pictures of the labels
        assert source.pool.labels[fold].sum(0).tolist() == [2, 3, 3]
    for method, count in (("kfold", 4), ("bootstrap", 1)):
        folded = in_fold(source, Fold(method, count, 1, 0))
        assert not set(folded.splits["train"].names) & set(folded.splits["test"].names)


def test_a_network_of_several_labels_is_judged_on_single_ones_but_not_the_reverse(place):
    alone = csv(place, "path,label\n0.png,oak\n1.png,ash\n2.png,elm\n")
    source = open_as_test(alone, None, ("ash", "birch", "oak"), multi_label=True)
    assert source.splits["test"].labels.tolist() == [[0, 0, 1], [1, 0, 0]]
    with pytest.raises(InputError, match="tells one class each"):
        open_as_test(str(place / "list.csv"), None, ("ash", "birch", "oak"))
    card = {"data": {"source": str(place / "list.csv"), "data_dir": None, "seed": 0}, "class_names": []}
    card |= {"class_names": ["oak", "ash"], "task": "multi_label", "threshold": 0.5}
    assert open_again(card).splits["test"].labels.tolist() == [[row[2], row[0]] for row in ROWS]


def test_labels_in_words():
    assert in_words(np.array([1, 0, 1]), ("a", "b", "c")) == "a, c"
    assert in_words(np.zeros(3, int), ("a", "b", "c")) == "none"
    assert in_words(np.int32(1), ("a", "b", "c")) == "b"


def test_a_card_without_a_sensible_task_is_damaged():
    assert problem_of({}) is None
    assert problem_of({"task": "multi_label", "threshold": 0.5}) is None
    assert "'task'" in problem_of({"task": "regression"})
    assert "'threshold'" in problem_of({"task": "multi_label", "threshold": "half"})


def test_balanced_weights_are_scikit_learns_for_each_label():
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.c_[random_labels(200)[:, :3], np.zeros(200, int), np.ones(200, int)]
    found = label_weights(labels)
    for column, weights in zip(labels.T[:3], found, strict=False):
        np.testing.assert_allclose(
            weights, compute_class_weight("balanced", classes=np.arange(2), y=column)
        )
    assert found[3:] == ((1.0, 1.0), (1.0, 1.0))
    assert LabelTargets().plain


def test_check_data_counts_each_label_of_a_list(place, tmp_path):
    from training.data.check import check
    from training.report import data_report

    text = (place / "list.csv").read_text(encoding="utf-8")
    (place / "copy.png").write_bytes((place / "1.png").read_bytes())  # of 1.png, birch and oak
    file = csv(place, f"{text}\ncopy.png,oak,val\n")
    checked = check(place / "own.csv", quiet=True)
    assert checked.counts()["train"] == {"ash": 4, "birch": 6, "oak": 6}
    assert [entry.detail for entry in checked.findings["leak"]] == ["exact copies, in train and val"]
    (entry,) = checked.findings["two_classes"]
    assert entry.detail == "exact copies, in birch | oak and oak"
    data_report.write(checked, tmp_path / "out")
    page = (tmp_path / "out" / "check_data.html").read_text(encoding="utf-8")
    assert f"25 pictures of 3 classes in {file}" in page
