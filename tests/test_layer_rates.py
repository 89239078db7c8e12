"""Learning rates of single layers and gradual unfreezing, computed again by hand."""

import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnn_keras
from training.engine import plan, regime, transfer
from training.engine.layer_rates import LayerRates, decayed, layer_wise, thawed
from training.engine.optimizers import OPTIMIZERS, make_optimizer
from training.runs.settings import Fit

LR = 0.1
CHOICES = plan.Choices(
    *(32, 1, "none", "none", False, 1, True, "sgd", LR, 0.0, None, "float32"),
    schedule="constant",
    warmup_epochs=0.0,
)
DEPTHS = {"predictions": 0, "F6": 1, "C5": 2, "C3": 3, "C1": 4}  # blocks of LeNet-5 from its end


def pictures(n=8):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 32, 32, 1)).astype("float32"), rng.integers(0, 10, n)


def weights_of(network):
    return {layer.name: layer.get_weights() for layer in network.layers if layer.weights}


def gradients_of(network, x, y):
    with tf.GradientTape() as tape:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, network(x, training=True))
    variables = network.trainable_variables
    found = dict.fromkeys(layer.name for layer in network.layers if layer.weights)
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        name = variable.path.split("/")[0]
        found[name] = [*(found[name] or []), gradient.numpy()]
    return found


def compiled(network, steps=1, choices=CHOICES, frozen=(), unfreeze_epochs=None, **settings):
    decay = choices.layer_decay
    rates = transfer.layer_rates(
        network, frozen, decay=decay, unfreeze_epochs=unfreeze_epochs, steps=steps
    )
    regime.compile_model(network, Fit(**settings), choices, 100, steps, rates)


@pytest.mark.parametrize("ema", [None, pytest.param(0.9, marks=pytest.mark.slow)])
def test_the_step_of_a_layer_is_its_share_of_the_rate_times_its_gradient(ema):
    network = cnn_keras.build("lenet5", num_classes=10)
    x, y = pictures()
    before, gradients = weights_of(network), gradients_of(network, x, y)
    compiled(network, choices=dataclasses.replace(CHOICES, layer_decay=0.5), ema=ema)
    network.fit(x, y, batch_size=8, epochs=1, verbose=0)
    assert before.keys() == DEPTHS.keys()
    for name, depth in DEPTHS.items():
        after = network.get_layer(name).get_weights()
        for w, g, found in zip(before[name], gradients[name], after, strict=True):
            assert np.abs(g).max() > 1e-6
            np.testing.assert_allclose(found - w, -LR * 0.5**depth * g, rtol=1e-3, atol=1e-7)


def trained(make, names, rate, gradients):
    """Return the weights of layers after a step with each of the gradients."""
    layers = []
    for name in names:
        layer = keras.layers.Dense(3, name=name)
        layer.build((None, 4))
        layer.set_weights([np.linspace(-1, 1, 12).reshape(4, 3), np.ones(3)])
        layers.append(layer)
    variables = [v for layer in layers for v in layer.trainable_variables]
    optimizer = make(rate)
    for gradient in gradients:
        both = [gradient[: math.prod(v.shape)].reshape(v.shape) for v in variables]
        optimizer.apply([tf.constant(g, "float32") for g in both], variables)
    return [np.concatenate([v.numpy().ravel() for v in layer.weights]) for layer in layers]


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("momentum", "adamw", "muon") else pytest.param(name, marks=pytest.mark.slow)
        for name in OPTIMIZERS
    ],
)
def test_a_share_is_the_same_as_an_optimizer_with_that_share_of_the_rate(name):
    """Weight decay included, of every optimizer."""
    gradients = np.random.default_rng(1).normal(size=(3, 12))
    rates = LayerRates({"below": 0.25})
    both = trained(
        lambda lr: make_optimizer(name, lr, 0.5, layer_rates=rates), ("below", "above"), LR, gradients
    )
    for found, rate in zip(both, (LR / 4, LR), strict=True):
        (alone,) = trained(lambda lr: make_optimizer(name, lr, 0.5), ("any",), rate, gradients)
        np.testing.assert_allclose(found, alone, rtol=1e-5, atol=1e-6)
    assert not np.allclose(*both, atol=1e-4)


def test_the_rate_of_a_schedule_is_shared_too():
    """An optimizer that is asked for its rate names that of the head, before and after a step."""
    cls = layer_wise(keras.optimizers.SGD, LayerRates({"below": 0.25}))
    optimizer = cls(LR, weight_decay=0.1)
    layer = keras.layers.Dense(1, name="below")
    layer.build((None, 1))
    for _ in range(2):
        assert float(optimizer.learning_rate) == pytest.approx(LR)
        optimizer.apply([tf.ones((1, 1)), tf.ones(1)], layer.trainable_variables)


def test_decay_by_hand():
    assert decayed([["a", "b"], ["c"], ["d"]], 0.5) == {"a": 0.25, "b": 0.25, "c": 0.5, "d": 1}


def test_the_first_block_of_every_network_has_a_twentieth_of_the_rate_in_fine_tuning():
    for name, blocks in (("lenet5", 5), ("resnet20", 11)):
        network = cnn_keras.build(name, (32, 32, 3), 10)
        choices = dataclasses.replace(CHOICES, layer_decay=None)
        decay = plan.adapt(choices, network).layer_decay
        assert decay ** (blocks - 1) == pytest.approx(0.05, rel=0.02)
        from_scratch = dataclasses.replace(choices, fine_tune=False)
        assert plan.adapt(from_scratch, network).layer_decay == 1
        assert plan.adapt(dataclasses.replace(choices, layer_decay=0.9), network).layer_decay == 0.9


@pytest.mark.parametrize(
    ("blocks", "epochs", "learning"),
    [
        # of the blocks before the head, how many learn in each epoch
        (4, 4, [1, 2, 3, 4]),
        (4, 2, [2, 4]),
        (5, 3, [2, 4, 5]),  # 5/3, 10/3 and 5, rounded up
        (2, 4, [1, 1, 2, 2]),
        (3, 1, [3]),
    ],
)
def test_thawing_by_hand(blocks, epochs, learning):
    names = [[f"block{i}", f"norm{i}"] for i in range(blocks)] + [["head"]]
    starts = thawed(names, epochs, steps=10)
    assert "head" not in starts
    for epoch, count in enumerate(learning):
        from_the_end = {name for block in names[blocks - count : blocks] for name in block}
        assert {name for name, step in starts.items() if step <= epoch * 10} == from_the_end


@pytest.mark.parametrize("optimizer", [pytest.param("momentum", marks=pytest.mark.slow), "adamw"])
def test_blocks_thaw_from_the_end_to_the_beginning(optimizer):
    """LeNet-5 over four epochs: what does not learn yet keeps its very bytes, weight decay or not."""
    network = cnn_keras.build("lenet5", num_classes=10)
    choices = dataclasses.replace(CHOICES, optimizer=optimizer, lr=0.01, weight_decay=0.1)
    compiled(network, steps=2, choices=choices, unfreeze_epochs=4)
    states = [weights_of(network)]
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: states.append(weights_of(network)))
    network.fit(*pictures(), batch_size=4, epochs=5, verbose=0, callbacks=[keep])
    for epoch in range(5):
        before, after = states[epoch : epoch + 2]
        learned = {
            name
            for name in DEPTHS
            if any(not np.array_equal(a, b) for a, b in zip(before[name], after[name], strict=True))
        }
        assert learned == {name for name, depth in DEPTHS.items() if depth <= epoch + 1}


def test_what_does_not_learn_yet_has_no_part_in_the_norm_of_the_gradients():
    rates = LayerRates(starts={"below": 1})
    make = lambda lr: make_optimizer("sgd", lr, 0.0, clip_norm=0.5, layer_rates=rates)  # noqa: E731
    below, above = trained(make, ("below", "above"), 1.0, [np.full(12, 10.0)])
    start = np.r_[np.linspace(-1, 1, 12), np.ones(3)]
    np.testing.assert_array_equal(below, start.astype("float32"))
    assert np.linalg.norm(above - start) == pytest.approx(0.5, rel=1e-4)  # not 0.5 / sqrt(2)


def test_a_resumed_optimizer_goes_on_thawing_where_it_was():
    """Nothing but the count of its steps decides."""
    gradients = [np.ones(12)] * 2
    rates = LayerRates({"below": 0.5}, {"below": 3})

    def resumed(lr):
        optimizer = make_optimizer("sgd", lr, 0.0, layer_rates=rates)
        optimizer.iterations.assign(2)
        return optimizer

    start = np.r_[np.linspace(-1, 1, 12), np.ones(3)]
    (below,) = trained(resumed, ("below",), LR, gradients)
    np.testing.assert_allclose(below, start - LR * 0.5, rtol=1e-5, atol=1e-6)  # one step of two


def test_frozen_blocks_have_no_place_in_the_thawing():
    network = cnn_keras.build("lenet5", num_classes=10)
    frozen = transfer.frozen_layers(network, 2, ())
    assert frozen == ("C1", "C3")
    rates = transfer.layer_rates(network, frozen, decay=1.0, unfreeze_epochs=2, steps=7)
    assert rates.starts == {"F6": 0, "C5": 7}
    assert transfer.layer_rates(network, frozen, decay=1.0, unfreeze_epochs=None, steps=7) is None
