"""Augmentation: policies as tables of stateless operations on one picture.

An operation takes a picture, uint8 (height, width, channels), 0..255, a seed, int32 (2,), and its
arguments, and returns a picture of the same shape. The seed alone decides what happens.
"""

import math
from collections.abc import Callable

import tensorflow as tf

Operation = Callable[..., tf.Tensor]


def flip(image: tf.Tensor, seed: tf.Tensor, probability: float = 0.5) -> tf.Tensor:
    """Mirror left and right."""
    mirrored = tf.random.stateless_uniform((), seed) < probability
    return tf.cond(mirrored, lambda: tf.reverse(image, [1]), lambda: image)


def shift(image: tf.Tensor, seed: tf.Tensor, share: float) -> tf.Tensor:
    """Shift by whole pixels, up to `share` of each side; what comes in is the mirrored border."""
    height, width, channels = image.shape
    rows, columns = int(height * share), int(width * share)
    padded = tf.pad(image, [[rows, rows], [columns, columns], [0, 0]], "REFLECT")
    places = tf.constant([2 * rows + 1, 2 * columns + 1], tf.float32)
    corner = tf.cast(tf.random.stateless_uniform((2,), seed) * places, tf.int32)
    return tf.slice(padded, [corner[0], corner[1], 0], [height, width, channels])


def shift_rotate(image: tf.Tensor, seed: tf.Tensor, share: float, degrees: float) -> tf.Tensor:
    """Shift by up to `share` of each side and rotate about the centre by up to `degrees`, over black."""
    height, width, _ = image.shape
    dx, dy, turn = tf.unstack(tf.random.stateless_uniform((3,), seed, -1.0, 1.0))
    angle = turn * (degrees * math.pi / 180)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    x0, y0 = (width - 1) / 2, (height - 1) / 2
    # the transform maps output to input coordinates
    transform = [
        cosine,
        -sine,
        x0 - cosine * x0 + sine * y0 + dx * share * width,
        sine,
        cosine,
        y0 - sine * x0 - cosine * y0 + dy * share * height,
        0.0,
        0.0,
    ]
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(image, tf.float32)[tf.newaxis],
        transforms=tf.stack(transform)[tf.newaxis],
        output_shape=[height, width],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )
    return tf.cast(tf.round(tf.ensure_shape(moved[0], image.shape)), tf.uint8)


POLICIES: dict[str, tuple[tuple[Operation, dict], ...]] = {
    "none": (),
    # photographs: mirrored half of the time, shifted by up to an eighth of the side
    "light": ((flip, {}), (shift, {"share": 0.125})),
    # characters: never mirrored
    "digits": ((shift_rotate, {"share": 0.08, "degrees": 10.0}),),
}


def augment(image: tf.Tensor, policy: str, seed: tf.Tensor) -> tf.Tensor:
    """Apply a policy to one picture.

    Args:
        image: uint8 (height, width, channels), 0..255.
        policy: A name from `POLICIES`.
        seed: int32 (2,); the same seed gives the same picture.

    Returns:
        uint8 of the same shape.
    """
    for step, (operation, arguments) in enumerate(POLICIES[policy]):
        image = operation(image, tf.random.fold_in(seed, step), **arguments)
    return image
