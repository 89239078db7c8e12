"""Softmax regression and the perceptron, computed again with NumPy."""

import keras
import numpy as np
import pytest

import cnn_keras


def test_linear_is_one_matrix(randomise):
    model = cnn_keras.build("linear", (5, 4, 3), 7)
    randomise(model)
    images = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype("float32")
    kernel, bias = model.get_layer("predictions").get_weights()
    assert kernel.shape == (5 * 4 * 3, 7)
    np.testing.assert_allclose(
        model(images), images.reshape(2, -1) @ kernel + bias, rtol=1e-5, atol=1e-5
    )


def test_mlp_is_matrices_and_sigmoids(randomise):
    model = cnn_keras.build("mlp", (5, 4, 3), 7, hidden=(6, 5))
    randomise(model)
    images = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype("float32")
    x = images.reshape(2, -1)
    for name in ("hidden1", "hidden2", "predictions"):
        kernel, bias = model.get_layer(name).get_weights()
        x = x @ kernel + bias
        if name != "predictions":
            x = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(model(images), x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("hidden", [(), (30,), [9, 8, 7]])
def test_hidden_sizes(hidden):
    model = cnn_keras.build("mlp", (4, 4, 1), 3, hidden=hidden)
    dense = [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert dense == [*hidden, 3]


def test_dropout_follows_each_hidden_layer():
    model = cnn_keras.build("mlp", (4, 4, 1), 3, dropout=0.2)
    names = [layer.name for layer in model.layers]
    assert [n for n in names if "dropout" in n] == ["hidden1_dropout", "dropout"]
    assert names.index("hidden1_dropout") == names.index("hidden2") - 1
    assert all(layer.rate == 0.2 for layer in model.layers if isinstance(layer, keras.layers.Dropout))


@pytest.mark.parametrize("hidden", [300, (3, 0), ("a",), (2.5,)])
def test_wrong_hidden_sizes(hidden):
    with pytest.raises(ValueError, match="hidden must be a tuple"):
        cnn_keras.build("mlp", hidden=hidden)


@pytest.mark.parametrize("name", ["linear", "mlp", "lenet5", "lenet", "alexnet", "alexnet_owt", "vgg11"])
def test_an_open_size_is_refused(name):
    with pytest.raises(ValueError, match="fixed height and"):
        cnn_keras.build(name, (None, None, cnn_keras.get(name).channels))


@pytest.mark.parametrize("name", ["mlp", "lenet5"])
def test_prelu_behind_fully_connected_layers_has_a_slope_a_unit(name):
    model = cnn_keras.build(name, (32, 32, 1), 10, activation="prelu")
    slopes = [layer.alpha.shape for layer in model.layers if isinstance(layer, keras.layers.PReLU)]
    assert slopes == {"mlp": [(300,), (100,)], "lenet5": [(1, 1, 6), (1, 1, 16), (120,), (84,)]}[name]
