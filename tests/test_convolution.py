"""1x1 convolutions that train as matrix products."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnn_keras import layers

KERNEL = (1, 1)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def twins(channels=5, filters=7, **options):
    """Our layer and Keras's with the same weights."""
    pair = []
    for kind in (layers.Conv2D, keras.layers.Conv2D):
        layer = kind(filters, **{"kernel_size": KERNEL} | options)
        layer.build((None, None, None, channels))
        layer.set_weights([draw(*w.shape, seed=i + 1) for i, w in enumerate(layer.weights)])
        pair.append(layer)
    return pair


def operations(function, x):
    graph = function.get_concrete_function(x).graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    return {node.op for node in nodes} & {"Conv2D", "MatMul"}


def step(layer, x):
    """Output of a training step and the gradients of the sum of its squares."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
        loss = tf.reduce_sum(tf.square(y))
    return [y, *tape.gradient(loss, [x, *(w.value for w in layer.trainable_weights)])]


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("use_bias", [False, True])
def test_outputs_and_gradients_by_hand(use_bias, activation):
    x = draw(2, 3, 4, 5)
    mine, stock = twins(use_bias=use_bias, activation=activation)
    weights = [w.astype("float64") for w in mine.get_weights()]
    y = np.einsum("bhwi,io->bhwo", x.astype("float64"), weights[0][0, 0]) + (
        weights[1] if use_bias else 0
    )
    slope = (y > 0) if activation else np.ones_like(y)
    dy = 2 * y * slope
    expected = [y * slope, dy @ weights[0][0, 0].T, np.einsum("bhwi,bhwo->io", x, dy)[None, None]]
    expected += [dy.sum((0, 1, 2))] if use_bias else []
    for found, theirs, hand in zip(
        step(mine, tf.constant(x)), step(stock, tf.constant(x)), expected, strict=True
    ):
        np.testing.assert_allclose(found, hand, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "product"),
    [
        ({}, True),
        ({"padding": "same"}, True),
        ({"strides": 2}, False),
        ({"kernel_size": (3, 3)}, False),
        ({"kernel_size": (1, 3)}, False),
        ({"groups": 2, "filters": 8}, False),
        ({"dilation_rate": 2}, True),  # of one value there is nothing to spread
    ],
)
def test_where_it_is_a_product(options, product):
    """Only with a 1x1 kernel of stride 1, only in training; outputs are the stock layer's anyway."""
    mine, stock = twins(channels=4, **options)
    x = tf.constant(draw(2, 6, 5, 4))
    train = tf.function(lambda x: mine(x, training=True))
    infer = tf.function(lambda x: mine(x, training=False))
    assert operations(train, x) == {"MatMul" if product else "Conv2D"}
    assert operations(infer, x) == {"Conv2D"}
    for found in (train(x), infer(x)):
        np.testing.assert_allclose(found, stock(x), rtol=1e-5, atol=1e-5)


def test_open_sizes():
    """Neither the number of pictures nor their size need be known."""
    pixels = keras.Input((None, None, 4))
    model = keras.Model(pixels, layers.Conv2D(3, 1, name="conv")(pixels))
    assert model.output_shape == (None, None, None, 3)
    train = tf.function(
        lambda x: model(x, training=True), input_signature=[tf.TensorSpec((None, None, None, 4))]
    )
    for shape in ((1, 2, 3), (3, 5, 2)):
        x = draw(*shape, 4)
        np.testing.assert_allclose(train(x), model(x, training=False), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    mine, stock = twins(dtype=policy)
    x = draw(2, 3, 4, 5)
    found, expected = mine(x, training=True), stock(x)
    assert found.dtype == expected.dtype == policy.removeprefix("mixed_")
    np.testing.assert_allclose(tf.cast(found, "float32"), tf.cast(expected, "float32"), atol=0.1)


def test_stock_copy():
    network = keras.Sequential([keras.Input((3, 3, 4)), layers.Conv2D(2, 1, name="conv")])
    copy = layers.to_stock(network)
    assert type(copy.get_layer("conv")) is keras.layers.Conv2D
    x = draw(2, 3, 3, 4)
    np.testing.assert_array_equal(copy(x), network(x))


def test_nothing_is_known_of_the_sizes():
    mine, stock = twins(channels=4)
    train = tf.function(lambda x: mine(x, training=True), input_signature=[tf.TensorSpec((None,) * 4)])
    x = draw(2, 3, 5, 4)
    np.testing.assert_allclose(train(x), stock(x), rtol=1e-5, atol=1e-5)
