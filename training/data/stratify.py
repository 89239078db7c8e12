"""Iterative stratification: pictures with several labels divided so that each part has its share of all.

Sechidis, Tsoumakas and Vlahavas 2011, "On the Stratification of Multi-Label Data" (ECML PKDD, LNCS
6913), algorithm 1. The label with the fewest pictures left is dealt out first, because little can be
made good for it later; each of its pictures goes to the part that still wants most of that label, among
equals to the one that wants most pictures, and then by chance. Pictures without a label come last, to
the part that wants most pictures. Whole groups are dealt out the same way, as pictures that have each
label several times.
"""

from collections.abc import Sequence

import numpy as np


def parts(
    labels: np.ndarray, shares: Sequence[float], seed: int, groups: np.ndarray | None = None
) -> np.ndarray:
    """Divide pictures by their labels.

    Args:
        labels: int (n, classes), 0 and 1.
        shares: Of the pictures, for each part; their sum is 1.
        seed: Decides ties, and the order within a label.
        groups: (n,); pictures of one group stay together.

    Returns:
        int64 (n,), the part of each picture.
    """
    if groups is None:
        return _dealt(labels, np.ones(len(labels), int), shares, np.random.default_rng(seed))
    names, group_of = np.unique(groups, return_inverse=True)
    sums = np.zeros((len(names), labels.shape[1]), int)
    np.add.at(sums, group_of, labels)
    return _dealt(sums, np.bincount(group_of), shares, np.random.default_rng(seed))[group_of]


def with_every_class(
    part: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None
) -> np.ndarray:
    """Return parts in which part 0, which is trained on, has each class: one picture moves for it.

    The algorithm does nearly always without; a class may miss where its pictures came into other parts
    for the sake of rarer labels that they have too.
    """
    part = part.copy()
    for label in np.flatnonzero(labels.any(axis=0)):
        members = np.flatnonzero(labels[:, label])
        if (part[members] != 0).all():
            part[members[0] if groups is None else groups == groups[members[0]]] = 0
    return part


def _dealt(
    labels: np.ndarray, sizes: np.ndarray, shares: Sequence[float], rng: np.random.Generator
) -> np.ndarray:
    """Deal out rows of int (n, classes), how often each has each label, with so many pictures each."""
    shares = np.asarray(shares, float)
    wanted = np.outer(shares, labels.sum(axis=0))  # pictures of each label, by part
    room = shares * sizes.sum()  # pictures, by part
    part = np.full(len(labels), -1)

    def give(i: int, wish: np.ndarray) -> None:
        best = np.lexsort((rng.random(len(shares)), room, wish))[-1]
        part[i] = best
        wanted[best] -= labels[i]
        room[best] -= sizes[i]

    left = labels.sum(axis=0)
    while left.any():
        label = np.argmin(np.where(left > 0, left, left.max() + 1))
        members = rng.permutation(np.flatnonzero((part < 0) & (labels[:, label] > 0)))
        members = members[np.argsort(-labels[members, label], kind="stable")]  # large groups first
        for i in members:
            give(i, wanted[:, label])
        left = labels[part < 0].sum(axis=0)
    for i in rng.permutation(np.flatnonzero(part < 0)):
        give(i, room)
    return part
