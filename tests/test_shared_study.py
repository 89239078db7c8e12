"""A study that processes share: who gets which trial. Nothing is trained here."""

import itertools
import json
import subprocess
import sys
from collections import Counter

import pytest

pytest.importorskip("optuna", reason="pip install -r requirements-search.txt")

from optuna.trial import TrialState

from training.engine.search import SharedStudy
from training.runs.command import InputError
from training.runs.space import parse_space

GRID = parse_space(["batch_size=16,32,64", "optimizer=sgd,adamw"])
LR = parse_space(["lr=1e-4..1:log"])


def opened(folder, place=None, space=GRID, sampler="grid", limit=6, about=None, pruner="none", seed=0):
    return SharedStudy(
        folder,
        place or str(folder / "study.journal"),
        about or {"arch": "linear"},
        metric="accuracy",
        space=space,
        sampler=sampler,
        pruner=pruner,
        seed=seed,
        limit=limit,
    )


def finish(shared, trial, value):
    shared.finish(trial, {"value": value, "accuracy": value, "loss": 1 - value}, TrialState.COMPLETE)


def run_all(shared):
    """Run what is left, as if every point reached 0.5."""
    points = []
    while (trial := shared.next()) is not None:
        points.append(trial.params)
        finish(shared, trial, 0.5)
    return points


@pytest.fixture(params=["journal", pytest.param("sqlite", marks=pytest.mark.slow)])
def place(request, tmp_path):
    """Where a study is: a file, or a database."""
    if request.param == "journal":
        return str(tmp_path / "s" / "study.journal")
    return f"sqlite:///{tmp_path}/study.db"


@pytest.mark.parametrize("sampler", ["grid", "random"])
def test_choices_are_each_taken_once(sampler, tmp_path):
    points = run_all(opened(tmp_path / "s", sampler=sampler))
    expected = itertools.product((16, 32, 64), ("sgd", "adamw"))
    assert sorted((p["batch_size"], p["optimizer"]) for p in points) == sorted(expected)
    assert run_all(opened(tmp_path / "s", sampler=sampler)) == []


@pytest.mark.slow
def test_the_same_seed_draws_the_same_points(tmp_path):
    for sampler in ("tpe", "random"):
        first, again, other = (
            run_all(opened(tmp_path / f"{sampler}{n}", space=LR, sampler=sampler, seed=seed))
            for n, seed in enumerate((0, 0, 1))
        )
        assert first == again != other
        assert all(1e-4 <= point["lr"] <= 1 for point in first)
        assert len({point["lr"] for point in first}) == 6


WORKER = """
import json, sys, time; sys.path[:0] = ['tests']
from pathlib import Path
from test_shared_study import GRID, LR, finish, opened
folder, place, kind = sys.argv[1:]
space, sampler, limit = (GRID, "grid", 6) if kind == "grid" else (LR, "random", 9)
shared = opened(Path(folder), place, space, sampler, limit)
print("ready", flush=True)
sys.stdin.readline()
while (trial := shared.next()) is not None:
    print(json.dumps([trial.number, trial.params]), flush=True)
    time.sleep(0.02)
    finish(shared, trial, 0.5)
"""


def workers(folder, place, kind, count=2):
    """Let processes work on one study at the same moment; return the trials that each had."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folder), place, kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * count
    return [[json.loads(line) for line in output.splitlines()] for output in outputs]


@pytest.mark.parametrize("kind", ["grid", pytest.param("random", marks=pytest.mark.slow)])
def test_two_processes_double_nothing(kind, place, tmp_path):
    found = workers(tmp_path / "s", place, kind)
    assert all(found)  # both had a part
    trials = found[0] + found[1]
    assert sorted(number for number, _ in trials) == list(range(6 if kind == "grid" else 9))
    points = Counter(json.dumps(params, sort_keys=True) for _, params in trials)
    assert set(points.values()) == {1}
    if kind == "grid":
        assert len(points) == 6


def test_a_trial_whose_process_died_is_begun_anew(place, tmp_path):
    code = WORKER.replace("time.sleep(0.02)", "import os; trial.report(0.25, 1); os._exit(9)")
    words = [sys.executable, "-c", code, str(tmp_path / "s"), place, "grid"]
    died = subprocess.run(words, input="\n", capture_output=True, text=True, check=False)
    assert died.returncode == 9
    number, params = json.loads(died.stdout.splitlines()[1])
    shared = opened(tmp_path / "s", place)
    assert [row["state"] for row in shared.rows()] == ["running"]
    trial = shared.next()
    assert (trial.number, trial.params) == (number, params)
    running = opened(tmp_path / "s", place).rows()  # by us, and not to be taken from us
    assert [row["state"] for row in running] == ["running"]
    finish(shared, trial, 0.5)
    assert len(run_all(shared)) == 5


@pytest.mark.slow
def test_a_running_trial_is_left_alone(tmp_path):
    """By a second process: locks are a process's own."""
    shared = opened(tmp_path / "s")
    trial = shared.next()
    found = workers(tmp_path / "s", str(tmp_path / "s" / "study.journal"), "grid", count=1)[0]
    assert sorted(number for number, _ in found) == [1, 2, 3, 4, 5]
    finish(shared, trial, 0.5)
    assert [row["state"] for row in shared.rows()] == ["done"] * 6


def test_what_was_interrupted_comes_again(place, tmp_path):
    shared = opened(tmp_path / "s", place)
    first = shared.next()
    shared.put_back(first)
    again = shared.next()
    assert (again.number, again.params) == (first.number, first.params)
    finish(shared, again, 0.5)
    assert len(run_all(opened(tmp_path / "s", place))) == 5


@pytest.mark.slow
def test_more_trials_are_added(tmp_path):
    three = run_all(opened(tmp_path / "s", space=LR, sampler="random", limit=3))
    two = run_all(opened(tmp_path / "s", space=LR, sampler="random", limit=5))
    assert three + two == run_all(opened(tmp_path / "t", space=LR, sampler="random", limit=5))


def test_another_study_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    opened(tmp_path / "s", about={"arch": "linear", "trials": 3})
    opened(tmp_path / "s", about={"arch": "linear", "trials": 9})
    with pytest.raises(InputError, match=r"begun with other settings \(--arch\)"):
        opened(tmp_path / "s", about={"arch": "lenet5", "trials": 3})
    (tmp_path / "notes.txt").write_text("not a journal\nat all\n")
    with pytest.raises(InputError, match="no journal of a study"):
        opened(tmp_path / "t", str(tmp_path / "notes.txt"))
    with pytest.raises(InputError, match="cannot be opened"):
        opened(tmp_path / "t", f"sqlite:///{tmp_path}/no/such/folder/study.db")
    with pytest.raises(InputError, match="cannot be opened"):
        opened(tmp_path / "t", "nosuchdatabase://x")


def test_the_median_prunes_by_hand(tmp_path):
    """Five trials reach 0.1 to 0.5 at each epoch: from epoch 3 on, the sixth must be over 0.3."""
    shared = opened(tmp_path / "s", space=LR, sampler="random", pruner="median", limit=9)
    for value in (0.1, 0.2, 0.3, 0.4, 0.5):
        trial = shared.next()
        for epoch in (1, 2, 3):
            trial.report(value, epoch)
        finish(shared, trial, value)
    for value, pruned in ((0.29, True), (0.31, False)):
        trial = shared.next()
        for epoch in (1, 2):
            trial.report(value, epoch)
            assert not trial.should_prune()
        trial.report(value, 3)
        assert trial.should_prune() == pruned
        shared.finish(trial, {}, TrialState.PRUNED)  # those do not count


def test_halving_keeps_the_best_third(tmp_path):
    shared = opened(tmp_path / "s", space=LR, sampler="random", pruner="halving", limit=9)
    kept = []
    for value in (0.9, 0.8, 0.7, 0.95):
        trial = shared.next()
        trial.report(value, 1)
        assert not trial.should_prune()
        trial.report(value, 2)
        if not trial.should_prune():
            kept.append(value)
        finish(shared, trial, value)
    assert kept == [0.9, 0.95]


@pytest.mark.slow
def test_importance_and_twins(tmp_path):
    space = parse_space(["lr=0..1", "l2=0..1"])
    shared = opened(tmp_path / "s", space=space, sampler="random", limit=12)
    assert shared.importances() == {}
    while (trial := shared.next()) is not None:
        assert shared.twin(trial) is None
        finish(shared, trial, trial.params["lr"])
    found = shared.importances()
    assert found["lr"] > 0.8 > 0.2 > found["l2"]
    tpe = opened(tmp_path / "t", space=parse_space(["lr=0.1"]), sampler="tpe", limit=2)
    finish(tpe, tpe.next(), 0.5)
    assert tpe.twin(tpe.next()).number == 0
