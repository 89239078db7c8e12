"""Figures over all pixels of a split."""

import numpy as np
from tqdm import tqdm

from training.data.parallel import in_order
from training.data.prepare import Split


def channel_moments(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Measure mean and variance of each channel in one pass, from exact counts of the 256 levels.

    Args:
        split: Pictures at a network's size. What is not kept in memory is decoded once more, a few at a
            time.

    Returns:
        Means, 0..255, and variances (of the population), each of `channels` numbers.
    """
    channels = split.picture(0).shape[-1]
    counts = np.zeros((channels, 256), np.int64)
    histograms = in_order(lambda i: _histogram(split, i), len(split))
    for found in tqdm(histograms, "measuring pixels", len(split), leave=False, disable=None):
        counts += found
    # in whole numbers: exact, however many pictures there are
    means, variances = [], []
    for channel in counts.tolist():
        n = sum(channel)
        first = sum(level * count for level, count in enumerate(channel))
        second = sum(level * level * count for level, count in enumerate(channel))
        means.append(first / n)
        variances.append((n * second - first * first) / (n * n))
    return tuple(means), tuple(variances)


def _histogram(split: Split, i: int) -> np.ndarray:
    """Return how often each level is in each channel of picture i, int64 (channels, 256)."""
    pixels = split.picture(i)
    return np.stack([np.bincount(c.ravel(), minlength=256) for c in np.moveaxis(pixels, -1, 0)])
