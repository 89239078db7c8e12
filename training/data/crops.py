"""Training pictures straight from JPEG files: only the crop is decoded, and no larger than needed.

Where decoded pictures are not kept, most of the time of an epoch goes into pixels that the crop throws
away and that the resize averages. So here the decoder skips what is outside the crop and, by its
transform, reduces to a half, a quarter or an eighth; one more resize, half as long, brings that to the
network's size. This is for training only. Size, orientation and colours are those of `decode`, and on
photographs values differ by 2 to 5 levels in the mean: `decode` has a triangle filter over the whole
picture, this has the decoder's reduction and then bilinear interpolation, or the mean over each pixel's
area. What judges and uses a network (validation, evaluate, predict, export) always takes `decode`.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from training.data.jpeg import Jpegs

Cropped = Callable[[tf.Tensor, tf.Tensor | None], tf.Tensor]  # index and box to picture
RATIOS = (1, 2, 4, 8)  # what the decoder can reduce by
ENOUGH = 0.9  # sides of the reduced crop, in units of the result's; below, photographs lose detail
SMOOTH = 1.5  # reduction up to which bilinear interpolation looks at every pixel


class Plan(NamedTuple):
    """How to come from a stored picture to a square; for many pictures, with a leading dimension each.

    Attributes:
        window: int32 (4,), top, left, height, width: what to decode, in pixels of the reduced picture.
        halvings: int32 (), 0 to 3: the decoder reduces by 2 ** halvings.
        averaged: bool (), whether the mean over each pixel's area is taken, not the interpolation.
    """

    window: tf.Tensor
    halvings: tf.Tensor
    averaged: tf.Tensor


def crops(jpegs: Jpegs, image_size: int, channels: int, otherwise: Cropped) -> Cropped:
    """Return a graph function from an index and a box to a picture, uint8 as of `crop`.

    A box is float32 (4,), shares of the sides of the upright picture: top, left, height, width; None is
    all of it.

    Args:
        jpegs: The files.
        image_size: Side of the result, pixels.
        channels: 1 or 3.
        otherwise: Does the same for what is no JPEG.
    """
    is_jpeg = jpegs.layouts[:, 2] > 0
    turned = bool((jpegs.layouts[:, 2] > 1).any())
    layouts = tf.constant(jpegs.layouts)
    file = _file_names(jpegs)
    whole = plan(layouts, tf.constant([0.0, 0.0, 1.0, 1.0]), image_size)

    def straight(index: tf.Tensor, box: tf.Tensor | None) -> tf.Tensor:
        if box is None:
            chosen = Plan(*(tf.gather(part, index) for part in whole))
        else:
            chosen = plan(tf.gather(layouts, index), box, image_size)
        image = crop(tf.io.read_file(file(index)), chosen, image_size, channels)
        return upright(image, tf.gather(layouts, index)[2]) if turned else image

    def either(index: tf.Tensor, box: tf.Tensor | None) -> tf.Tensor:
        return tf.cond(
            tf.gather(is_jpeg, index), lambda: straight(index, box), lambda: otherwise(index, box)
        )

    return straight if is_jpeg.all() else either


def _file_names(jpegs: Jpegs) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a graph function from an index to a path, out of one long text: a million are 0.1 GB."""
    names = [os.fsencode(jpegs.path(i)) for i in range(len(jpegs.layouts))]
    lengths = np.array([len(name) for name in names], np.int64)
    starts, lengths = tf.constant(np.cumsum(lengths) - lengths), tf.constant(lengths)
    text = tf.constant(b"".join(names))
    return lambda i: tf.strings.substr(text, tf.gather(starts, i), tf.gather(lengths, i))


def plan(layout: tf.Tensor, box: tf.Tensor, image_size: int) -> Plan:
    """Decide how to bring a part of a picture to a square.

    Args:
        layout: int32 (..., 3) as of `training.data.jpeg.layout`.
        box: float32 (4,), shares of the upright picture: top, left, height, width.
        image_size: Side of the square, pixels.
    """
    sides, turn = tf.cast(layout[..., :2], tf.float32), layout[..., 2:]
    part = _as_stored(box, turn)
    least = tf.reduce_min(part[..., 2:] * sides, -1) / (ENOUGH * image_size)
    halvings = sum(tf.cast(least >= ratio, tf.int32) for ratio in RATIOS[1:])
    reduction = tf.cast(tf.bitwise.left_shift(1, halvings), tf.float32)
    whole = tf.math.ceil(sides / reduction[..., tf.newaxis])
    start = tf.minimum(tf.round(part[..., :2] * whole), whole - 1)
    end = tf.minimum(tf.round((part[..., :2] + part[..., 2:]) * whole), whole)
    size = tf.maximum(end - start, 1)
    averaged = (tf.reduce_max(size, -1) > SMOOTH * image_size) & (least >= 1)
    return Plan(tf.cast(tf.concat([start, size], -1), tf.int32), halvings, averaged)


def crop(encoded: tf.Tensor, chosen: Plan, image_size: int, channels: int) -> tf.Tensor:
    """Decode a part of a JPEG and bring it to a square.

    Args:
        encoded: string (), a JPEG.
        chosen: What, and how.
        image_size: Side of the result, pixels.
        channels: 1 or 3.

    Returns:
        uint8 (image_size, image_size, channels), 0..255, as it is stored.
    """

    def resized(resize: Callable, ratio: int, **options: bool) -> tf.Tensor:
        part = tf.io.decode_and_crop_jpeg(
            encoded, chosen.window, channels, ratio=ratio, dct_method="INTEGER_ACCURATE"
        )
        return resize(images=part[tf.newaxis], size=(image_size, image_size), **options)

    bilinear, mean = tf.raw_ops.ResizeBilinear, tf.raw_ops.ResizeArea
    branches = [
        *(lambda ratio=ratio: resized(bilinear, ratio, half_pixel_centers=True) for ratio in RATIOS),
        *(lambda ratio=ratio: resized(mean, ratio) for ratio in RATIOS),
    ]
    branch = chosen.halvings + len(RATIOS) * tf.cast(chosen.averaged, tf.int32)
    found = tf.cast(tf.switch_case(branch, branches)[0] + 0.5, tf.uint8)  # none is negative: it rounds
    return tf.ensure_shape(found, (image_size, image_size, channels))


def _as_stored(box: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
    """Return where a box of the upright picture is in the stored one; `turn` is int32 (..., 1)."""
    across = tf.gather(box, [1, 0, 3, 2])
    start, size = tf.split(tf.where(turn >= 5, across, box), 2, -1)
    from_below = (turn == 3) | (turn == 4) | (turn == 6) | (turn == 7)
    from_right = (turn == 2) | (turn == 3) | (turn == 7) | (turn == 8)
    backwards = tf.concat([from_below, from_right], -1)
    return tf.concat([tf.where(backwards, 1 - start - size, start), size], -1)


def upright(image: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Turn a stored picture (height, width, channels) as its orientation tag says."""
    turns = [
        lambda x: x,
        lambda x: x[:, ::-1],
        lambda x: x[::-1, ::-1],
        lambda x: x[::-1],
        lambda x: tf.transpose(x, [1, 0, 2]),
        lambda x: tf.transpose(x[::-1], [1, 0, 2]),
        lambda x: tf.transpose(x[::-1, ::-1], [1, 0, 2]),
        lambda x: tf.transpose(x[:, ::-1], [1, 0, 2]),
    ]
    return tf.switch_case(value - 1, [lambda turn=turn: turn(image) for turn in turns])
