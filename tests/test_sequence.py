"""The sequence classifiers, computed again with NumPy, counted by hand, trained and converted."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnn_keras
from cnn_keras import analysis

NAMES = ("tdnn", "ar", "narx", "rnn", "lstm", "gru")
BOTH_WAYS = {"bidirectional": True, "layers": 2}
CASES = [
    *((name, {}) for name in NAMES),
    *((name, BOTH_WAYS) for name in ("rnn", "lstm", "gru")),
    ("tdnn", {"normalization": "batch", "dropout": 0.3}),
]


def pictures(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def walk(cell, kernel, recurrent, bias, sequence):
    """Run one recurrent layer over float (batch, steps, features); return all its outputs."""
    units = recurrent.shape[0]
    h = c = np.zeros((len(sequence), units))
    outputs = []
    for x in sequence.transpose(1, 0, 2):
        if cell == "rnn":
            h = np.tanh(x @ kernel + h @ recurrent + bias)
        elif cell == "lstm":
            gates = x @ kernel + h @ recurrent + bias
            i, f, g, o = (gates[:, n * units : (n + 1) * units] for n in range(4))
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        else:  # equations 5 to 8 of Cho et al.
            x = x @ kernel + bias
            z = sigmoid(x[:, :units] + h @ recurrent[:, :units])
            r = sigmoid(x[:, units : 2 * units] + h @ recurrent[:, units : 2 * units])
            new = np.tanh(x[:, 2 * units :] + (r * h) @ recurrent[:, 2 * units :])
            h = z * h + (1 - z) * new
        outputs.append(h)
    return np.stack(outputs, axis=1)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_recurrence(cell, randomise, relative_difference):
    model = cnn_keras.build(cell, (6, 3, 2), 4, units=5, layers=1)
    randomise(model)
    images = pictures(2, 6, 3, 2)
    outputs = walk(cell, *model.get_layer(f"{cell}1").get_weights(), images.reshape(2, 6, 6))
    kernel, bias = model.get_layer("predictions").get_weights()
    assert relative_difference(model(images), outputs[:, -1] @ kernel + bias) < 1e-5


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_two_layers_both_ways(cell, randomise, relative_difference):
    """The backward half reads from the bottom; its last step is the top row."""
    model = cnn_keras.build(cell, (6, 3, 2), 4, units=5, **BOTH_WAYS)
    randomise(model)
    images = pictures(2, 6, 3, 2)
    x = images.reshape(2, 6, 6)
    for i in (1, 2):
        weights = model.get_layer(f"{cell}{i}").get_weights()
        forward = walk(cell, *weights[:3], x)
        backward = walk(cell, *weights[3:], x[:, ::-1])
        x = np.concatenate([forward, backward[:, ::-1]], axis=-1)
    kernel, bias = model.get_layer("predictions").get_weights()
    last = np.concatenate([forward[:, -1], backward[:, -1]], axis=-1)
    assert relative_difference(model(images), last @ kernel + bias) < 1e-5


def test_ar_predicts_each_row_from_those_above(randomise, relative_difference):
    model = cnn_keras.build("ar", (9, 10, 2), 4, order=2)
    randomise(model)
    images = pictures(3, 9, 10, 2)
    kernel, bias = model.get_layer("predictors").get_weights()
    (log_precision,) = model.get_layer("predictions").get_weights()
    errors = np.zeros((3, 4))
    for n, rows in enumerate(images.reshape(3, 9, 20)):
        for k in range(4):
            own = slice(20 * k, 20 * (k + 1))
            squares = []
            for t in range(2, 9):
                predicted = rows[t - 2] @ kernel[0, :, own] + rows[t - 1] @ kernel[1, :, own] + bias[own]
                squares.append((rows[t] - predicted) ** 2)
            errors[n, k] = np.mean(squares)
    logits = np.asarray(model(images))
    assert relative_difference(logits, -np.exp(log_precision) * errors) < 1e-5
    np.testing.assert_array_equal(logits.argmax(axis=1), errors.argmin(axis=1))


def test_narx_sees_its_inputs_and_its_outputs(randomise, relative_difference):
    model = cnn_keras.build("narx", (6, 3, 2), 4, units=5, input_delays=2, output_delays=3)
    randomise(model)
    images = pictures(2, 6, 3, 2)
    taps, tap_bias = model.get_layer("taps").get_weights()
    feedback, kernel, bias = model.get_layer("predictions").get_weights()
    assert (taps.shape, feedback.shape) == ((3, 6, 5), (3, 4, 5))
    rows = images.reshape(2, 6, 6)
    probabilities = []
    for t in range(6):
        hidden = tap_bias.copy()
        for delay in range(3):  # taps[2] sees the row itself
            if t - delay >= 0:
                hidden = hidden + rows[:, t - delay] @ taps[2 - delay]
        for delay in range(1, 4):
            if t - delay >= 0:
                hidden = hidden + probabilities[t - delay] @ feedback[delay - 1]
        logits = np.tanh(hidden) @ kernel + bias
        probabilities.append(softmax(logits))
    assert relative_difference(model(images), logits) < 1e-5


def test_tdnn_is_dilated_windows_and_their_mean(randomise, relative_difference):
    model = cnn_keras.build("tdnn", (16, 15, 2), 4, units=5, kernel=2, dilations=(1, 3))
    randomise(model)
    images = pictures(2, 16, 15, 2)
    x = images.reshape(2, 16, 30)
    for i, dilation in ((1, 1), (2, 3)):
        kernel, bias = model.get_layer(f"conv{i}").get_weights()
        x = x[:, :-dilation] @ kernel[0] + x[:, dilation:] @ kernel[1] + bias
        x = np.maximum(x, 0)
    kernel, bias = model.get_layer("predictions").get_weights()
    assert relative_difference(model(images), x.mean(axis=1) @ kernel + bias) < 1e-5


def test_rows_that_a_unit_of_the_tdnn_sees():
    """3 rows; then 2 * 2 more; then 2 * 4 more: by the table, and by the gradient."""
    model = cnn_keras.build("tdnn", activation="tanh")
    rows = {row.name: row for row in analysis.rows(model)}
    assert [rows[f"conv{i}"].field.size for i in (1, 2, 3)] == [3, 7, 15]
    assert [rows[f"conv{i}"].output_shape[0] for i in (1, 2, 3)] == [30, 26, 18]
    assert rows["conv3"].field.centre == 7
    assert math.isinf(rows["avg_pool"].field.size)
    last = keras.Model(model.input, model.get_layer("conv3").output)
    x = tf.constant(pictures(1, 32, 32, 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(last(x)[:, 4])
    seen = np.flatnonzero(np.abs(tape.gradient(y, x)[0, :, :, 0]).max(axis=1) > 0)
    assert (seen.min(), seen.max()) == (4, 18)


@pytest.mark.parametrize("name", ["ar", "narx", "rnn", "lstm", "gru"])
def test_the_others_see_the_whole_picture(name):
    assert math.isinf(analysis.rows(cnn_keras.build(name, num_classes=10))[-1].field.size)


@pytest.mark.parametrize(
    ("name", "knobs", "params", "macs"),
    [
        # pictures of 6 x 5 x 2, so 6 steps of 10 values; 3 classes
        ("tdnn", {"units": 4, "kernel": 2, "dilations": (1, 2)}, 84 + 36 + 15, 5 * 80 + 3 * 32 + 12),
        ("ar", {"order": 2}, 2 * 10 * 30 + 30 + 1, 4 * 2 * 10 * 30),
        ("narx", {"units": 4, "input_delays": 1, "output_delays": 2}, 84 + 24 + 15, 6 * (80 + 24 + 12)),
        ("rnn", {"units": 4, "layers": 1}, 60 + 15, 6 * 4 * 14 + 12),
        ("lstm", {"units": 4}, 4 * 60 + 15, 6 * 4 * 4 * 14 + 12),
        ("gru", {"units": 4}, 3 * 60 + 15, 6 * 3 * 4 * 14 + 12),
        # the second layer sees 8 values; the classifier too
        ("rnn", {"units": 4, **BOTH_WAYS}, 2 * 60 + 2 * 52 + 27, 6 * 2 * 4 * (14 + 12) + 24),
        ("lstm", {"units": 4, **BOTH_WAYS}, 4 * (120 + 104) + 27, 6 * 8 * 4 * (14 + 12) + 24),
        ("gru", {"units": 4, **BOTH_WAYS}, 3 * (120 + 104) + 27, 6 * 6 * 4 * (14 + 12) + 24),
    ],
)
def test_counts_by_hand(name, knobs, params, macs):
    """Built past the catalogue, whose smallest picture is that of the default switches."""
    variant = cnn_keras.get(name)
    model = variant.builder((6, 5, 2), 3, name=name, **{**variant.knobs, **knobs})
    assert analysis.count_params(model) == params
    assert analysis.count_macs(model) == macs


@pytest.mark.parametrize(("name", "knobs"), CASES)
def test_every_weight_has_a_gradient(name, knobs):
    model = cnn_keras.build(name, (16, 16, 1), 3, **knobs)
    images = pictures(6, 16, 16, 1)
    with tf.GradientTape() as tape:
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(
            [0, 1, 2] * 2, model(images, training=True)
        )
    values = [variable.value for variable in model.trainable_variables]
    for variable, gradient in zip(model.trainable_variables, tape.gradient(loss, values), strict=True):
        gradient = np.asarray(gradient)
        assert np.isfinite(gradient).all(), variable.path
        assert np.abs(gradient).max() > 0, variable.path


@pytest.mark.parametrize(("name", "knobs"), CASES)
def test_saved_and_loaded(name, knobs, tmp_path, randomise, relative_difference):
    """As a whole, and as weights alone, which must not swap the directions."""
    model = cnn_keras.build(name, (16, 16, 1), 3, **knobs)
    randomise(model)
    images = pictures(2, 16, 16, 1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert relative_difference(loaded(images), model(images)) == 0
    for suffix in (".weights.h5", ".keras", ".h5"):
        path = tmp_path / f"model{suffix}"
        model.save_weights(path) if suffix == ".weights.h5" else model.save(path)
        other = cnn_keras.build(name, (16, 16, 1), 3, **knobs)
        cnn_keras.load_weights(other, path)
        assert relative_difference(other(images), model(images)) == 0


@pytest.mark.parametrize(
    ("name", "knobs", "message"),
    [
        ("tdnn", {"units": 0}, "units must be a whole number"),
        ("tdnn", {"dilations": (1, 2, 40)}, "see 87 rows; the picture has 32"),
        ("tdnn", {"dilations": 3}, "dilations must be a tuple"),
        ("ar", {"order": 32}, "order must be below the picture's 32 rows"),
        ("ar", {"order": 0}, "order must be a whole number"),
        ("narx", {"input_delays": -1}, "input_delays must be a whole number, 0 or more"),
        ("narx", {"output_delays": 0}, "output_delays must be a whole number"),
        ("lstm", {"layers": 1.5}, "layers must be a whole number"),
        ("gru", {"cell": "lru"}, "cell must be rnn, lstm or gru"),
        ("rnn", {"bidirectonal": True}, "Did you mean bidirectional"),
    ],
)
def test_wrong_switches(name, knobs, message):
    with pytest.raises(ValueError, match=message):
        cnn_keras.build(name, **knobs)


@pytest.mark.parametrize("name", NAMES)
def test_an_open_size_is_refused(name):
    with pytest.raises(ValueError, match="fixed height and"):
        cnn_keras.build(name, (None, None, 1))


def test_dropout_drops_what_the_predictors_see_not_what_they_predict():
    model = cnn_keras.build("ar", (16, 16, 1), 3, dropout=0.5)
    images = pictures(2, 16, 16, 1)
    assert np.abs(np.asarray(model(images, training=True)) - np.asarray(model(images))).max() > 0
    target = model.get_layer("predictions").input[1]
    assert target is model.get_layer("rows").output
