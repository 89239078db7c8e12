"""What the switches of `layers.Style` compute, against NumPy; and that they reach every layer."""

import math

import keras
import numpy as np
import pytest
from small_networks import DEEP, SMALL

import cnn_keras
from cnn_keras.layers import Style

EPSILON = 0.01  # large enough to show where it is added
erf = np.vectorize(math.erf)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "prelu": lambda x: np.where(x > 0, x, x * [0.5, -1.0, 2.0]),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    "gelu": lambda x: x * (1 + erf(x / math.sqrt(2))) / 2,
    "silu": lambda x: x * sigmoid(x),
    "softplus": lambda x: np.log1p(np.exp(x)),
}


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activation(kind):
    x = np.linspace(-8, 8, 2 * 4 * 5 * 3, dtype="float32").reshape(2, 4, 5, 3)
    image = keras.Input((4, 5, 3))
    model = keras.Model(image, Style(activation=kind).act(image, "act"))
    if kind == "prelu":
        model.get_layer("act").alpha.assign([[[0.5, -1.0, 2.0]]])
    np.testing.assert_allclose(model(x), ACTIVATIONS[kind](x.astype("float64")), rtol=1e-5, atol=1e-6)


def test_unknown_activation():
    with pytest.raises(ValueError, match="reluu"):
        Style(activation="reluu").act(keras.Input((4, 4, 3)), "act")


def standardised(x, axis):
    """`x` with mean 0 and, but for EPSILON, variance 1 over the axes."""
    mean = x.mean(axis, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(axis, keepdims=True) + EPSILON)


def grouped(x, groups):
    """Standardised over the pixels and the neighbouring channels of each group of each picture."""
    n, height, width, channels = x.shape
    parts = x.reshape(n, height, width, groups, channels // groups)
    return standardised(parts, (1, 2, 4)).reshape(x.shape)


@pytest.mark.parametrize(
    ("kind", "channels", "expected"),
    [
        ("none", 8, lambda x: x),
        ("batch", 8, lambda x: standardised(x, (0, 1, 2))),
        ("layer", 8, lambda x: standardised(x, 3)),
        ("group", 64, lambda x: grouped(x, 32)),
        ("group", 48, lambda x: grouped(x, 16)),  # 32 does not divide 48
        ("group", 12, lambda x: grouped(x, 4)),
        ("group", 8, lambda x: grouped(x, 8)),
    ],
)
def test_normalization(kind, channels, expected):
    """In training; with another mean and deviation in each channel, pixel and picture."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 4, 5, channels)) * rng.uniform(0.5, 3, (3, 4, 5, channels))
    x = x + rng.normal(0, 2, (3, 1, 1, 1)) + rng.normal(0, 2, (1, 4, 5, 1)) + rng.normal(0, 2, channels)
    image = keras.Input(x.shape[1:])
    style = Style(normalization=kind, epsilon=EPSILON, bn_momentum=0.7)
    model = keras.Model(image, style.norm(image, "norm"))
    wanted = expected(x)
    if kind != "none":
        gamma, beta = rng.uniform(0.5, 1.5, channels), rng.normal(size=channels)
        layer = model.get_layer("norm")
        layer.gamma.assign(gamma)
        layer.beta.assign(beta)
        wanted = wanted * gamma + beta
    np.testing.assert_allclose(model(x.astype("float32"), training=True), wanted, rtol=1e-4, atol=1e-4)
    if kind == "batch":
        np.testing.assert_allclose(layer.moving_mean, 0.3 * x.mean((0, 1, 2)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["batch", "layer", "group"])
def test_the_factor_starts_at_zero_where_asked(kind):
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 4)).astype("float32")
    style = Style(normalization=kind)
    assert np.abs(style.norm(x, "zero", gamma="zeros")).max() == 0
    assert np.abs(style.norm(x, "one")).max() > 0


@pytest.mark.parametrize(
    ("name", "size", "knobs"),
    [*SMALL, *DEEP[:-1], pytest.param(*DEEP[-1], marks=pytest.mark.slow)],
)
def test_switches_reach_every_layer(name, size, knobs):
    variant = cnn_keras.get(name)
    chosen = {"initializer": "zeros", "activation": "elu", "normalization": "group"}
    style = {knob: value for knob, value in chosen.items() if knob in variant.available_knobs}
    assert "initializer" in style
    model = cnn_keras.build(name, (size, size, variant.channels), 7, **knobs | style)
    layers = [layer for layer in model._flatten_layers(include_self=False) if not list(layer._layers)]
    kernels = {w.path: w for layer in layers for w in layer.weights if w.name.endswith("kernel")}
    assert len(kernels) > (name not in ("linear", "ar"))
    other = {path for path, kernel in kernels.items() if np.abs(kernel).max() > 0}
    other = {path for path in other if not path.endswith("/recurrent_kernel")}  # orthogonal
    if name == "lenet5":  # its trainable pooling starts as plain pooling
        other -= {"S2/kernel", "S4/kernel"}
    assert other == set()
    if "activation" in style:
        assert not [layer for layer in layers if isinstance(layer, keras.layers.ReLU)]
        used = {
            layer.activation.__name__
            for layer in layers
            if getattr(layer, "activation", None) not in (None, keras.activations.linear)
        }
        assert "elu" in used
        assert used <= {"elu"}, used
    if "normalization" in style:
        groups = [layer for layer in layers if isinstance(layer, keras.layers.GroupNormalization)]
        assert groups
        for layer in groups:
            assert layer.groups == math.gcd(32, layer.input.shape[-1])
        assert not [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
