"""Augmentation that changes values: brightness, contrast, colour, noise, blur.

Operations are as in `geometry`. The functions without a seed do what Pillow's functions of the same name
do, but round where Pillow cuts off.

Grey pictures, of one channel: brightness, contrast, sharpness, noise, blur and the operations on levels
work as on each channel; saturation and hue are the identity; PCA colour adds what the shift does to the
brightness.
"""

import math

import tensorflow as tf

from training.data.geometry import Range, perhaps

GREY_WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow converts to grey
# principal components of ImageNet's RGB values, 0..1: deviations and axes, as in fb.resnet.torch,
# datasets/imagenet.lua
PCA_DEVIATIONS = (0.2175, 0.0188, 0.0045)
PCA_AXES = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)


def jitter(
    image: tf.Tensor,
    seed: tf.Tensor,
    *,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
) -> tf.Tensor:
    """Change brightness, contrast, saturation and hue, in this order.

    Args:
        image: The picture.
        seed: Decides how much of each.
        brightness: The factor is uniform in 1 - brightness .. 1 + brightness; 0 leaves it alone.
        contrast: The same, about the mean.
        saturation: The same, about grey.
        hue: Largest turn of the colour circle, in turns: 0.5 reaches every hue.
    """
    draws = tf.unstack(tf.random.stateless_uniform((4,), seed, -1.0, 1.0))
    values = tf.cast(image, tf.float32)
    if brightness:
        values = _clipped(values * (1 + brightness * draws[0]))
    if contrast:
        values = _clipped(_blend(_mean_grey(values), values, 1 + contrast * draws[1]))
    if saturation and image.shape[-1] == 3:
        values = _clipped(_saturated(values, 1 + saturation * draws[2]))
    if hue and image.shape[-1] == 3:
        values = tf.image.adjust_hue(values, hue * draws[3])
    return _as_bytes(values)


def pca_colour(image: tf.Tensor, seed: tf.Tensor, deviation: float = 0.1) -> tf.Tensor:
    """Shift the colour along the principal components of ImageNet's (Krizhevsky et al. 2012, 4.1)."""
    along = tf.random.stateless_normal((3,), seed, 0.0, deviation) * PCA_DEVIATIONS
    change = 255 * tf.linalg.matvec(tf.constant(PCA_AXES), along)
    if image.shape[-1] == 1:
        change = tf.reduce_sum(change * GREY_WEIGHTS)
    return _as_bytes(tf.cast(image, tf.float32) + change)


def noise(image: tf.Tensor, seed: tf.Tensor, deviation: float) -> tf.Tensor:
    """Add Gaussian noise, each value on its own; `deviation` is in levels of 0..255."""
    drawn = tf.random.stateless_normal(image.shape, seed, 0.0, deviation)
    return _as_bytes(tf.cast(image, tf.float32) + drawn)


def blur(
    image: tf.Tensor, seed: tf.Tensor, probability: float = 0.5, sigma: Range = (0.1, 2.0)
) -> tf.Tensor:
    """Blur by a Gaussian whose standard deviation, pixels, is uniform in `sigma`; mirrored borders."""
    height, width, channels = image.shape
    radius = min(math.ceil(3 * sigma[1]), height - 1, width - 1)

    def blurred() -> tf.Tensor:
        width_ = tf.random.stateless_uniform((), tf.random.fold_in(seed, 1), *sigma)
        weights = tf.exp(-0.5 * tf.square(tf.range(-radius, radius + 1, dtype=tf.float32) / width_))
        weights /= tf.reduce_sum(weights)
        values = tf.cast(image, tf.float32)[tf.newaxis]
        values = tf.pad(values, [[0, 0], [radius, radius], [radius, radius], [0, 0]], "REFLECT")
        for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):
            kernel = tf.tile(tf.reshape(weights, shape), (1, 1, channels, 1))
            values = tf.nn.depthwise_conv2d(values, kernel, (1, 1, 1, 1), "VALID")
        return tf.ensure_shape(_as_bytes(values[0]), image.shape)

    return perhaps(image, seed, probability, blurred)


def adjust_brightness(image: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    """Multiply: 0 is black, 1 the picture."""
    return _as_bytes(tf.cast(image, tf.float32) * factor)


def adjust_contrast(image: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    """Scale the distance from the mean grey: 0 is grey, 1 the picture."""
    values = tf.cast(image, tf.float32)
    return _as_bytes(_blend(_mean_grey(values), values, factor))


def adjust_saturation(image: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    """Scale the distance from each pixel's grey: 0 is grey, 1 the picture; grey ones stay."""
    if image.shape[-1] == 1:
        return image
    values = tf.cast(image, tf.float32)
    return _as_bytes(_saturated(values, factor))


def adjust_sharpness(image: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    """Scale the distance from the smoothed picture; the outermost pixels stay."""
    height, width, channels = image.shape
    values = tf.cast(image, tf.float32)
    kernel = tf.constant([[1.0, 1.0, 1.0], [1.0, 5.0, 1.0], [1.0, 1.0, 1.0]]) / 13
    kernel = tf.tile(kernel[:, :, tf.newaxis, tf.newaxis], (1, 1, channels, 1))
    smooth = tf.nn.depthwise_conv2d(values[tf.newaxis], kernel, (1, 1, 1, 1), "VALID")[0]
    inner = _blend(smooth, values[1:-1, 1:-1], factor) - values[1:-1, 1:-1]
    return tf.ensure_shape(
        _as_bytes(values + tf.pad(inner, [[1, 1], [1, 1], [0, 0]])), (height, width, channels)
    )


def autocontrast(image: tf.Tensor) -> tf.Tensor:
    """Stretch each channel to 0..255; one of a single value stays."""
    values = tf.cast(image, tf.float32)
    low, high = tf.reduce_min(values, (0, 1)), tf.reduce_max(values, (0, 1))
    flat = high <= low
    scale = tf.where(flat, 1.0, 255 / tf.where(flat, 1.0, high - low))
    return _as_bytes((values - tf.where(flat, 0.0, low)) * scale)


def equalize(image: tf.Tensor) -> tf.Tensor:
    """Give each channel's levels the same share of pixels, as Pillow does: equal to the bit."""
    channels = image.shape[-1]
    places = tf.cast(image, tf.int32) + 256 * tf.range(channels)
    counts = tf.math.bincount(tf.reshape(places, [-1]), minlength=256 * channels)
    counts = tf.reshape(counts, (channels, 256))
    highest = tf.reduce_max(tf.where(counts > 0, tf.range(256), 0), 1)
    last = tf.gather(counts, highest, axis=1, batch_dims=1)
    step = ((tf.reduce_sum(counts, 1) - last) // 255)[:, tf.newaxis]
    before = tf.cumsum(counts, 1, exclusive=True)
    table = (before + step // 2) // tf.maximum(step, 1)
    table = tf.where(step > 0, tf.clip_by_value(table, 0, 255), tf.range(256))
    return tf.ensure_shape(tf.gather(tf.reshape(tf.cast(table, tf.uint8), [-1]), places), image.shape)


def posterize(image: tf.Tensor, bits: tf.Tensor | int) -> tf.Tensor:
    """Keep the upper `bits`, 0..8, of each value."""
    mask = 256 - tf.bitwise.left_shift(1, 8 - tf.cast(bits, tf.int32))
    return tf.bitwise.bitwise_and(image, tf.cast(mask, tf.uint8))


def solarize(image: tf.Tensor, threshold: tf.Tensor | float) -> tf.Tensor:
    """Invert the values that are not below `threshold`, 0..256."""
    return tf.where(tf.cast(image, tf.float32) >= threshold, 255 - image, image)


def _saturated(values: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    """Scale the distance from each pixel's brightness, by one product of matrices: the fast way."""
    grey = tf.tile(tf.constant(GREY_WEIGHTS)[:, tf.newaxis], (1, 3))
    mixed = tf.matmul(tf.reshape(values, (-1, 3)), factor * tf.eye(3) + (1 - factor) * grey)
    return tf.reshape(mixed, values.shape)


def _mean_grey(values: tf.Tensor) -> tf.Tensor:
    means = tf.reduce_mean(values, (0, 1))
    return tf.round(means[0] if values.shape[-1] == 1 else tf.reduce_sum(means * GREY_WEIGHTS))


def _blend(start: tf.Tensor, values: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    return factor * values + (1 - factor) * start  # a factor of 1 gives the very values


def _clipped(values: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(values, 0.0, 255.0)


def _as_bytes(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.round(_clipped(values)), tf.uint8)
