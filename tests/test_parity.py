"""Outputs equal keras.applications', with its weights and BatchNorm statistics far from fresh."""

import keras
import numpy as np
import pytest

import cnn_keras

MOBILENET_V2 = [0.35, 0.5, 0.75, 1.0, 1.3, 1.4]


@pytest.mark.parametrize("size", [96, 33])
@pytest.mark.parametrize("alpha", MOBILENET_V2)
def test_mobilenet_v2(alpha, size, randomise, relative_difference):
    """Odd sizes too: padding="same" must be their explicit padding."""
    shape = (size, size, 3)
    theirs = keras.applications.MobileNetV2(shape, alpha, weights=None, classifier_activation=None)
    ours = cnn_keras.build("mobilenet_v2", shape, alpha=alpha)
    randomise(theirs)
    cnn_keras.copy_by_name(theirs, ours)
    images = np.random.default_rng(1).uniform(-1, 1, (2, *shape)).astype("float32")
    expected = theirs(images)
    assert np.abs(expected).max() > 0.1, "the comparison would be vacuous"
    assert relative_difference(ours(images), expected) < 1e-5
    weighted = [[layer.name for layer in m.layers if layer.weights] for m in (ours, theirs)]
    assert weighted[0] == weighted[1]


def test_a_changed_kernel_is_noticed(randomise, relative_difference):
    """The comparison above can fail: one kernel off by 1 % shows."""
    model = cnn_keras.build("mobilenet_v2", (96, 96, 3), alpha=0.35)
    randomise(model)
    images = np.random.default_rng(1).uniform(-1, 1, (2, 96, 96, 3)).astype("float32")
    before = model(images)
    for name in ("Conv1", "block_8_expand", "block_15_project", "Conv_1"):
        kernel = model.get_layer(name).kernel
        kernel.assign(kernel * 1.01)
        assert relative_difference(model(images), before) > 1e-3
        kernel.assign(kernel / 1.01)
