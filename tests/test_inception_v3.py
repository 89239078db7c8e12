"""Inception v3 and keras.applications: outputs and weights."""

import re

import keras
import numpy as np
import pytest

import cnn_keras
from cnn_keras import weights


def pictures(model, count=2, seed=1):
    shape = (count, *model.input_shape[1:])
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype("float32")


def keras_inception_v3(size, classes=1000):
    return keras.applications.InceptionV3(
        input_shape=(size, size, 3), weights=None, classes=classes, classifier_activation=None
    )


@pytest.mark.parametrize("size", [75, 150])
def test_inception_v3_equals_keras_applications(size, randomise, relative_difference):
    """Weights by position: the layers are in the same order."""
    theirs = keras_inception_v3(size)
    randomise(theirs)
    ours = cnn_keras.build("inception_v3", (size, size, 3))
    ours.set_weights(theirs.get_weights())
    expected = theirs(pictures(theirs))
    assert np.abs(expected).max() > 0.1, "the comparison would be vacuous"
    assert relative_difference(ours(pictures(theirs)), expected) < 1e-5


def test_layers_that_keras_applications_names(randomise, relative_difference):
    """It numbers most layers (conv2d_17); those that it names hold the same values here."""
    theirs = keras_inception_v3(75)
    randomise(theirs)
    ours = cnn_keras.build("inception_v3", (75, 75, 3))
    ours.set_weights(theirs.get_weights())
    kinds = (
        "input_layer|conv2d|batch_normalization|activation|max_pooling2d|average_pooling2d|concatenate"
    )
    named = [x.name for x in theirs.layers if not re.fullmatch(rf"({kinds})(_\d+)?", x.name)]
    assert named == [
        *(f"mixed{i}" for i in range(9)),
        "mixed9_0",
        "mixed9",
        "mixed9_1",
        "mixed10",
        *named[-2:],
    ]
    images = pictures(theirs)
    values = [
        keras.Model(m.inputs[0], [m.get_layer(n).output for n in named])(images) for m in (ours, theirs)
    ]
    for mine, expected in zip(*values, strict=True):
        assert relative_difference(mine, expected) < 1e-5


@pytest.mark.parametrize(
    ("suffix", "aux"),
    [
        (".weights.h5", False),
        pytest.param(".weights.h5", True, marks=pytest.mark.slow),
        pytest.param(".h5", False, marks=pytest.mark.slow),
        pytest.param(".keras", False, marks=pytest.mark.slow),
    ],
)
def test_weights_of_keras_applications(tmp_path, suffix, aux, randomise, relative_difference):
    """Its files name the layers conv2d_94 and batch_normalization_94, counted from anywhere."""
    keras.layers.Conv2D(1, 1)  # takes the name "conv2d"
    theirs = keras_inception_v3(75, classes=3)
    randomise(theirs)
    path = tmp_path / f"theirs{suffix}"
    theirs.save_weights(path) if suffix == ".weights.h5" else theirs.save(path)
    assert "conv2d_94" in weights.read(path)
    assert "conv2d" not in weights.read(path)
    ours = cnn_keras.build("inception_v3", (75, 75, 3), 3, aux=aux)
    heads = [layer.name for layer in ours.layers if layer.name.startswith("aux1") and layer.weights]
    kept = cnn_keras.load_weights(ours, path, replace=heads)
    assert len(kept) == (5 if aux else 0)
    logits = cnn_keras.without_auxiliary(ours)(pictures(ours))
    assert relative_difference(logits, theirs(pictures(ours))) < 1e-5


def test_a_file_without_the_classifier_keeps_a_fresh_one(tmp_path):
    source = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=(75, 75, 3))
    source.save_weights(tmp_path / "notop.weights.h5")
    ours = cnn_keras.build("inception_v3", (75, 75, 3), 3)
    kept = cnn_keras.load_weights(ours, tmp_path / "notop.weights.h5", replace=(weights.HEAD,))
    assert kept == ("predictions",)
    for a, b in zip(source.get_weights(), ours.get_weights(), strict=False):
        np.testing.assert_array_equal(a, b)


def test_numbered_layers_of_another_network_are_a_mismatch(tmp_path):
    path = tmp_path / "other.weights.h5"
    image = keras.Input((75, 75, 3))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 3)(image))
    keras.Model(image, x).save_weights(path)
    with pytest.raises(ValueError, match=r"only in the file: conv2d\n"):
        cnn_keras.load_weights(cnn_keras.build("inception_v3", (75, 75, 3)), path)


def test_our_own_weights_of_inception_v3(tmp_path, randomise):
    source = cnn_keras.build("inception_v3", (75, 75, 3), 3)
    randomise(source)
    source.save_weights(tmp_path / "ours.weights.h5")
    target = cnn_keras.build("inception_v3", (75, 75, 3), 3)
    cnn_keras.load_weights(target, tmp_path / "ours.weights.h5")
    assert all(
        np.array_equal(a, b) for a, b in zip(source.get_weights(), target.get_weights(), strict=True)
    )
