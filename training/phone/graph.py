"""The card's preprocessing as a TensorFlow graph, for the SavedModel's `serve_jpeg` signature.

The meaning is that of `training.data.decode`, to the bit for the resize: Pillow's bilinear filter in its
own integer arithmetic. What TensorFlow's decoders cannot do is listed in `decode.CONTRACT`.
"""

import tensorflow as tf

from training.data.crops import upright
from training.phone import exif

_BITS = 22  # Pillow's fixed point: weights are multiples of 2^-22
_BYTES = [bytes([value]) for value in range(256)]
_VP8X_ALPHA, _VP8X_ANIMATION, _VP8L_ALPHA = 0x10, 0x02, 0x10  # WebP container specification


def picture(encoded: tf.Tensor, image_size: int, channels: int) -> tf.Tensor:
    """Decode and resize one picture.

    Args:
        encoded: string (), a JPEG, PNG, BMP, GIF or WebP file.
        image_size: Side of the square, pixels.
        channels: 1 (grey) or 3 (RGB).

    Returns:
        uint8 (image_size, image_size, channels), 0..255.
    """
    rgb = tf.cast(_decode(encoded), tf.int32)
    if channels == 1:  # Pillow's luma
        rgb = (tf.tensordot(rgb, [19595, 38470, 7471], 1)[..., tf.newaxis] + 0x8000) // 0x10000
    columns_first = tf.transpose(rgb, [1, 0, 2])
    narrow = tf.transpose(_resize_rows(columns_first, image_size), [1, 0, 2])
    square = _resize_rows(narrow, image_size)
    return tf.ensure_shape(tf.cast(square, tf.uint8), (image_size, image_size, channels))


def _decode(encoded: tf.Tensor) -> tf.Tensor:
    """Return uint8 (height, width, 3), upright."""
    is_jpeg = tf.strings.substr(encoded, 0, 3) == b"\xff\xd8\xff"
    is_png = tf.strings.substr(encoded, 0, 4) == b"\x89PNG"
    is_webp = tf.strings.substr(encoded, 8, 4) == b"WEBP"
    options = {
        "jpeg": lambda: _decode_jpeg(encoded),
        "png": lambda: _as_rgb(tf.io.decode_png(encoded, 0)),
        "webp": lambda: _decode_webp(encoded),
        "other": lambda: tf.io.decode_image(encoded, 3, expand_animations=False),
    }
    shaped = {
        name: lambda decode=decode: tf.ensure_shape(decode(), (None, None, 3))
        for name, decode in options.items()
    }
    return tf.case(
        [(is_jpeg, shaped["jpeg"]), (is_png, shaped["png"]), (is_webp, shaped["webp"])],
        default=shaped["other"],
        exclusive=True,
    )


def _decode_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    stored = tf.io.decode_jpeg(encoded, 3, dct_method="INTEGER_ACCURATE")
    return upright(stored, exif.orientation(encoded))


def _decode_webp(encoded: tf.Tensor) -> tf.Tensor:
    """Return the first frame.

    TensorFlow must be told whether there is opacity: left to find out, it writes past its buffer on an
    animation without (TensorFlow 2.21). Such an animation is decoded as one with opacity.
    """
    kind = tf.strings.substr(encoded, 12, 4)
    flags = tf.cast(tf.io.decode_raw(tf.strings.substr(encoded, 20, 5), tf.uint8), tf.int32)
    extended = kind == b"VP8X"
    animated = extended & (tf.bitwise.bitwise_and(flags[0], _VP8X_ANIMATION) > 0)
    clear = extended & (tf.bitwise.bitwise_and(flags[0], _VP8X_ALPHA) > 0)
    clear |= (kind == b"VP8L") & (tf.bitwise.bitwise_and(flags[4], _VP8L_ALPHA) > 0)
    flag = tf.gather(_BYTES, tf.bitwise.bitwise_or(flags[0], _VP8X_ALPHA))
    with_flag = tf.strings.join([tf.strings.substr(encoded, 0, 20), flag, _rest(encoded, 21)])
    return tf.cond(
        animated | clear,
        lambda: _as_rgb(tf.io.decode_webp(tf.where(animated, with_flag, encoded), 4)[0]),
        lambda: tf.io.decode_webp(encoded, 3)[0],
    )


def _rest(encoded: tf.Tensor, start: int) -> tf.Tensor:
    return tf.strings.substr(encoded, start, tf.strings.length(encoded) - start)


def _as_rgb(image: tf.Tensor) -> tf.Tensor:
    """Bring uint8 (height, width, 1 to 4), the last of 2 or 4 channels opacity, to RGB over white."""
    channels = tf.shape(image)[-1]
    image = tf.cast(image, tf.int32)
    transparent = channels % 2 == 0
    alpha = tf.cond(transparent, lambda: image[..., -1:], lambda: tf.fill(tf.shape(image[..., :1]), 255))
    colours = tf.cond(channels < 3, lambda: tf.repeat(image[..., :1], 3, -1), lambda: image[..., :3])
    return tf.cast((colours * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)


def _resize_rows(image: tf.Tensor, size: int) -> tf.Tensor:
    """Resize the first axis of int32 (length, n, channels), 0..255, to `size` rows."""
    length = tf.shape(image)[0]
    ratio = tf.cast(length, tf.float64) / size
    reach = tf.maximum(ratio, 1.0)  # half the width of the triangle
    centre = (tf.range(size, dtype=tf.float64) + 0.5) * ratio
    first = tf.maximum(tf.cast(centre - reach + 0.5, tf.int32), 0)
    last = tf.minimum(tf.cast(centre + reach + 0.5, tf.int32), length)
    taps = tf.reduce_max(last - first)
    source = first[:, tf.newaxis] + tf.range(taps)[tf.newaxis]  # (size, taps)
    distance = (tf.cast(source, tf.float64) + 0.5 - centre[:, tf.newaxis]) / reach
    weight = tf.maximum(1.0 - tf.abs(distance), 0.0) * tf.cast(source < last[:, tf.newaxis], tf.float64)
    weight /= tf.reduce_sum(weight, axis=1, keepdims=True)
    weight = tf.cast(weight * (1 << _BITS) + 0.5, tf.int32)
    source = tf.minimum(source, length - 1)

    def add(tap, total):
        rows = tf.gather(image, source[:, tap])
        return tap + 1, total + rows * weight[:, tap][:, tf.newaxis, tf.newaxis]

    start = tf.fill([size, tf.shape(image)[1], tf.shape(image)[2]], 1 << (_BITS - 1))
    _, total = tf.while_loop(
        lambda tap, _: tap < taps,
        add,
        (0, start),
        shape_invariants=(tf.TensorShape(()), tf.TensorShape((size, None, None))),
        parallel_iterations=1,
    )
    return total // (1 << _BITS)
