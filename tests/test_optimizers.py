"""Optimizers computed again with NumPy, and what they leave alone."""

import keras
import numpy as np
import pytest

import cnn_keras
from training.engine.optimizers import OPTIMIZERS, default_lr, make_optimizer
from training.runs import groups

LR = 0.1


def adam_moments(grads, b1=0.9, b2=0.999):
    m = v = 0.0
    for t, g in enumerate(grads, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        yield t, g, m / (1 - b1**t), v / (1 - b2**t)


def sgd(w, grads, momentum=0.0, nesterov=False):
    m = 0.0
    for g in grads:
        m = momentum * m - LR * g
        w = w + (momentum * m - LR * g if nesterov else m)
    return w


def adagrad(w, grads):
    total = 0.1
    for g in grads:
        total = total + g * g
        w = w - LR * g / np.sqrt(total)
    return w


def rmsprop(w, grads):
    v = 0.0
    for g in grads:
        v = 0.9 * v + 0.1 * g * g
        w = w - LR * g / np.sqrt(v + 1e-7)
    return w


def adam(w, grads, decay=0.0):
    for _, _, m, v in adam_moments(grads):
        w = w - LR * decay * w
        w = w - LR * m / np.sqrt(v)
    return w


def nadam(w, grads):
    """Dozat 2016, with the warming schedule of the momentum."""
    m = v = 0.0
    product = 1.0
    for t, g in enumerate(grads, 1):
        now, then = (0.9 * (1 - 0.5 * 0.96**i) for i in (t, t + 1))
        product *= now
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        ahead = then * m / (1 - product * then) + (1 - now) * g / (1 - product)
        w = w - LR * ahead / np.sqrt(v / (1 - 0.999**t))
    return w


def lion(w, grads):
    m = 0.0
    for g in grads:
        w = w - LR * np.sign(0.9 * m + 0.1 * g)
        m = 0.99 * m + 0.01 * g
    return w


def lamb(w, grads):
    for _, _, m, v in adam_moments(grads):
        r = m / np.sqrt(v)
        w = w - LR * np.linalg.norm(w) / np.linalg.norm(r) * r
    return w


BY_HAND = {
    "sgd": sgd,
    "momentum": lambda w, g: sgd(w, g, 0.9),
    "nesterov": lambda w, g: sgd(w, g, 0.9, nesterov=True),
    "adagrad": adagrad,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adam,
    "nadam": nadam,
    "lion": lion,
    "lamb": lamb,
    "muon": adam,  # of what is no matrix
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_three_steps_by_hand(name):
    rng = np.random.default_rng(0)
    w, grads = rng.normal(size=6), rng.normal(size=(3, 6))
    variable = keras.Variable(w.astype("float32"))
    optimizer = make_optimizer(name, LR, 0.0)
    for g in grads:
        optimizer.apply([keras.ops.convert_to_tensor(g, "float32")], [variable])
    np.testing.assert_allclose(variable, BY_HAND[name](w, grads), rtol=2e-4)


@pytest.mark.parametrize("shape", [(20, 6), (3, 3, 4, 5)])
def test_muon_makes_the_gradient_orthogonal(shape):
    """All singular values of a step are near one another; of the gradient they are far apart."""
    layer = keras.layers.Dense(6) if len(shape) == 2 else keras.layers.Conv2D(5, 3)
    layer.build((None, *((20,) if len(shape) == 2 else (8, 8, 4))))
    kernel = layer.kernel
    assert kernel.shape == shape
    before = np.array(kernel).reshape(-1, shape[-1])
    scales = 10.0 ** np.arange(shape[-1])
    gradient = np.random.default_rng(0).normal(size=shape) * scales
    optimizer = make_optimizer("muon", LR, 0.0)
    optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")], [kernel])
    step = (before - np.array(kernel).reshape(before.shape)) / (LR * 0.2 * max(before.shape) ** 0.5)
    values = np.linalg.svd(step, compute_uv=False)
    assert values.max() < 1.3
    u, s, v = np.linalg.svd(gradient.reshape(before.shape), full_matrices=False)
    assert s.max() / s.min() > 1e3
    assert np.trace(u.T @ step @ v.T) / len(s) > 0.5  # of an exact U V, 1


def test_muon_leaves_the_classifier_and_depthwise_kernels_to_adamw():
    model = cnn_keras.build("mobilenet_v2", (32, 32, 3), 5, alpha=0.35)
    optimizer = make_optimizer("muon", LR, 0.0)
    optimizer.build(model.trainable_variables)
    by_adam = zip(model.trainable_variables, optimizer.adam_velocities, strict=True)
    matrices = {v.path for v, velocity in by_adam if velocity is None}
    assert "block_1_expand/kernel" in matrices
    assert not [
        path for path in matrices if "depthwise" in path or "predictions" in path or "BN" in path
    ]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_is_in_force_and_leaves_biases_and_normalisation_alone(name):
    model = cnn_keras.build("mobilenet_v2", (32, 32, 3), 2, alpha=0.35, activation="prelu")
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    optimizer = make_optimizer(name, 0.1, 0.5)
    optimizer.build(model.trainable_variables)
    zeros = [keras.ops.zeros(v.shape) for v in model.trainable_variables]
    optimizer.apply(zeros, model.trainable_variables)
    kinds = set()
    for variable in model.trainable_variables:
        kept = variable.name in ("gamma", "beta", "bias", "alpha")
        kinds.add(variable.name)
        np.testing.assert_allclose(
            variable, 1.0 if kept else 1 - 0.1 * 0.5, rtol=1e-6, err_msg=variable.path
        )
    assert kinds >= {"kernel", "bias", "gamma", "beta", "alpha"}


@pytest.mark.parametrize(("option", "norm"), [("clip_norm", 0.5), ("clip_value", 0.5 * 2)])
def test_clipping_is_in_force(option, norm):
    """Of four gradients: their norm, or the largest of them."""
    variable = keras.Variable(np.zeros(4, "float32"))
    optimizer = make_optimizer("sgd", 1.0, 0.0, **{option: 0.5})
    optimizer.apply([keras.ops.convert_to_tensor(np.full(4, 10.0, "float32"))], [variable])
    assert np.linalg.norm(variable) == pytest.approx(norm, rel=1e-5)


def test_two_batches_accumulated_are_one_of_twice_the_size():
    variable = keras.Variable(np.zeros(2, "float32"))
    optimizer = make_optimizer("sgd", 1.0, 0.0, accumulate=2)
    found = []
    for gradient in ([1.0, 0.0], [3.0, 4.0]):
        optimizer.apply([keras.ops.convert_to_tensor(np.array(gradient, "float32"))], [variable])
        found.append(np.array(variable))
    np.testing.assert_array_equal(found, [[0, 0], [-2, -2]])


def test_learning_rates_grow_with_the_batch():
    assert default_lr("nesterov", 32, fine_tune=False) == 0.05
    assert default_lr("nesterov", 128, fine_tune=False) == 0.2
    assert default_lr("adamw", 128, fine_tune=False) == pytest.approx(8e-3)
    assert default_lr("adamw", 128, fine_tune=True) == pytest.approx(6e-4)


def test_every_optimizer_is_a_choice_of_the_command():
    assert set(groups.Optimizer.__args__) == {"auto", *OPTIMIZERS}
