"""Augmentation that moves pixels: flips, shifts, crops, affine transforms, erasing.

An operation takes a picture, uint8 (height, width, channels), 0..255, a seed, int32 (2,), and its
arguments, and returns a picture of the same shape; those with `size` return a square of that side. The
seed alone decides what happens. All of them do the same to every channel, so grey pictures are no
special case.
"""

import math
from collections.abc import Callable

import tensorflow as tf

from training.data.boxes import Range, area_box, scale_box, square_box

Scalar = tf.Tensor | float


def flip(image: tf.Tensor, seed: tf.Tensor, probability: float = 0.5) -> tf.Tensor:
    """Mirror left and right."""
    return perhaps(image, seed, probability, lambda: tf.reverse(image, [1]))


def transpose(image: tf.Tensor, seed: tf.Tensor, probability: float = 0.5) -> tf.Tensor:
    """Swap rows and columns of a square picture; with `flip`, views from above take all 8 positions."""
    height, width, _ = image.shape
    if height != width:
        raise ValueError(f"only square pictures can be transposed, not {height} x {width}")
    return perhaps(image, seed, probability, lambda: tf.transpose(image, [1, 0, 2]))


def shift(image: tf.Tensor, seed: tf.Tensor, share: float, border: str = "REFLECT") -> tf.Tensor:
    """Shift by whole pixels, up to `share` of each side.

    What comes in is the mirrored border, or black where `border` is "CONSTANT": pad and crop.
    """
    height, width, channels = image.shape
    rows, columns = int(height * share), int(width * share)
    if border == "REFLECT":
        padded = _mirrored(_mirrored(image, 0, rows), 1, columns)
    else:
        padded = tf.pad(image, [[rows, rows], [columns, columns], [0, 0]], border)
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
    return _sampled(image, tf.stack(transform), "CONSTANT", 0, smooth=True)


def affine(
    image: tf.Tensor,
    seed: tf.Tensor,
    *,
    translate: float = 0.0,
    degrees: float = 0.0,
    zoom: float = 0.0,
    shear: float = 0.0,
    border: str = "REFLECT",
) -> tf.Tensor:
    """Translate, rotate, zoom and shear about the centre, in one resampling.

    Args:
        image: The picture.
        seed: Decides how much of each, uniformly between its limits.
        translate: Largest shift along each axis, as a share of the side.
        degrees: Largest angle of rotation.
        zoom: The picture is enlarged by 1 - zoom .. 1 + zoom.
        shear: Largest tangent of the angle by which each axis leans.
        border: What comes in: "REFLECT", "NEAREST", "WRAP", or "CONSTANT" for black.
    """
    height, width, _ = image.shape
    draws = tf.unstack(tf.random.stateless_uniform((6,), seed, -1.0, 1.0))
    transform = matrix(
        height,
        width,
        shift_x=draws[0] * (translate * width),
        shift_y=draws[1] * (translate * height),
        degrees=draws[2] * degrees,
        zoom=1 + draws[3] * zoom,
        shear_x=draws[4] * shear,
        shear_y=draws[5] * shear,
    )
    return _sampled(image, transform, border, 0, smooth=True)


def translate(image: tf.Tensor, seed: tf.Tensor, share: float) -> tf.Tensor:
    """Shift by up to `share` of each side, by parts of pixels too; the border is mirrored."""
    return affine(image, seed, translate=share)


def rotate(image: tf.Tensor, seed: tf.Tensor, degrees: float) -> tf.Tensor:
    """Rotate about the centre by up to `degrees`; the border is mirrored."""
    return affine(image, seed, degrees=degrees)


def zoom(image: tf.Tensor, seed: tf.Tensor, share: float) -> tf.Tensor:
    """Enlarge by 1 - share .. 1 + share about the centre; the border is mirrored."""
    return affine(image, seed, zoom=share)


def shear(image: tf.Tensor, seed: tf.Tensor, share: float) -> tf.Tensor:
    """Lean each axis by up to `share`, the tangent of the angle; the border is mirrored."""
    return affine(image, seed, shear=share)


def matrix(
    height: int,
    width: int,
    *,
    shift_x: Scalar = 0.0,
    shift_y: Scalar = 0.0,
    degrees: Scalar = 0.0,
    zoom: Scalar = 1.0,
    shear_x: Scalar = 0.0,
    shear_y: Scalar = 0.0,
) -> tf.Tensor:
    """Return an affine transform, float32 (8,), as ImageProjectiveTransformV3 takes it.

    The picture is zoomed and sheared about its centre (x += shear_x * y, y += shear_y * x), rotated
    counterclockwise, and then shifted right and down by pixels. The numbers map output to input
    coordinates: they are those of the inverse.
    """
    angle = degrees * (math.pi / 180)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    scale = 1 / (zoom * (1 - shear_x * shear_y))
    a, b = scale * (cosine - shear_x * sine), -scale * (sine + shear_x * cosine)
    c, d = scale * (sine - shear_y * cosine), scale * (cosine + shear_y * sine)
    x0, y0 = (width - 1) / 2, (height - 1) / 2
    x, y = x0 + shift_x, y0 + shift_y
    return tf.stack([a, b, x0 - a * x - b * y, c, d, y0 - c * x - d * y, 0.0, 0.0])


def warp(image: tf.Tensor, transform: tf.Tensor, grey: int) -> tf.Tensor:
    """Apply a transform of `matrix` by the nearest pixel, over `grey`: the fast way."""
    return _sampled(image, transform, "CONSTANT", grey, smooth=False)


def random_crop(image: tf.Tensor, seed: tf.Tensor, size: int) -> tf.Tensor:
    """Cut out a square of side `size` pixels anywhere in the picture."""
    top, left, _, _ = tf.unstack(square_box(seed, *image.shape[:2], size))
    return tf.slice(image, [top, left, 0], [size, size, image.shape[2]])


def random_resized_crop(
    image: tf.Tensor,
    seed: tf.Tensor,
    size: int,
    area: Range = (0.08, 1.0),
    aspect: Range = (3 / 4, 4 / 3),
) -> tf.Tensor:
    """Cut out a box of random area, shape and place, and bring it to a square of side `size` pixels.

    Args:
        image: The picture. Its box has few pixels where it is no larger than `size`.
        seed: Decides the box: of ten candidates the first that fits, otherwise the whole picture.
        size: Side of the result, pixels.
        area: Share of the picture, uniformly.
        aspect: Width by height, uniformly in the logarithm.
    """
    return resized_box(image, area_box(seed, *image.shape[:2], size, area, aspect), size)


def scale_jitter(image: tf.Tensor, seed: tf.Tensor, size: int, scale: Range) -> tf.Tensor:
    """Bring the picture to a random side and cut out a square of side `size` pixels anywhere.

    Args:
        image: A square picture.
        seed: Decides the side and the place.
        size: Side of the result, pixels.
        scale: Side of the picture in units of `size`, at least 1, uniformly.
    """
    return resized_box(image, scale_box(seed, *image.shape[:2], size, scale), size)


# what part of a picture of (height, width) a crop to `size` takes, from the same seed
BOXES = {random_crop: square_box, random_resized_crop: area_box, scale_jitter: scale_box}


def resized_box(image: tf.Tensor, box: tf.Tensor, size: int) -> tf.Tensor:
    """Cut out a box, int32 (top, left, height, width), pixels, and bring it to `size` x `size`.

    Bilinear with half-pixel centres. Not antialiased: pictures are stored little larger than `size`.
    """
    channels = image.shape[2]
    cut = tf.slice(image, [box[0], box[1], 0], [box[2], box[3], channels])
    found = tf.image.resize(cut, (size, size))
    return tf.ensure_shape(tf.cast(tf.round(found), tf.uint8), (size, size, channels))


def erase(
    image: tf.Tensor,
    seed: tf.Tensor,
    probability: float = 0.5,
    area: Range = (0.02, 0.4),
    aspect: Range = (0.3, 1 / 0.3),
) -> tf.Tensor:
    """Fill a rectangle with noise (Zhong et al. 2017, with their ranges).

    Args:
        image: The picture.
        seed: Decides where, and the noise: uniform, each value on its own.
        probability: How often.
        area: Share of the picture; less where the rectangle would be longer than the picture.
        aspect: Height by width, uniformly in the logarithm.
    """
    height, width, _ = image.shape

    def erased() -> tf.Tensor:
        draws = tf.unstack(tf.random.stateless_uniform((4,), tf.random.fold_in(seed, 1)))
        pixels = height * width * (area[0] + (area[1] - area[0]) * draws[0])
        shape = tf.exp(math.log(aspect[0]) + math.log(aspect[1] / aspect[0]) * draws[1])
        rows = tf.minimum(tf.round(tf.sqrt(pixels * shape)), height)
        columns = tf.minimum(tf.round(tf.sqrt(pixels / shape)), width)
        top, left = tf.floor(draws[2] * (height - rows + 1)), tf.floor(draws[3] * (width - columns + 1))
        y, x = tf.range(height, dtype=tf.float32), tf.range(width, dtype=tf.float32)
        inside = ((y >= top) & (y < top + rows))[:, None] & ((x >= left) & (x < left + columns))[None]
        noise = tf.random.stateless_uniform(image.shape, tf.random.fold_in(seed, 2), 0, 256, tf.int32)
        return tf.where(inside[..., None], tf.cast(noise, tf.uint8), image)

    return perhaps(image, seed, probability, erased)


def perhaps(
    image: tf.Tensor, seed: tf.Tensor, probability: float, changed: Callable[[], tf.Tensor]
) -> tf.Tensor:
    """Return what `changed` returns, or with 1 - `probability` the picture as it is."""
    return tf.cond(tf.random.stateless_uniform((), seed) < probability, changed, lambda: image)


def _mirrored(image: tf.Tensor, axis: int, count: int) -> tf.Tensor:
    """Pad both ends of an axis as tf.pad does with "REFLECT", which takes three times as long."""
    first = tf.gather(image, tf.range(count, 0, -1), axis=axis)
    last = tf.gather(image, image.shape[axis] - 2 - tf.range(count), axis=axis)
    return tf.concat([first, image, last], axis)


def _sampled(
    image: tf.Tensor, transform: tf.Tensor, border: str, value: int, *, smooth: bool
) -> tf.Tensor:
    """Look up every output pixel in the input: bilinear where `smooth`, else the nearest."""
    found = tf.raw_ops.ImageProjectiveTransformV3(
        images=(tf.cast(image, tf.float32) if smooth else image)[tf.newaxis],
        transforms=transform[tf.newaxis],
        output_shape=image.shape[:2],
        interpolation="BILINEAR" if smooth else "NEAREST",
        fill_mode=border,
        fill_value=float(value),
    )
    found = tf.ensure_shape(found[0], image.shape)
    return tf.cast(tf.round(found), tf.uint8) if smooth else found
