"""Labelled pictures that decode themselves, and how they are divided."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from training.data import stratify
from training.data.labels import is_multi, renumbered

Splits = dict[str, "Entries"]


@dataclass(frozen=True)
class Entries:
    """The labelled pictures of one split, not decoded yet.

    Attributes:
        labels: int32 (n,), index into the class names; of pictures that may have several, int32 (n,
            classes) of 0 and 1 (`training.data.labels`).
        names: What to call each picture: its path, or a number.
        load: Decodes picture i, upright, in mode "RGB" or "L"; raises BadImageError.
        digest: SHA-256 of the encoded picture i.
        path: Returns the file of picture i, where each has one.
        groups: Text (n,); pictures of one group never come into two splits. None where each is its own.
    """

    labels: np.ndarray
    names: tuple[str, ...]
    load: Callable[[int], Image.Image]
    digest: Callable[[int], bytes]
    groups: np.ndarray | None = None
    path: Callable[[int], str] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "Entries":
        """Return the entries at `indices`."""
        return Entries(
            self.labels[indices],
            tuple(self.names[i] for i in indices),
            lambda i: self.load(indices[i]),
            lambda i: self.digest(indices[i]),
            None if self.groups is None else self.groups[indices],
            self.path and (lambda i: self.path(indices[i])),
        )


def array_entries(images: np.ndarray, labels: np.ndarray) -> Entries:
    """Return entries over decoded pictures, each uint8 (height, width) or (height, width, 3)."""
    return Entries(
        np.asarray(labels, np.int32),
        tuple(str(i) for i in range(len(images))),
        lambda i: Image.fromarray(images[i]),
        lambda i: _array_digest(images[i]),
    )


def _array_digest(image: np.ndarray) -> bytes:
    """Hash a decoded picture; of one that is no square the bytes alone do not tell what it shows."""
    shape = b"" if image.shape[0] == image.shape[1] else repr(image.shape).encode()
    return hashlib.sha256(shape + image.tobytes()).digest()


def joined(parts: list[Entries]) -> Entries:
    """Return the pictures of several splits as one."""
    if len(parts) == 1:
        return parts[0]
    ends = np.cumsum([len(part) for part in parts])

    def at(i: int) -> tuple[Entries, int]:
        part = int(np.searchsorted(ends, i, side="right"))
        return parts[part], int(i - ends[part] + len(parts[part]))

    def load(i: int) -> Image.Image:
        part, place = at(i)
        return part.load(place)

    def digest(i: int) -> bytes:
        part, place = at(i)
        return part.digest(place)

    def path(i: int) -> str:
        part, place = at(i)
        return part.path(place)

    return Entries(
        np.concatenate([part.labels for part in parts]),
        tuple(name for part in parts for name in part.names),
        load,
        digest,
        None if parts[0].groups is None else np.concatenate([part.groups for part in parts]),
        path if all(part.path for part in parts) else None,
    )


def relabelled(entries: Entries, names: tuple[str, ...], new_names: tuple[str, ...]) -> Entries:
    """Return the entries, whose labels index `names`, with labels that index `new_names`.

    Pictures of classes that are not among these are left out; of pictures with several labels, those
    labels alone.
    """
    labels = renumbered(entries.labels, names, new_names)
    moved = replace(entries, labels=labels)
    return moved if is_multi(labels) else moved.take(np.flatnonzero(labels >= 0))


def split(entries: Entries, shares: dict[str, float], seed: int) -> Splits:
    """Split entries into "train" and what `shares` names, stratified by class.

    Every class gives each split its share, rounded, and keeps at least one picture in train; where
    pictures have groups, `training.data.folds.hold_out` keeps these whole. Pictures with several labels
    are divided by iterative stratification. The same seed gives the same splits.

    Args:
        entries: Labelled pictures.
        shares: For each further split, the share of the pictures that it gets.
        seed: Decides which.
    """
    if is_multi(entries.labels):
        own = stratify.parts(
            entries.labels, [1 - sum(shares.values()), *shares.values()], seed, entries.groups
        )
        own = stratify.with_every_class(own, entries.labels, entries.groups)
        found = {name: np.flatnonzero(own == i) for i, name in enumerate(("train", *shares))}
        return {name: entries.take(part) for name, part in found.items() if len(part)}
    if entries.groups is not None:
        from training.data.folds import hold_out

        return hold_out(entries, shares, seed)
    rng = np.random.default_rng(seed)
    parts: dict[str, list[int]] = {name: [] for name in ("train", *shares)}
    carry = dict.fromkeys(shares, 0.0)  # what rounding left over goes to the next class
    for label in np.unique(entries.labels):
        members = rng.permutation(np.flatnonzero(entries.labels == label))
        count = len(members)
        for name, share in shares.items():
            wanted = share * count + carry[name]
            taken = min(round(wanted), len(members) - 1)
            carry[name] = min(wanted - taken, 1.0)
            parts[name].extend(members[:taken])
            members = members[taken:]
        parts["train"].extend(members)
    return {name: entries.take(np.sort(np.array(part, int))) for name, part in parts.items() if part}
