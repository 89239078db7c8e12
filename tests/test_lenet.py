"""LeNet-5 of 1998: its table, its sub-sampling and its output, against hand computations."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnn_keras
from cnn_keras import analysis
from cnn_keras.lenet import C3_TABLE
from cnn_keras.lenet_layers import EuclideanOutput, SparseConv2D, codes

# Table I of the paper: a row a map of S2, a column a map of C3.
TABLE_I = """
X...XXX..XXXX.XX
XX...XXX..XXXX.X
XXX...XXX..X.XXX
.XXX..XXXX..X.XX
..XXX..XXXX.XX.X
...XXX..XXXX.XXX
"""


def sparse(num_classes=10, **knobs):
    return cnn_keras.build("lenet5", (32, 32, 1), num_classes, sparse_c3=True, **knobs)


def test_connections_of_table_1():
    expected = np.array([[c == "X" for c in line] for line in TABLE_I.split()])
    seen = np.array([[i in row for row in C3_TABLE] for i in range(6)])
    np.testing.assert_array_equal(seen, expected)
    assert seen.sum() == 60


def test_parameters_layer_by_layer():
    """The paper, section II.B: 156, 12, 1,516, 32, 48,120 and 10,164; nothing in the output."""
    model = sparse()
    counts = {row.name: row.params for row in analysis.rows(model) if row.params}
    assert counts == {"C1": 156, "S2": 12, "C3": 1516, "S4": 32, "C5": 48_120, "F6": 10_164}
    assert sum(np.prod(w.shape) for w in model.weights) == 60_000
    assert not model.non_trainable_weights


def test_feature_maps_are_those_of_figure_2():
    shapes = {layer.name: layer.output.shape[1:] for layer in sparse().layers}
    assert shapes["C1"] == (28, 28, 6)
    assert shapes["S2"] == (14, 14, 6)
    assert shapes["C3"] == (10, 10, 16)
    assert shapes["S4"] == (5, 5, 16)
    assert shapes["C5"] == (120,)
    assert shapes["F6"] == (84,)


@pytest.mark.parametrize("use_bias", [True, False])
def test_sparse_convolution_equals_one_with_zeros(use_bias):
    rng = np.random.default_rng(0)
    table = ((0, 2), (1,), (2, 1, 0))
    layer = SparseConv2D(table, (3, 2), strides=2, padding="same", use_bias=use_bias)
    images = rng.normal(size=(2, 9, 8, 3)).astype("float32")
    layer.build(images.shape)
    kernel = rng.normal(size=(3, 2, 6)).astype("float32")
    bias = rng.normal(size=3).astype("float32")
    layer.set_weights([kernel, bias] if use_bias else [kernel])
    dense, connection = np.zeros((3, 2, 3, 3), "float32"), 0
    for output_map, row in enumerate(table):
        for input_map in row:
            dense[:, :, input_map, output_map] = kernel[:, :, connection]
            connection += 1
    expected = tf.nn.conv2d(images, dense, 2, "SAME") + (bias if use_bias else 0)
    np.testing.assert_allclose(layer(images), expected, rtol=1e-5, atol=1e-5)


def test_a_map_of_c3_depends_on_its_maps_only():
    layer = sparse().get_layer("C3")
    x = tf.constant(np.random.default_rng(0).normal(size=(1, 14, 14, 6)), tf.float32)
    for output_map, row in enumerate(C3_TABLE):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(layer(x)[..., output_map])
        touched = np.abs(tape.gradient(y, x)).max(axis=(0, 1, 2)) > 0
        assert tuple(np.flatnonzero(touched)) == tuple(sorted(row))


@pytest.mark.parametrize("table", [((0,), ()), ((0, 0),), ((3,),), ((-1,),)])
def test_a_wrong_table_is_refused(table):
    with pytest.raises(ValueError, match=r"able.* input map"):
        SparseConv2D(table, 3).build((None, 8, 8, 3))


def test_subsampling_is_an_average_a_factor_and_a_bias():
    model = sparse()
    factor, bias = np.arange(1.0, 7.0), np.arange(6.0) - 3
    model.get_layer("S2").set_weights([factor.reshape(1, 1, 6, 1), bias])
    x = np.random.default_rng(0).normal(size=(1, 28, 28, 6)).astype("float32")
    mean = x.reshape(1, 14, 2, 14, 2, 6).mean(axis=(2, 4))
    output = model.get_layer("S2_act")(model.get_layer("S2")(model.get_layer("S2_pool")(x)))
    np.testing.assert_allclose(output, np.tanh(mean * factor + bias), rtol=1e-5, atol=1e-5)


def test_output_is_the_distance_to_a_code():
    layer = EuclideanOutput(10)
    features = np.random.default_rng(0).normal(size=(3, 84)).astype("float32")
    features[1] = codes(10, 84)[4]
    expected = [[-np.sum((f - code) ** 2) for code in codes(10, 84)] for f in features]
    logits = np.asarray(layer(features))
    np.testing.assert_allclose(logits, expected, rtol=1e-5)
    assert logits[1, 4] == 0
    assert logits[1].argmax() == 4


def test_any_two_codes_differ_in_half_of_their_digits():
    words = codes(168, 84)
    assert words.shape == (168, 84)
    assert set(np.unique(words)) == {-1, 1}
    distances = {int((a != b).sum()) for i, a in enumerate(words) for b in words[:i]}
    assert distances == {42, 84}
    assert not (words[:10] == words[:10, :1]).all(axis=1).any(), "no code of ten classes is constant"


def test_more_classes_than_codes():
    with pytest.raises(ValueError, match="168 codes"):
        sparse(num_classes=169)
    with pytest.raises(ValueError, match="no Paley code of 85"):
        codes(10, 85)


def test_the_paper_s_network_learns_digits():
    """60,000 parameters and fixed codes: the loss of 200 digits falls by more than half."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.kron(digits.images[:200, :, :, None] / 16, np.ones((1, 4, 4, 1))).astype("float32")
    model = sparse()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2e-3), loss, jit_compile=False)
    history = model.fit(images, digits.target[:200], batch_size=20, epochs=6, verbose=0)
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]


def test_saved_and_loaded(tmp_path, randomise, relative_difference):
    model = sparse()
    randomise(model)
    model.save(tmp_path / "lenet5.keras")
    loaded = keras.models.load_model(tmp_path / "lenet5.keras")
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 1)).astype("float32")
    assert relative_difference(loaded(images), model(images)) == 0


def test_other_codes_and_float32_under_mixed_precision():
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        model = sparse()
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert model(np.zeros((1, 32, 32, 1), "float32")).dtype == "float32"


@pytest.mark.parametrize(("name", "kind"), [("lenet5", "AveragePooling2D"), ("lenet", "MaxPooling2D")])
def test_pooling(name, kind):
    def kinds(model):
        return {type(layer).__name__ for layer in model.layers if "Pooling" in type(layer).__name__}

    other = {"AveragePooling2D": "max", "MaxPooling2D": "average"}[kind]
    assert kinds(cnn_keras.build(name, num_classes=10)) == {kind}
    assert kinds(cnn_keras.build(name, num_classes=10, pooling=other)) != {kind}
    with pytest.raises(ValueError, match="max or average"):
        cnn_keras.build(name, num_classes=10, pooling="median")


def test_feature_maps_of_the_modern_lenet():
    shapes = {layer.name: layer.output.shape[1:] for layer in cnn_keras.build("lenet").layers}
    assert shapes["pool1"] == (14, 14, 16)
    assert shapes["pool2"] == (5, 5, 32)
    assert shapes["fc1"] == (120,)
    assert shapes["fc2"] == (84,)


def test_the_papers_accuracy_is_that_of_its_own_network():
    """Figure 9 measured the sparse C3; nobody published the network that sees all maps."""
    variant = cnn_keras.get("lenet5")
    assert variant.published_for({}, 32) is None
    assert variant.published_for({"sparse_c3": True}, 32).top1 == 99.05
