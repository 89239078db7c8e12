"""Receptive fields, and the command line that shows them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnn_keras
from cnn_keras import analysis
from cnn_keras.__main__ import main


def test_receptive_field_by_hand():
    """Conv 5, pool 2/2, conv 3 dilated by 2: 5, then 6, then 6 + 4 * 2 = 14."""
    image = keras.Input((32, 32, 1))
    x = keras.layers.Conv2D(1, 5)(image)
    x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Conv2D(1, 3, dilation_rate=2)(x)
    fields = [row.field for row in analysis.rows(keras.Model(image, x))]
    assert [field.size for field in fields] == [1, 5, 6, 14]
    assert [field.stride for field in fields] == [1, 1, 2, 2]
    assert [field.centre for field in fields] == [0, 2, 2.5, 6.5]


def test_receptive_field_of_factorised_kernels():
    """1 x 7 and then 7 x 1 see 7 x 7, not 13 x 13; 1 x 7 alone sees 7 along its longer side."""
    image = keras.Input((32, 32, 1))
    x = keras.layers.Conv2D(1, (1, 7), padding="same")(image)
    x = keras.layers.Conv2D(1, (7, 1), padding="same")(x)
    x = keras.layers.ZeroPadding2D(((0, 0), (2, 0)))(x)
    x = keras.layers.Conv2D(1, (1, 3))(x)
    rows = analysis.rows(keras.Model(image, x))
    assert [row.field.size for row in rows] == [1, 7, 7, 7, 9]
    assert rows[-1].field.centre == -1  # along the width: 2 padded, 1 to the kernel's middle


def test_receptive_fields_of_alexnet_by_hand():
    """227 pixels. conv1 11 / 4: middle of 0..10. pool1 3 / 2: one step of 4 on, 9. conv2 5x5 "same": its
    middle stays, 4 positions of 8 more. pool2 3 / 2: one step of 8 on, 17. conv3 to conv5: 2 positions
    of 16 more each. pool5 3 / 2: one step of 16 on, 33.
    """
    rows = {row.name: row.field for row in analysis.rows(cnn_keras.build("alexnet"))}
    expected = {
        "conv1": (11, 4, 5),
        "pool1": (19, 8, 9),
        "conv2": (51, 8, 9),
        "pool2": (67, 16, 17),
        "conv5": (163, 16, 17),
        "pool5": (195, 32, 33),
    }
    assert {
        name: (rows[name].size, rows[name].stride, rows[name].centre) for name in expected
    } == expected


def test_the_columns_of_the_receptive_field(capsys):
    """LeNet-5 pads nowhere: 5x5 is centred at 2, pooling 2 / 2 half a pixel on, C3 two steps of 2 on."""
    assert main(["lenet5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert next(line for line in lines if line.startswith("layer ")).endswith(
        "sees (px)  stride  centre"
    )
    table = {line.split()[0]: line.split() for line in lines if line}
    assert [table[name][-3:] for name in ("image", "C1", "S2", "C3", "S4")] == [
        ["1", "1", "0"],
        ["5", "1", "2"],
        ["6", "2", "2.5"],
        ["14", "2", "6.5"],
        ["16", "4", "7.5"],
    ]
    assert table["predictions"][-1] == "all"


@pytest.mark.parametrize(
    ("name", "layer", "size"),
    [("mobilenet_v2", "block_5_project_BN", 128), ("lenet5", "S4", 32), ("inception_v3", "mixed2", 139)],
)
def test_receptive_field_is_where_the_gradient_is(name, layer, size):
    """The input pixels that one output position depends on, found by differentiation."""
    variant = cnn_keras.get(name)
    knobs = {"activation": "tanh"}  # no dead units
    model = cnn_keras.build(name, (size, size, variant.channels), 3, **knobs)
    row = next(row for row in analysis.rows(model) if row.name == layer)
    features = keras.Model(model.input, model.get_layer(layer).output)
    position = row.output_shape[0] // 2
    x = tf.constant(np.random.default_rng(0).normal(size=(1, *model.input_shape[1:])), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(features(x)[:, position, position])
    touched = np.flatnonzero(np.abs(tape.gradient(y, x)[0]).max(axis=(1, 2)) > 0)
    centre = row.field.centre + position * row.field.stride
    assert touched[0] == max(0, centre - (row.field.size - 1) / 2)
    assert touched[-1] == min(size - 1, centre + (row.field.size - 1) / 2)


@pytest.mark.parametrize(
    ("name", "layer", "size"),
    [
        ("mobilenet_v2", "out_relu", 491),
        ("inception_v2", "inception_5b", 699),
        ("inception_v3", "mixed10", 1311),
        ("inception_v4", "inception_c3", 2071),
    ],
)
def test_published_receptive_fields(name, layer, size):
    """Araujo et al. (Distill 2019), table 1: the pixels that the last feature map sees, 32 apart."""
    rows = {row.name: row for row in analysis.rows(cnn_keras.build(name))}
    assert rows[layer].field.size == size
    assert rows[layer].field.stride == 32


def test_the_table(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in cnn_keras.names())
    assert "3,504,872" in out


def test_one_network(capsys):
    assert main(["mobilenet_v2", "--image-size", "96", "--knob", "alpha=0.35"]) == 0
    out = capsys.readouterr().out
    assert "1,677,128" in out
    assert "alpha=0.35" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mobilnet_v2"], "Did you mean mobilenet_v2"),
        (["mobilenet_v2", "--image-size", "8"], "at least 32 x 32"),
        (["mobilenet_v2", "--knob", "beta=1"], "no switch 'beta'"),
    ],
)
def test_wrong_usage(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
