"""Every network comes back from its `.keras` file as it was: same layers, weights and outputs."""

import keras
import numpy as np
import pytest
from small_networks import DEEP, SMALL

import cnn_keras

WHOLE = [
    *DEEP,
    *((name, 32, {"hidden": (24,)}) for name in cnn_keras.names("vgg*")),
    *((name, 32, {}) for name in cnn_keras.names("resnet*")),
    *((name, 32, {}) for name in cnn_keras.names("densenet???")),
    *((name, 8, {}) for name in cnn_keras.names("densenet*_k*")),
    ("mobilenet_v1", 32, {}),
    ("mobilenet_v2", 32, {"normalization": "layer", "activation": "leaky_relu"}),
]


@pytest.mark.parametrize(
    ("name", "size", "knobs"),
    [*SMALL, *(pytest.param(*row, marks=pytest.mark.slow) for row in WHOLE)],
)
def test_a_network_comes_back_from_its_file(name, size, knobs, randomise, tmp_path):
    shape = (size, size, cnn_keras.get(name).channels)
    model = cnn_keras.build(name, shape, 7, **knobs)
    randomise(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.name == name
    kinds = [[(type(layer), layer.name) for layer in m.layers] for m in (loaded, model)]
    assert kinds[0] == kinds[1]
    for theirs, ours in zip(loaded.weights, model.weights, strict=True):
        assert theirs.name == ours.name  # the paths of cells in a wrapper begin otherwise
        np.testing.assert_array_equal(theirs, ours, err_msg=ours.path)
    images = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    expected, found = model(images), loaded(images)
    heads = expected if isinstance(expected, dict) else {"logits": expected}
    for head, logits in heads.items():
        logits = np.asarray(logits)
        assert np.isfinite(logits).all()
        assert np.abs(logits[0] - logits[1]).max() > 1e-3, "the comparison would be vacuous"
        np.testing.assert_array_equal(found[head] if isinstance(found, dict) else found, logits)


def test_every_network_is_there():
    """Every family with a small network in every run, but for those that are deep in themselves."""
    assert {name for name, *_ in SMALL + WHOLE} == set(cnn_keras.names())
    families = {cnn_keras.get(name).family for name, *_ in SMALL + DEEP}
    assert families == {cnn_keras.get(name).family for name in cnn_keras.names()}
