"""The orientation of a JPEG file, read inside a TensorFlow graph."""

import tensorflow as tf

ORIENTATION_TAG = 0x0112
_APP1, _SOS, _EOI = 0xE1, 0xDA, 0xD9
_MOST_ENTRIES = 512  # of an image file directory; real ones have some dozens


def orientation(encoded: tf.Tensor) -> tf.Tensor:
    """Return the orientation tag of a JPEG file (EXIF 2.3, section 4.6.4): int32 (), 1 to 8.

    Args:
        encoded: string (), a JPEG file. Without the tag, or where it leads astray, the answer is 1.
    """
    data = tf.cast(tf.io.decode_raw(encoded, tf.uint8), tf.int32)
    length = tf.size(data)

    def byte(at):
        """Bytes at positions `at`; past the end, 0."""
        return tf.where(at < length, tf.gather(data, tf.clip_by_value(at, 0, length - 1)), 0)

    def number(at, size, little=False):
        """Unsigned numbers of `size` bytes; kept below 2^30, which no offset in a file reaches."""
        big_first = [byte(at + i) for i in range(size)]
        ordered = tf.stack(
            [tf.where(little, b, a) for a, b in zip(big_first, big_first[::-1], strict=True)]
        )
        powers = tf.constant([256**i for i in reversed(range(size))], tf.int64)
        total = tf.tensordot(tf.cast(tf.transpose(ordered), tf.int64), powers, 1)
        return tf.cast(tf.minimum(total, 2**30), tf.int32)

    def is_exif(segment):
        header = tf.gather(data, tf.clip_by_value(segment + 4 + tf.range(6), 0, length - 1))
        return (byte(segment + 1) == _APP1) & tf.reduce_all(header == list(b"Exif\0\0"))

    def goes_on(segment):
        """Tell whether `segment` is one to step over."""
        marker = byte(segment + 1)
        inside = (segment + 4 < length) & (byte(segment) == 0xFF)
        return inside & (marker != _SOS) & (marker != _EOI) & ~is_exif(segment)

    def step(segment):
        return segment + 2 + tf.maximum(number(segment + 2, 2), 2)

    segment = tf.while_loop(goes_on, lambda at: (step(at),), (tf.constant(2),))[0]
    tiff = segment + 10
    little = byte(tiff) == ord("I")
    directory = tiff + number(tiff + 4, 4, little)
    entries = tf.minimum(number(directory, 2, little), _MOST_ENTRIES)
    entry = directory + 2 + 12 * tf.range(entries)
    found = tf.boolean_mask(entry, number(entry, 2, little) == ORIENTATION_TAG)
    value = tf.cond(tf.size(found) > 0, lambda: number(found[0] + 8, 2, little), lambda: 1)
    return tf.where(is_exif(segment) & (value >= 1) & (value <= 8), value, 1)
