"""What the tests of interrupted fits share: processes that are ended, and runs that are compared."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
SAME = ("history.csv", "model.weights.h5", "metrics.json")


def start(*words, code=None):
    """Start a fit as a user would, or Python code that runs one; return the process."""
    first = ["-c", code] if code else ["-m", "training.fit"]
    return subprocess.Popen(
        [sys.executable, *first, *map(str, words)],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # a shell lets its background jobs ignore Ctrl-C, and so their children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def checkpoints(run):
    """Return the names of the checkpoints of a run, the newest last."""
    return sorted(path.name for path in (run / "checkpoint").glob("epoch-*"))


def end(process, run, when, number=signal.SIGKILL, seconds=120):
    """End a process by a signal once `when` is true of the newest checkpoint's name.

    Returns:
        What it printed, and whether it was still running when the signal came.
    """
    deadline = time.monotonic() + seconds
    try:
        while process.poll() is None and not any(when(name) for name in checkpoints(run)[-1:]):
            assert time.monotonic() < deadline, "no such checkpoint"
            time.sleep(0.01)
        running = process.poll() is None
        if running:
            process.send_signal(number)
        return process.communicate(timeout=60)[0], running
    finally:
        process.kill()
        process.communicate()


def finish(*words, code=None):
    """Run a fit to its end; return what it printed."""
    process = start(*words, code=code)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    return output


def assert_same(run, expected):
    """Assert that two runs ended with the same bytes: best weights, history, metrics, last checkpoint.

    The checkpoint holds weights, statistics, dropout's state, optimizer, averages, metrics, and what the
    callbacks know.
    """
    for name in SAME:
        assert (run / name).read_bytes() == (expected / name).read_bytes(), name
    assert checkpoints(run) == checkpoints(expected)
    assert len(checkpoints(run)) == 1
    ours, theirs = (path / "checkpoint" / checkpoints(path)[0] for path in (run, expected))
    assert (ours / "state.json").read_bytes() == (theirs / "state.json").read_bytes()
    with np.load(ours / "variables.npz") as a, np.load(theirs / "variables.npz") as b:
        assert a.files == b.files
        assert {name.split("/")[0] for name in a.files} >= {"model", "optimizer"}
        for name in a.files:
            assert a[name].tobytes() == b[name].tobytes(), name
