"""RandAugment and TrivialAugment: operations drawn for each picture on its own.

The fourteen operations are those of the papers. The five that move pixels share one resampling, by the
nearest pixel over mid-grey as in the papers' code. On grey pictures "saturation" is the identity; the
others do what they do on each channel.
"""

from dataclasses import dataclass

import tensorflow as tf

from training.data import colour
from training.data.geometry import matrix, warp

POINTWISE = (
    "identity",
    "autocontrast",
    "equalize",
    "solarize",
    "posterize",
    "saturation",
    "contrast",
    "brightness",
    "sharpness",
)
MOVING = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
OPERATIONS = (*POINTWISE, *MOVING)
MID_GREY = 128


@dataclass(frozen=True)
class Limits:
    """How much each operation does at the largest magnitude.

    Attributes:
        enhance: Change of the factor of saturation, contrast, brightness and sharpness, up or down.
        posterize_bits: Bits taken away.
        degrees: Angle of rotation.
        shear: Tangent of the angle by which an axis leans.
        translate: Shift, as a share of the side.
    """

    enhance: float
    posterize_bits: float
    degrees: float
    shear: float
    translate: float


# Cubuk et al. 2019, arXiv:1909.13719, with the limits of AutoAugment, arXiv:1805.09501, table 6
RAND = Limits(enhance=0.9, posterize_bits=4, degrees=30, shear=0.3, translate=150 / 331)
# Mueller and Hutter 2021, arXiv:2103.10158, the wide space; 32 pixels of their 224
TRIVIAL = Limits(enhance=0.99, posterize_bits=6, degrees=135, shear=0.99, translate=32 / 224)


def rand_augment(image: tf.Tensor, seed: tf.Tensor, count: int = 2, magnitude: float = 0.3) -> tf.Tensor:
    """Apply `count` operations, each drawn from all with equal chances, up or down at random.

    Args:
        image: uint8 (height, width, channels), 0..255.
        seed: int32 (2,), decides.
        count: Operations a picture.
        magnitude: Share of the largest, 0..1; at 0 the ones that have a magnitude do nothing.
    """
    draws = tf.random.stateless_uniform((count, 2), seed)
    for i in range(count):
        amount = tf.where(draws[i, 1] < 0.5, -magnitude, magnitude)
        image = apply(image, _drawn(draws[i, 0]), amount, RAND)
    return image


def trivial_augment(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Apply one operation, drawn from all with equal chances, with a magnitude drawn uniformly."""
    draws = tf.random.stateless_uniform((2,), seed)
    return apply(image, _drawn(draws[0]), 2 * draws[1] - 1, TRIVIAL)


def apply(image: tf.Tensor, operation: tf.Tensor, amount: tf.Tensor, limits: Limits) -> tf.Tensor:
    """Apply one of `OPERATIONS`.

    Args:
        image: uint8 (height, width, channels), 0..255.
        operation: int32 scalar, an index into `OPERATIONS`.
        amount: float32 scalar, -1..1: the share of the limit, and the direction where there are two.
        limits: What 1 means.
    """
    height, width, _ = image.shape
    size = tf.abs(amount)
    factor = 1 + limits.enhance * amount

    def moved() -> tf.Tensor:
        chosen = tf.one_hot(operation - len(POINTWISE), len(MOVING)) * amount
        degrees, shear_x, shear_y, shift_x, shift_y = tf.unstack(chosen)
        transform = matrix(
            height,
            width,
            degrees=degrees * limits.degrees,
            shear_x=shear_x * limits.shear,
            shear_y=shear_y * limits.shear,
            shift_x=shift_x * (limits.translate * width),
            shift_y=shift_y * (limits.translate * height),
        )
        return warp(image, transform, MID_GREY)

    branches = [
        lambda: image,
        lambda: colour.autocontrast(image),
        lambda: colour.equalize(image),
        lambda: colour.solarize(image, 256 * (1 - size)),
        lambda: colour.posterize(image, 8 - tf.cast(tf.round(limits.posterize_bits * size), tf.int32)),
        lambda: colour.adjust_saturation(image, factor),
        lambda: colour.adjust_contrast(image, factor),
        lambda: colour.adjust_brightness(image, factor),
        lambda: colour.adjust_sharpness(image, factor),
        moved,
    ]
    return tf.switch_case(tf.minimum(operation, len(POINTWISE)), branches)


def _drawn(uniform: tf.Tensor) -> tf.Tensor:
    """Turn a number in 0..1 into an index of `OPERATIONS`."""
    return tf.cast(uniform * len(OPERATIONS), tf.int32)
