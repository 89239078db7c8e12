"""BatchNormalization where the fused kernel does not apply, and in mixed precision.

What the fused kernel computes is in tests/test_layers.py.
"""

import importlib.util
import inspect
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnn_keras import layers

EPSILON, MOMENTUM = 0.01, 0.7
HAS_RENORM = "renorm" in inspect.signature(keras.layers.BatchNormalization).parameters


def step(layer, x, mask=None):
    """Return the output of one training step, and whether the fused kernel is in its graph."""
    if not layer.built:
        layer.build(x.shape)
    train = tf.function(lambda x, mask: layer(x, training=True, mask=mask))
    x = tf.constant(x)
    graph = train.get_concrete_function(x, mask).graph
    kinds = {node.op for node in graph.as_graph_def().node}
    kinds |= {node.op for f in graph.as_graph_def().library.function for node in f.node_def}
    return np.asarray(tf.cast(train(x, mask), "float64")), "FusedBatchNormV3" in kinds


def pictures(*shape, seed=0):
    """Values whose channels, the last or any other axis, differ in mean and deviation."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    for axis in range(1, len(shape)):
        along = [shape[axis] if i == axis else 1 for i in range(len(shape))]
        x = x * rng.uniform(0.5, 2, along) + rng.normal(0, 2, along)
    return x.astype("float32")


def standardised(x, axes):
    x = x.astype("float64")
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + EPSILON)


@pytest.mark.parametrize(
    ("shape", "axis", "fused"),
    [
        ((4, 5, 6, 3), -1, True),
        ((4, 5, 6, 3), 3, True),
        ((4, 5, 6, 3), 1, False),
        ((4, 5, 6, 3), -2, False),
        ((8, 3), -1, False),
        ((8, 5, 3), -1, False),
        ((8, 5, 3), 1, False),
        ((2, 3, 4, 5, 3), -1, False),
        ((2, 3, 4, 5, 3), 3, False),
    ],
)
def test_axes_and_ranks(shape, axis, fused):
    """Output and moving statistics of one step, against NumPy."""
    x = pictures(*shape)
    layer = layers.BatchNormalization(axis=axis, epsilon=EPSILON, momentum=MOMENTUM)
    output, was_fused = step(layer, x)
    assert was_fused == fused
    axes = tuple(i for i in range(len(shape)) if i != axis % len(shape))
    np.testing.assert_allclose(output, standardised(x, axes), atol=1e-4)
    old, new = MOMENTUM, 1 - MOMENTUM
    np.testing.assert_allclose(layer.moving_mean, new * x.mean(axes), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, old + new * x.var(axes), rtol=1e-4)


def test_a_mask_leaves_values_out_of_the_statistics():
    x = pictures(4, 5, 6, 3)
    keep = np.random.default_rng(1).random((4, 5, 6)) < 0.6
    layer = layers.BatchNormalization(epsilon=EPSILON, momentum=0.0)
    output, fused = step(layer, x, tf.constant(keep))
    assert not fused
    kept = x[keep].astype("float64")
    np.testing.assert_allclose(layer.moving_mean, kept.mean(0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(layer.moving_variance, kept.var(0), rtol=1e-3)
    expected = (x - kept.mean(0)) / np.sqrt(kept.var(0) + EPSILON)
    np.testing.assert_allclose(output, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_statistics_across_replicas():
    """Of two replicas, each with half of the batch: both see the moments of the whole."""
    code = """
import numpy as np, tensorflow as tf
from cnn_keras import layers
cpu, = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
x = np.arange(4 * 2 * 2 * 2, dtype="float32").reshape(4, 2, 2, 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    layer = layers.BatchNormalization(synchronized=True, epsilon=0.01)
    layer.build(x.shape)
halves = strategy.experimental_distribute_values_from_function(
    lambda context: tf.constant(np.split(x, 2)[context.replica_id_in_sync_group]))
run = tf.function(lambda halves: strategy.run(lambda x: layer(x, training=True), (halves,)))
output = np.concatenate([v.numpy() for v in run(halves).values])
axes = (0, 1, 2)
np.testing.assert_allclose(output, (x - x.mean(axes)) / np.sqrt(x.var(axes) + 0.01), atol=1e-4)
print("whole batch")
"""
    assert "whole batch" in elsewhere(code, "tensorflow")


@pytest.mark.skipif(not HAS_RENORM, reason="this Keras has no renormalisation")
@pytest.mark.parametrize("clipped", [True, False])
def test_renormalisation(clipped):
    """Ioffe 2017, equation 2, at mean 0 and deviation 1, where its moving statistics start.

    With r = 1 and d = 0 it is plain; unclipped, r and d put those statistics for the batch's.
    """
    x = pictures(4, 5, 6, 3)
    bounds = {"rmin": 1.0, "rmax": 1.0, "dmax": 0.0} if clipped else {}
    layer = layers.BatchNormalization(renorm=True, renorm_clipping=bounds, epsilon=EPSILON)
    output, fused = step(layer, x)
    assert not fused
    np.testing.assert_allclose(output, standardised(x, (0, 1, 2)) if clipped else x, atol=1e-4)


def elsewhere(code, backend):
    """Run Python `code` in a process with Keras's `backend`; return what it prints."""
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_training_step_on_another_backend(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    code = f"""
import keras, numpy as np
from cnn_keras import layers
assert keras.backend.backend() == {backend!r}
x = np.arange(3 * 2 * 2 * 2, dtype="float32").reshape(3, 2, 2, 2) ** 1.5
image = keras.Input((2, 2, 2))
out = layers.BatchNormalization(momentum=0.7, epsilon=0.01, name="bn")(image)
model = keras.Model(image, out)
expected = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 0.01)
model.compile(keras.optimizers.SGD(0.5), "mean_squared_error")
loss = model.train_on_batch(x, np.zeros_like(x))
np.testing.assert_allclose(loss, (expected**2).mean(), rtol=1e-4)
gamma, beta, mean, variance = model.get_layer("bn").get_weights()
np.testing.assert_allclose(mean, 0.3 * x.mean((0, 1, 2)), rtol=1e-4)
np.testing.assert_allclose(variance, 0.7 + 0.3 * x.var((0, 1, 2)), rtol=1e-4)
# d loss / d gamma = mean of 2 * output * normalised; gamma was 1
gradient = (2 * expected**2).sum((0, 1, 2)) / x.size
np.testing.assert_allclose(gamma, 1 - 0.5 * gradient, rtol=1e-4)
print("trained")
"""
    assert "trained" in elsewhere(code, backend)


def trained(layer, x, probe):
    """Return gradients and weights of one training step on sum(output * probe)."""
    rng = np.random.default_rng(1)
    layer.build(x.shape)
    for weight in layer.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    x, before = tf.cast(x, layer.compute_dtype), {w.name: np.array(w) for w in layer.weights}
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = layer(x, training=True)
        loss = tf.reduce_sum(tf.cast(output, "float32") * probe)
    names = ("x", "gamma", "beta")
    gradients = tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])
    return dict(zip(names, gradients, strict=True)), before, output


@pytest.mark.parametrize(("policy", "unit"), [("mixed_float16", 2**-11), ("mixed_bfloat16", 2**-8)])
def test_mixed_precision_gradients_and_statistics(policy, unit):
    """Gradients by hand, in float64; statistics are summed and kept in float32.

    `unit` is the rounding of one number of the half-precision type.
    """
    rng = np.random.default_rng(3)
    # numbers of bfloat16, so that no rounding of the input is in the comparison
    x = np.asarray(tf.cast(tf.cast(rng.normal(2, 3, (8, 6, 6, 4)), "bfloat16"), "float64"))
    probe = np.asarray(tf.cast(tf.cast(rng.normal(size=x.shape), "bfloat16"), "float64"))
    layer = layers.BatchNormalization(dtype=policy, epsilon=EPSILON, momentum=MOMENTUM)
    gradients, before, output = trained(layer, x.astype("float32"), probe.astype("float32"))
    assert output.dtype == policy.removeprefix("mixed_")
    assert {w.dtype for w in layer.weights} == {"float32"}
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    deviation = np.sqrt(variance + EPSILON)
    normalised = (x - mean) / deviation
    expected = normalised * before["gamma"] + before["beta"]
    np.testing.assert_allclose(
        tf.cast(output, "float64"), expected, atol=2 * unit * np.abs(expected).max()
    )
    by_hand = {
        "beta": probe.sum((0, 1, 2)),
        "gamma": (probe * normalised).sum((0, 1, 2)),
        "x": before["gamma"]
        / deviation
        * (probe - probe.mean((0, 1, 2)) - normalised * (probe * normalised).mean((0, 1, 2))),
    }
    for name, value in by_hand.items():
        found = np.asarray(tf.cast(gradients[name], "float64"))
        np.testing.assert_allclose(found, value, atol=2 * unit * np.abs(value).max(), err_msg=name)
    for name, batch in (("moving_mean", mean), ("moving_variance", variance)):
        wanted = MOMENTUM * before[name] + (1 - MOMENTUM) * batch
        np.testing.assert_allclose(getattr(layer, name), wanted, rtol=1e-5, err_msg=name)
