"""The learning rate range test: its rates, its losses, its suggestion, its command."""

import json
import shlex
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from training import lr_find
from training.engine.range_test import Rise, Watch, smooth, suggest
from training.runs import command
from training.runs.settings import Fit
from training.runs.words import fit_command


def test_the_rates_by_hand():
    rise = Rise(1e-3, 10.0, 5)
    assert [float(rise(i)) for i in range(5)] == pytest.approx([1e-3, 1e-2, 1e-1, 1, 10], rel=1e-5)


def softmax_losses(x, y, rates, per_update):
    """Train softmax regression from zeros in NumPy: each update's mean loss before it."""
    w, b, losses = np.zeros((x.shape[-1], 2)), np.zeros(2), []
    for i, rate in enumerate(rates):
        batch = slice(i * per_update, (i + 1) * per_update)
        logits = x[batch] @ w + b
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        losses.append(-np.log(p[np.arange(per_update), y[batch]]).mean())
        gradient = (p - np.eye(2)[y[batch]]) / per_update
        w, b = w - rate * x[batch].T @ gradient, b - rate * gradient.sum(0)
    return losses


@pytest.mark.parametrize("accumulate", [1, 2])
def test_each_loss_is_that_of_its_own_update_at_its_own_rate(accumulate):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 96)
    x = rng.normal(size=(96, 3)) + y[:, np.newaxis]
    steps, rates = 12, 0.01 * 100 ** (np.arange(12) / 11)
    image = keras.Input((3,))
    model = keras.Model(image, keras.layers.Dense(2, kernel_initializer="zeros")(image))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    rise = Rise(0.01, 1.0, steps, accumulate)
    options = {"gradient_accumulation_steps": accumulate} if accumulate > 1 else {}
    model.compile(keras.optimizers.SGD(rise, **options), loss)
    watch = Watch(rise)
    model.fit(x, y, batch_size=8 // accumulate, shuffle=False, verbose=0, callbacks=[watch])
    assert watch.losses == pytest.approx(softmax_losses(x, y, rates, 8), rel=1e-4)
    assert not watch.diverged


@pytest.mark.parametrize("bad", [np.nan, 1e6])
def test_the_test_ends_where_the_loss_grows(bad):
    watch = Watch(Rise(1e-3, 1.0, 50))
    watch.set_model(SimpleNamespace(stop_training=False))
    watch.on_train_begin()
    for i in range(50):
        watch.on_train_batch_end(i, {"loss": 2.0 if i < 30 else bad})
        if watch.model.stop_training:
            break
    assert watch.diverged
    assert i == 30
    watch.on_train_end()


@pytest.mark.parametrize("centre", [1e-4, 3e-3])
def test_the_suggestion_is_the_steepest_point(centre):
    """A descent like that of the logistic function, steepest at its centre; far above it grows again."""
    rates = np.geomspace(1e-7, 10, 200)
    distance = np.log(rates / centre)
    losses = 2 - 1.8 / (1 + np.exp(-2 * distance)) + np.exp(3 * (distance - 4.5))
    assert suggest(rates, losses) == pytest.approx(centre, rel=0.1)
    noisy = losses + np.random.default_rng(0).normal(0, 0.05, 200)
    assert suggest(rates, smooth(noisy, 200)) == pytest.approx(centre, rel=0.5)


def test_the_huge_losses_of_the_end_do_not_lift_the_curve_before_them():
    """A loss that falls up to a rate of 0.1 and is ten times as high from there on."""
    rates = np.geomspace(1e-7, 10, 60)
    losses = np.where(rates < 0.1, 2.3 - 0.3 * np.clip(np.log10(rates / 1e-4) / 3, 0, 1), 23.0)
    smoothed = smooth(losses, 60)
    assert smoothed.max() <= 2.3
    assert 0.01 < rates[smoothed.argmin()] < 0.1
    assert 1e-4 < suggest(rates, smoothed) < 0.1


def test_nothing_is_suggested_where_nothing_falls():
    rates = np.geomspace(1e-3, 1, 50)
    assert suggest(rates, np.linspace(1, 5, 50)) is None


def test_a_fits_settings_become_its_command():
    given = Fit(
        arch="mobilenet_v1", lr=0.1 + 0.2, knob=("alpha=0.5",), data="tfds:a b", class_weight="balanced"
    )
    words = shlex.split(fit_command(given))
    assert words[:3] == ["python", "-m", "training.fit"]
    parsed = []
    assert command.run(Fit, parsed.append, words[3:]) == 0
    assert parsed == [given]
    assert fit_command(Fit()) == "python -m training.fit"


def test_the_command(tmp_path, capsys):
    words = ["--arch", "linear", "--optimizer", "sgd", "--image-size", "32", "--steps", "60"]
    assert lr_find.main([*words, "--out", str(tmp_path), "--name", "r"]) == 0
    shown = capsys.readouterr().out
    folder = tmp_path / "r"
    assert {f.name for f in folder.iterdir()} == {
        *("lr_find.png", "lr_find.csv", "lr_find.json", "log.txt")
    }
    facts = json.loads((folder / "lr_find.json").read_text())
    assert 0.001 < facts["suggested"] < facts["lowest_loss_at"] < 1
    todo = f"python -m training.fit --arch linear --image-size 32 --lr {facts['suggested']:g}"
    assert facts["fit_command"] == f"{todo} --out {tmp_path} --optimizer sgd"
    assert facts["fit_command"] in shown
    rows = np.loadtxt(folder / "lr_find.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(rows[:, 1], 1e-7 * 1e8 ** (np.arange(len(rows)) / 59))
    assert lr_find.main([*words, "--out", str(tmp_path), "--name", "r"]) == 2
    assert "already" in capsys.readouterr().err


@pytest.mark.slow
def test_where_no_rate_helps_it_says_so(tmp_path, capsys):
    words = ["--arch", "linear", "--optimizer", "sgd", "--min-lr", "100", "--max-lr", "1e6"]
    assert lr_find.main([*words, "--out", str(tmp_path), "--name", "r"]) == 3
    assert "no rate is suggested" in capsys.readouterr().err
    assert json.loads((tmp_path / "r" / "lr_find.json").read_text())["fit_command"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lr", "0.1"], "leave it out"),
        (["--steps", "5"], "at least 20"),
        (["--min-lr", "1", "--max-lr", "2"], "ten times"),
        (["--min-lr", "0"], "--min-lr must be positive"),
        (["--batch-size", "0"], "--batch-size must be positive"),
    ],
)
def test_wrong_flags(words, message, capsys):
    assert lr_find.main(words) == 2
    assert message in capsys.readouterr().err


def test_pictures_are_cached_where_asked(tmp_path):
    words = ["--arch", "linear", "--image-size", "32", "--steps", "20", "--cache", "disk"]
    words += ["--cache-dir", str(tmp_path / "cache"), "--out", str(tmp_path), "--name", "r"]
    assert lr_find.main(words) in (0, 3)  # so few steps may find nothing
    assert list((tmp_path / "cache").glob("*x32x32x1-*"))
