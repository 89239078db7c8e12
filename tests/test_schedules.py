"""Learning rates by hand, and that they are in force in a fit."""

import keras
import numpy as np
import pytest

from training.engine.schedules import CURVES, Plateau, Schedule
from training.runs import groups


def rates(name, steps, warmup_steps=0, lr=0.1):
    schedule = Schedule(name, lr, steps, warmup_steps)
    return np.array([schedule(step) for step in range(steps)])


@pytest.mark.parametrize("name", CURVES)
def test_warm_up_by_hand(name):
    found = rates(name, 14, 4)
    np.testing.assert_allclose(found[:4], [0.02, 0.04, 0.06, 0.08], rtol=1e-5)  # linear, never 0
    assert found[4] == pytest.approx(0.1)
    assert rates(name, 5)[0] == pytest.approx(0.1)  # without a rise it starts at the top
    assert rates(name, 3, 10).max() == pytest.approx(0.1)  # a rise longer than the training still trains
    assert (found > 0).all()


T = np.arange(12) / 12
BY_HAND = {
    "constant": np.ones(12),
    "step": np.repeat([1, 0.1, 0.01], 4),
    "exponential": 10 ** (-2 * T),
    "polynomial": (1 - T) ** 0.9,
    "cosine": (1 + np.cos(np.pi * T)) / 2,
    "one-cycle": (1 + np.cos(np.pi * T)) / 2,
    "plateau": np.ones(12),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_curves_by_hand(name):
    np.testing.assert_allclose(rates(name, 12), 0.1 * BY_HAND[name], rtol=1e-4)


def test_warm_restarts_by_hand():
    """Cycles of 4, 8 and 16 steps: each half a cosine from the top."""
    expected = [(1 + np.cos(np.pi * i / n)) / 2 for n in (4, 8, 16) for i in range(n)]
    np.testing.assert_allclose(rates("warm-restarts", 28), 0.1 * np.array(expected), atol=1e-6)


def test_a_plateau_lowers_the_rate():
    schedule = Schedule("plateau", 0.1, 100, 0)
    watch = Plateau(schedule, patience=2)
    found = []
    for loss in (1.0, 0.5, 0.6, 0.5, 0.4, 0.4, 0.4, 0.4):
        watch.on_epoch_end(0, {"val_loss": loss})
        found.append(float(schedule(0)))
    np.testing.assert_allclose(found, [0.1] * 3 + [0.01] * 3 + [0.001] * 2, rtol=1e-5)


@pytest.mark.parametrize("name", CURVES)
def test_schedules_are_in_force_in_a_fit(name):
    """Of one weight with the gradient 1, every step of SGD takes off the rate of that step."""
    image = keras.Input((1,))
    model = keras.Model(image, keras.layers.Dense(1, use_bias=False)(image))
    schedule = Schedule(name, 0.1, 12, 3)
    model.compile(keras.optimizers.SGD(schedule), lambda y, found: keras.ops.mean(found))
    start = float(model.get_weights()[0][0, 0])
    model.fit(np.ones((12, 1)), np.ones(12), batch_size=1, verbose=0)
    expected = start - rates(name, 12, 3).sum()
    assert float(model.get_weights()[0][0, 0]) == pytest.approx(expected, abs=1e-5)


def test_every_schedule_is_a_choice_of_the_command():
    assert set(groups.Schedule.__args__) == set(CURVES)
