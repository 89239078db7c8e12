"""Fits that are ended from outside and go on: nothing is lost, and not a byte is another."""

import csv
import json
import random
import shutil
import signal
import time

import pytest
from interrupting import assert_same, checkpoints, end, finish, start

FIT = ("--arch", "lenet5", "--dropout", 0.25, "--ema", 0.98, "--augment", "digits", "--export", "none")
OFTEN = ("--checkpoint-every", 0.002)  # a step or some


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A fit of three epochs that was not interrupted, with dropout, averages and augmentation."""
    out = tmp_path_factory.mktemp("whole")
    finish(*FIT, "--epochs", 3, "--out", out, "--name", "run")
    return out / "run"


def test_killed_within_an_epoch_and_resumed(tmp_path, whole):
    run = tmp_path / "run"
    process = start(*FIT, *OFTEN, "--epochs", 3, "--out", tmp_path, "--name", "run")
    _, running = end(process, run, lambda name: name > "epoch-000001-step-00000005")
    assert running
    assert process.returncode == -signal.SIGKILL
    output = finish("--resume", run)
    assert "goes on in epoch 2, after step" in output or "goes on in epoch 3" in output
    assert_same(run, whole)


@pytest.mark.slow
def test_killed_at_ten_random_moments(tmp_path):
    words = (*FIT, "--mixup", 0.2, "--epochs", 20, "--early-stop", 15)
    finish(*words, "--out", tmp_path, "--name", "whole")
    run, draw = tmp_path / "run", random.Random(5)
    begin, killed = (*words, "--checkpoint-every", 0.01, "--out", tmp_path, "--name", "run"), 0
    places = []
    for n in range(10):
        process = start(*(("--resume", run) if n else begin))
        before = checkpoints(run)[-1:]
        while process.poll() is None and checkpoints(run)[-1:] == before:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.8))  # the fit is at work: anywhere within steps, epochs and writes
        killed += process.poll() is None
        process.kill()
        process.communicate()
        places.append(checkpoints(run)[-1])
    assert killed == 10
    assert len(set(places)) == 10, places
    finish("--resume", run)
    assert_same(run, tmp_path / "whole")
