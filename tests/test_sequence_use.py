"""The sequence classifiers in use: trained, converted, in mixed precision."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnn_keras
from cnn_keras.preprocessing import assemble
from training.engine import plan
from training.phone import export, inspect
from training.phone.convert import KINDS
from training.phone.engines import tflite_engine
from training.runs.command import InputError
from training.runs.model import in_float32

NAMES = ("tdnn", "ar", "narx", "rnn", "lstm", "gru")
BOTH_WAYS = {"bidirectional": True, "layers": 2}


def pictures(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def converted(name, size, knobs, kind, folder, randomise):
    """Return a network with raw pixels in, and an engine over its TFLite file of `kind`."""
    network = cnn_keras.build(name, (size, size, 1), 10, **knobs)
    randomise(network)
    model = assemble(network, "unit")
    calibration = np.random.default_rng(1).integers(0, 256, (30, size, size, 1), np.uint8)
    files = {k: folder / f"{k}.tflite" for k in KINDS}
    export.write_tflite(model, calibration, files)
    path = files[kind]
    foreign = [o for o in inspect.operators(path) if o.startswith(("CUSTOM", "FLEX", "WHILE"))]
    assert not foreign
    return model, path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "knobs"),
    [
        ("lstm", {"units": 16}),
        *((name, {}) for name in NAMES if name != "lstm"),
        *((name, BOTH_WAYS) for name in ("rnn", "lstm", "gru")),
    ],
)
def test_tflite(name, knobs, tmp_path, randomise, relative_difference):
    """Builtin operators and no loops; float32 agrees; int8 has no floats left."""
    model, path = converted(name, 16, knobs, "float32", tmp_path, randomise)
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 1), np.uint8)
    expected = tf.nn.softmax(model(images.astype("float32")))
    assert relative_difference(tflite_engine(path)(images), expected) < 1e-4
    assert inspect.float_tensors(tmp_path / "int8.tflite") == []


def test_mixed_precision_is_taken_out_of_the_cells_too(relative_difference):
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = cnn_keras.build("lstm", (16, 16, 1), 3, **BOTH_WAYS)
        outputs = [cnn_keras.build(name, (16, 16, 1), 3)(pictures(1, 16, 16, 1)) for name in NAMES]
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert {output.dtype for output in outputs} == {tf.float32}
    exact = in_float32(mixed)
    plain = cnn_keras.build("lstm", (16, 16, 1), 3, **BOTH_WAYS)
    plain.set_weights(mixed.get_weights())
    images = pictures(2, 16, 16, 1)
    assert relative_difference(exact(images), plain(images)) == 0


def test_gradients_of_recurrent_networks_are_clipped():
    recurrent = [name for name in NAMES if plan.is_recurrent(cnn_keras.build(name, num_classes=10))]
    assert recurrent == ["narx", "rnn", "lstm", "gru"]
    assert plan.is_recurrent(cnn_keras.build("rnn", num_classes=10, bidirectional=True))


def test_a_head_that_is_no_linear_layer_is_not_trained_alone():
    choices = plan.Choices(32, 1, "unit", "none", True, 10, True, "sgd", 1e-3, 0.0, None, "float32")
    for name, alone in (("lstm", True), ("ar", False), ("narx", False)):
        network = cnn_keras.build(name, num_classes=10)
        assert plan.adapt(choices, network).train_head is alone
    with pytest.raises(InputError, match="last layer of narx"):
        plan.adapt(dataclasses.replace(choices, epochs=0), network)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "least"),
    [("tdnn", 0.9), ("ar", 0.8), ("narx", 0.65), ("rnn", 0.85), ("lstm", 0.9), ("gru", 0.9)],
)
def test_a_short_fit_learns_digits(name, least, cli, tmp_path):
    words = ("training.fit", "--arch", name, "--epochs", 15, "--out", tmp_path, "--name", "run")
    process = cli(*words, "--export", "none")
    assert process.returncode == 0, process.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test"]["top1"] > least
    process = cli("training.evaluate", tmp_path / "run")  # the weights are found again
    assert process.returncode == 0, process.stderr
