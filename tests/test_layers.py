"""The fused BatchNormalization against Keras's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnn_keras
from cnn_keras import layers
from cnn_keras.preprocessing import assemble, scale


def one_step(layer, images, seed=0):
    """Return output, gradients and weights of one training step."""
    layer.build(images.shape)
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    x = tf.constant(images)
    probe = tf.constant(rng.normal(size=images.shape).astype("float32"))
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = layer(x, training=True)
        loss = tf.reduce_sum(tf.cast(output, "float32") * probe)
    gradients = tape.gradient(loss, [x, *[w.value for w in layer.trainable_weights]])
    return [output, *gradients, *[w.value for w in layer.weights]]


@pytest.mark.parametrize("shape", [(8, 5, 6, 7), (4, 2, 1, 3), (16, 24, 24, 32)])
@pytest.mark.parametrize(
    "options", [{}, {"scale": False}, {"center": False}, {"momentum": 0.5, "epsilon": 0.1}]
)
def test_fused_equals_stock(shape, options):
    """Outputs, gradients and moving statistics, the variance the biased one."""
    images = np.random.default_rng(3).normal(2, 3, shape).astype("float32")
    ours = one_step(layers.BatchNormalization(**options), images)
    stock = one_step(keras.layers.BatchNormalization(**options), images)
    for mine, theirs in zip(ours, stock, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-4, atol=2e-5 * np.abs(theirs).max())


def test_the_moving_variance_takes_the_biased_variance():
    layer = layers.BatchNormalization(momentum=0.0)
    images = np.array([1.0, 3.0], "float32").reshape(2, 1, 1, 1)
    layer(images, training=True)
    assert float(layer.moving_variance[0]) == pytest.approx(1.0)  # ((1-2)^2 + (3-2)^2) / 2, not / 1


def test_the_fused_kernel_is_in_force():
    layer = layers.BatchNormalization()
    step = tf.function(lambda x: layer(x, training=True))
    graph = step.get_concrete_function(tf.TensorSpec((4, 8, 8, 3))).graph
    assert "FusedBatchNormV3" in {op.type for op in graph.get_operations()}


def test_float64_is_left_to_the_stock_layer():
    """The fused kernel has no float64: output and moving statistics of a training step by hand."""
    layer = layers.BatchNormalization(dtype="float64", momentum=0.5)
    images = np.random.default_rng(0).normal(2, 3, (4, 3, 5, 2))
    output = np.asarray(layer(images, training=True))
    mean, variance = images.mean((0, 1, 2)), images.var((0, 1, 2))
    assert output.dtype == "float64"
    np.testing.assert_allclose(output, (images - mean) / np.sqrt(variance + 1e-3), rtol=1e-10)
    np.testing.assert_allclose(layer.moving_mean, mean / 2, rtol=1e-10)
    np.testing.assert_allclose(layer.moving_variance, (1 + variance) / 2, rtol=1e-10)


def test_frozen_uses_and_keeps_the_moving_statistics():
    layer = layers.BatchNormalization()
    layer.build((None, 4, 4, 2))
    layer.moving_mean.assign([1.0, 2.0])
    layer.trainable = False
    images = np.random.default_rng(0).normal(5, 1, (3, 4, 4, 2)).astype("float32")
    output = layer(images, training=True)
    np.testing.assert_allclose(output, (images - [1.0, 2.0]) / np.sqrt(1 + 1e-3), rtol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean, [1.0, 2.0])


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    images = np.random.default_rng(3).normal(2, 3, (8, 6, 6, 4)).astype("float32")
    mine = layers.BatchNormalization(dtype=policy)
    stock = keras.layers.BatchNormalization(dtype=policy)
    a, b = mine(images, training=True), stock(images, training=True)
    assert a.dtype == b.dtype
    np.testing.assert_allclose(tf.cast(a, "float32"), tf.cast(b, "float32"), atol=0.03)


def test_stock_copy_opens_in_plain_keras(tmp_path, randomise):
    network = cnn_keras.build("mobilenet_v2", (64, 64, 3), 4, alpha=0.35)
    randomise(network)
    model = assemble(network, "tf")
    layers.to_stock(model).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert all(type(layer).__module__.startswith("keras.") for layer in loaded.layers)
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    np.testing.assert_allclose(loaded(images), model(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["tf", "torch", "caffe"])
def test_scaling_equals_keras_applications(mode):
    from keras.src.applications.imagenet_utils import preprocess_input

    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3)).astype("float32")
    image = keras.Input((5, 4, 3))
    model = keras.Model(image, scale(image, mode))
    np.testing.assert_allclose(model(pixels), preprocess_input(pixels.copy(), mode=mode), atol=1e-4)


def test_scaling_unit_none_and_wrong():
    image = keras.Input((1, 1, 1))
    assert float(keras.Model(image, scale(image, "unit"))(np.full((1, 1, 1, 1), 255.0))[0, 0, 0, 0]) == 1
    assert scale(image, "none") is image
    with pytest.raises(ValueError, match="3 channels"):
        scale(image, "caffe")
    with pytest.raises(ValueError, match="tf, unit"):
        scale(image, "tff")


def test_prelu_behind_a_dense_layer():
    """One slope a feature: there are no rows and columns to share it over."""
    model = cnn_keras.build("lenet5", (32, 32, 1), 10, activation="prelu")
    assert model.get_layer("C5_act").alpha.shape == (120,)
    assert model.get_layer("C1_act").alpha.shape == (1, 1, 6)


@pytest.mark.parametrize(("kind", "expected"), [("max", 4.0), ("average", 2.5)])
def test_pooling(kind, expected):
    x = np.array([1.0, 2.0, 3.0, 4.0], "float32").reshape(1, 2, 2, 1)
    assert float(layers.pool(x, kind, 2, 2, name="pool")[0, 0, 0, 0]) == expected
    with pytest.raises(ValueError, match="max or average"):
        layers.pool(x, "sum", 2, name="pool")
