"""Every network of the catalogue, built and counted."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnn_keras
from cnn_keras import analysis

NAMES = cnn_keras.names()
# more than a few seconds to build several times; the rest of their families is tested in every run
SLOW = (
    *("vgg11", "vgg13", "vgg13_bn", "vgg16_c", "vgg16_c_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"),
    *("inception_v2", "inception_v3", "inception_v4", "resnet50_v2", "densenet121", "vgg11_bn"),
    *("resnet34", "resnet50", "resnet101", "resnet152", "resnet101_v2", "resnet152_v2"),
    *("resnet32", "resnet44", "resnet56", "resnet110"),
    *("densenet169", "densenet201", "densenet161", "densenet100_bc_k12", "densenet190_bc_k40"),
)
MARKED = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in NAMES]


def small(name, channels=None, num_classes=7, **knobs):
    """Build a network at the smallest size that its tests need."""
    variant = cnn_keras.get(name)
    size = max(variant.min_size, min(32, variant.input_size))
    return cnn_keras.build(name, (size, size, channels or variant.channels), num_classes, **knobs)


@pytest.mark.parametrize("name", MARKED)
def test_parameters_and_macs_equal_the_record(name):
    variant = cnn_keras.get(name)
    model = cnn_keras.build(name, num_classes=variant.num_classes)
    assert analysis.count_params(model) == variant.params
    assert sum(math.prod(w.shape) for w in model.trainable_weights) == variant.params
    assert analysis.count_macs(model) == variant.macs


POINTS = [
    pytest.param(
        name,
        point,
        id=f"{name}-{point.knobs}-{point.image_size}",
        marks=pytest.mark.slow if name in SLOW or point.knobs.get("depth") else (),
    )
    for name in NAMES
    for point in cnn_keras.get(name).published
    if point.params or point.macs
]


@pytest.mark.parametrize(("name", "point"), POINTS)
def test_parameters_and_macs_of_published_points(name, point):
    variant = cnn_keras.get(name)
    size = point.image_size or variant.input_size
    classes = point.num_classes or variant.num_classes
    model = cnn_keras.build(name, (size, size, variant.channels), classes, **point.knobs)
    assert point.params in (None, analysis.count_params(model))
    assert point.macs in (None, analysis.count_macs(model))


@pytest.mark.parametrize("name", MARKED)
def test_contract_of_the_builder(name):
    variant = cnn_keras.get(name)
    model = small(name, num_classes=7)
    assert model.name == name
    assert [tensor.name for tensor in model.inputs] == ["image"]
    assert model.input.dtype == "float32"
    assert model.output_shape == (None, 7)
    names = [layer.name for layer in model.layers]
    assert len(names) == len(set(names))
    assert not any("/" in name for name in names)
    assert names[-1] == "predictions"
    assert variant.available_knobs.keys() >= {"dropout"}


@pytest.mark.parametrize("name", MARKED)
def test_smallest_input(name):
    size, channels = cnn_keras.get(name).min_size, cnn_keras.get(name).channels
    assert small(name).count_params() > 0
    cnn_keras.build(name, (size, size, channels), 3)
    with pytest.raises(ValueError, match=rf"at least {size} x {size}"):
        cnn_keras.build(name, (size - 1, size, channels), 3)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", MARKED)
def test_channels(name, channels):
    assert small(name, channels=channels).input_shape[-1] == channels


@pytest.mark.parametrize("name", MARKED)
def test_same_seed_same_weights(name):
    def weights(seed):
        keras.utils.set_random_seed(seed)
        return np.concatenate([w.ravel() for w in small(name).get_weights()])

    first = weights(1)
    np.testing.assert_array_equal(first, weights(1))
    assert not np.array_equal(first, weights(2))


@pytest.mark.parametrize("name", MARKED)
def test_every_weight_has_a_gradient(name):
    model = small(name)
    images = np.random.default_rng(0).normal(size=(4, *model.input_shape[1:])).astype("float32")
    with tf.GradientTape() as tape:
        logits = model(images, training=True)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits([0, 1, 2, 3], logits)
    values = [variable.value for variable in model.trainable_variables]
    for variable, gradient in zip(model.trainable_variables, tape.gradient(loss, values), strict=True):
        assert gradient is not None, variable.path
        gradient = np.asarray(gradient)
        assert np.isfinite(gradient).all(), variable.path
        assert np.abs(gradient).max() > 0, variable.path


def test_feature_maps_of_mobilenet_v2():
    """Table 2 of Sandler et al.: 112, 112, 56, 28, 14, 14, 7, 7."""
    model = cnn_keras.build("mobilenet_v2")
    last_block_of_stage = (0, 2, 5, 9, 12, 15, 16)
    shapes = []
    for block in last_block_of_stage:
        prefix = f"block_{block}_" if block else "expanded_conv_"
        shapes.append(model.get_layer(prefix + "project_BN").output.shape[1:])
    assert shapes == [
        (112, 112, 16),
        (56, 56, 24),
        (28, 28, 32),
        (14, 14, 64),
        (14, 14, 96),
        (7, 7, 160),
        (7, 7, 320),
    ]


def test_feature_maps_of_lenet5():
    """Figure 2 of LeCun et al."""
    model = cnn_keras.build("lenet5", num_classes=10)
    shapes = {layer.name: layer.output.shape[1:] for layer in model.layers}
    assert shapes["C1"] == (28, 28, 6)
    assert shapes["S2"] == (14, 14, 6)
    assert shapes["C3"] == (10, 10, 16)
    assert shapes["S4"] == (5, 5, 16)
    assert shapes["C5"] == (120,)
    assert shapes["F6"] == (84,)


def test_lenet5_has_61706_parameters():
    assert analysis.count_params(cnn_keras.build("lenet5", (32, 32, 1), 10)) == 61_706


def test_dilation_keeps_weights_and_denser_maps_agree(randomise, relative_difference):
    """output_stride=16: same weights; every second position equals the strided network's map."""
    strided = cnn_keras.build("mobilenet_v2", (96, 96, 3), 3, alpha=0.35)
    randomise(strided)
    dense = cnn_keras.build("mobilenet_v2", (96, 96, 3), 3, alpha=0.35, output_stride=16)
    dense.set_weights(strided.get_weights())
    images = np.random.default_rng(0).uniform(-1, 1, (2, 96, 96, 3)).astype("float32")

    def features(model):
        return keras.Model(model.input, model.get_layer("block_13_depthwise_BN").output)(images)

    assert features(strided).shape[1] == 3
    assert features(dense).shape[1] == 6
    # TensorFlow's "same" pads a stride-2 layer on the far side only: its samples are the odd ones
    assert relative_difference(features(dense)[:, 1::2, 1::2], features(strided)) < 1e-5


@pytest.mark.parametrize("knobs", [{"linear_bottleneck": False}, {"residual": False}, {"expansion": 3}])
def test_ablations_of_mobilenet_v2(knobs):
    plain, ablated = small("mobilenet_v2"), small("mobilenet_v2", **knobs)
    names = [{layer.name for layer in model.layers} for model in (plain, ablated)]
    if "linear_bottleneck" in knobs:
        assert len(names[1] - names[0]) == 17
    elif "residual" in knobs:
        assert len(names[0] - names[1]) == 10  # shortcuts of table 2: 1 + 2 + 3 + 2 + 2
    else:
        assert ablated.get_layer("block_1_expand").filters == 3 * 16


@pytest.mark.parametrize("normalization", ["layer", "group", "none"])
@pytest.mark.parametrize("activation", ["leaky_relu", "prelu", "elu", "tanh"])
def test_styles(normalization, activation):
    model = small("mobilenet_v2", normalization=normalization, activation=activation)
    kinds = {type(layer).__name__ for layer in model.layers}
    assert "BatchNormalization" not in kinds
    expected = {"layer": "LayerNormalization", "group": "GroupNormalization"}.get(normalization)
    assert expected is None or expected in kinds


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"alpha": 0}, "alpha must be positive"),
        ({"output_stride": 5}, "8, 16 or 32"),
        ({"normalization": "b"}, "batch, layer"),
    ],
)
def test_wrong_switches_say_what_is_right(knobs, message):
    with pytest.raises(ValueError, match=message):
        small("mobilenet_v2", **knobs)
