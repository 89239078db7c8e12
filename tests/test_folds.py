"""Cross-validation and bootstrap: scikit-learn's splits, runs that are whole, figures by hand."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.utils import resample

from training import crossval, evaluate
from training.data.folds import Fold, in_fold, names_and_folds
from training.data.prepare import prepare
from training.data.sources import open_again, open_source
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


@pytest.fixture
def grouped(tmp_path):
    """60 pictures of 3 classes and 20 groups, as a CSV; its labels and groups."""
    rng = np.random.default_rng(0)
    labels, groups = np.repeat(["a", "b", "c"], 20), rng.integers(0, 20, 60).astype(str)
    lines = ["path,label,group"]
    for i, (label, group) in enumerate(zip(labels, groups, strict=True)):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{label},g{group}")
    (tmp_path / "list.csv").write_text("\n".join(lines))
    return tmp_path / "list.csv", labels, np.char.add("g", groups)


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


WORDS = ("--arch", "linear", "--epochs", "2", "--image-size", "32", "--seed", "4")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A finished cross-validation of three folds: its folder."""
    out = tmp_path_factory.mktemp("studies")
    assert crossval.main([*WORDS, "--folds", "3", "--out", str(out), "--name", "s"]) == 0
    return out / "s"


def test_every_fold_is_a_run_and_all_are_summed_up(study, capsys):
    summary = json.loads((study / "crossval.json").read_text())
    runs = [json.loads((study / f"fold-{i}" / "metrics.json").read_text())["test"] for i in (1, 2, 3)]
    assert [run["top1"] for run in summary["runs"]] == [run["top1"] for run in runs]
    accuracy = summary["metrics"]["top1"]
    assert accuracy["mean"] == pytest.approx(np.mean([run["top1"] for run in runs]))
    assert accuracy["mean"] > 0.7
    assert accuracy["std"] == pytest.approx(np.std([run["top1"] for run in runs], ddof=1))
    assert sum(run["n"] for run in runs) == 1797  # each picture is tested once
    page = (study / "crossval.html").read_text()
    assert f"{100 * accuracy['mean']:.2f} %" in page
    assert 'href="fold-2/report.html"' in page
    assert (study / "plots" / "folds.png").is_file()
    for i in (1, 2, 3):
        run = study / f"fold-{i}"
        for name in ("card.json", "model.weights.h5", "model.keras", "report.html", "history.csv"):
            assert (run / name).is_file()
        assert "crossval" in json.loads((run / "card.json").read_text())["command"]
        assert (run / "log.txt").read_text().count("network   linear") == 1  # its own log alone


def test_a_folds_splits_are_opened_again(study):
    run = study / "fold-2"
    card = json.loads((run / "card.json").read_text())
    again = prepare(open_again(card), 32, 1, quiet=True)
    assert {n: s.fingerprint for n, s in again.splits.items()} == card["data"]["fingerprint"]
    before = (run / "metrics.json").read_text()
    assert evaluate.main([str(run)]) == 0
    assert (run / "metrics.json").read_text() == before
    card["data"]["fold"]["number"] = 3
    other = prepare(open_again(card), 32, 1, quiet=True)
    assert other.splits["test"].fingerprint != again.splits["test"].fingerprint
    for wrong in ({"number": 9}, {"x": 1}, {"count": "a"}):
        card["data"]["fold"] = {"method": "kfold", "count": 3, "number": 1, "seed": 0} | wrong
        with pytest.raises(InputError, match="damaged"):
            open_again(card)


def test_what_is_finished_is_kept_and_the_rest_trained_alike(study, tmp_path, capsys):
    """A fold trained alone has the same bytes as one trained after others."""
    import shutil

    half = tmp_path / "s"
    shutil.copytree(study, half)
    shutil.rmtree(half / "fold-2" / "checkpoint")  # as if broken off before there was one
    (half / "fold-2" / "report.html").unlink()
    (half / "fold-2" / "mine.txt").write_text("kept")
    stamp = (half / "fold-1" / "card.json").stat().st_mtime_ns
    words = [*WORDS, "--folds", "3", "--out", str(tmp_path), "--name", "s"]
    assert crossval.main(words) == 0
    assert (half / "fold-1" / "card.json").stat().st_mtime_ns == stamp
    weights = [
        json.loads((r / "fold-2" / "card.json").read_text())["weights_sha256"] for r in (study, half)
    ]
    assert weights[0] == weights[1]
    (aside,) = half.glob("fold-2-interrupted-*")
    assert (aside / "mine.txt").read_text() == "kept"
    assert json.loads((half / "crossval.json").read_text()) == json.loads(
        (study / "crossval.json").read_text()
    )
    capsys.readouterr()
    assert crossval.main([*words, "--epochs", "3"]) == 2
    assert "other settings (--epochs)" in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    assert crossval.main([*words[:-1], "other"]) == 2
    assert "no cross-validation" in capsys.readouterr().err


def test_repeats_are_added(study, tmp_path):
    import shutil

    shutil.copytree(study, tmp_path / "s")
    words = [*WORDS, "--folds", "3", "--repeats", "2", "--out", str(tmp_path), "--name", "s"]
    assert crossval.main(words) == 0
    runs = json.loads((tmp_path / "s" / "crossval.json").read_text())["runs"]
    assert [(run["run"], run["seed"]) for run in runs] == [
        *((f"fold-{i}", 4) for i in (1, 2, 3)),
        *((f"repeat-2-fold-{i}", 5) for i in (1, 2, 3)),
    ]


def test_bootstrap_samples_become_runs(tmp_path, grouped):
    file, _, _ = grouped
    words = (
        "--data",
        str(file),
        "--bootstrap",
        "2",
        "--preprocessing",
        "standardize",
        "--channels",
        "3",
    )
    assert crossval.main([*WORDS, *words, "--out", str(tmp_path), "--name", "b"]) == 0
    summary = json.loads((tmp_path / "b" / "crossval.json").read_text())
    assert [run["run"] for run in summary["runs"]] == ["bootstrap-1", "bootstrap-2"]
    means = [
        json.loads((tmp_path / "b" / name / "card.json").read_text())["preprocessing"]["mean"]
        for name in ("bootstrap-1", "bootstrap-2")
    ]
    assert means[0] != means[1]  # each measured on its own training pictures


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--folds", "1"], "--folds must be at least 2"),
        (["--folds", "0"], "--folds must be positive"),
        (["--bootstrap", "3", "--folds", "3"], "takes the place"),
        (["--bootstrap", "3", "--repeats", "3"], "takes the place"),
        (["--name", "a/b"], "without slashes"),
        (["--epochs", "0"], "--epochs must be positive"),
        (["--folds", "2000"], "there are only 1797 pictures"),
    ],
)
def test_wrong_flags(words, message, capsys, tmp_path):
    assert crossval.main(["--out", str(tmp_path / "x"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_interrupted_and_continued(tmp_path):
    words = [
        "-m",
        "training.crossval",
        *WORDS,
        "--epochs",
        "300",
        "--folds",
        "2",
        "--out",
        str(tmp_path),
    ]
    process = subprocess.Popen(
        [sys.executable, *words, "--name", "s"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    end = time.time() + 120
    while not (tmp_path / "s" / "fold-1" / "history.csv").is_file() and time.time() < end:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 130, out
    assert "the same command with --name s goes on from here" in out
    assert (tmp_path / "s" / "fold-1" / "card.json").is_file()
