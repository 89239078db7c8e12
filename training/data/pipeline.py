"""Batches for training and evaluation, as tf.data.

The order of an epoch is a seeded permutation computed position by position, and the augmentation of a
picture is decided by (seed, epoch, index): nothing depends on threads, buffers or what came before.
"""

import numpy as np
import tensorflow as tf

from training.data.augment import augment
from training.data.mixing import Mixing
from training.data.prepare import Split
from training.data.targets import Targets


def training_batches(
    split: Split,
    batch_size: int,
    epochs: int,
    *,
    policy: str,
    seed: int,
    first_epoch: int = 0,
    image_size: int | None = None,
    mixing: Mixing | None = None,
    targets: Targets | None = None,
) -> tuple[tf.data.Dataset, int]:
    """Make the batches of a whole training.

    Args:
        split: The training pictures.
        batch_size: Pictures a batch; every batch is full. What does not fill the last batch of an epoch
            is left out of that epoch, other pictures each time.
        epochs: How many epochs the dataset holds.
        policy: A policy of `training.data.augment`.
        seed: Decides order, augmentation and mixing.
        first_epoch: Number of the first of these epochs; the others go on from there.
        image_size: Side of the network's pictures, pixels; by default that of the split's.
        mixing: Mixes pictures and labels of each batch.
        targets: Makes targets and weights of the labels.

    Returns:
        The dataset of (uint8 (batch, height, width, channels), int32 (batch,) or (batch, classes)), with
        mixing or targets float32 (batch, classes) instead of the labels, perhaps with weights, float32
        (batch,) or (batch, classes); its batches an epoch.
    """
    count = len(split)
    batch_size = min(batch_size, count)
    steps = count // batch_size
    read = _reader(split)

    def example(n: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        epoch, position = first_epoch + n // (steps * batch_size), n % (steps * batch_size)
        order = tf.stack([tf.constant(seed, tf.int64), epoch])
        index = tf.random.experimental.index_shuffle(position, order, count - 1)
        image, label = read(index)
        return augment(image, policy, picture_seed(seed, epoch, index), image_size), label

    def mixed(n: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        own = tf.random.fold_in(tf.constant([seed, 1]), first_epoch * steps + n)
        return mixing(*batch, own)

    dataset = tf.data.Dataset.range(epochs * steps * batch_size)
    dataset = dataset.map(example, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.batch(batch_size, drop_remainder=True)
    if mixing:
        dataset = dataset.enumerate().map(mixed, num_parallel_calls=tf.data.AUTOTUNE)
    if targets and not targets.plain:
        dataset = dataset.map(targets, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.prefetch(tf.data.AUTOTUNE), steps


def picture_seed(seed: int, epoch: tf.Tensor | int, index: tf.Tensor | int) -> tf.Tensor:
    """Return what decides the augmentation of a picture in an epoch: int64 (2,)."""
    own = tf.random.fold_in(tf.constant([seed, 0]), tf.cast(epoch, tf.int64))
    return tf.random.fold_in(own, tf.cast(index, tf.int64))  # another type would be another seed


def evaluation_batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """Make the batches of one pass over all pictures in order, the last one perhaps smaller."""
    dataset = tf.data.Dataset.range(len(split))
    dataset = dataset.map(_reader(split), num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def _reader(split: Split):
    """Return a graph function from an index to (picture, label)."""
    labels = tf.constant(split.labels)
    if split.pixels is not None:
        pixels = tf.constant(split.pixels)
        return lambda i: (tf.gather(pixels, i), tf.gather(labels, i))
    shape = split.picture(0).shape

    def decoded(i: tf.Tensor) -> tf.Tensor:
        image = tf.numpy_function(lambda j: np.ascontiguousarray(split.picture(int(j))), [i], tf.uint8)
        return tf.ensure_shape(image, shape)

    return lambda i: (decoded(i), tf.gather(labels, i))
