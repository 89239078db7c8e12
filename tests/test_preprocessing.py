"""A network's record names the scaling that its reference was trained with."""

import keras
import numpy as np
import pytest

import cnn_keras
from cnn_keras.preprocessing import scale

APPLICATIONS = "keras.applications."
NAMES = [n for n in cnn_keras.names() if (cnn_keras.get(n).reference or "").startswith(APPLICATIONS)]


def module_of(name):
    """The module of keras.applications that has the reference of our network `name`."""
    theirs = cnn_keras.get(name).reference.removeprefix(APPLICATIONS)
    modules = [getattr(keras.applications, n) for n in dir(keras.applications) if n[0].islower()]
    return next(m for m in modules if theirs in vars(m) and "preprocess_input" in vars(m))


@pytest.mark.parametrize("name", NAMES)
def test_scaling_is_that_of_the_reference(name):
    """Of colours, so that the order of the channels shows."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3)).astype("float32")
    pixels[0, 0, :2] = [[0, 128, 255], [255, 0, 0]]
    image = keras.Input((5, 4, 3))
    model = keras.Model(image, scale(image, cnn_keras.get(name).preprocessing))
    expected = module_of(name).preprocess_input(pixels.copy())
    np.testing.assert_allclose(model(pixels), expected, rtol=1e-5, atol=1e-4)


def test_every_module_with_a_counterpart_is_compared():
    modules = {module_of(name).__name__.rsplit(".", 1)[1] for name in NAMES}
    named = {"densenet", "inception_v3", "mobilenet", "mobilenet_v2"}
    # resnet50 is an older name of resnet, with the same functions
    assert modules - {"resnet", "resnet50"} == named | {"resnet_v2", "vgg16", "vgg19"}
    assert {cnn_keras.get(name).preprocessing for name in NAMES} == {"tf", "torch", "caffe"}
