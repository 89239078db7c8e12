"""Every network comes back from its `.keras` file as it was: same layers, weights and outputs."""

import keras
import numpy as np
import pytest

import cnn_keras

# as small as the switches allow, with the layers and switches that are special in the family
QUICK = [
    ("linear", 16, {}),
    ("mlp", 16, {"activation": "prelu"}),
    ("lenet5", 32, {"sparse_c3": True}),
    ("lenet", 32, {}),
    ("tdnn", 16, {}),
    ("ar", 16, {}),
    ("narx", 16, {}),
    ("rnn", 16, {}),
    ("lstm", 16, {"bidirectional": True}),
    ("gru", 16, {}),
    ("vgg11", 32, {"hidden": (24, 24)}),
    ("vgg11_lrn", 32, {"hidden": (24,)}),
    ("resnet18", 32, {"depths": (1, 1, 1, 1), "shortcut": "A"}),
    ("resnet50_v2", 32, {"depths": (1, 1, 1, 1)}),
    ("resnet20", 32, {"depth": 8}),
    ("densenet121", 32, {"depths": (1, 1, 1, 1)}),
    ("densenet40_k12", 8, {"depth": 10}),
    ("mobilenet_v1", 32, {"alpha": 0.25, "shallow": True, "normalization": "group"}),
    ("mobilenet_v2", 32, {"alpha": 0.35}),
]
DEEP = [
    ("alexnet", 67, {}),
    ("alexnet_owt", 63, {}),
    *((name, 32, {"hidden": (24,)}) for name in cnn_keras.names("vgg*")),
    ("vgg16", 32, {"hidden": (24,), "fully_convolutional": True, "window": 1}),
    ("googlenet", 64, {"aux": True}),
    ("inception_v2", 64, {}),
    ("inception_v3", 107, {"aux": True}),
    ("inception_v4", 75, {}),
    *((name, 32, {}) for name in cnn_keras.names("resnet*")),
    *((name, 32, {}) for name in cnn_keras.names("densenet???")),
    *((name, 8, {}) for name in cnn_keras.names("densenet*_k*")),
    ("mobilenet_v1", 32, {}),
    ("mobilenet_v2", 32, {"normalization": "layer", "activation": "leaky_relu"}),
]


@pytest.mark.parametrize(
    ("name", "size", "knobs"),
    [*QUICK, *(pytest.param(*row, marks=pytest.mark.slow) for row in DEEP)],
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
    assert {name for name, *_ in QUICK + DEEP} == set(cnn_keras.names())
    quick = {cnn_keras.get(name).family for name, *_ in QUICK}
    deep = {"alexnet", "googlenet", "inception_v2", "inception_v3", "inception_v4"}
    assert quick | deep == {cnn_keras.get(name).family for name in cnn_keras.names()}
