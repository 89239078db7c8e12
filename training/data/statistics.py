"""Figures over all pixels of a split."""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm import tqdm

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
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting = deque()
        for i in tqdm(range(len(split)), "measuring pixels", leave=False, disable=None):
            waiting.append(pool.submit(_histogram, split, i))
            if len(waiting) > 4 * (os.cpu_count() or 1):
                counts += waiting.popleft().result()
        for result in waiting:
            counts += result.result()
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
