"""ResNet, v1 and v2, against keras.applications, the papers' tables and known counts."""

import keras
import numpy as np
import pytest

import cnn_keras
from cnn_keras import analysis, layers

slow = pytest.mark.slow

GOLDEN = [
    # network, switches, trainable parameters, all parameters, MACs in millions
    ("resnet18", {}, 11_689_512, 11_699_112, 1814.07),
    ("resnet18", {"shortcut": "A"}, 11_515_688, 11_523_496, 1794.81),
    ("resnet34", {}, 21_797_672, 21_814_696, 3663.76),
    ("resnet34", {"shortcut": "A"}, 21_623_848, 21_639_080, 3644.49),
    ("resnet34", {"shortcut": "C"}, 22_716_840, 22_739_624, 3830.75),
    ("resnet50", {}, 25_557_032, 25_610_152, 3857.97),
    ("resnet50", {"stride_in": "3x3"}, 25_557_032, 25_610_152, 4089.18),
    ("resnet50", {"conv_bias": True}, 25_583_592, 25_636_712, 3857.97),
    ("resnet101", {}, 44_549_160, 44_654_504, 7570.19),
    ("resnet101", {"stride_in": "3x3"}, 44_549_160, 44_654_504, 7801.41),
    ("resnet101", {"conv_bias": True}, 44_601_832, 44_707_176, 7570.19),
    ("resnet152", {}, 60_192_808, 60_344_232, 11282.42),
    ("resnet152", {"stride_in": "3x3"}, 60_192_808, 60_344_232, 11513.63),
    ("resnet152", {"conv_bias": True}, 60_268_520, 60_419_944, 11282.42),
    ("resnet20", {}, 269_722, 271_098, 40.55),
    ("resnet32", {}, 464_154, 466_426, 68.86),
    ("resnet44", {}, 658_586, 661_754, 97.17),
    ("resnet56", {}, 853_018, 857_082, 125.49),
    ("resnet110", {}, 1_727_962, 1_736_058, 252.89),
    ("resnet20", {"shortcut": "B"}, 272_474, 274_042, 40.81),
    ("resnet56", {"shortcut": "B"}, 855_770, 860_026, 125.75),
    ("resnet50_v2", {"conv_bias": True}, 25_568_360, 25_613_800, 3482.26),
    ("resnet101_v2", {"conv_bias": True}, 44_577_896, 44_675_560, 7194.48),
    ("resnet152_v2", {"conv_bias": True}, 60_236_904, 60_380_648, 10906.70),
]
QUICK = ("resnet18", "resnet20", "resnet50", "resnet50_v2")  # a second or so each


def golden_params():
    for name, knobs, *counts in GOLDEN:
        text = "-".join([name, *(f"{k}={v}" for k, v in knobs.items())])
        yield pytest.param(
            name,
            knobs,
            *counts,
            id=text,
            marks=() if name in QUICK and "stride_in" not in knobs else slow,
        )


@pytest.mark.parametrize(("name", "knobs", "trainable", "total", "millions"), golden_params())
def test_golden_counts(name, knobs, trainable, total, millions):
    model = cnn_keras.build(name, num_classes=cnn_keras.get(name).num_classes, **knobs)
    assert analysis.count_params(model) == trainable
    assert model.count_params() == total
    assert round(analysis.count_macs(model) / 1e6, 2) == millions


@pytest.mark.parametrize("depth", [50, 101, 152])
def test_v2_without_biases(depth):
    """Less one bias for each channel of the stem, the four projections and the blocks' last layers."""
    variant = cnn_keras.get(f"resnet{depth}_v2")
    depths = variant.knobs["depths"]
    biases = 64 + sum(4 * width * (1 + n) for width, n in zip((64, 128, 256, 512), depths, strict=True))
    assert variant.published[0].params - variant.params == biases


PARITY = [
    ("resnet50", keras.applications.ResNet50, 64, ()),
    ("resnet50", keras.applications.ResNet50, 77, ()),
    ("resnet101", keras.applications.ResNet101, 64, slow),
    ("resnet152", keras.applications.ResNet152, 64, slow),
    ("resnet50_v2", keras.applications.ResNet50V2, 64, ()),
    ("resnet50_v2", keras.applications.ResNet50V2, 77, ()),
    ("resnet101_v2", keras.applications.ResNet101V2, 64, slow),
    ("resnet152_v2", keras.applications.ResNet152V2, 64, slow),
]


@pytest.mark.parametrize(
    ("name", "theirs", "size"),
    [pytest.param(*row, id=f"{row[0]}-{row[2]}", marks=marks) for *row, marks in PARITY],
)
def test_equals_keras_applications(name, theirs, size, randomise, relative_difference):
    """Layer names too; 77 is odd at the stem, the pooling and two stages."""
    shape = (size, size, 3)
    theirs = theirs(input_shape=shape, weights=None, classifier_activation=None)
    ours = cnn_keras.build(name, shape, **cnn_keras.get(name).reference_knobs)
    randomise(theirs)
    cnn_keras.copy_by_name(theirs, ours)
    images = np.random.default_rng(1).uniform(-1, 1, (2, *shape)).astype("float32")
    expected = theirs(images)
    assert np.abs(expected).max() > 0.1, "the comparison would be vacuous"
    assert relative_difference(ours(images), expected) < 1e-5
    weighted = [{layer.name for layer in m.layers if layer.weights} for m in (ours, theirs)]
    assert weighted[0] == weighted[1]


def shapes(model, *names):
    return [tuple(model.get_layer(name).output.shape[1:]) for name in names]


def test_feature_maps_of_table_1():
    names = ("conv1_relu", "pool1_pool", "conv2_block3_out", "conv3_block4_out", "conv4_block6_out")
    assert shapes(cnn_keras.build("resnet34"), *names, "conv5_block3_out") == [
        (112, 112, 64),
        (56, 56, 64),
        (56, 56, 64),
        (28, 28, 128),
        (14, 14, 256),
        (7, 7, 512),
    ]
    assert shapes(cnn_keras.build("resnet50"), *names, "conv5_block3_out") == [
        (112, 112, 64),
        (56, 56, 64),
        (56, 56, 256),
        (28, 28, 512),
        (14, 14, 1024),
        (7, 7, 2048),
    ]


def test_feature_maps_of_the_cifar_networks():
    """Section 4.2: 1 + 2n layers at 32 x 32 with 16 filters, 2n at 16 with 32, 2n at 8 with 64."""
    model = cnn_keras.build("resnet32", num_classes=10)
    names = ("conv1_relu", "conv2_block5_out", "conv3_block5_out", "conv4_block5_out", "avg_pool")
    assert shapes(model, *names) == [(32, 32, 16), (32, 32, 16), (16, 16, 32), (8, 8, 64), (64,)]
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(convolutions) + 1 == 32
    by_width = [sum(c.filters == width for c in convolutions) for width in (16, 32, 64)]
    assert by_width == [11, 10, 10]


def test_where_a_bottleneck_strides():
    at = {
        stride_in: shapes(
            cnn_keras.build("resnet50", (64, 64, 3), stride_in=stride_in, depths=(1, 1, 1, 1)),
            "conv3_block1_1_conv",
            "conv3_block1_2_conv",
        )
        for stride_in in ("1x1", "3x3")
    }
    assert at["1x1"] == [(8, 8, 128), (8, 8, 128)]
    assert at["3x3"] == [(16, 16, 128), (8, 8, 128)]


def test_where_a_stage_of_v2_strides():
    names = ("conv2_block2_out", "conv3_block1_1_conv", "conv3_block1_2_conv", "conv5_block2_out")
    at = {}
    for stride_in in ("last", "1x1", "3x3"):
        model = cnn_keras.build("resnet50_v2", (64, 64, 3), stride_in=stride_in, depths=(2, 2, 2, 2))
        at[stride_in] = [size for size, _, _ in shapes(model, *names)]
    assert at == {"last": [8, 8, 8, 2], "1x1": [16, 8, 8, 2], "3x3": [16, 16, 8, 2]}


DILATED = [
    ("resnet18", {}, 8),
    ("resnet50", {}, 8),
    ("resnet50", {"stride_in": "3x3"}, 8),
    ("resnet20", {}, 1),
    ("resnet50_v2", {}, 8),
    ("resnet50_v2", {"stride_in": "1x1"}, 8),
    ("resnet50_v2", {"stride_in": "3x3"}, 8),
]
SHORT = {"resnet18": 1, "resnet50": 2, "resnet50_v2": 2}  # blocks a stage that are enough


@pytest.mark.parametrize(("name", "knobs", "output_stride"), DILATED)
def test_a_dilated_network_computes_the_same_positions(
    name, knobs, output_stride, randomise, relative_difference
):
    """Same weights, and every n-th position of the denser map is one of the strided network's."""
    if name in SHORT:
        knobs = knobs | {"depths": (SHORT[name],) * 4}
    strided = cnn_keras.build(name, (96, 96, 3), 3, **knobs)
    randomise(strided)
    dense = cnn_keras.build(name, (96, 96, 3), 3, output_stride=output_stride, **knobs)
    dense.set_weights(strided.get_weights())
    images = np.random.default_rng(0).uniform(-1, 1, (1, 96, 96, 3)).astype("float32")

    def features(model):
        return keras.Model(model.input, model.get_layer("avg_pool").input)(images)

    coarse, fine = features(strided), features(dense)
    assert fine.shape[1] == 96 // output_stride
    step = fine.shape[1] // coarse.shape[1]
    assert step > 1
    assert relative_difference(fine[:, ::step, ::step], coarse) < 1e-5


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet50_v2", "resnet20"])
def test_zero_init_residual_makes_blocks_shortcuts(name):
    """Blocks without a projection pass their input on, through the activation behind them."""
    knobs = {} if name == "resnet20" else {"depths": (3, 1, 1, 1)}
    model = cnn_keras.build(name, (32, 32, 3), 3, zero_init_residual=True, **knobs)
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    before, after = keras.Model(
        model.input, [model.get_layer(f"conv2_block{i}_out").output for i in (1, 2)]
    )(images)
    if name.endswith("v2"):  # the second of three blocks: the third one strides
        np.testing.assert_array_equal(before, after)
    else:
        np.testing.assert_array_equal(np.maximum(before, 0), after)
    assert np.abs(after).max() > 0


def test_shortcut_a_is_every_second_pixel_and_zeros():
    model = cnn_keras.build("resnet20", (8, 8, 3), 3, zero_init_residual=True)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    before, after = keras.Model(
        model.input, [model.get_layer(f"conv{stage}_out").output for stage in ("2_block3", "3_block1")]
    )(images)
    np.testing.assert_array_equal(after[..., :16], before[:, ::2, ::2])
    np.testing.assert_array_equal(after[..., 16:], np.zeros((2, 4, 4, 16)))


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet20", "resnet50_v2"])
@pytest.mark.parametrize("shortcut", ["A", "B", "C"])
def test_projections(name, shortcut):
    knobs = {} if name == "resnet20" else {"depths": (2, 2, 2, 2)}
    model = cnn_keras.build(name, (32, 32, 3), 3, shortcut=shortcut, **knobs)
    names = [layer.name for layer in model.layers]
    blocks = {n.rsplit("_", 1)[0] for n in names if n.endswith("_out")}
    widening = {"resnet18": 3, "resnet50": 4, "resnet20": 2, "resnet50_v2": 4}[name]
    expected = {"A": 0, "B": widening, "C": len(blocks)}[shortcut]
    assert sum(n.endswith("_0_conv") for n in names) == expected


def test_shortcut_a_survives_saving(tmp_path, randomise, relative_difference):
    """In plain Keras: zeros are put behind the channels by a stock operation."""
    model = cnn_keras.build("resnet20", (32, 32, 3), 3)
    randomise(model)
    layers.to_stock(model).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    assert relative_difference(loaded(images), model(images)) < 1e-5


@pytest.mark.parametrize("name", ["resnet18", "resnet50_v2"])
def test_pooling(name):
    """Padded by hand: a 3x3 window at stride 2 with one zero before the first pixel."""
    kinds = {"max": np.max, "average": np.mean}
    images = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype("float32")
    for kind, reduce in kinds.items():
        model = cnn_keras.build(name, (32, 32, 3), 3, pooling=kind, depths=(1, 1, 1, 1))
        before, after = keras.Model(
            model.input, [model.get_layer("pool1_pad").input, model.get_layer("pool1_pool").output]
        )(images)
        padded = np.pad(before, [(0, 0), (1, 1), (1, 1), (0, 0)])
        np.testing.assert_allclose(after[:, 0, 3], reduce(padded[:, 0:3, 6:9], axis=(1, 2)), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "knobs", "message"),
    [
        ("resnet50", {"shortcut": "D"}, "shortcut must be A, B or C, not D"),
        ("resnet50", {"stride_in": "last"}, "stride_in must be 1x1 or 3x3"),
        ("resnet50_v2", {"stride_in": "5x5"}, "stride_in must be last, 1x1 or 3x3"),
        ("resnet50", {"output_stride": 4}, "output_stride must be 8, 16 or 32, not 4"),
        ("resnet20", {"output_stride": 8}, "output_stride must be 1, 2 or 4"),
        ("resnet20", {"depth": 21}, "6n \\+ 2"),
        ("resnet50", {"depths": (3, 4)}, "depths must be 4 numbers"),
        ("resnet50_v2", {"depths": (3, 4)}, "depths must be 4 numbers"),
        ("resnet50", {"pooling": "median"}, "pooling must be max or average"),
        ("resnet18", {"zero_init_residual": True, "normalization": "none"}, "needs a normalization"),
    ],
)
def test_wrong_switches_say_what_is_right(name, knobs, message):
    with pytest.raises(ValueError, match=message):
        cnn_keras.build(name, (32, 32, 3), 3, **knobs)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet50_v2"])
def test_any_size_and_odd_ones(name, randomise):
    """Shortcut and branch agree on the size of the map at every stage, whatever its input."""
    model = cnn_keras.build(name, (None, None, 3), 3, depths=(2, 2, 2, 2))
    randomise(model)
    for height, width in ((32, 33), (45, 51), (61, 38)):
        images = np.random.default_rng(0).normal(size=(1, height, width, 3)).astype("float32")
        assert np.isfinite(model(images)).all()


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("resnet50", 483),
        ("resnet50_v2", 483),
        pytest.param("resnet101", 1027, marks=slow),
        pytest.param("resnet152", 1507, marks=slow),
    ],
)
def test_published_receptive_fields(name, pixels):
    """Araujo et al. (Distill 2019), table 1, of networks that stride elsewhere but see the same."""
    last = "post_relu" if name.endswith("v2") else "conv5_block3_out"
    row = next(row for row in analysis.rows(cnn_keras.build(name)) if row.name == last)
    assert (row.field.size, row.field.stride) == (pixels, 32)
