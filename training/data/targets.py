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
        own = shares(labels, self.num_classes)
        targets = (1 - self.smoothing) * own + self.smoothing / self.num_classes
        if self.class_weights is None:
            return images, targets
        return images, targets, tf.linalg.matvec(own, tf.constant(self.class_weights, tf.float32))


@dataclass(frozen=True)
class LabelTargets:
    """How the labels of pictures that may have several become targets: each is a yes or a no.

    Attributes:
        smoothing: Share of every target that is spread over yes and no.
        weights: Weight in the loss of a no and of a yes, for each class; None for 1.
    """

    smoothing: float = 0.0
    weights: tuple[tuple[float, float], ...] | None = None

    @property
    def plain(self) -> bool:
        """Whether the labels are taught as they are."""
        return not self.smoothing and self.weights is None

    def __call__(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return a batch with its targets and, where there are some, the weights of each.

        Args:
            images: Passed through.
            labels: int (batch, classes) of 0 and 1, or of mixed pictures float32, 0..1.

        Returns:
            Images; targets, float32 (batch, classes), 0..1; weights, float32 (batch, classes).
        """
        own = tf.cast(labels, tf.float32)
        targets = (1 - self.smoothing) * own + self.smoothing / 2
        if self.weights is None:
            return images, targets
        no, yes = tf.unstack(tf.constant(self.weights, tf.float32), axis=1)
        return images, targets, own * yes + (1 - own) * no


def shares(labels: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Return labels as shares of the classes, float32 (batch, classes), which rows are already.

    Args:
        labels: int (batch,), or numbers (batch, classes).
        num_classes: Number of classes.
    """
    if len(labels.shape) == 2:
        return tf.cast(labels, tf.float32)
    return tf.one_hot(labels, num_classes)


def label_weights(labels: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Return weights by which the pictures with a label and those without it weigh the same.

    For each class they are those of `class_weights("balanced", ...)` between no and yes; 1 for both
    where all pictures have the label, or none.

    Args:
        labels: int (n, classes), 0 and 1.

    Returns:
        For each class the weight of a no and of a yes.
    """
    mixed = labels.any(axis=0) & ~labels.all(axis=0)
    return tuple(
        class_weights("balanced", column, 2) if both else (1.0, 1.0)
        for column, both in zip(labels.T, mixed, strict=True)
    )


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
