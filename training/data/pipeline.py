"""Batches for training and evaluation, as tf.data.

The order of an epoch is a seeded permutation computed position by position, and the augmentation of a
picture is decided by (seed, epoch, index): nothing depends on threads, buffers or what came before.
Pictures whose pixels are not cached are cropped straight from their JPEG files, see `crops`.
"""

import os

import numpy as np
import tensorflow as tf

from training.data.augment import alter, augment, crop_box
from training.data.cache import is_shareable
from training.data.crops import crops
from training.data.geometry import resized_box
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
    first_step: int = 0,
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
        first_step: Batches that are left out at the beginning, because they were trained on already; the
            others are as they would have been.
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
    pictures = _augmented(split, policy, image_size)

    def example(n: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        epoch, position = first_epoch + n // (steps * batch_size), n % (steps * batch_size)
        order = tf.stack([tf.constant(seed, tf.int64), epoch])
        index = tf.random.experimental.index_shuffle(position, order, count - 1)
        return pictures(index, picture_seed(seed, epoch, index))

    def mixed(n: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        own = tf.random.fold_in(tf.constant([seed, 1]), first_epoch * steps + n)
        return mixing(*batch, own)

    dataset = tf.data.Dataset.range(first_step * batch_size, epochs * steps * batch_size)
    # AUTOTUNE begins with one thread, and takes seconds to find the others
    dataset = dataset.map(example, num_parallel_calls=os.cpu_count())
    dataset = dataset.batch(batch_size, drop_remainder=True)
    if mixing:
        dataset = dataset.enumerate(first_step).map(mixed, num_parallel_calls=tf.data.AUTOTUNE)
    if targets and not targets.plain:
        dataset = dataset.map(targets, num_parallel_calls=tf.data.AUTOTUNE)
    return _as_it_is(dataset.prefetch(tf.data.AUTOTUNE)), steps


def picture_seed(seed: int, epoch: tf.Tensor | int, index: tf.Tensor | int) -> tf.Tensor:
    """Return what decides the augmentation of a picture in an epoch: int64 (2,)."""
    return tf.stack([(seed << 32) + tf.cast(epoch, tf.int64), tf.cast(index, tf.int64)])


def evaluation_batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """Make the batches of one pass over all pictures in order, the last one perhaps smaller."""
    dataset = tf.data.Dataset.range(len(split))
    dataset = dataset.map(_reader(split), num_parallel_calls=tf.data.AUTOTUNE)
    return _as_it_is(dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE))


def _as_it_is(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Switch off rewriting: it would copy all cached pixels into the graph, and betters nothing."""
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    return dataset.with_options(options)


def _augmented(split: Split, policy: str, image_size: int | None):
    """Return a graph function from an index and a seed to (augmented picture, label)."""
    read = _reader(split)
    if split.jpegs is None:

        def augmented(index: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            image, label = read(index)
            return augment(image, policy, seed, image_size), label

        return augmented
    side, _, channels = split.picture(0).shape
    size = image_size or side
    decoded = crops(split.jpegs, size, channels, lambda index, box: _cut(read(index)[0], box, size))
    labels = tf.constant(split.labels)

    def straight(index: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = decoded(index, crop_box(policy, seed, size))
        return alter(image, policy, seed), tf.gather(labels, index)

    return straight


def _cut(image: tf.Tensor, box: tf.Tensor | None, size: int) -> tf.Tensor:
    """Cut a box, in shares of the sides, out of a decoded picture that is stored for it."""
    if box is None:
        return image
    return resized_box(image, tf.cast(tf.round(box * image.shape[0]), tf.int32), size)


def _reader(split: Split):
    """Return a graph function from an index to (picture, label)."""
    labels = tf.constant(split.labels)
    if split.pixels is not None:
        pixels = _tensor(split.pixels)
        return lambda i: (tf.gather(pixels, i), tf.gather(labels, i))
    shape = split.picture(0).shape

    def decoded(i: tf.Tensor) -> tf.Tensor:
        image = tf.numpy_function(lambda j: np.ascontiguousarray(split.picture(int(j))), [i], tf.uint8)
        return tf.ensure_shape(image, shape)

    return lambda i: (decoded(i), tf.gather(labels, i))


def _tensor(pixels: np.ndarray) -> tf.Tensor:
    """Return cached pixels as a tensor, in the same memory where that can be: they may fill it."""
    if is_shareable(pixels):
        return tf.experimental.dlpack.from_dlpack(pixels.__dlpack__())
    with tf.device("CPU"):
        return tf.constant(pixels)
