"""The boxes that crops take, drawn before there are pixels: the decoder of JPEGs wants them first.

A box is int32 (top, left, height, width), pixels of a picture of `height` x `width`. The seed, int (2,),
alone decides it.
"""

import math

import tensorflow as tf

Range = tuple[float, float]
CANDIDATES = 10  # boxes drawn for one crop; the first that fits is taken


def square_box(seed: tf.Tensor, height: int, width: int, size: int) -> tf.Tensor:
    """Draw the box of `random_crop`."""
    if size > min(height, width):
        raise ValueError(f"a crop of {size} does not fit into {height} x {width} pixels")
    places = tf.constant([height - size + 1, width - size + 1], tf.float32)
    corner = tf.cast(tf.random.stateless_uniform((2,), seed) * places, tf.int32)
    return tf.concat([corner, [size, size]], 0)


def area_box(
    seed: tf.Tensor,
    height: int,
    width: int,
    size: int,
    area: Range = (0.08, 1.0),
    aspect: Range = (3 / 4, 4 / 3),
) -> tf.Tensor:
    """Draw the box of `random_resized_crop`, which does not depend on `size`."""
    draws = tf.random.stateless_uniform((4, CANDIDATES), seed)
    areas = height * width * (area[0] + (area[1] - area[0]) * draws[0])
    shapes = tf.exp(math.log(aspect[0]) + math.log(aspect[1] / aspect[0]) * draws[1])
    columns, rows = tf.round(tf.sqrt(areas * shapes)), tf.round(tf.sqrt(areas / shapes))
    fits = (columns >= 1) & (columns <= width) & (rows >= 1) & (rows <= height)
    columns, rows = tf.where(fits, columns, width), tf.where(fits, rows, height)
    top, left = tf.floor(draws[2] * (height - rows + 1)), tf.floor(draws[3] * (width - columns + 1))
    boxes = tf.cast(tf.stack([top, left, rows, columns], 1), tf.int32)
    return boxes[tf.argmax(fits)]


def scale_box(seed: tf.Tensor, height: int, width: int, size: int, scale: Range) -> tf.Tensor:
    """Draw the box of `scale_jitter` in a square picture."""
    draws = tf.random.stateless_uniform((3,), seed)
    scales = scale[0] + (scale[1] - scale[0]) * draws[0]
    crop = tf.cast(tf.round(height / scales), tf.int32)
    corner = tf.cast(draws[1:] * tf.cast(height - crop + 1, tf.float32), tf.int32)
    return tf.stack([corner[0], corner[1], crop, crop])
