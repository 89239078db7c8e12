"""`training.crossval`: every fold is a run, what is finished is kept."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from training import crossval, evaluate
from training.data.prepare import prepare
from training.data.sources import open_again, open_source
from training.engine.study import pictures
from training.runs.command import InputError

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


def test_pictures_are_told_by_their_contents(tmp_path):
    """Other pixels under the same names and labels are others: a study must not go on with them."""
    rng, found = np.random.default_rng(0), []
    for _ in range(2):
        x, y = rng.integers(0, 256, (20, 8, 8, 3), np.uint8), np.arange(20) % 2
        np.savez(tmp_path / "a.npz", x=x, y=y)
        found += [pictures(open_source(str(tmp_path / "a.npz"))) for _ in range(2)]
    assert found[0] == found[1] != found[2] == found[3]
