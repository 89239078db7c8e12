"""Reading a split: every picture decoded once, or taken from what an earlier run decoded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from tqdm import tqdm

from training.data import cache as caches
from training.data import decode, jpeg, stored
from training.data.cache import Place
from training.data.entries import Entries
from training.data.parallel import in_order
from training.runs.command import InputError

OnBadImage = Literal["skip", "fail"]


@dataclass(frozen=True)
class Read:
    """What reading the pictures of a split gave.

    Attributes:
        identities: Of the encoded pictures, SHA-256, uint8 (n, 32).
        bad: Why some cannot be read, by their index.
        pixels: The others at the network's size, where they are kept.
        stored: Whether they were on disk already.
        layouts: int32 (n, 3), `training.data.jpeg.layout` of the files that are decoded in each epoch.
    """

    identities: np.ndarray
    bad: dict[int, str]
    pixels: np.ndarray | None
    stored: bool = False
    layouts: np.ndarray | None = None


def read_split(
    entries: Entries, shape: tuple[int, ...], place: Place, on_bad_image: OnBadImage, bar: tqdm
) -> tuple[Read, Place]:
    """Read the pictures of a split, from the cache on disk if they are there.

    Args:
        entries: The pictures.
        shape: (n, image_size, image_size, channels).
        place: Where decoded pictures are kept.
        on_bad_image: What to do with one that cannot be read.
        bar: Counts pictures.

    Returns:
        What was read; where it is kept, which is elsewhere when the disk failed.

    Raises:
        InputError: For a picture that cannot be read, with "fail".
    """
    read = _find(entries, shape, place, bar) if place.kind == "disk" else None
    if read is None:
        return _decode(entries, shape, place, on_bad_image, bar)
    if read.bad and on_bad_image == "fail":
        raise _refused(entries, *next(iter(read.bad.items())))
    return read, place


def _find(entries: Entries, shape: tuple[int, ...], place: Place, bar: tqdm) -> Read | None:
    """Return the pictures of a split if they are on disk; then none is decoded."""
    if not stored.maybe_stored(place.folder, shape):
        return None
    identities = np.empty((len(entries), 32), np.uint8)
    for i, own in enumerate(in_order(lambda i: stored.identity(entries.digest, i), len(entries))):
        identities[i] = np.frombuffer(own, np.uint8)
        bar.update()
    found = stored.find(place.folder, shape, identities)
    if found is None:
        bar.total += len(entries)
        return None
    return Read(identities, found.bad, found.pixels, stored=True)


def _decode(
    entries: Entries, shape: tuple[int, ...], place: Place, on_bad_image: OnBadImage, bar: tqdm
) -> tuple[Read, Place]:
    """Decode the pictures of a split; return also where they are kept, in case that had to change."""
    start = bar.n
    if place.kind == "disk":
        try:
            with stored.writer(place.folder, shape) as disk:
                identities, bad = _read_all(entries, shape, disk.add, on_bad_image, bar)
                some = len(bad) < len(entries)
                pixels = disk.finish(identities, bad).pixels if some else None
            return Read(identities, bad, pixels), place
        except OSError as error:  # not of a picture: those of pictures are told one by one
            place = caches.given_up(place, error)
            bar.total += bar.n - start
    pixels = caches.in_memory(shape) if place.kind == "memory" else None
    kept = iter(range(len(entries)))

    def keep(picture: np.ndarray) -> None:
        if pixels is not None:
            pixels[next(kept)] = picture

    again = place.kind == "none" and entries.path is not None
    layouts = np.zeros((len(entries), 3), np.int32) if again else None
    identities, bad = _read_all(entries, shape, keep, on_bad_image, bar, layouts)
    if pixels is not None:
        pixels = pixels[: len(entries) - len(bad)]
    return Read(identities, bad, pixels, layouts=layouts), place


def _read_all(
    entries: Entries,
    shape: tuple[int, ...],
    keep: Callable[[np.ndarray], None],
    on_bad_image: OnBadImage,
    bar: tqdm,
    layouts: np.ndarray | None = None,
) -> tuple[np.ndarray, dict[int, str]]:
    """Decode all pictures, give the readable ones to `keep` in order; return identities and bad ones.

    `layouts`, if given, is filled; see `Read`.
    """

    def one(i: int) -> tuple[bytes, np.ndarray | str]:
        own = stored.identity(entries.digest, i)
        try:
            picture = decode.resize(entries.load(i), *shape[2:])
            if layouts is not None:
                layouts[i] = jpeg.layout(entries.path(i))
            return own, picture
        except (decode.BadImageError, OSError) as error:
            return own, str(error)

    identities, bad = np.empty((len(entries), 32), np.uint8), {}
    for i, (own, picture) in enumerate(in_order(one, len(entries))):
        identities[i] = np.frombuffer(own, np.uint8)
        bar.update()
        if not isinstance(picture, str):
            keep(picture)
            continue
        bad[i] = picture
        if on_bad_image == "fail":
            raise _refused(entries, i, picture)
    return identities, bad


def _refused(entries: Entries, i: int, reason: str) -> InputError:
    return InputError(f"{entries.names[i]}: {reason} (--on-bad-image skip leaves it out)")
