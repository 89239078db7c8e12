"""From labelled entries to the pixels of one network's size, in memory or decoded afresh each epoch."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from training.data import cache as caches
from training.data import decode
from training.data.cache import Cache
from training.data.entries import Entries
from training.data.jpeg import Jpegs
from training.data.labels import class_counts
from training.data.reading import OnBadImage, Read, read_split
from training.data.sources import Source
from training.data.stored import maybe_stored
from training.runs.command import InputError
from training.runs.files import printable

SHOWN = 20  # broken pictures in a message


@dataclass(frozen=True)
class LeftOut:
    """A picture that is not used."""

    name: str
    reason: str


@dataclass(frozen=True)
class Split:
    """The pictures of one split at a network's size.

    Attributes:
        labels: int32 (n,), or int32 (n, classes) where pictures may have several.
        names: What to call each picture.
        picture: Returns picture i: uint8 (image_size, image_size, channels), 0..255.
        pixels: All pictures, uint8 (n, image_size, image_size, channels), where they are cached: in
            memory, or on disk and mapped into memory.
        fingerprint: SHA-256 over encoded pictures and labels, hexadecimal.
        jpegs: The files of pictures that are not cached, for training to decode its crops of.
    """

    labels: np.ndarray
    names: tuple[str, ...]
    picture: Callable[[int], np.ndarray]
    pixels: np.ndarray | None
    fingerprint: str
    jpegs: Jpegs | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Data:
    """What a network is trained and judged on.

    Attributes:
        source: Where it comes from.
        splits: "train", "val", and "test" where there is one; those asked for.
        image_size: Side of the square pictures, pixels.
        channels: 1 or 3.
        left_out: Pictures that could not be read.
        cache: Where the decoded pictures are kept and why, for the user.
        larger: The training pictures at a larger side, for augmentation that crops. Those in `splits`
            are then made of these.
    """

    source: Source
    splits: dict[str, Split]
    image_size: int
    channels: int
    left_out: tuple[LeftOut, ...]
    cache: str = ""
    larger: Split | None = None

    @property
    def to_augment(self) -> Split:
        """The training pictures as augmentation takes them."""
        return self.larger or self.splits["train"]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in the order of the labels."""
        return self.source.class_names


def prepare(
    source: Source,
    image_size: int,
    channels: int,
    *,
    train_size: int | None = None,
    parts: tuple[str, ...] = ("train", "val", "test"),
    cache: Cache = "auto",
    cache_dir: Path | None = None,
    on_bad_image: OnBadImage = "skip",
    quiet: bool = False,
) -> Data:
    """Decode every picture once: broken ones are found now, not in the middle of an epoch.

    Args:
        source: The labelled pictures.
        image_size: Side of the square that the network takes, pixels.
        channels: 1 or 3.
        train_size: Side of the training pictures that augmentation takes, pixels; by default
            `image_size`.
        parts: Splits to prepare.
        cache: "memory" and "disk" keep the decoded pixels there, "none" decodes again in each epoch (of
            JPEGs only the crops, see `training.data.crops`), "auto" chooses by their size; see
            `training.data.cache.choose`.
        cache_dir: Where "disk" is, by default among the user's caches; without it "auto" takes memory or
            none, since what is read once need not be stored.
        on_bad_image: "skip" leaves broken pictures out, "fail" stops at the first.
        quiet: Show no progress bar.

    Raises:
        InputError: If a split has no readable picture, or for a broken one with `on_bad_image="fail"`.
    """
    wanted = {name: source.splits[name] for name in parts if name in source.splits}
    count = sum(map(len, wanted.values()))
    sizes = dict.fromkeys(wanted, image_size) | {"train": train_size or image_size}
    shapes = {n: (len(entries), sizes[n], sizes[n], channels) for n, entries in wanted.items()}
    to_write = [s for s in shapes.values() if not (cache_dir and maybe_stored(cache_dir, s))]
    needed, missing = (sum(map(math.prod, some)) for some in (shapes.values(), to_write))
    place = caches.choose(cache, needed, missing, cache_dir)
    splits, left_out, stored, identities = {}, [], [], {}
    with tqdm(
        total=count, desc="reading pictures", unit=" pictures", leave=False, disable=quiet or None
    ) as bar:
        for name, entries in wanted.items():
            read, place = read_split(entries, shapes[name], place, on_bad_image, bar)
            stored.append(read.stored)
            bad = [LeftOut(entries.names[i], reason) for i, reason in read.bad.items()]
            left_out += bad
            if len(bad) == len(entries):
                lines = [f"{b.name}: {b.reason}" for b in bad[:SHOWN]]
                lines += [f"... and {len(bad) - SHOWN} more"] * (len(bad) > SHOWN)
                raise InputError("\n".join([f"no picture of '{name}' could be read:", *lines]))
            splits[name] = _split(entries, shapes[name], read)
            identities[name] = np.delete(read.identities, list(read.bad), 0)
    _check_classes(source, splits)
    source = replace(source, notices=(*source.notices, *_shared(splits, identities)))
    larger = None
    if "train" in splits and sizes["train"] != image_size:
        larger = splits["train"]
        splits["train"] = _resized(larger, image_size, channels)
    why = place.why + "; from an earlier run" * all(stored)
    return Data(source, splits, image_size, channels, tuple(left_out), why, larger)


def notes(data: Data, card: dict[str, Any] | None = None) -> list[str]:
    """Return what the user should know about pictures, a line each.

    Args:
        data: The pictures.
        card: A run's card, to tell which splits are not those of its fit.
    """
    found = list(data.source.notices)
    if data.left_out:
        found.append(f"{len(data.left_out)} broken picture(s) left out, e.g. {data.left_out[0].name}")
    seen = card["data"]["fingerprint"] if card else {}
    found = [printable(note) for note in found]  # names of files may hold anything
    found += [
        f"the {part} pictures are not those of the fit: they changed since, and may be others' now"
        for part, split in data.splits.items()
        if card and split.fingerprint != seen.get(part)
    ]
    return found


def _split(entries: Entries, shape: tuple[int, ...], read: Read) -> Split:
    """Make a split of the pictures that can be read."""
    kept = np.delete(np.arange(len(entries)), list(read.bad))
    labels = entries.labels[kept]
    described = [read.identities[kept], labels.astype("<i4").reshape(len(kept), -1).view(np.uint8)]

    def picture(i: int) -> np.ndarray:
        if read.pixels is not None:
            return read.pixels[i]
        return decode.resize(entries.load(kept[i]), *shape[2:])

    jpegs = None
    if read.layouts is not None and read.layouts[kept].any():
        jpegs = Jpegs(lambda i: entries.path(kept[i]), read.layouts[kept])
    return Split(
        labels,
        tuple(entries.names[i] for i in kept.tolist()),
        picture,
        read.pixels,
        hashlib.sha256(np.hstack(described)).hexdigest(),
        jpegs,
    )


def _shared(splits: dict[str, Split], identities: dict[str, np.ndarray]) -> list[str]:
    """Say which splits have pictures of the training split, to the byte: they are judged too well."""
    found = []
    rows = {name: own.view(np.dtype((np.void, 32)))[:, 0] for name, own in identities.items()}
    for name in rows.keys() - {"train"} if "train" in rows else ():
        same = np.flatnonzero(np.isin(rows[name], rows["train"]))
        if len(same):
            example = splits[name].names[same[0]]
            found.append(
                f"{len(same)} of {len(splits[name])} '{name}' pictures are among the training pictures "
                f"too, e.g. {example}; training.check_data lists copies"
            )
    return sorted(found)


def _resized(split: Split, image_size: int, channels: int) -> Split:
    """Return the same pictures at another size, made afresh each time from those of `split`."""

    def picture(i: int) -> np.ndarray:
        stored = split.picture(i)
        image = Image.fromarray(stored[..., 0] if channels == 1 else stored)
        return decode.resize(image, image_size, channels)

    return replace(split, picture=picture, pixels=None, jpegs=None)


def _check_classes(source: Source, splits: dict[str, Split]) -> None:
    """Refuse a training split in which a class has no readable picture: it could not be learnt."""
    if "train" not in splits:
        return
    counts = class_counts(splits["train"].labels, len(source.class_names))
    missing = np.flatnonzero(counts == 0)
    if len(missing):
        names = ", ".join(f"'{source.class_names[i]}'" for i in missing)
        raise InputError(f"no picture of class {names} could be read for training: all are broken.")
