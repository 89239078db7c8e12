"""Other classifiers on the last feature map."""

import keras
import numpy as np
import pytest

import cnn_keras
from cnn_keras.heads import KINDS
from training.engine import transfer
from training.runs import settings

SMALL = {
    "mobilenet_v2": {"alpha": 0.35},
    "resnet20": {},
    "vgg11": {"hidden": (8, 8), "dropout": 0.0},
    "lenet": {},
}


def pictures(network):
    shape = (3, *network.input_shape[1:])
    return np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")


@pytest.mark.parametrize(
    "name",
    [name if name == "lenet" else pytest.param(name, marks=pytest.mark.slow) for name in SMALL],
)
def test_every_head_by_hand(name, randomise):
    """From the last map, which is the same below all of them."""
    for kind in ("gap", "flatten", "conv1x1"):
        network = cnn_keras.build(name, None if name == "lenet" else (32, 32, 3), 5, head=kind)
        randomise(network)
        layer = network.get_layer("predictions")
        last = "flatten" if kind == "flatten" else "avg_pool"
        below = layer.input if kind == "conv1x1" else network.get_layer(last).input
        images = pictures(network)
        maps = np.array(keras.Model(network.input, below)(images), "float64")
        assert maps.ndim == 4
        kernel, bias = (w.astype("float64") for w in layer.get_weights())
        if kind == "gap":
            expected = maps.mean((1, 2)) @ kernel + bias
        elif kind == "flatten":
            expected = maps.reshape(3, -1) @ kernel + bias
        else:
            expected = (maps @ kernel[0, 0] + bias).mean((1, 2))
        np.testing.assert_allclose(network(images), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_those_of_every_head(kind, randomise):
    """What a head is trained on, times its weights, is what the network says."""
    network = cnn_keras.build("vgg11", (64, 64, 3), 5, head=kind, hidden=(8,), dropout=0.3)
    randomise(network)
    tensor, rate = transfer.head_input(network)
    assert rate == 0.3
    images = pictures(network)
    kernel, bias = network.get_layer("predictions").get_weights()
    found = np.array(keras.Model(network.input, tensor)(images)) @ kernel.reshape(-1, 5) + bias
    np.testing.assert_allclose(found, network(images), rtol=1e-3, atol=1e-4)


def test_the_layers_of_the_papers_head_are_gone_and_named():
    paper = cnn_keras.build("vgg11", (32, 32, 3), 5, hidden=(8, 8))
    network = cnn_keras.build("vgg11", (32, 32, 3), 5, hidden=(8, 8), head="gap")
    assert {"fc1", "fc2"} <= {layer.name for layer in paper.layers}
    assert not {"fc1", "fc2"} & {layer.name for layer in network.layers}
    assert {"fc1", "fc2", "flatten"} <= set(network.replaced)


def test_weights_of_the_papers_network_are_taken_but_for_its_head(tmp_path):
    paper = cnn_keras.build("vgg11", (32, 32, 3), 5, hidden=(8, 8))
    paper.save_weights(tmp_path / "paper.weights.h5")
    network = cnn_keras.build("vgg11", (32, 32, 3), 5, hidden=(8, 8), head="flatten")
    replace = ("predictions", *network.replaced)
    fresh = cnn_keras.load_weights(network, tmp_path / "paper.weights.h5", replace=replace)
    assert fresh == ("predictions",)
    np.testing.assert_array_equal(*(n.get_layer("block5_conv2").kernel for n in (paper, network)))


def test_auxiliary_classifiers_stay():
    network = cnn_keras.build("googlenet", (64, 64, 3), 5, aux=True, head="conv1x1")
    assert set(network.output) == {"logits", "aux1", "aux2"}
    assert network.output["logits"].shape == (None, 5)
    assert "predictions_average" in {layer.name for layer in network.layers}


@pytest.mark.parametrize("name", ["linear", "mlp", "gru", "tdnn", "ar"])
def test_networks_without_a_feature_map_have_no_other_head(name):
    with pytest.raises(ValueError, match=f"{name} classifies no feature map"):
        cnn_keras.build(name, num_classes=5, head="gap")


def test_heads_are_the_choices_of_the_flag():
    assert settings.Fit.__dataclass_fields__["head"].type.__args__ == KINDS
    with pytest.raises(ValueError, match="head must be paper, gap, flatten or conv1x1, not dense"):
        cnn_keras.build("lenet", head="dense")
