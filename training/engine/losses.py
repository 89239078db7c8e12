"""Losses and accuracy of classes that are numbers, or shares of several classes as mixed pictures have.

Which of the two it is shows in the number of axes: labels are int (batch,), shares float (batch,
classes). So a fit can train on shares and be validated on labels.

Where pictures may have several labels, these are (batch, classes) and each is a question of its own.
"""

import keras
from keras import ops

GAMMA = 2.0  # of the focal loss


def _cross_entropy(shares, logits):
    return -ops.sum(shares * ops.log_softmax(logits), axis=-1)


def _binary(shares, logits):
    """Each class against all others by a sigmoid of its own; the mean over the classes."""
    return ops.mean(ops.softplus(logits) - shares * logits, axis=-1)


def _focal(shares, logits):
    """Cross-entropy in which what is right already counts less: (1 - p)^2 (Lin et al. 2017, eq. 4)."""
    log_p = ops.log_softmax(logits)
    return -ops.sum(shares * (1 - ops.exp(log_p)) ** GAMMA * log_p, axis=-1)


def _hinge(shares, logits):
    """How far the best wrong class comes within 1 of the right one (Crammer and Singer 2001)."""
    two = ops.top_k(logits, 2)[0]
    best_other = ops.where(logits >= two[:, :1], two[:, 1:], two[:, :1])
    return ops.sum(shares * ops.relu(1 + best_other - logits), axis=-1)


LOSSES = {
    "cross-entropy": _cross_entropy,
    "binary": _binary,
    "focal": _focal,
    "hinge": _hinge,
    "class-balanced": _cross_entropy,  # with weights of training.data.targets
}


def _each_binary(answers, logits):
    """Binary cross-entropy of each class's sigmoid, (batch, classes)."""
    return ops.softplus(logits) - answers * logits


def _each_focal(answers, logits):
    """The same, weighed by the square of how wrong it is (Lin et al. 2017, eq. 4, without alpha)."""
    p = ops.sigmoid(logits)
    yes, no = ops.softplus(-logits), ops.softplus(logits)
    return answers * (1 - p) ** GAMMA * yes + (1 - answers) * p**GAMMA * no


MULTI_LABEL_LOSSES = {"binary": _each_binary, "focal": _each_focal}


class Loss(keras.losses.Loss):
    """A loss of `LOSSES` between labels or shares and logits; the mean over the batch.

    Args:
        name: A key of `LOSSES`; with `multi_label`, of `MULTI_LABEL_LOSSES`.
        multi_label: Whether pictures may have several labels. The loss is then the mean over the batch
            and the classes, and a weight may be given for each of both.
    """

    def __init__(self, name: str = "cross-entropy", multi_label: bool = False):
        super().__init__(name=name)
        self._multi_label = multi_label

    def call(self, y_true, y_pred):
        """Return the loss of each picture; with several labels, of each class of each."""
        if self._multi_label:
            return MULTI_LABEL_LOSSES[self.name](ops.cast(y_true, y_pred.dtype), y_pred)
        if len(y_true.shape) != len(y_pred.shape):
            y_true = ops.one_hot(ops.cast(y_true, "int32"), y_pred.shape[-1])
        return LOSSES[self.name](ops.cast(y_true, y_pred.dtype), y_pred)


def accuracy(y_true, y_pred):
    """Tell for each picture whether the likeliest class is the label, or the one of largest share."""
    if len(y_true.shape) == len(y_pred.shape):
        y_true = ops.argmax(y_true, axis=-1)
    right = ops.equal(ops.cast(y_true, "int32"), ops.cast(ops.argmax(y_pred, axis=-1), "int32"))
    return ops.cast(right, keras.config.floatx())


def f1(y_true, y_pred):
    """Return for each picture the F1 of its labels, those of a probability of at least 1/2 being told.

    That is 2 |told and true| / (|told| + |true|); 1 where there are none and none are told.
    """
    true, told = ops.greater_equal(y_true, 0.5), ops.greater_equal(y_pred, 0)
    both = _count(ops.logical_and(true, told))
    total = _count(true) + _count(told)
    return ops.where(total > 0, 2 * both / ops.maximum(total, 1), 1.0)


def exact_match(y_true, y_pred):
    """Tell for each picture whether the labels told are all of the true ones and no others."""
    same = ops.equal(ops.greater_equal(y_true, 0.5), ops.greater_equal(y_pred, 0))
    return ops.cast(ops.all(same, axis=-1), keras.config.floatx())


def _count(found):
    return ops.sum(ops.cast(found, keras.config.floatx()), axis=-1)


def metrics(multi_label: bool) -> list:
    """Return what is measured each epoch; by the first, a share of the pictures, the best is chosen."""
    return [exact_match, f1] if multi_label else [accuracy]
