"""Switches that several families share: they reach the layers, and a wrong value is refused."""

import keras
import numpy as np
import pytest

import cnn_keras
from cnn_keras import registry

# One network a family, at the smallest size; the deep ones are slow to build.
QUICK = {
    "tdnn": {},
    "mobilenet_v1": {"alpha": 0.25},
    "mobilenet_v2": {"alpha": 0.35},
    "googlenet": {},
    "resnet18": {},
    "resnet20": {"depth": 8},
    "densenet40_k12": {"depth": 7},
    "vgg11_bn": {"hidden": ()},
    "resnet50_v2": {"depths": (1, 1, 1, 1)},
    "densenet121": {"depths": (1, 1, 1, 1)},
}
SLOW = {"inception_v2": {}, "inception_v3": {}, "inception_v4": {}}
NETWORKS = [
    *(pytest.param(name, knobs, id=name) for name, knobs in QUICK.items()),
    *(pytest.param(name, knobs, id=name, marks=pytest.mark.slow) for name, knobs in SLOW.items()),
]


def build(name, **knobs):
    variant = cnn_keras.get(name)
    return cnn_keras.build(name, (variant.min_size, variant.min_size, variant.channels), 3, **knobs)


def families(switch):
    variants = (registry.get(name) for name in cnn_keras.names())
    return {variant.builder for variant in variants if switch in variant.available_knobs}


@pytest.mark.parametrize("switch", ["normalization", "bn_momentum"])
def test_every_family_with_a_normalization_is_here(switch):
    assert families(switch) == {registry.get(name).builder for name in (*QUICK, *SLOW)}


@pytest.mark.parametrize(("name", "knobs"), NETWORKS)
def test_bn_momentum_reaches_every_layer(name, knobs):
    model = build(name, normalization="batch", bn_momentum=0.7, **knobs)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert norms
    assert {layer.momentum for layer in norms} == {0.7}


@pytest.mark.parametrize("name", ["mobilenet_v2", "tdnn"])
@pytest.mark.parametrize("momentum", [-3.0, -0.001, 1.001, float("nan")])
def test_a_momentum_out_of_range_is_refused(name, momentum):
    with pytest.raises(ValueError, match=rf"bn_momentum must be from 0 to 1, not {momentum}"):
        build(name, bn_momentum=momentum)


@pytest.mark.parametrize("momentum", [0, 1])
def test_the_ends_of_the_range_are_in_it(momentum):
    assert build("tdnn", normalization="batch", bn_momentum=momentum)


@pytest.mark.parametrize(
    ("name", "knobs"),
    [("resnet18", {}), ("resnet18", {"torchvision": True}), ("resnet50", {}), ("resnet50_v2", {})],
)
def test_an_unknown_place_of_the_stride_is_refused(name, knobs):
    """In networks of basic blocks too, and where torchvision=True decides it."""
    with pytest.raises(ValueError, match=r"stride_in must be .*1x1.* or 3x3, not banana"):
        build(name, stride_in="banana", **knobs)


HEADS = {name: knobs for name, knobs in QUICK.items() if name not in ("tdnn", "googlenet")}


@pytest.mark.parametrize(("name", "knobs"), HEADS.items(), ids=HEADS)
def test_the_initializer_reaches_the_head(name, knobs):
    model = build(name, initializer="zeros", **knobs)
    assert not np.any(model.get_layer("predictions").kernel)


@pytest.mark.parametrize(("name", "knobs"), HEADS.items(), ids=HEADS)
def test_the_head_is_drawn_from_glorot_as_a_rule(name, knobs):
    """As in keras.applications: uniform up to sqrt(6 / (features + classes)), He's networks included."""
    kernel = np.asarray(build(name, **knobs).get_layer("predictions").kernel)
    limit = np.sqrt(6 / sum(kernel.shape))
    assert np.abs(kernel).max() <= limit
    assert np.abs(kernel).max() > 0.9 * limit
