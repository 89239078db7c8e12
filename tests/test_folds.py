"""Cross-validation and bootstrap: scikit-learn's splits, runs that are whole, figures by hand."""

import numpy as np
import pytest
from scipy import stats
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.utils import resample

from training.data.folds import Fold, in_fold, names_and_folds
from training.data.sources import open_source
from training.report.folds import summarise, table
from training.runs.command import InputError


def places(source, part):
    """Where the pictures of a split are in the source's own order."""
    where = {name: i for i, name in enumerate(source.pool.names)}
    return [where[name] for name in source.splits[part].names]


@pytest.mark.parametrize("seed", [0, 7])
def test_folds_are_scikit_learns(seed):
    source = open_source("digits", seed=99)
    from sklearn.datasets import load_digits

    labels = load_digits().target  # the order of the source is that of scikit-learn's own arrays
    splitter = StratifiedKFold(4, shuffle=True, random_state=seed)
    for number, (train, test) in enumerate(splitter.split(labels, labels), 1):
        fold = in_fold(source, Fold("kfold", 4, number, seed))
        assert places(fold, "test") == test.tolist()
        own, val = places(fold, "train"), places(fold, "val")
        assert sorted(own + val) == train.tolist()
        assert len(val) == pytest.approx(0.15 * len(train), abs=1)
        np.testing.assert_allclose(np.bincount(fold.splits["val"].labels), 20, atol=2)
        np.testing.assert_array_equal(fold.splits["test"].labels, labels[test])


def test_bootstrap_is_scikit_learns_resample():
    source = open_source("digits")
    labels = source.pool.labels
    fold = in_fold(source, Fold("bootstrap", 1, 1, 3))
    drawn = resample(np.arange(len(labels)), stratify=labels, random_state=3)
    out_of_bag = sorted(set(range(len(labels))) - set(drawn.tolist()))
    assert places(fold, "test") == out_of_bag
    train, val = places(fold, "train"), places(fold, "val")
    assert not set(train) & set(val)
    assert set(train) | set(val) == set(drawn.tolist())
    assert sorted(train) == sorted(i for i in drawn.tolist() if i not in set(val))  # as often as drawn
    assert len(set(val)) == len(val)


def groups_of(source):
    return {part: set(entries.groups) for part, entries in source.splits.items()}


def share_none(groups):
    parts = list(groups.values())
    return all(not a & b for i, a in enumerate(parts) for b in parts[i + 1 :])


def test_grouped_folds_are_scikit_learns_and_share_no_group(grouped):
    file, labels, groups = grouped
    source = open_source(str(file))
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=2)
    numbers = np.unique(labels, return_inverse=True)[1]
    tested = []
    for number, (_, test) in enumerate(splitter.split(labels, numbers, groups), 1):
        fold = in_fold(source, Fold("kfold", 5, number, 2))
        assert places(fold, "test") == test.tolist()
        assert share_none(groups_of(fold))
        assert groups_of(fold).keys() == {"train", "val", "test"}
        tested += test.tolist()
    assert sorted(tested) == list(range(60))


def test_grouped_bootstrap_and_hold_out_share_no_group(grouped):
    file, _, groups = grouped
    for seed in range(5):
        source = open_source(str(file), seed=seed)
        assert share_none(groups_of(source))
        assert {name: len(e) for name, e in source.splits.items()}["test"] in range(3, 16)
        fold = in_fold(source, Fold("bootstrap", 1, 1, seed))
        assert share_none(groups_of(fold))
        drawn = set(resample(np.unique(groups), random_state=seed))
        assert groups_of(fold)["test"] == set(groups) - drawn


def test_a_group_in_two_given_splits_is_told(grouped):
    file, _, _ = grouped
    lines = file.read_text().splitlines()
    parts = ["split"] + ["train" if i % 2 else "val" for i in range(60)]
    file.write_text("\n".join(f"{line},{part}" for line, part in zip(lines, parts, strict=True)))
    told = "\n".join(open_source(str(file)).notices)
    assert "group(s) are both in train and in val, e.g. 'g" in told


def test_groups_that_cannot_be_kept_apart_are_refused(tmp_path):
    lines = ["path,label,group"] + [f"{i}.png,{'ab'[i % 2]},{'gh'[i % 2]}" for i in range(20)]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match="some class has too few groups"):
        open_source(str(tmp_path / "list.csv"))


def test_a_given_test_split_stays_aside(tmp_path):
    x = np.arange(40, dtype=np.uint8)[:, None, None] * np.ones((1, 6, 6), np.uint8)
    y = np.arange(40) % 2
    np.savez(
        tmp_path / "a.npz",
        x=x[:24],
        y=y[:24],
        x_val=x[24:32],
        y_val=y[24:32],
        x_test=x[32:],
        y_test=y[32:],
    )
    source = open_source(str(tmp_path / "a.npz"))
    seen = []
    for number in (1, 2):
        fold = in_fold(source, Fold("kfold", 2, number, 0))
        seen += [int(np.asarray(fold.splits["test"].load(i)).max()) for i in range(16)]
    assert sorted(seen) == list(range(32))


def test_too_few_pictures_are_refused(tmp_path):
    x, y = np.zeros((9, 6, 6), np.uint8), np.array([0] * 4 + [1] * 4 + [2])
    np.savez(tmp_path / "a.npz", x=x, y=y)
    with pytest.raises(InputError, match="one picture"):
        in_fold(open_source(str(tmp_path / "a.npz")), Fold("kfold", 3, 1, 0))
    np.savez(tmp_path / "a.npz", x=x[:8], y=y[:8])
    source = open_source(str(tmp_path / "a.npz"))
    with pytest.raises(InputError, match="--folds 9: there are only 8 pictures"):
        in_fold(source, Fold("kfold", 9, 1, 0))
    with pytest.raises(InputError, match="--folds 5"):  # more than any class has
        in_fold(source, Fold("kfold", 5, 1, 0))


def test_the_names_of_the_runs():
    assert [*names_and_folds(2, 2, None, 5)] == [
        *("fold-1", "fold-2", "repeat-2-fold-1", "repeat-2-fold-2")
    ]
    assert [fold.seed for fold in names_and_folds(2, 2, None, 5).values()] == [5, 5, 6, 6]
    samples = names_and_folds(5, 1, 3, 5)
    assert {name: fold.seed for name, fold in samples.items()} == {
        f"bootstrap-{i + 1}": 5 + i for i in range(3)
    }


def row(value, tested=25, trained=85, val=15):
    same = {"top1_interval": [0, 1], "top5": 1.0, "macro_f1": value, "loss": 1 - value}
    return {"run": "r", "top1": value, "n": tested, "trained_on": trained, "validated_on": val, **same}


def test_figures_by_hand_and_by_scipy():
    """Accuracies 0.8, 0.9, 0.7, 0.8: mean 0.8, variance 0.02 / 3; t of 3 degrees, 97.5 %: 3.18245."""
    values = [0.8, 0.9, 0.7, 0.8]
    found = summarise([row(v) for v in values], "kfold")["metrics"]["top1"]
    deviation = (0.02 / 3) ** 0.5
    assert found["mean"] == pytest.approx(0.8)
    assert found["std"] == pytest.approx(deviation)
    half = 3.182446 * deviation / 2
    assert found["interval"] == pytest.approx([0.8 - half, 0.8 + half], abs=1e-6)
    expected = stats.t.interval(0.95, 3, loc=0.8, scale=stats.sem(values))
    assert found["interval"] == pytest.approx(expected)
    half = 3.182446 * deviation * (1 / 4 + 25 / 100) ** 0.5  # Nadeau and Bengio
    assert found["corrected_interval"] == pytest.approx([0.8 - half, 0.8 + half], abs=1e-6)
    wide = summarise([row(v) for v in (1.0, 0.9)], "kfold")["metrics"]["top1"]["interval"]
    assert wide[1] == 1.0  # cut there


def test_figures_of_samples_are_percentiles():
    values = np.linspace(0.5, 0.9, 41)
    summary = summarise([row(v) for v in values], "bootstrap")
    assert summary["metrics"]["top1"]["interval"] == pytest.approx([0.51, 0.89])
    assert "percentiles" in summary["interval_method"]
    one = summarise([row(0.5)], "bootstrap")["metrics"]["top1"]
    assert (one["mean"], one["std"], one["interval"]) == (0.5, None, None)
    assert table(summarise([row(0.5)], "bootstrap"))[-1][0] == "standard deviation"
