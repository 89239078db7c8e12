"""Searches and sweeps that really train: linear classifiers on digits."""

import csv
import json
import shlex
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("optuna", reason="pip install -r requirements-search.txt")

from training import fit, search
from training.report.search import rank, summarise, table

WORDS = ("--arch", "linear", "--image-size", "32", "--epochs", "2")
SPACE = ("--space", "lr=1e-3..1e-1:log", "--space", "batch_size=64,128")


def rows_of(folder):
    with (folder / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A finished search of three trials: its folder."""
    out = tmp_path_factory.mktemp("searches")
    assert search.main([*WORDS, *SPACE, "--trials", "3", "--out", str(out), "--name", "s"]) == 0
    return out / "s"


def test_what_a_search_leaves(found):
    rows = rows_of(found)
    assert [(row["trial"], row["state"]) for row in rows] == [(str(i), "done") for i in range(3)]
    assert {row["batch_size"] for row in rows} <= {"64", "128"}
    for row in rows:
        folder = found / row["run"]
        assert {f.name for f in folder.iterdir()} == {
            *("settings.json", "history.csv", "log.txt", "trial.json", "tensorboard")
        }
        settings = json.loads((folder / "settings.json").read_text())
        assert settings["lr"] == float(row["lr"])
        assert settings["batch_size"] == int(row["batch_size"])
        with (folder / "history.csv").open(newline="") as file:
            history = list(csv.DictReader(file))
        kept = history[int(row["epoch"]) - 1]
        assert float(row["accuracy"]) == pytest.approx(float(kept["val_accuracy"]))
        assert float(row["loss"]) == pytest.approx(float(kept["val_loss"]))
    best = min(rows, key=lambda row: (-float(row["accuracy"]), float(row["loss"])))
    summary = json.loads((found / "search.json").read_text())
    assert summary["best"]["trial"] == int(best["trial"])
    page = (found / "search.html").read_text()
    assert f"in trial {best['trial']}</p>" in page
    assert summary["fit_command"] in page
    assert (found / "plots" / "parallel_coordinates.png").is_file()


def test_the_command_of_the_best_reproduces_it(found, tmp_path):
    summary = json.loads((found / "search.json").read_text())
    words = shlex.split(summary["fit_command"])
    assert words[:3] == ["python", "-m", "training.fit"]
    words += ["--out", str(tmp_path), "--name", "again", "--export", "none"]
    assert fit.main(words[3:]) == 0
    metrics = json.loads((tmp_path / "again" / "metrics.json").read_text())["val"]
    assert metrics["top1"] == summary["best"]["accuracy"]
    assert metrics["loss"] == pytest.approx(summary["best"]["loss"], rel=1e-5)


@pytest.mark.slow
def test_a_finished_search_goes_on(found, tmp_path, capsys):
    shutil.copytree(found, tmp_path / "s")
    words = [*WORDS, *SPACE, "--out", str(tmp_path), "--name", "s"]
    stamp = (tmp_path / "s" / "trial-0002" / "history.csv").stat().st_mtime_ns
    assert search.main([*words, "--trials", "4"]) == 0
    assert [row["state"] for row in rows_of(tmp_path / "s")] == ["done"] * 4
    assert (tmp_path / "s" / "trial-0002" / "history.csv").stat().st_mtime_ns == stamp
    assert "trial 3  lr=" in capsys.readouterr().out
    assert search.main([*words, "--epochs", "9"]) == 2
    assert "begun with other settings (--epochs)" in capsys.readouterr().err


def fake(number, state, accuracy=None, loss=None, **params):
    figures = {} if accuracy is None else {"accuracy": accuracy, "loss": loss, "seconds": 1.0 + number}
    epochs = {"epoch": 1, "epochs": 2} if figures else {}
    return {"trial": number, "state": state, "params": params, **figures, **epochs}


def test_the_best_and_the_order_by_hand():
    rows = [
        fake(0, "done", 0.9, 0.5, lr=0.1),
        fake(1, "pruned", 0.99, 0.1, lr=0.2),
        fake(2, "done", 0.9, 0.4, lr=0.3),
        fake(3, "failed", lr=0.4),
        fake(4, "done", 0.8, 0.3, lr=0.5),
        fake(5, "running", lr=0.6),
    ]
    options = {"sweep": False, "limit": 9, "command_of": lambda point: f"fit {point['lr']}"}
    summary = summarise(rows, ["lr"], metric="accuracy", **options)
    assert summary["best"]["trial"] == 2  # of equal accuracies the lowest loss; no pruned one
    assert summary["fit_command"] == "fit 0.3"
    assert summary["left"] == 4
    assert summary["counts"] == {"done": 3, "pruned": 1, "failed": 1, "running": 1}
    assert [row[0] for row in table(summary)[1:]] == ["2", "0", "4", "1", "3", "5"]
    assert [row[1] for row in table(summary)[4:]] == ["pruned", "failed", "running"]
    assert summarise(rows, ["lr"], metric="loss", **options)["best"]["trial"] == 4
    assert rank(rows[0], "loss") == (0.5, -0.9)


def test_a_sweep_is_summed_up_by_value():
    figures = {16: (0.9, 0.8), 8: (0.7, 0.5)}
    rows = [
        fake(2 * i + j, "done", accuracy, 1 - accuracy, batch_size=value, seed=j)
        for i, (value, pair) in enumerate(figures.items())
        for j, accuracy in enumerate(pair)
    ]
    summary = summarise(
        rows, ["batch_size"], metric="accuracy", sweep=True, limit=4, command_of=lambda p: str(p)
    )
    assert [entry["value"] for entry in summary["values"]] == [8, 16]
    eight = summary["values"][0]
    assert eight["n"] == 2
    assert eight["accuracy"]["mean"] == pytest.approx(0.6)
    assert eight["accuracy"]["std"] == pytest.approx(np.std([0.7, 0.5], ddof=1))
    assert eight["seconds"]["mean"] == pytest.approx(3.5)
    assert summary["fit_command"] == "{'batch_size': 16}"
    assert table(summary)[1][:2] == ("8", "2")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what is varied"),
        (["--space", "lr=1..2", "--sweep", "lr=1,2"], "say what is varied"),
        (["--space", "lr=1..2", "--seeds", "2"], "--seeds is for --sweep"),
        (["--sweep", "lr=1..2"], "--sweep takes single values: give lr=a,b,c"),
        (["--space", "lr=1..2", "--sampler", "grid"], "--sampler grid takes single values"),
        (["--space", "lr=1..2", "--time", "soon"], "--time takes a time"),
        (["--space", "lr=1..2", "--trials", "0"], "--trials must be positive"),
        (["--space", "lr=1..2", "--lr", "0.1"], "--lr is given, and --space varies it"),
        (["--space", "optimiser=sgd"], "Did you mean optimizer"),
        (["--sweep", "batch_size=16", "--name", "a/b"], "without slashes"),
    ],
)
def test_wrong_flags(words, message, capsys, tmp_path):
    assert search.main(["--out", str(tmp_path / "x"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_without_optuna_it_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert search.main(["--space", "lr=1..2", "--out", str(tmp_path / "x")]) == 2
    assert "pip install -r requirements-search.txt" in capsys.readouterr().err


@pytest.mark.slow
def test_a_sweep(tmp_path):
    words = [*WORDS, "--sweep", "optimizer=sgd,adamw", "--seeds", "2", "--out", str(tmp_path)]
    assert search.main([*words, "--seed", "5", "--name", "s"]) == 0
    rows = rows_of(tmp_path / "s")
    assert sorted((row["optimizer"], row["seed"]) for row in rows) == [
        *(("adamw", "5"), ("adamw", "6"), ("sgd", "5"), ("sgd", "6"))
    ]
    summary = json.loads((tmp_path / "s" / "search.json").read_text())
    for entry in summary["values"]:
        own = [float(row["accuracy"]) for row in rows if row["optimizer"] == entry["value"]]
        assert entry["accuracy"]["mean"] == pytest.approx(np.mean(own))
    assert "--seed 5" in summary["fit_command"]
    assert {f.name for f in (tmp_path / "s" / "plots").iterdir()} == {"sweep.png", "curves.png"}


@pytest.mark.slow
def test_pruned_and_failed_trials_are_marked(tmp_path):
    """Rates that lead nowhere are ended early; one that explodes fails, and the search goes on."""
    space = ("--space", "lr=1e-6,1e-5,1e-3,3e-3,1e-2,2e-2,3e-2,5e-2,1e38")
    words = [*WORDS, *space, "--optimizer", "sgd", "--sampler", "grid", "--out", str(tmp_path)]
    assert search.main([*words, "--epochs", "4", "--loss", "cross-entropy", "--name", "s"]) == 0
    rows = rows_of(tmp_path / "s")
    assert len({row["lr"] for row in rows}) == len(rows) == 9
    assert [row["lr"] for row in rows if row["state"] == "failed"] == ["1e+38"]
    pruned = [row for row in rows if row["state"] == "pruned"]
    assert pruned
    for row in pruned:
        assert int(row["epochs"]) < 4
        assert json.loads((tmp_path / "s" / row["run"] / "trial.json").read_text())["state"] == "pruned"
    page = (tmp_path / "s" / "search.html").read_text()
    assert "infinite or NaN" in page
    assert page.count('<tr class="pruned">') == len(pruned)


def start(*words):
    return subprocess.Popen(
        [sys.executable, "-m", "training.search", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(path, seconds=120):
    end = time.time() + seconds
    while not path.is_file() and time.time() < end:
        time.sleep(0.1)
    assert path.is_file()


@pytest.mark.slow
def test_two_processes_share_a_search(tmp_path):
    words = [
        *WORDS,
        "--space",
        "lr=1e-3..1e-1:log:4",
        "--space",
        "batch_size=64,128",
        "--sampler",
        "grid",
    ]
    words += ["--out", str(tmp_path), "--name", "s"]
    processes = [start(*words), start(*words)]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    rows = rows_of(tmp_path / "s")
    assert [row["state"] for row in rows] == ["done"] * 8
    assert len({(row["lr"], row["batch_size"]) for row in rows}) == 8
    done = [
        [
            line.split()[1]
            for line in output.splitlines()
            if line.startswith("trial ") and "accuracy " in line and "lr=" in line
        ]
        for output in outputs
    ]
    assert all(done)
    assert sorted(done[0] + done[1]) == [str(i) for i in range(8)]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_and_continued(how, tmp_path):
    words = [*WORDS, *SPACE, "--epochs", "6", "--trials", "3", "--out", str(tmp_path), "--name", "s"]
    process = start(*words)
    wait_for(tmp_path / "s" / "trial-0001" / "history.csv")
    process.send_signal(how)
    out = process.communicate(timeout=60)[0]
    if how == signal.SIGKILL:
        assert process.returncode == -9
    else:
        assert process.returncode == 130, out
        assert "the same command with --name s goes on from here" in out
        assert [row["state"] for row in rows_of(tmp_path / "s")] == ["done", "waiting"]
    history = (tmp_path / "s" / "trial-0001" / "settings.json").read_text()
    process = start(*words)
    out = process.communicate(timeout=120)[0]
    assert process.returncode == 0, out
    assert [row["state"] for row in rows_of(tmp_path / "s")] == ["done"] * 3
    assert list((tmp_path / "s").glob("trial-0001-interrupted-*"))
    again = json.loads((tmp_path / "s" / "trial-0001" / "settings.json").read_text())
    assert again == json.loads(history)
    if how != signal.SIGKILL:
        return
    whole = start(*words[:-1], "whole")
    assert "accuracy" in whole.communicate(timeout=120)[0]
    figures = [
        [(r["lr"], r["batch_size"], r["accuracy"], r["loss"]) for r in rows_of(tmp_path / name)]
        for name in ("s", "whole")
    ]
    assert figures[0] == figures[1]  # as if nothing had happened
