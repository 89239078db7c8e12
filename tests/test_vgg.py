"""VGG: keras.applications' outputs, the paper's tables, and dense evaluation."""

import keras
import numpy as np
import pytest

import cnn_keras
from cnn_keras import analysis, vgg

SMALL_HEAD = {"hidden": (24, 16)}  # the real one holds 120 million weights


def images_of(*shape):
    return np.random.default_rng(1).normal(size=shape).astype("float32")


@pytest.mark.parametrize(
    ("name", "theirs", "size"),
    [
        ("vgg16", keras.applications.VGG16, 64),
        ("vgg16", keras.applications.VGG16, 77),
        ("vgg19", keras.applications.VGG19, 45),
        pytest.param("vgg16", keras.applications.VGG16, 224, marks=pytest.mark.slow),
        pytest.param("vgg19", keras.applications.VGG19, 224, marks=pytest.mark.slow),
    ],
)
def test_parity(name, theirs, size, randomise, relative_difference):
    shape = (size, size, 3)
    theirs = theirs(input_shape=shape, weights=None, classes=50, classifier_activation=None)
    ours = cnn_keras.build(name, shape, 50)
    randomise(theirs)
    cnn_keras.copy_by_name(theirs, ours)
    images = images_of(2, *shape)
    expected = theirs(images)
    assert np.abs(expected).max() > 0.1, "the comparison would be vacuous"
    assert relative_difference(ours(images), expected) < 1e-5
    weighted = [[layer.name for layer in m.layers if layer.weights] for m in (ours, theirs)]
    assert weighted[0] == weighted[1]


# Table 1 of the paper: the filters of each convolution, of side 3 or as marked; "-" is a pooling.
TABLE_1 = {
    "vgg11": "64 - 128 - 256 256 - 512 512 - 512 512",
    "vgg11_lrn": "64 LRN - 128 - 256 256 - 512 512 - 512 512",
    "vgg13": "64 64 - 128 128 - 256 256 - 512 512 - 512 512",
    "vgg16_c": "64 64 - 128 128 - 256 256 1x1-256 - 512 512 1x1-512 - 512 512 1x1-512",
    "vgg16": "64 64 - 128 128 - 256 256 256 - 512 512 512 - 512 512 512",
    "vgg19": "64 64 - 128 128 - 256 256 256 256 - 512 512 512 512 - 512 512 512 512",
}


@pytest.mark.parametrize("name", TABLE_1)
@pytest.mark.parametrize("batchnorm", [False, True])
def test_layers_of_table_1(name, batchnorm):
    if batchnorm and name == "vgg11_lrn":
        assert "vgg11_lrn_bn" not in cnn_keras.names()
        return
    model = cnn_keras.build(name + "_bn" * batchnorm, (32, 32, 3), 5, **SMALL_HEAD)
    words = []
    for layer in model.layers:
        kind = type(layer).__name__
        if kind == "Conv2D":
            assert layer.use_bias
            words.append("1x1-" * (layer.kernel_size == (1, 1)) + str(layer.filters))
        elif kind == "LocalResponseNormalization":
            words.append("LRN")
        elif kind == "MaxPooling2D" and layer.name != "block5_pool":
            words.append("-")
    assert " ".join(words) == TABLE_1[name]
    norms = [layer for layer in model.layers if type(layer).__name__ == "BatchNormalization"]
    assert len(norms) == batchnorm * sum(word not in "-LRN" for word in words)


def test_millions_of_parameters_of_table_2():
    columns = {"vgg11": 133, "vgg11_lrn": 133, "vgg13": 133, "vgg16_c": 134, "vgg16": 138, "vgg19": 144}
    assert {name: round(cnn_keras.get(name).params / 1e6) for name in columns} == columns


def test_feature_maps():
    model = cnn_keras.build("vgg16", **SMALL_HEAD)
    shapes = [model.get_layer(f"block{i}_pool").output.shape[1:] for i in range(1, 6)]
    assert shapes == [(112, 112, 64), (56, 56, 128), (28, 28, 256), (14, 14, 512), (7, 7, 512)]


def test_published_receptive_field():
    """Araujo et al. (Distill 2019), table 1: VGG-16 sees 212 pixels with a step of 32."""
    rows = {row.name: row for row in analysis.rows(cnn_keras.build("vgg16", **SMALL_HEAD))}
    assert rows["block5_pool"].field.size == 212
    assert rows["block5_pool"].field.stride == 32


def test_two_and_three_small_kernels_see_as_much_as_a_large_one():
    """Section 2.3 of the paper: two layers of 3 x 3 see 5 x 5, three see 7 x 7."""
    rows = {row.name: row for row in analysis.rows(cnn_keras.build("vgg16", **SMALL_HEAD))}
    before, step = rows["block2_pool"].field.size, rows["block2_pool"].field.stride
    seen = [(rows[f"block3_conv{i}"].field.size - before) / step + 1 for i in (1, 2, 3)]
    assert seen == [3, 5, 7]


def test_lrn_is_behind_the_first_activation():
    names = [layer.name for layer in cnn_keras.build("vgg11_lrn", (32, 32, 3), 5, **SMALL_HEAD).layers]
    assert names[1:5] == ["block1_conv1", "block1_conv1_act", "block1_norm1", "block1_pool"]


@pytest.mark.parametrize(
    ("hidden", "trainable", "total", "macs"),
    [((512, 512), 15_253_578, 15_262_026, 313.73e6), ((), 14_728_266, 14_736_714, 313.20e6)],
)
def test_networks_for_cifar(hidden, trainable, total, macs):
    model = cnn_keras.build("vgg16_bn", (32, 32, 3), 10, hidden=hidden)
    assert analysis.count_params(model) == trainable
    assert model.count_params() == total
    assert analysis.count_macs(model) == pytest.approx(macs, abs=5e3)


def test_dropout_and_pooling():
    model = cnn_keras.build("vgg11", (32, 32, 3), 5, pooling="average", **SMALL_HEAD)
    layers = {layer.name: layer for layer in model.layers}
    assert {n: layer.rate for n, layer in layers.items() if "dropout" in n} == {
        "fc1_dropout": 0.5,
        "dropout": 0.5,
    }
    assert all(isinstance(layers[f"block{i}_pool"], keras.layers.AveragePooling2D) for i in range(1, 6))
    fewer = cnn_keras.build("vgg11", (32, 32, 3), 5, dropout=0.0, **SMALL_HEAD)
    assert not [layer.name for layer in fewer.layers if "dropout" in layer.name]


def pair(name, size, window, shape=(None, None, 3), randomise=None, **knobs):
    """Return a trained network and its fully convolutional counterpart."""
    dense = cnn_keras.build(name, (size, size, 3), 5, **knobs)
    randomise(dense)
    convolutional = cnn_keras.build(name, shape, 5, fully_convolutional=True, window=window, **knobs)
    vgg.convolutionalize(dense, convolutional)
    return dense, convolutional


@pytest.mark.parametrize(
    ("name", "size", "window", "knobs"),
    [
        ("vgg11", 224, 7, SMALL_HEAD),
        ("vgg11_bn", 64, 2, SMALL_HEAD),
        ("vgg11", 40, 1, {"activation": "prelu", **SMALL_HEAD}),
        ("vgg11", 96, 3, {"hidden": ()}),
        ("vgg11_lrn", 96, 3, {"hidden": (9,)}),
        pytest.param("vgg16", 224, 7, {}, marks=pytest.mark.slow),
    ],
)
def test_fully_convolutional_equals_at_the_size_of_training(
    name, size, window, knobs, randomise, relative_difference
):
    dense, convolutional = pair(name, size, window, randomise=randomise, **knobs)
    images = images_of(2, size, size, 3)
    expected = dense(images)
    assert np.abs(expected).max() > 0.1, "the comparison would be vacuous"
    assert relative_difference(convolutional(images), expected) < 1e-5
    assert convolutional.output_shape == (None, 5)
    assert convolutional.count_params() == dense.count_params()


def test_map_of_classes_is_the_classifier_at_each_window(randomise, relative_difference):
    """288 x 256 pixels: a feature map of 9 x 8, and 3 x 2 windows of 7 x 7 in it."""
    dense, convolutional = pair("vgg11", 224, 7, randomise=randomise, **SMALL_HEAD)
    images = images_of(2, 288, 256, 3)
    outputs = [convolutional.get_layer(name).output for name in ("block5_pool", "predictions")]
    features, class_map = keras.Model(convolutional.input, outputs)(images)
    features = np.asarray(features)
    assert features.shape == (2, 9, 8, 512)
    assert class_map.shape == (2, 3, 2, 5)
    expected = np.empty(class_map.shape)
    for row, column in np.ndindex(3, 2):
        x = features[:, row : row + 7, column : column + 7].reshape(2, -1)
        for name in ("fc1", "fc2", "predictions"):
            kernel, bias = dense.get_layer(name).get_weights()
            x = x @ kernel + bias
            x = x if name == "predictions" else np.maximum(x, 0)
        expected[:, row, column] = x
    assert relative_difference(class_map, expected) < 1e-5
    assert relative_difference(convolutional(images), expected.mean(axis=(1, 2))) < 1e-5


def test_wrong_counterparts_are_named(randomise):
    dense = cnn_keras.build("vgg11", (64, 64, 3), 5, **SMALL_HEAD)
    wrong_window = cnn_keras.build("vgg11", (None, None, 3), 5, fully_convolutional=True, **SMALL_HEAD)
    with pytest.raises(ValueError, match="differ in fc1: build"):
        vgg.convolutionalize(dense, wrong_window)
    deeper = cnn_keras.build("vgg13", (64, 64, 3), 5, fully_convolutional=True, window=2, **SMALL_HEAD)
    with pytest.raises(ValueError, match="block1_conv2, block2_conv2"):
        vgg.convolutionalize(dense, deeper)


def test_too_small_for_the_window():
    with pytest.raises(ValueError, match="at least 224 x 224"):
        cnn_keras.build("vgg11", (192, 224, 3), 5, fully_convolutional=True)
    model = cnn_keras.build("vgg11", (64, 64, 3), 5, fully_convolutional=True, window=2, **SMALL_HEAD)
    assert model.get_layer("predictions").output.shape == (None, 1, 1, 5)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"configuration": "F"}, "one of A, B, C, D, E, not 'F'"),
        ({"hidden": 4096}, "hidden must be a tuple"),
        ({"hidden": 4096, "fully_convolutional": True, "window": 1}, "hidden must be a tuple"),
        ({"pooling": "sum"}, "max or average"),
    ],
)
def test_wrong_switches_say_what_is_right(knobs, message):
    with pytest.raises(ValueError, match=message):
        cnn_keras.build("vgg11", (32, 32, 3), 5, **knobs)


def test_published_accuracies_are_those_of_table_3():
    """100 less the errors of the paper's table 3, the best training scale of each column."""
    errors = {"vgg11": (29.6, 10.4), "vgg11_lrn": (29.7, 10.5), "vgg13": (28.7, 9.9)}
    errors |= {"vgg16_c": (27.3, 8.8), "vgg16": (25.6, 8.1), "vgg19": (25.5, 8.0)}
    for name, expected in errors.items():
        (point,) = (p for p in cnn_keras.get(name).published if p.source == "the paper, table 3")
        assert (100 - point.top1, 100 - point.top5) == pytest.approx(expected), name


def test_the_cifar_10_point_counts_ten_classes():
    """The 1000 classes' 15,236,136 parameters less (512 + 1) a class that is not there."""
    (point,) = (p for p in cnn_keras.get("vgg16_bn").published if p.dataset == "CIFAR-10")
    assert point.num_classes == 10
    assert point.params == 14_728_266 == 15_236_136 - 990 * 513
