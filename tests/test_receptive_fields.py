"""The receptive fields of the layer table are where the gradients are, rows and columns."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnn_keras
from cnn_keras import analysis


def slow(*row):
    return pytest.param(*row, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("name", "layer", "height", "width", "knobs"),
    [
        ("lenet5", "S4", 32, 36, {}),
        ("alexnet", "pool2", 147, 163, {"lrn": False}),
        ("vgg11", "block3_pool", 64, 80, {"hidden": ()}),
        ("resnet18", "conv3_block2_out", 160, 129, {}),
        ("densenet121", "pool2_conv", 128, 97, {"depths": (2, 2, 1, 1)}),
        ("mobilenet_v1", "conv_pw_5_relu", 96, 80, {"alpha": 0.25}),
        ("mobilenet_v2", "block_5_project_BN", 128, 112, {"alpha": 0.35}),
        slow("resnet50_v2", "conv3_block4_out", 224, 193, {}),
        slow("inception_v3", "mixed2", 139, 155, {}),
    ],
)
def test_receptive_field_is_where_the_gradient_is(name, layer, height, width, knobs):
    """The input pixels that one output position depends on, found by differentiation.

    At the position of the middle, and at one in a corner, where the field is cut. Sides whose maps are
    even and odd alike: "same" would pad them otherwise, and the table has one centre for both.
    """
    channels = cnn_keras.get(name).channels
    # no dead units, no unit of a map's maximum that hides others
    knobs = {"activation": "tanh", "pooling": "average"} | knobs
    known = cnn_keras.get(name).available_knobs
    knobs = {knob: value for knob, value in knobs.items() if knob in known}
    model = cnn_keras.build(name, (height, width, channels), 3, **knobs)
    row = next(row for row in analysis.rows(model) if row.name == layer)
    features = keras.Model(model.input, model.get_layer(layer).output)
    rows, columns = row.output_shape[:2]
    assert rows != columns, "height and width could be mixed up"
    assert row.field.size < min(height, width), "the field would be cut on both sides"
    image = np.random.default_rng(0).normal(size=(1, height, width, channels)).astype("float32")
    x = tf.constant(image)
    for position in ((rows // 2, columns // 2), (rows - 1, 0)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(features(x)[:, position[0], position[1]])
        gradient = np.abs(tape.gradient(y, x)[0]).max(axis=2)
        for axis, side in enumerate((height, width)):
            touched = np.flatnonzero(gradient.max(axis=1 - axis) > 0)
            centre = row.field.centre + position[axis] * row.field.stride
            reach = (row.field.size - 1) / 2
            assert touched[0] == max(0, math.ceil(centre - reach))
            assert touched[-1] == min(side - 1, math.floor(centre + reach))


def test_an_oblong_kernel_counts_where_it_is_longer():
    image = keras.Input((32, 32, 1))
    x = keras.layers.Conv2D(1, (1, 7))(image)
    x = keras.layers.Conv2D(1, (3, 1), strides=(2, 1))(x)
    x = keras.layers.Conv2D(1, (5, 1))(x)
    fields = [row.field for row in analysis.rows(keras.Model(image, x))]
    assert [field.size for field in fields] == [1, 7, 7, 11]  # rows: 1, 1, 3, 3 + 4 * 2
    assert [field.stride for field in fields] == [1, 1, 1, 2]
