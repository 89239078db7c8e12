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
    limits = tf.constant([[height], [width]], tf.float32)
    # sides are sqrt(area / aspect) and sqrt(area * aspect); both as one tensor: operations are the cost
    least, span = math.log(aspect[0]), math.log(aspect[1] / aspect[0])
    shapes = tf.exp((least + span * draws[1]) * tf.constant([[-1.0], [1.0]]))
    pixels = height * width * area[0] + height * width * (area[1] - area[0]) * draws[0]
    sides = tf.round(tf.sqrt(pixels * shapes))
    fits = tf.reduce_all((sides >= 1) & (sides <= limits), 0)
    first = tf.argmax(fits)
    sides = tf.where(fits[first], sides[:, first], limits[:, 0])
    corner = tf.floor(draws[2:, first] * (limits[:, 0] - sides + 1))
    return tf.cast(tf.concat([corner, sides], 0), tf.int32)


def scale_box(seed: tf.Tensor, height: int, width: int, size: int, scale: Range) -> tf.Tensor:
    """Draw the box of `scale_jitter` in a square picture."""
    draws = tf.random.stateless_uniform((3,), seed)
    scales = scale[0] + (scale[1] - scale[0]) * draws[0]
    crop = tf.cast(tf.round(height / scales), tf.int32)
    corner = tf.cast(draws[1:] * tf.cast(height - crop + 1, tf.float32), tf.int32)
    return tf.stack([corner[0], corner[1], crop, crop])
