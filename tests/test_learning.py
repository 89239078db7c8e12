"""The networks learn: what the README promises, on real pictures."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

import cnn_keras
from cnn_keras.preprocessing import assemble
from training.engine.optimizers import make_optimizer
from training.engine.schedules import Schedule

SHARED = Path(__file__).parents[2] / "shared" / "data"
WEIGHTS = SHARED / "weights" / "mobilenet_v2_0.35_224_no_top.weights.h5"


@pytest.mark.parametrize(
    ("name", "size", "channels", "knobs"),
    [
        ("lenet5", 32, 1, {}),
        pytest.param(
            *("mobilenet_v2", 32, 3, {"alpha": 0.35, "bn_momentum": 0.9}), marks=pytest.mark.slow
        ),
    ],
)
def test_sixteen_pictures_are_learnt_by_heart(name, size, channels, knobs):
    """Also with labels that mean nothing, and also as they are judged: in inference mode."""
    digits = load_digits().images[:16] * (255 / 16)
    pictures = keras.ops.image.resize(digits[..., np.newaxis].repeat(channels, -1), (size, size))
    labels = np.random.default_rng(0).integers(0, 10, 16)
    variant = cnn_keras.get(name)
    model = assemble(cnn_keras.build(name, (size, size, channels), 10, **knobs), variant.preprocessing)
    steps = 120
    model.compile(
        make_optimizer("adamw", Schedule("cosine", 4e-3, steps, 10), 0.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    before = model.evaluate(pictures, labels, verbose=0, return_dict=True)
    model.fit(pictures, labels, batch_size=16, epochs=steps, verbose=0)
    after = model.evaluate(pictures, labels, verbose=0, return_dict=True)
    assert before["accuracy"] < 0.5
    assert after["accuracy"] == 1.0
    assert after["loss"] < 0.1 < before["loss"]


def accuracy(cli, out, part, *words):
    process = cli("training.fit", *words, "--export", "none", "--out", out, "--name", "run", timeout=900)
    assert process.returncode == 0, process.stderr
    return json.loads((out / "run" / "metrics.json").read_text())[part]["top1"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("lenet5", 0.98), ("mobilenet_v2", 0.985)])
def test_the_digits(cli, tmp_path, name, least):
    assert accuracy(cli, tmp_path, "test", "--arch", name) >= least


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.is_file(), reason="needs photographs and ImageNet weights")
def test_flowers_from_imagenet_weights(cli, tmp_path):
    words = ("--alpha", 0.35, "--weights", WEIGHTS, "--data", SHARED / "flowers")
    assert accuracy(cli, tmp_path, "val", *words) >= 0.86


@pytest.mark.slow
def test_mobilenets_repeat_to_the_byte(cli, tmp_path):
    """Fused BatchNormalization and depthwise convolutions too."""
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        words = ("--alpha", 0.35, "--image-size", 32, "--epochs", 1, "--seed", seed)
        accuracy(cli, tmp_path / name, "test", *words)
    a, b, c = ((tmp_path / n / "run" / "model.weights.h5").read_bytes() for n in "abc")
    assert a == b
    assert a != c
