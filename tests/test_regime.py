"""What happens around Model.fit."""

import dataclasses

import keras
import numpy as np
import pytest

from training.engine import plan, regime
from training.engine.auxiliary import stages
from training.engine.optimizers import OPTIMIZERS
from training.runs.settings import Fit

CHOICES = plan.Choices(4, 1, "unit", "none", False, 1, False, "adamw", 1e-3, 0.01, None, "float32")


@pytest.mark.parametrize("heads", [("logits",), ("logits", "aux1")])
def test_the_training_step_is_traced_once(heads, monkeypatch):
    """Variables that are made inside the first step cost a second tracing: seconds for deep networks."""
    image = keras.Input((4,))
    outputs = {name: keras.layers.Dense(3, name=name)(image) for name in heads}
    network = keras.Model(image, outputs if len(heads) > 1 else outputs["logits"])
    ((_, model),) = stages(network, 0.3, stage_by_stage=False)
    traced = []
    original = keras.Model.train_step

    def counted(self, data):
        traced.append(1)
        return original(self, data)

    monkeypatch.setattr(keras.Model, "train_step", counted)
    regime.compile_model(model, Fit(), CHOICES, steps=10, steps_an_epoch=5)
    x, y = np.ones((8, 4), "float32"), np.zeros(8, int)
    history = model.fit(x, y, batch_size=4, epochs=2, validation_data=(x, y), verbose=0).history
    assert len(traced) == 1
    assert history["accuracy"][-1] in (0.0, 1.0)  # of one picture: what was made ahead is not counted


@pytest.fixture
def points():
    """Two clouds of points, float32 (64, 4), and their labels."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 32)
    return (rng.normal(size=(64, 4)) + 2 * y[:, np.newaxis]).astype("float32"), y


def compiled(choices=CHOICES, **settings):
    keras.utils.set_random_seed(0)
    image = keras.Input((4,))
    x = keras.layers.Dense(8, activation="relu", name="hidden")(image)
    model = keras.Model(image, keras.layers.Dense(2, name="predictions")(x))
    regime.compile_model(model, Fit(**settings), choices, steps=40, steps_an_epoch=4)
    return model


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_learns(name, points):
    model = compiled(dataclasses.replace(CHOICES, optimizer=name, lr=10 * OPTIMIZERS[name].lr))
    losses = model.fit(*points, batch_size=16, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]


def test_penalties_are_in_the_loss(points):
    model, x = compiled(l1=0.01, l2=0.1), points[0]
    kernels = [layer.kernel for layer in model.layers if layer.weights]
    expected = sum(0.01 * np.abs(k).sum() + 0.1 * np.square(k).sum() for k in map(np.array, kernels))
    plain = compiled()
    plain.set_weights(model.get_weights())
    losses = [m.evaluate(*points, verbose=0, return_dict=True)["loss"] for m in (model, plain)]
    assert losses[0] - losses[1] == pytest.approx(expected, rel=1e-4)
    model.fit(x, points[1], epochs=10, verbose=0)
    plain.fit(x, points[1], epochs=10, verbose=0)
    norms = [sum(np.square(layer.kernel).sum() for layer in m.layers[1:]) for m in (model, plain)]
    assert norms[0] < norms[1]


def test_averaged_weights_by_hand(points):
    """Of Keras's average: the first step sets it, then momentum * average + (1 - momentum) * weights."""
    model = compiled(ema=0.5)
    seen = []
    collect = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda *_, **__: seen.append(model.get_weights())
    )
    swap, found = keras.callbacks.SwapEMAWeights(swap_on_epoch=True), []
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_, **__: found.append(model.get_weights())
    )
    model.fit(
        *points, batch_size=16, epochs=1, shuffle=False, verbose=0, callbacks=[swap, collect, keep]
    )
    average = seen[0]
    for weights in seen[1:]:
        average = [0.5 * a + 0.5 * w for a, w in zip(average, weights, strict=True)]
    for a, b in zip(average, found[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
