"""Copies of a picture: files of the same bytes, and re-encoded, resized, brighter or darker ones.

The latter are searched in two steps. A perceptual hash of 64 bits (the signs of the lowest frequencies
of a small grey copy, about their median) proposes pairs; a pair counts where the small copies themselves
agree, as they are or but for brightness and contrast. The limits were chosen on photographs (quality 10
to 75, sides from a quarter to the double, darker and brighter) and on pictures that only resemble one
another (scanned digits, clothes).
"""

from collections.abc import Iterator

import numpy as np

BITS_APART = 7  # hashes of copies differ in no more bits
CORRELATION = 0.98  # of the grey levels of two copies: at least
RMS_LEVELS = 12.0  # root mean square of their difference: at most,
FITTED_RMS_LEVELS = 8.0  # or so much after the best straight line from one's levels to the other's
_LEAST_CONTRAST = 2.0  # standard deviation in levels; below it there is no shape to compare

_BANDS, _BAND_BITS = 4, 16  # of 7 differing bits, one of four bands of 16 has at most one
_PAIRS_AT_ONCE = 1 << 20
_CHECKS_AT_ONCE = 1 << 12
_HASHES_AT_ONCE = 1 << 12


def hashes(small: np.ndarray) -> np.ndarray:
    """Return the perceptual hash of each picture.

    Args:
        small: Small grey copies, uint8 (n, side, side), 0..255.

    Returns:
        uint64 (n,).
    """
    side = small.shape[1]
    lowest = sorted(((u, v) for u in range(11) for v in range(11) if 0 < u + v <= 10), key=_by_frequency)
    rows, columns = np.array(lowest[:64]).T
    waves = np.cos(np.pi * np.outer(np.arange(11), 2 * np.arange(side) + 1) / (2 * side))  # DCT-II
    waves = waves.astype(np.float32)
    found = np.empty(len(small), np.uint64)
    for start in range(0, len(small), _HASHES_AT_ONCE):
        some = slice(start, start + _HASHES_AT_ONCE)
        spectrum = (waves @ small[some].astype(np.float32) @ waves.T)[:, rows, columns]
        bits = spectrum > np.median(spectrum, axis=1, keepdims=True)
        found[some] = np.ascontiguousarray(np.packbits(bits, axis=1)).view(np.uint64)[:, 0]
    return found


def _by_frequency(place: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    return sum(place), place


def alike(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Tell which small grey copies, uint8 (n, side, side) each, show the same picture: bool (n,)."""
    size = first.shape[1] * first.shape[2]
    a, b = (x.reshape(len(x), size).astype(np.float32) for x in (first, second))
    rms = np.sqrt(np.mean((a - b) ** 2, axis=1))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    deviations = np.sqrt(np.mean(a**2, axis=1)), np.sqrt(np.mean(b**2, axis=1))
    covariance = np.mean(a * b, axis=1)
    product = deviations[0] * deviations[1]
    correlation = np.divide(covariance, product, out=np.zeros_like(product), where=product > 0)
    fitted_rms = np.maximum(*deviations) * np.sqrt(np.clip(1 - correlation**2, 0, 1))
    return (correlation >= CORRELATION) & ((rms <= RMS_LEVELS) | (fitted_rms <= FITTED_RMS_LEVELS))


def groups(digests: list[bytes], small: np.ndarray) -> list[np.ndarray]:
    """Find the pictures that are there more than once.

    Args:
        digests: Of the files; an empty one is compared with no other.
        small: Their small grey copies, uint8 (n, side, side), 0..255. One without contrast (a picture
            of one colour) resembles all others of its kind and is only compared byte by byte.

    Returns:
        For each picture that has copies the indices of all of them, ascending.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first: dict[bytes, int] = {}
    known = np.array([i for i, digest in enumerate(digests) if digest], int)
    label = np.arange(len(digests))  # copies get one label
    for i in known:
        label[i] = first.setdefault(digests[i], i)
    unlike = np.array(list(first.values()), int)
    unlike = unlike[[small[i].std() >= _LEAST_CONTRAST for i in unlike]] if len(unlike) else unlike
    for a, b in _candidates(hashes(small)[unlike]):
        a, b = unlike[a], unlike[b]
        for start in range(0, len(a), _CHECKS_AT_ONCE):
            i, j = a[start : start + _CHECKS_AT_ONCE], b[start : start + _CHECKS_AT_ONCE]
            apart = label[i] != label[j]
            i, j = i[apart], j[apart]
            same = alike(small[i], small[j])
            if same.any():
                ends = label[i[same]], label[j[same]]
                graph = coo_array((np.ones(len(ends[0])), ends), shape=(len(label), len(label)))
                label = connected_components(graph, directed=False)[1][label]
    order = known[np.argsort(label[known], kind="stable")]
    parts = np.split(order, np.flatnonzero(np.diff(label[order])) + 1)
    return sorted((part for part in parts if len(part) > 1), key=lambda part: part[0])


def _candidates(codes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the pairs of hashes that differ in at most BITS_APART bits, some of them more than once.

    Not every hash is compared with every other: each band of bits is looked up in the sorted list of
    that band, as it is and with each of its bits flipped.
    """
    for band in range(_BANDS):
        key = (codes >> np.uint64(band * _BAND_BITS)).astype(np.uint16)
        order = np.argsort(key, kind="stable")
        key = key[order]
        for flip in (0, *(1 << bit for bit in range(_BAND_BITS))):
            wanted = key ^ np.uint16(flip)
            start, stop = np.searchsorted(key, wanted), np.searchsorted(key, wanted, "right")
            for a, b in _ranges(start, stop):
                a, b = order[a], order[b]
                near = (a < b) & (np.bitwise_count(codes[a] ^ codes[b]) <= BITS_APART)
                if near.any():
                    yield a[near], b[near]


def _ranges(start: np.ndarray, stop: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield, some at a time, all pairs of a row and a number from its start up to its stop."""
    ends = np.cumsum(stop - start)
    row = 0
    while row < len(ends):
        before = ends[row - 1] if row else 0
        last = max(row + 1, int(np.searchsorted(ends, before + _PAIRS_AT_ONCE, "right")))
        counts = (stop - start)[row:last]
        a = np.repeat(np.arange(row, last), counts)
        b = np.arange(len(a)) - np.repeat(ends[row:last] - counts - before, counts)
        yield a, b + np.repeat(start[row:last], counts)
        row = last
