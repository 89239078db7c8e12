"""What the tests share."""

import math
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import pytest

from cnn_keras.lazy import quietly_import_keras

quietly_import_keras()

import keras  # noqa: E402


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(0)
    yield
    keras.backend.clear_session()


@pytest.fixture
def randomise():
    """A function that gives every layer of a model weights that carry the signal through.

    In a fresh network it dies out layer by layer (BatchNormalization has mean 0 and variance 1, and the
    kernels of depthwise convolutions are small), and any two networks look equal. Here kernels keep the
    variance (He et al. 2015), with the fan-in of each kernel, and statistics are far from 0 and 1.
    """

    def draw(layer, weight, rng):
        if weight.name in ("gamma", "moving_variance"):
            return rng.uniform(0.5, 1.5, weight.shape)
        if "kernel" in weight.name:
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            fan_in = math.prod(weight.shape[:2] if depthwise else weight.shape[:-1])
            return rng.normal(0, math.sqrt(2 / fan_in), weight.shape)
        return rng.normal(0, 0.1, weight.shape)

    def randomise(model, seed=0):
        rng = np.random.default_rng(seed)
        for layer in model.layers:
            for weight in layer.weights:
                if weight.dtype == "float32":
                    weight.assign(draw(layer, weight, rng))

    return randomise


@pytest.fixture
def relative_difference():
    """max |a - b| / max |b|."""

    def difference(a, b):
        a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
        assert a.shape == b.shape
        return np.abs(a - b).max() / np.abs(b).max()

    return difference
