"""From labelled entries to the pixels of one network's size, in memory or decoded afresh each epoch."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from PIL import Image
from tqdm import tqdm

from training.data import decode
from training.data.entries import Entries
from training.data.labels import class_counts
from training.data.sources import Source
from training.runs.command import InputError
from training.runs.files import printable

Cache = Literal["auto", "memory", "none"]
SHOWN = 20  # broken pictures in a message
OnBadImage = Literal["skip", "fail"]


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
        pixels: All pictures, uint8 (n, image_size, image_size, channels), where they are cached.
        fingerprint: SHA-256 over encoded pictures and labels, hexadecimal.
    """

    labels: np.ndarray
    names: tuple[str, ...]
    picture: Callable[[int], np.ndarray]
    pixels: np.ndarray | None
    fingerprint: str

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
        larger: The training pictures at a larger side, for augmentation that crops. Those in `splits`
            are then made of these.
    """

    source: Source
    splits: dict[str, Split]
    image_size: int
    channels: int
    left_out: tuple[LeftOut, ...]
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
        cache: "memory" keeps the decoded pixels, "none" decodes again in each epoch, "auto" keeps them
            where they fit into a quarter of the machine's memory.
        on_bad_image: "skip" leaves broken pictures out, "fail" stops at the first.
        quiet: Show no progress bar.

    Raises:
        InputError: If a split has no readable picture, or for a broken one with `on_bad_image="fail"`.
    """
    wanted = {name: source.splits[name] for name in parts if name in source.splits}
    count = sum(map(len, wanted.values()))
    sizes = dict.fromkeys(wanted, image_size) | {"train": train_size or image_size}
    needed = sum(len(entries) * sizes[name] ** 2 * channels for name, entries in wanted.items())
    keep = cache == "memory" or (cache == "auto" and needed <= memory_bytes() // 4)
    splits, left_out = {}, []
    with tqdm(
        total=count, desc="reading pictures", unit=" pictures", leave=False, disable=quiet or None
    ) as bar:
        for name, entries in wanted.items():
            splits[name], bad = _prepare_split(entries, sizes[name], channels, keep, on_bad_image, bar)
            left_out += bad
            if not len(splits[name]):
                lines = [f"{b.name}: {b.reason}" for b in bad[:SHOWN]]
                lines += [f"... and {len(bad) - SHOWN} more"] * (len(bad) > SHOWN)
                raise InputError("\n".join([f"no picture of '{name}' could be read:", *lines]))
    _check_classes(source, splits)
    larger = None
    if "train" in splits and sizes["train"] != image_size:
        larger = splits["train"]
        splits["train"] = _resized(larger, image_size, channels)
    return Data(source, splits, image_size, channels, tuple(left_out), larger)


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


def memory_bytes() -> int:
    """Return the machine's memory, or 8 GB where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 * 10**9


def _prepare_split(
    entries: Entries, image_size: int, channels: int, keep: bool, on_bad_image: OnBadImage, bar: tqdm
) -> tuple[Split, list[LeftOut]]:
    shape = (image_size, image_size, channels)
    pixels = np.empty((len(entries) if keep else 0, *shape), np.uint8)

    def one(i: int) -> str | bytes:
        """Return the digest of picture i, or why it cannot be read."""
        try:
            digest = entries.digest(i)
            picture = decode.resize(entries.load(i), image_size, channels)
        except (decode.BadImageError, OSError) as error:
            return str(error)
        if keep:
            pixels[i] = picture
        return digest

    good, bad, fingerprint = [], [], hashlib.sha256()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for i, result in enumerate(pool.map(one, range(len(entries)))):
                bar.update()
                if isinstance(result, str):
                    bad.append(LeftOut(entries.names[i], result))
                    if on_bad_image == "fail":
                        raise InputError(
                            f"{entries.names[i]}: {result} (--on-bad-image skip leaves it out)"
                        )
                else:
                    good.append(i)
                    fingerprint.update(result + entries.labels[i].astype("<i4").tobytes())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    kept = np.array(good, int)
    if keep and bad:
        pixels = pixels[kept]

    def picture(i: int) -> np.ndarray:
        return pixels[i] if keep else decode.resize(entries.load(kept[i]), image_size, channels)

    return Split(
        entries.labels[kept],
        tuple(entries.names[i] for i in good),
        picture,
        pixels if keep else None,
        fingerprint.hexdigest(),
    ), bad


def _resized(split: Split, image_size: int, channels: int) -> Split:
    """Return the same pictures at another size, made afresh each time from those of `split`."""

    def picture(i: int) -> np.ndarray:
        stored = split.picture(i)
        image = Image.fromarray(stored[..., 0] if channels == 1 else stored)
        return decode.resize(image, image_size, channels)

    return replace(split, picture=picture, pixels=None)


def _check_classes(source: Source, splits: dict[str, Split]) -> None:
    """Refuse a training split in which a class has no readable picture: it could not be learnt."""
    if "train" not in splits:
        return
    counts = class_counts(splits["train"].labels, len(source.class_names))
    missing = np.flatnonzero(counts == 0)
    if len(missing):
        names = ", ".join(f"'{source.class_names[i]}'" for i in missing)
        raise InputError(f"no picture of class {names} could be read for training: all are broken.")
