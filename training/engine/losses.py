"""Loss and accuracy of classes that are numbers, or shares of several classes as mixed pictures have.

Which of the two it is shows in the number of axes: labels are int (batch,), shares float (batch,
classes). So a fit can train on shares and be validated on labels.
"""

import keras
from keras import ops


class CrossEntropy(keras.losses.Loss):
    """Cross-entropy between labels or shares and logits, in nats; the mean over the batch."""

    def call(self, y_true, y_pred):
        """Return the cross-entropy of each picture."""
        if len(y_true.shape) == len(y_pred.shape):
            return keras.losses.categorical_crossentropy(y_true, y_pred, from_logits=True)
        return keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)


def accuracy(y_true, y_pred):
    """Tell for each picture whether the likeliest class is the label, or the one of largest share."""
    if len(y_true.shape) == len(y_pred.shape):
        y_true = ops.argmax(y_true, axis=-1)
    right = ops.equal(ops.cast(y_true, "int32"), ops.cast(ops.argmax(y_pred, axis=-1), "int32"))
    return ops.cast(right, keras.config.floatx())
