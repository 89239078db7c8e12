"""Losses and targets by hand, scikit-learn and Keras, and that they are in force in a fit."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax, softmax
from sklearn.metrics import hinge_loss, log_loss
from sklearn.utils.class_weight import compute_class_weight

from training.data.targets import Targets, class_weights
from training.engine import plan, regime
from training.engine.auxiliary import stages
from training.engine.losses import LOSSES, Loss
from training.runs import groups
from training.runs.settings import Fit

CHOICES = plan.Choices(4, 1, "unit", "none", False, 1, False, "sgd", 0.0, 0.0, None, "float32")


@pytest.fixture
def judged():
    """Labels, int (20,), each class at least once, and logits, float32 (20, 5)."""
    rng = np.random.default_rng(0)
    return np.r_[np.arange(5), rng.integers(0, 5, 15)], rng.normal(size=(20, 5)).astype("float32") * 2


def binary(labels, logits):
    truth = np.eye(5)[labels]
    p = 1 / (1 + np.exp(-logits.astype("float64")))
    return -(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean()


def focal(labels, logits):
    p = softmax(logits.astype("float64"), axis=1)[np.arange(20), labels]
    return np.mean(-((1 - p) ** 2) * np.log(p))


BY_HAND = {
    "cross-entropy": lambda y, z: log_loss(y, softmax(z.astype("float64"), axis=1)),
    "class-balanced": lambda y, z: log_loss(y, softmax(z.astype("float64"), axis=1)),  # of the labels
    "binary": binary,
    "focal": focal,
    "hinge": hinge_loss,  # scikit-learn's is Crammer and Singer's too
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_by_hand(name, judged):
    labels, logits = judged
    expected = BY_HAND[name](labels, logits)
    for y in (labels, np.eye(5, dtype="float32")[labels]):
        assert float(Loss(name)(y, logits)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_shares_of_two_classes_are_shares_of_their_losses(name, judged):
    labels, logits = judged
    others = (labels + 1) % 5
    shares = 0.3 * np.eye(5)[labels] + 0.7 * np.eye(5)[others]
    expected = 0.3 * BY_HAND[name](labels, logits) + 0.7 * BY_HAND[name](others, logits)
    assert float(Loss(name)(shares.astype("float32"), logits)) == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_is_keras(judged):
    labels, logits = judged
    _, targets = Targets(5, 0.1)(tf.zeros(20), tf.constant(labels))
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    assert float(Loss()(targets, logits)) == pytest.approx(
        float(theirs(np.eye(5)[labels], logits)), rel=1e-5
    )
    np.testing.assert_allclose(tf.reduce_sum(targets, 1), 1, rtol=1e-6)


def test_balanced_weights_are_scikit_learns(judged):
    labels, _ = judged
    expected = compute_class_weight("balanced", classes=np.arange(5), y=labels)
    np.testing.assert_allclose(class_weights("balanced", labels, 5), expected)


def test_effective_numbers_by_hand():
    """Cui et al., equation 2, of 1 and 1,000 pictures: 1 and 632.3 with beta 0.999."""
    labels = np.r_[0, np.ones(1000, int)]
    rare, common = class_weights("effective", labels, 2)
    assert rare / common == pytest.approx((1 - 0.999**1000) / (1 - 0.999), rel=1e-6)
    assert rare + 1000 * common == pytest.approx(1001)


def test_weights_of_mixed_pictures_are_mixed():
    shares = tf.constant([[0.25, 0.75], [1.0, 0.0]])
    _, targets, weights = Targets(2, 0.2, (3.0, 1.0))(tf.zeros(2), shares)
    np.testing.assert_allclose(weights, [1.5, 3.0])
    np.testing.assert_allclose(targets, [[0.3, 0.7], [0.9, 0.1]], rtol=1e-6)


def network(heads=("logits",)):
    keras.utils.set_random_seed(0)
    image = keras.Input((3,))
    outputs = {name: keras.layers.Dense(5, name=name)(image) for name in heads}
    return keras.Model(image, outputs if len(heads) > 1 else outputs["logits"])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("heads", [("logits",), ("logits", "aux1")])
def test_everything_at_once_is_in_force_in_a_fit(loss, heads, judged):
    """Smoothing, class weights and the loss, of auxiliary heads too; validation on the labels alone."""
    labels, _ = judged
    x = np.random.default_rng(1).normal(size=(20, 3)).astype("float32")
    given = network(heads)
    ((_, model),) = stages(given, 0.3, stage_by_stage=False)
    choices = dataclasses.replace(CHOICES, loss=loss)
    regime.compile_model(model, Fit(), choices, steps=10, steps_an_epoch=1)
    weights = class_weights("balanced", labels, 5)
    batches = tf.data.Dataset.from_tensors((x, labels)).map(Targets(5, 0.1, weights))
    found = model.fit(batches, validation_data=(x, labels), shuffle=False, verbose=0).history
    outputs = given(x) if len(heads) > 1 else {"logits": given(x)}
    smooth = 0.9 * np.eye(5)[labels] + 0.1 / 5
    own = np.array(weights)[labels]

    def weighed(logits):
        """The loss of each picture is linear in its target, so it is that of the classes by hand."""
        each = [[BY_HAND_ONE[loss](k, row) for k in range(5)] for row in np.asarray(logits, "float64")]
        return np.mean(own * (smooth * each).sum(1))

    expected = weighed(outputs["logits"]) + sum(0.3 * weighed(outputs[h]) for h in heads[1:])
    assert found["loss"][0] == pytest.approx(expected, rel=1e-4)
    assert found["val_loss"][0] == pytest.approx(
        BY_HAND[loss](labels, np.asarray(outputs["logits"])), rel=1e-4
    )
    right = (np.asarray(outputs["logits"]).argmax(1) == labels).mean()
    assert found["val_accuracy"][0] == pytest.approx(right)


def _binary_one(k, row):
    truth = np.arange(5) == k
    return np.mean(np.log1p(np.exp(row)) - truth * row)


BY_HAND_ONE = {
    "cross-entropy": lambda k, row: -log_softmax(row)[k],
    "class-balanced": lambda k, row: -log_softmax(row)[k],
    "binary": _binary_one,
    "focal": lambda k, row: -((1 - softmax(row)[k]) ** 2) * log_softmax(row)[k],
    "hinge": lambda k, row: max(0, 1 + np.delete(row, k).max() - row[k]),
}


def test_every_loss_is_a_choice_of_the_command():
    assert set(groups.Loss.__args__) == {"auto", *LOSSES}
