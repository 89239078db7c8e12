"""Fits that are ended from outside and go on: nothing is lost, and not a byte is another."""

import random
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from interrupting import SAME, assert_same, checkpoints, end, finish, start

from training.runs.checkpoints import newest
from training.runs.folder import Run

RANDOM = ("--dropout", 0.25, "--ema", 0.98, "--augment", "digits")  # all that draws or averages
FIT = ("--arch", "lenet5", *RANDOM, "--export", "none")
SMALL = (*FIT, "--batch-size", 8)
OFTEN = ("--checkpoint-every", 0.001)  # minutes: some steps

# a fit that nothing interrupts, then one that is killed at a moment of another thread's choice
WHOLE_THEN_KILLED = """
import os, signal, sys, threading, time
from pathlib import Path
from training.fit import main

words, out = sys.argv[1:], sys.argv[sys.argv.index("--out") + 1]
if main([*words, "--name", "whole"]):
    sys.exit("the whole fit failed")

def kill():
    while not any(Path(out, "run", "checkpoint").glob("epoch-000002-step-0000000[3-9]")):
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)

threading.Thread(target=kill, daemon=True).start()
main([*words, "--name", "run", "--checkpoint-every", "0.00001"])
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """An .npz file of 120 noisy pictures of three classes, and its name in words for fit."""
    rng, y = np.random.default_rng(0), np.arange(120) % 3
    x = rng.uniform(0, 120, (120, 8, 8)) + 60 * y[:, np.newaxis, np.newaxis]
    file = tmp_path_factory.mktemp("pictures") / "small.npz"
    np.savez(file, x=x.astype("uint8"), y=y)
    return "--data", file


def test_killed_within_an_epoch_and_resumed(tmp_path, pictures):
    process = start(*SMALL, *pictures, "--epochs", 5, "--out", tmp_path, code=WHOLE_THEN_KILLED)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == -signal.SIGKILL, output
    output = finish("--resume", tmp_path / "run")
    assert "goes on in epoch 3, after step" in output
    assert_same(tmp_path / "run", tmp_path / "whole")


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


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_loses_no_step_and_says_how_to_go_on(tmp_path, pictures, number):
    words = (*SMALL, *pictures, "--epochs", 60, "--schedule", "plateau", "--accumulate", 2)
    words = (*words, "--early-stop", 20, "--mixup", 0.2, "--cutmix", 1, "--out", tmp_path)
    finish(*words, "--name", "whole")
    run = tmp_path / "run"
    process = start(*words, "--name", "run")  # ten minutes between checkpoints
    output, running = end(process, run, lambda name: name > "epoch-000004", number)
    assert running
    assert process.returncode == 130, output
    assert "can be evaluated, exported and used" in output
    line = f"python -m training.fit --resume {run}"
    assert line in output
    assert "Traceback" not in output
    assert newest(Run(run)).place.epoch >= 4
    both = [start("--resume", run) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], outputs
    assert any("is being trained by another process" in output for output in outputs)
    assert_same(run, tmp_path / "whole")
    assert "is finished already" in finish("--resume", run)


@pytest.mark.slow
def test_killed_before_the_first_step_and_within_the_report(tmp_path, pictures):
    words = (*SMALL, *pictures, "--epochs", 3, "--out", tmp_path)
    finish(*words, "--name", "whole")
    run = tmp_path / "run"
    process = start(*words, "--name", "run")
    while not (run / "settings.json").exists():
        time.sleep(0.001)
    process.kill()
    process.communicate()
    _, running = end(start("--resume", run), run, lambda name: name >= "epoch-000003")
    assert running
    assert not (run / "report.html").exists()
    assert "goes on with the report" in finish("--resume", run)
    assert_same(run, tmp_path / "whole")
    assert (run / "report.html").exists()


@pytest.mark.slow
def test_other_pictures_are_refused(tmp_path, pictures):
    file = shutil.copy(pictures[1], tmp_path / "mine.npz")
    run = tmp_path / "run"
    words = (*SMALL, "--data", file, "--epochs", 50, "--out", tmp_path, "--name", "run")
    _, running = end(start(*words), run, lambda name: name > "epoch-000002")
    assert running
    found = dict(np.load(file))
    found["x"][7, 0, 0] += 1
    np.savez(file, **found)
    process = start("--resume", run)
    assert "the pictures are not those that it was begun with" in process.communicate(timeout=120)[0]
    assert process.returncode == 2


@pytest.mark.slow
def test_one_and_two_threads_give_the_same_bytes(tmp_path, pictures):
    code = """
import sys
from cnn_keras.lazy import quietly_import_keras
quietly_import_keras()
import tensorflow as tf
from training.engine import regime
from training.fit import main
batches, used = regime.training_batches, []

def threaded(*words, **options):
    dataset, steps = batches(*words, **options)
    limit = tf.data.Options()
    limit.threading.private_threadpool_size = threads
    used.append(threads)
    return dataset.with_options(limit), steps

regime.training_batches = threaded
for threads in (1, 2):
    assert main([*sys.argv[1:], "--name", str(threads)]) == 0
assert used == [1, 2]
"""
    for more in ((), ("--cache", "none")):
        out = tmp_path / str(len(more))
        finish(*SMALL, *pictures, "--cutmix", 1, "--epochs", 3, *more, "--out", out, code=code)
        assert_same(out / "1", out / "2")
    assert_same(tmp_path / "0" / "1", tmp_path / "2" / "1")


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0, 1])
def test_the_phases_of_a_fit(tmp_path, drawn_pictures, drawn_fit, moment):
    """A head on frozen features first, then all of it; auxiliary classifiers stage by stage."""
    data = ("--data", drawn_pictures, "--image-size", 32, "--batch-size", 8, "--export", "none")
    given = ("--weights", drawn_fit[1] / "model.weights.h5", "--alpha", 0.35, *data, "--epochs", 4)
    stages = ("--arch", "googlenet", "--knob", "aux=True", "--stage-by-stage", *data, "--epochs", 3)
    words = (*((given, stages)[moment]), "--out", tmp_path)
    finish(*words, "--name", "whole")
    run = tmp_path / "run"
    process = start(*words, *OFTEN, "--name", "run")
    _, running = end(process, run, lambda name: name > "epoch-000001-step-00000001")
    assert running
    assert newest(Run(run)).place.phase == moment
    output = finish("--resume", run)
    assert "goes on in epoch" in output
    assert "training the head" not in output
    assert_same(run, tmp_path / "whole")


# --- full disks -----------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A folder of 8 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
def test_a_full_disk_loses_nothing(tmp_path, pictures, small_disk):
    words = (*SMALL, *pictures, "--epochs", 30)
    finish(*words, "--out", tmp_path, "--name", "whole")
    run, full = small_disk / "run", small_disk / "full"
    process = start(*words, *OFTEN, "--out", small_disk, "--name", "run")
    while not any(name > "epoch-000003" for name in checkpoints(run)):
        assert process.poll() is None
        time.sleep(0.01)
    with full.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 1, output
    assert "space left" in output
    assert f"--resume {run}" in output
    assert "Traceback" not in output
    place = newest(Run(run)).place
    assert place.epoch >= 3
    full.unlink()
    assert f"goes on {place.in_words()}" in finish("--resume", run)
    assert_same(run, tmp_path / "whole")


@pytest.mark.slow
def test_training_goes_on_where_only_checkpoints_do_not_fit(tmp_path, pictures):
    code = """
import resource, sys
from training.fit import main
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
sys.exit(main(sys.argv[1:]))
"""
    words = (*SMALL, *pictures, "--epochs", 2, "--out", tmp_path)
    finish(*words, "--name", "whole")
    output = finish(*words, "--name", "run", code=code)
    assert "the checkpoint could not be written (File too large); there is none yet" in output
    assert checkpoints(tmp_path / "run") == []
    for name in SAME:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
