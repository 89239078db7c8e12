"""The training itself: schedules, the best weights, and runs that repeat."""

import csv
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import cnn_keras
from training.data.sources import open_source
from training.engine import plan
from training.engine.callbacks import BestWeights
from training.runs.folder import Run
from training.runs.settings import Fit


def test_best_weights_prefer_accuracy_then_loss(tmp_path):
    network = cnn_keras.build("lenet5", num_classes=2)
    best = BestWeights(network, Run(tmp_path), pictures=100)
    kept = []
    for epoch, (accuracy, loss) in enumerate(
        [
            (0.5, 1.0),
            (0.9, 0.8),
            (0.88, 0.5),
            (0.8, 0.1),
            (0.99, 0.9),
            (0.985, float("nan")),
            (0.985, 0.3),
        ],
        1,
    ):
        best.offer(accuracy, loss, epoch)
        kept.append(best.best_epoch)
    # 0.88 is within one standard error (0.03) of 0.9 and has the lower loss; 0.8 is not
    assert kept == [1, 2, 3, 3, 5, 5, 7]


def test_from_scratch_the_latest_of_near_equals_is_kept(tmp_path):
    """Of 180 pictures: all right is no better than one wrong, but better than three wrong."""
    best = BestWeights(cnn_keras.build("lenet5", num_classes=2), Run(tmp_path), 180, latest=True)
    kept = []
    for epoch, (wrong, loss) in enumerate([(9, 0.5), (0, 0.01), (1, 0.03), (3, 0.001)], 1):
        best.offer(1 - wrong / 180, loss, epoch)
        kept.append(best.best_epoch)
    assert kept == [1, 2, 3, 3]


def test_best_weights_are_those_on_disk(tmp_path):
    network = cnn_keras.build("lenet5", num_classes=2)
    best = BestWeights(network, Run(tmp_path), pictures=100)
    best.offer(0.9, 0.1, 1)
    good = network.get_weights()
    network.set_weights([w + 1 for w in good])
    best.offer(0.1, 2.0, 2)
    cnn_keras.load_weights(network, Run(tmp_path).weights)
    assert all(np.array_equal(a, b) for a, b in zip(good, network.get_weights(), strict=True))


# --- defaults -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "picture", "fine_tune", "expected"),
    [
        ("mobilenet_v2", 8, False, 64),
        ("mobilenet_v2", 28, False, 64),
        ("mobilenet_v2", 100, False, 128),
        ("mobilenet_v2", 3000, False, 224),
        ("mobilenet_v2", 8, True, 224),
        ("lenet5", 8, False, 32),
        ("lenet5", 500, False, 32),
    ],
)
def test_default_image_size(name, picture, fine_tune, expected):
    assert plan.image_size_for(cnn_keras.get(name), picture, fine_tune) == expected


def test_grey_networks_stay_grey_on_grey_pictures():
    source = open_source("digits")
    assert plan.choose(Fit(arch="lenet5"), source).channels == 1
    assert plan.choose(Fit(arch="mobilenet_v2"), source).channels == 3
    assert plan.choose(Fit(arch="lenet5", channels=3), source).channels == 3


def test_characters_are_not_mirrored():
    assert plan.choose(Fit(), open_source("digits")).policy == "digits"


# --- whole fits -----------------------------------------------------------------------------------


def lenet_fit(cli, out, name, seed, *more):
    words = (
        "--arch",
        "lenet5",
        "--epochs",
        2,
        "--export",
        "none",
        "--seed",
        seed,
        "--out",
        out,
        "--name",
        name,
    )
    process = cli("training.fit", *words, *more)
    assert process.returncode == 0, process.stderr
    return out / name


@pytest.mark.slow
def test_same_seed_same_bytes(cli, tmp_path):
    runs = [lenet_fit(cli, tmp_path, name, seed) for name, seed in (("a", 3), ("b", 3), ("c", 4))]
    weights = [(run / "model.weights.h5").read_bytes() for run in runs]
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]
    metrics = [(run / "metrics.json").read_text() for run in runs]
    assert metrics[0] == metrics[1]


def test_a_diverged_fit_is_a_failure_that_says_what_to_try(cli, tmp_path):
    words = ("--arch", "lenet5", "--epochs", 1, "--lr", 1e30, "--out", tmp_path, "--name", "run")
    process = cli("training.fit", *words)
    assert process.returncode == 1
    assert "try a lower --lr" in process.stderr


def test_mobilenets_suit_phones_whatever_their_width():
    wide = cnn_keras.build("mobilenet_v2", (32, 32, 3), 1000, alpha=1.4)
    assert plan.suits_phones("mobilenet_v2", wide)
    assert plan.suits_phones("lenet5", cnn_keras.build("lenet5", num_classes=3))
    assert not plan.suits_phones("resnet18", cnn_keras.build("resnet18", (32, 32, 3), 10))


def test_weights_of_another_network_are_refused_with_both_sides(cli, digits_run, tmp_path):
    process = cli("training.fit", "--weights", digits_run / "model.weights.h5", "--out", tmp_path)
    assert process.returncode == 2
    assert "only in the file: C1" in process.stderr
    assert "only in the network: Conv1" in process.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_fit_leaves_a_usable_run(cli, tmp_path, which):
    words = ("--arch", "lenet5", "--epochs", "1000", "--out", str(tmp_path), "--name", "run")
    process = subprocess.Popen(
        [sys.executable, "-m", "training.fit", *words],
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # a shell lets its background jobs ignore Ctrl-C, and so their children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        history = tmp_path / "run" / "history.csv"
        deadline = time.monotonic() + 120
        while not (history.is_file() and len(history.read_text().splitlines()) > 3):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        process.send_signal(which)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    with history.open() as file:
        assert len(list(csv.DictReader(file))) >= 3
    answer = cli("training.evaluate", tmp_path / "run")
    assert answer.returncode == 0, answer.stderr
