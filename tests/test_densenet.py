"""DenseNet against keras.applications, the paper's tables and known counts."""

import keras
import numpy as np
import pytest

import cnn_keras
from cnn_keras import analysis

slow = pytest.mark.slow

GOLDEN = [
    # network, switches, trainable parameters, all parameters, MACs in millions
    ("densenet121", {}, 7_978_856, 8_062_504, 2834.16, ()),
    ("densenet169", {}, 14_149_480, 14_307_880, 3359.84, slow),
    ("densenet201", {}, 20_013_928, 20_242_984, 4291.37, slow),
    ("densenet161", {}, 28_681_000, 28_900_936, 7727.91, slow),
    ("densenet40_k12", {}, 1_019_722, 1_037_818, 264.81, ()),
    ("densenet40_k12", {"depth": 100}, 6_979_642, 7_096_858, 1769.52, slow),
    ("densenet40_k12", {"depth": 100, "growth_rate": 24}, 27_249_082, 27_480_346, 6889.35, slow),
    ("densenet100_bc_k12", {}, 769_162, 793_150, 287.93, slow),
    ("densenet100_bc_k12", {"depth": 250, "growth_rate": 24}, 15_324_406, 15_582_382, 5418.79, slow),
    ("densenet190_bc_k40", {}, 25_624_430, 25_881_390, 9301.95, slow),
]


@pytest.mark.parametrize(
    ("name", "knobs", "trainable", "total", "millions"),
    [
        pytest.param(*row, id="-".join([row[0], *map(str, row[1].values())]), marks=marks)
        for *row, marks in GOLDEN
    ],
)
def test_golden_counts(name, knobs, trainable, total, millions):
    model = cnn_keras.build(name, num_classes=cnn_keras.get(name).num_classes, **knobs)
    assert analysis.count_params(model) == trainable
    assert model.count_params() == total
    assert round(analysis.count_macs(model) / 1e6, 2) == millions


@pytest.mark.parametrize(
    ("depth", "size"),
    [(121, 64), (121, 77), pytest.param(169, 64, marks=slow), pytest.param(201, 64, marks=slow)],
)
def test_equals_keras_applications(depth, size, randomise, relative_difference):
    """Layer names too; 77 is odd at the stem and at two transitions."""
    shape = (size, size, 3)
    theirs = getattr(keras.applications, f"DenseNet{depth}")(
        input_shape=shape, weights=None, classifier_activation=None
    )
    ours = cnn_keras.build(f"densenet{depth}", shape)
    randomise(theirs)
    cnn_keras.copy_by_name(theirs, ours)
    images = np.random.default_rng(1).uniform(-1, 1, (2, *shape)).astype("float32")
    expected = theirs(images)
    assert np.abs(expected).max() > 0.1, "the comparison would be vacuous"
    assert relative_difference(ours(images), expected) < 1e-5
    weighted = [[layer.name for layer in m.layers if layer.weights] for m in (ours, theirs)]
    assert weighted[0] == weighted[1]


def shapes(model, *names):
    return [tuple(model.get_layer(name).output.shape[1:]) for name in names]


def test_feature_maps_of_table_1():
    """With k = 32: a block of n layers adds 32 n channels, a transition keeps half of them."""
    model = cnn_keras.build("densenet121")
    assert shapes(model, "conv1_relu", "pool1") == [(112, 112, 64), (56, 56, 64)]
    blocks = ("conv2_block6", "conv3_block12", "conv4_block24", "conv5_block16")
    assert shapes(model, *(f"{block}_concat" for block in blocks)) == [
        (56, 56, 256),
        (28, 28, 512),
        (14, 14, 1024),
        (7, 7, 1024),
    ]
    assert shapes(model, "pool2_pool", "pool3_pool", "pool4_pool", "avg_pool") == [
        (28, 28, 128),
        (14, 14, 256),
        (7, 7, 512),
        (1024,),
    ]


@pytest.mark.parametrize(
    ("name", "widths", "depth"),
    [
        # 16 + 12 * 12 = 160, kept by the transitions, and so on
        ("densenet40_k12", [160, 160, 304, 304, 448], 40),
        # 24 + 16 * 12 = 216, halved to 108, and so on
        ("densenet100_bc_k12", [216, 108, 300, 150, 342], 100),
    ],
)
def test_feature_maps_of_the_cifar_networks(name, widths, depth):
    model = cnn_keras.build(name, num_classes=10)
    layers = {layer.name: layer for layer in model.layers}
    last = [
        max((n for n in layers if n.startswith(f"conv{b}") and n.endswith("concat")), key=len_then_name)
        for b in (2, 3, 4)
    ]
    maps = shapes(model, last[0], "pool2_pool", last[1], "pool3_pool", last[2])
    assert [size for size, _, _ in maps] == [32, 16, 16, 8, 8]
    assert [width for _, _, width in maps] == widths
    weighted = [n for n, layer in layers.items() if isinstance(layer, keras.layers.Conv2D)]
    assert len(weighted) + 1 == depth  # convolutions and the classifier


def len_then_name(name):
    return len(name), name


def test_switches_change_what_they_say():
    def build(**knobs):
        return cnn_keras.build("densenet121", (64, 64, 3), 3, depths=(2, 2, 2, 2), **knobs)

    narrow = build(growth_rate=12)
    assert shapes(narrow, "conv1_conv", "conv2_block1_1_conv", "conv2_block1_2_conv") == [
        (32, 32, 24),
        (16, 16, 48),
        (16, 16, 12),
    ]
    assert shapes(build(compression=1.0), "pool2_conv") == [(16, 16, 128)]
    assert shapes(build(compression=0.25), "pool2_conv") == [(16, 16, 32)]
    plain = {layer.name for layer in build(bottleneck=False).layers}
    assert "conv2_block1_2_conv" in plain
    assert "conv2_block1_1_conv" not in plain
    assert type(build(pooling="max").get_layer("pool3_pool")).__name__ == "MaxPooling2D"
    dropped = [layer for layer in build(layer_dropout=0.2).layers if "dropout" in layer.name]
    assert [layer.rate for layer in dropped] == [0.2] * 16  # 8 layers with two convolutions each


def test_a_layer_keeps_what_it_sees():
    model = cnn_keras.build("densenet40_k12", (8, 8, 3), 3)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    names = ("conv1_conv", "conv2_block1_concat", "conv2_block12_concat")
    first, second, last = keras.Model(model.input, [model.get_layer(n).output for n in names])(images)
    np.testing.assert_array_equal(second[..., :16], first)
    np.testing.assert_array_equal(last[..., :28], second)


@pytest.mark.parametrize(
    ("name", "knobs", "message"),
    [
        ("densenet40_k12", {"depth": 41}, r"depth must be 3n \+ 4 with bottleneck=False, not 41"),
        ("densenet100_bc_k12", {"depth": 103}, r"6n \+ 4"),
        ("densenet121", {"compression": 0}, "compression must be above 0"),
        ("densenet121", {"pooling": "none"}, "pooling must be max or average"),
    ],
)
def test_wrong_switches_say_what_is_right(name, knobs, message):
    with pytest.raises(ValueError, match=message):
        cnn_keras.build(name, (32, 32, 3), 3, **knobs)
