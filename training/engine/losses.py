"""Losses and accuracy of classes that are numbers, or shares of several classes as mixed pictures have.

Which of the two it is shows in the number of axes: labels are int (batch,), shares float (batch,
classes). So a fit can train on shares and be validated on labels.
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


class Loss(keras.losses.Loss):
    """A loss of `LOSSES` between labels or shares and logits; the mean over the batch.

    Args:
        name: A key of `LOSSES`.
    """

    def __init__(self, name: str = "cross-entropy"):
        super().__init__(name=name)

    def call(self, y_true, y_pred):
        """Return the loss of each picture."""
        if len(y_true.shape) != len(y_pred.shape):
            y_true = ops.one_hot(ops.cast(y_true, "int32"), y_pred.shape[-1])
        return LOSSES[self.name](ops.cast(y_true, y_pred.dtype), y_pred)


def accuracy(y_true, y_pred):
    """Tell for each picture whether the likeliest class is the label, or the one of largest share."""
    if len(y_true.shape) == len(y_pred.shape):
        y_true = ops.argmax(y_true, axis=-1)
    right = ops.equal(ops.cast(y_true, "int32"), ops.cast(ops.argmax(y_pred, axis=-1), "int32"))
    return ops.cast(right, keras.config.floatx())
