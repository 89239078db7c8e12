"""Batches: every picture once an epoch, the same bytes for the same seed."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from training.data.pipeline import evaluation_batches, training_batches
from training.data.prepare import prepare
from training.data.sources import open_source


def digits(size=16, channels=1, cache="auto", folder=None):
    return prepare(open_source("digits"), size, channels, cache=cache, cache_dir=folder, quiet=True)


def batches(data, seed=0, policy="digits", epochs=2, batch_size=50, threads=None):
    dataset, steps = training_batches(data.splits["train"], batch_size, epochs, policy=policy, seed=seed)
    if threads:
        options = tf.data.Options()
        options.threading.private_threadpool_size = threads
        dataset = dataset.with_options(options)
    images, labels = zip(*dataset.as_numpy_iterator(), strict=True)
    return np.stack(images), np.stack(labels), steps


def test_same_seed_same_bytes_whatever_the_threads_and_the_cache(tmp_path):
    """Also the second epoch; the cache on disk is cold, then warm."""
    source = open_source("digits")
    few = {part: entries.take(np.arange(0, 180, 2)) for part, entries in source.splits.items()}
    source = replace(source, splits=few)
    images, labels, _ = batches(prepare(source, 16, 1, quiet=True), policy="light", batch_size=9)
    assert images.shape == (20, 9, 16, 16, 1)
    for cache in ("memory", "none", "disk", "disk"):
        data = prepare(source, 16, 1, cache=cache, cache_dir=tmp_path, quiet=True)
        for threads in (1, 2):
            other = batches(data, policy="light", batch_size=9, threads=threads)
            np.testing.assert_array_equal(images, other[0])
            np.testing.assert_array_equal(labels, other[1])
    assert "from an earlier run" in data.cache


def test_another_seed_and_another_epoch_differ():
    data = digits()
    images, labels, steps = batches(data)
    assert not np.array_equal(images, batches(data, seed=1)[0])
    assert not np.array_equal(labels[:steps], labels[steps:])


def test_an_epoch_shows_every_picture_once():
    data = digits()
    train = data.splits["train"]
    images, _, steps = batches(data, policy="none", epochs=1, batch_size=37)
    assert steps == len(train) // 37
    shown = {image.tobytes() for image in images.reshape(-1, 16, 16, 1)}
    assert len(shown) == steps * 37
    assert shown <= {train.picture(i).tobytes() for i in range(len(train))}


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_a_picture_is_augmented_afresh_each_epoch(tmp_path, cache):
    """Cached pixels, new augmentation: the same picture comes out differently in the second epoch."""
    data = digits(cache=cache, folder=tmp_path)
    stored = data.splits["train"].pixels.copy()
    images, _, _ = batches(data, epochs=2)
    assert len(np.unique(images.reshape(-1, 256), axis=0)) > 1.9 * len(stored)
    np.testing.assert_array_equal(data.splits["train"].pixels, stored)  # nothing is written back


def test_evaluation_keeps_the_last_partial_batch_and_the_order():
    data = digits()
    split_ = data.splits["val"]
    found = list(evaluation_batches(split_, 64).as_numpy_iterator())
    assert [len(labels) for _, labels in found] == [64, 64, 52]
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in found]), split_.labels)
    np.testing.assert_array_equal(np.concatenate([images for images, _ in found]), split_.pixels)


def test_fewer_pictures_than_a_batch():
    data = digits()
    _, labels, steps = batches(data, batch_size=10_000, epochs=1)
    assert steps == 1
    assert labels.shape == (1, len(data.splits["train"]))
