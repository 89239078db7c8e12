"""MixUp and CutMix: pictures of a batch mixed with each other, and their targets alike.

Each picture has a share and a box of its own. Its partner is the picture a random number of places
further on; as the order of an epoch is random, that is a random one. Targets are float32 whose mass is
that of the labels: one-hot classes sum to 1 before and after.
"""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from training.data.targets import shares

Targets = Any  # float32 (batch, ...), or a dict or tuple of them for several outputs


@dataclass(frozen=True)
class Mixing:
    """How batches are mixed.

    Attributes:
        mixup: Alpha of MixUp; None for none.
        cutmix: Alpha of CutMix; None for none. Where both are given, each batch gets one of the two.
        num_classes: Of the one-hot targets.
    """

    mixup: float | None
    cutmix: float | None
    num_classes: int

    def __call__(self, images: tf.Tensor, labels: Targets, seed: tf.Tensor) -> tuple[tf.Tensor, Targets]:
        """Mix a batch: uint8 (batch, height, width, channels) and int (batch,), or a structure of it.

        Where pictures may have several labels, these are int (batch, classes): each label is mixed as a
        class is.
        """
        targets = tf.nest.map_structure(lambda y: shares(y, self.num_classes), labels)
        own = tf.random.fold_in(seed, 0)
        if self.mixup and self.cutmix:
            return tf.cond(
                tf.random.stateless_uniform((), tf.random.fold_in(seed, 1)) < 0.5,
                lambda: mix_up(images, targets, own, self.mixup),
                lambda: cut_mix(images, targets, own, self.cutmix),
            )
        if self.mixup:
            return mix_up(images, targets, own, self.mixup)
        return cut_mix(images, targets, own, self.cutmix)


def mix_up(
    images: tf.Tensor, targets: Targets, seed: tf.Tensor, alpha: float
) -> tuple[tf.Tensor, Targets]:
    """Take the mean of each picture and its partner, weighed by shares from Beta(alpha, alpha).

    Zhang et al. 2017, arXiv:1710.09412.

    Args:
        images: uint8 (batch, height, width, channels), 0..255.
        targets: What is mixed alike.
        seed: int32 (2,), decides.
        alpha: The larger, the more of the partner; the paper has 0.1 to 0.4 for ImageNet.

    Returns:
        Pictures, uint8 (rounded), and targets.
    """
    count = tf.shape(images)[0]
    share = beta(alpha, count, tf.random.fold_in(seed, 0))
    places = _places(count, tf.random.fold_in(seed, 1))
    mixed = _weighed(tf.cast(images, tf.float32), share, places)
    return tf.cast(tf.round(mixed), tf.uint8), _mixed_targets(targets, share, places)


def cut_mix(
    images: tf.Tensor, targets: Targets, seed: tf.Tensor, alpha: float
) -> tuple[tf.Tensor, Targets]:
    """Paste a box of the partner into each picture; the targets' shares are those of the areas.

    Yun et al. 2019, arXiv:1905.04899: the box has the shape of the picture and a share of its area from
    Beta(alpha, alpha), a centre anywhere, and is cut at the border.

    Args:
        images: uint8 (batch, height, width, channels), 0..255.
        targets: What is mixed alike.
        seed: int32 (2,), decides.
        alpha: 1 in the paper: every share is as likely.

    Returns:
        Pictures, uint8, and targets.
    """
    count = tf.shape(images)[0]
    height, width = images.shape[1:3]
    places = _places(count, tf.random.fold_in(seed, 1))
    side = tf.sqrt(beta(alpha, count, tf.random.fold_in(seed, 0)))
    centres = tf.random.stateless_uniform((2, count), tf.random.fold_in(seed, 2))
    rows, columns = (
        _between(centre * length, side * length, length)
        for centre, length in zip(tf.unstack(centres), (height, width), strict=True)
    )
    pasted = rows[:, :, tf.newaxis, tf.newaxis] & columns[:, tf.newaxis, :, tf.newaxis]
    share = 1 - tf.reduce_mean(tf.cast(pasted, tf.float32), (1, 2, 3))
    mixed = tf.where(pasted, tf.roll(images, places, 0), images)
    return mixed, _mixed_targets(targets, share, places)


def beta(alpha: float, count: tf.Tensor | int, seed: tf.Tensor) -> tf.Tensor:
    """Draw from Beta(alpha, alpha): float32 (count,), 0..1.

    The share of one of two Gamma variables in their sum. They are drawn as logarithms, because those of
    a small alpha underflow (Marsaglia and Tsang 2000, section 6: a Gamma of alpha + 1 times a power).
    """
    larger = tf.random.stateless_gamma((2, count), tf.random.fold_in(seed, 0), alpha + 1.0)
    uniform = tf.random.stateless_uniform((2, count), tf.random.fold_in(seed, 1), 1e-7, 1.0)
    logarithms = tf.math.log(larger) + tf.math.log(uniform) / alpha
    return tf.sigmoid(logarithms[0] - logarithms[1])


def _places(count: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return how far the partners are: 1 .. count - 1."""
    return 1 + tf.random.stateless_uniform((), seed, 0, tf.maximum(count - 1, 1), tf.int32)


def _between(centres: tf.Tensor, lengths: tf.Tensor, size: int) -> tf.Tensor:
    """Tell which of `size` pixels lie within `lengths` around `centres`: bool (batch, size)."""
    low = tf.round(centres - lengths / 2)[:, tf.newaxis]
    high = tf.round(centres + lengths / 2)[:, tf.newaxis]
    pixels = tf.range(size, dtype=tf.float32)[tf.newaxis]
    return (pixels >= low) & (pixels < high)


def _mixed_targets(targets: Targets, share: tf.Tensor, places: tf.Tensor) -> Targets:
    return tf.nest.map_structure(lambda y: _weighed(y, share, places), targets)


def _weighed(values: tf.Tensor, share: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Return share * values + (1 - share) * those of the partners."""
    values = tf.convert_to_tensor(values)
    share = tf.reshape(share, [-1] + [1] * (values.shape.rank - 1))
    return share * values + (1 - share) * tf.roll(values, places, 0)
