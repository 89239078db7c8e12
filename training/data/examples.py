"""A few training pictures, and what augmentation makes of them in each epoch."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from training.data import decode
from training.data.augment import augment, stored_size
from training.data.labels import in_order
from training.data.mixing import Mixing
from training.data.pipeline import picture_seed
from training.data.sources import Source
from training.runs.command import InputError


@dataclass(frozen=True)
class Example:
    """One training picture.

    Attributes:
        index: Its place in the training split.
        label: Its class, or its row of 0 and 1 where pictures may have several: int32 () or (classes,).
        original: At the network's size, uint8 (image_size, image_size, channels), 0..255.
        stored: As augmentation takes it, perhaps larger.
    """

    index: int
    label: np.ndarray
    original: np.ndarray
    stored: np.ndarray


def examples(source: Source, most: int, image_size: int, policy: str) -> list[Example]:
    """Return up to `most` training pictures, spread over the classes; broken ones are passed over.

    Raises:
        InputError: If none can be read.
    """
    entries = source.splits["train"]
    channels = 1 if source.grey else 3
    by_class = in_order(entries.labels)
    sizes = image_size, stored_size(policy, image_size)
    found = []
    for part in np.array_split(by_class, min(most, len(by_class))):
        for index in part.tolist():
            try:
                image = entries.load(index)
            except (decode.BadImageError, OSError):
                continue
            shown = (decode.resize(image, size, channels) for size in sizes)
            found.append(Example(index, entries.labels[index], *shown))
            break
    if not found:
        raise InputError(f"no picture of {source.name} could be read.")
    return found


def augmented(
    pictures: list[Example],
    policy: str,
    image_size: int,
    epochs: int,
    seed: int,
    mixing: Mixing | None = None,
) -> list[list[np.ndarray]]:
    """Return each picture as a fit with this seed sees it in its first epochs.

    With `mixing`, the pictures are the batch that is mixed; in a fit it is another one.
    """
    columns = []
    for epoch in range(epochs):
        images = tf.stack(
            [
                augment(tf.constant(p.stored), policy, picture_seed(seed, epoch, p.index), image_size)
                for p in pictures
            ]
        )
        if mixing:
            labels = tf.constant(np.stack([p.label for p in pictures]))
            images, _ = mixing(images, labels, tf.random.fold_in(tf.constant([seed, 1]), epoch))
        columns.append(images.numpy())
    return [list(row) for row in zip(*columns, strict=True)]
