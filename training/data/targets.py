"""What a network is taught of the labels of a batch: shares of the classes, and weights of the pictures.

Only training takes them: validation and test are judged on the labels themselves.
"""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

EFFECTIVE = 0.999  # beta of Cui et al. 2019; their table has 0.9 to 0.9999


@dataclass(frozen=True)
class Targets:
    """How labels become targets.

    Attributes:
        num_classes: Number of classes.
        smoothing: Share of every target that is spread over all classes (Szegedy et al. 2015,
            section 7).
        class_weights: Weight of a picture of each class in the loss; None for 1.
    """

    num_classes: int
    smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None

    @property
    def plain(self) -> bool:
        """Whether the labels are taught as they are."""
        return not self.smoothing and self.class_weights is None

    def __call__(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return a batch with its targets and, with class weights, the pictures' weights.

        Args:
            images: Passed through.
            labels: int (batch,), or shares of mixed pictures, float32 (batch, classes).

        Returns:
            Images; targets, float32 (batch, classes), rows summing to 1; weights, float32 (batch,).
        """
        shares = labels if labels.dtype.is_floating else tf.one_hot(labels, self.num_classes)
        targets = (1 - self.smoothing) * shares + self.smoothing / self.num_classes
        if self.class_weights is None:
            return images, targets
        return images, targets, tf.linalg.matvec(shares, tf.constant(self.class_weights, tf.float32))


def class_weights(kind: str, labels: np.ndarray, num_classes: int) -> tuple[float, ...]:
    """Return weights that make up for classes of different sizes; their mean over the pictures is 1.

    Args:
        kind: "balanced": by the inverse of the number of pictures; "effective": by the inverse of the
            effective number of Cui et al. 2019, equation 2, which grows slower than the number.
        labels: int (n,), each class at least once.
        num_classes: Number of classes.
    """
    counts = np.bincount(labels, minlength=num_classes)
    effective = (1 - EFFECTIVE**counts) / (1 - EFFECTIVE)
    weights = 1 / (counts if kind == "balanced" else effective)
    return tuple((weights * counts.sum() / (weights * counts).sum()).tolist())
