"""Decoded pictures on disk: made once, mapped into memory by every later run on the same pictures.

A folder `{pictures}x{side}x{side}x{channels}-{key}` has the pixels as they are, one picture behind the
other, and what tells whether they are whole. The key is a hash of every encoded picture and of all that
decides how it is decoded, so that what changed is never taken for what it was.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL

from training.data import decode
from training.data.parallel import in_order
from training.runs.files import replaced

KEPT_DAYS = 30  # what no run has used for so long is removed when something new is stored
_ABANDONED_DAYS = 1  # the same of what was never finished
_NAME = re.compile(r"\d+x\d+x\d+x\d-[0-9a-f]{16}")
_UNFINISHED = ".tmp-pictures-"
_TRIES, _WAIT_SECONDS = 5, 0.1
_PIXELS, _INDEX = "pixels.uint8", "index.npz"
_DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Stored:
    """Decoded pictures as they were stored.

    Attributes:
        pixels: The readable pictures, uint8 (n, side, side, channels); mapped, not read.
        bad: Why the others could not be read, by their index.
    """

    pixels: np.ndarray
    bad: dict[int, str]


def maybe_stored(folder: Path, shape: tuple[int, ...]) -> bool:
    """Tell whether pictures of this number and size were stored: only then hashing them is of use."""
    return any(folder.glob(_prefix(shape) + "*"))


def find(folder: Path, shape: tuple[int, ...], identities: np.ndarray) -> Stored | None:
    """Return the stored pictures if they are there and whole.

    Args:
        folder: Where decoded pictures are stored.
        shape: (pictures, side, side, channels), with those that cannot be read.
        identities: Of the encoded pictures, uint8 (pictures, 32).
    """
    place = folder / _name(shape, identities)
    try:
        with (place / _INDEX).open("rb") as file, np.load(file, allow_pickle=False) as index:
            sums, bad, reasons = (index[key] for key in ("crc32", "bad", "reasons"))
        size = len(sums), *shape[1:]
        if len(sums) + len(bad) != shape[0] or (place / _PIXELS).stat().st_size != np.prod(size):
            return None
        # copy-on-write, because TensorFlow shares only what could be written to; nobody writes
        pixels = np.memmap(place / _PIXELS, np.uint8, "c", shape=size)
        found = in_order(lambda i: zlib.crc32(pixels[i]), len(sums))
        if any(one != expected for one, expected in zip(found, sums.tolist(), strict=True)):
            return None
        os.utime(place)  # it is in use
    except _DAMAGED:
        return None
    return Stored(pixels, dict(zip(bad.tolist(), reasons.tolist(), strict=True)))


@dataclass
class Writer:
    """Stores pictures one by one, under a temporary name until they are complete; see `writer`.

    Attributes:
        folder: Where decoded pictures are stored.
        shape: At most (pictures, side, side, channels).
        new: The temporary folder.
        file: Takes the pixels.
        sums: CRC-32 of each picture so far.
    """

    folder: Path
    shape: tuple[int, ...]
    new: Path
    file: BinaryIO
    sums: list[int] = field(default_factory=list)

    def add(self, picture: np.ndarray) -> None:
        """Store the next picture, uint8 (side, side, channels)."""
        self.sums.append(zlib.crc32(picture))
        self.file.write(picture)

    def finish(self, identities: np.ndarray, bad: dict[int, str]) -> Stored:
        """Give the stored pictures their name, and return them; see `find`.

        Raises:
            OSError: If they do not fit on the disk.
        """
        self.file.truncate()
        self.file.close()
        np.savez(
            self.new / _INDEX,
            crc32=np.array(self.sums, np.uint32),
            bad=np.array(list(bad), np.int64),
            reasons=np.array(list(bad.values()), str),
        )
        found = find(self.folder, self.shape, identities)
        if found is not None:  # another process was faster, with the same pixels
            return found
        failed = OSError(errno.EIO, "what was written could not be read again", str(self.folder))
        try:
            with replaced(self.folder / _name(self.shape, identities)) as temporary:
                self.new.rename(temporary)
        except OSError as error:
            failed = error
        for _ in range(_TRIES):  # another process may be putting its own there right now
            found = find(self.folder, self.shape, identities)
            if found is not None:
                return found
            time.sleep(_WAIT_SECONDS)
        raise failed


@contextlib.contextmanager
def writer(folder: Path, shape: tuple[int, ...]) -> Iterator[Writer]:
    """Reserve room for decoded pictures; what is not finished at the end of the `with` is removed.

    Args:
        folder: Where decoded pictures are stored.
        shape: At most (pictures, side, side, channels).

    Raises:
        OSError: If there is no room.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tidy(folder)
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=folder) as holder:
        new = Path(holder, "new")
        new.mkdir()
        with (new / _PIXELS).open("wb") as file:
            if hasattr(os, "posix_fallocate"):  # a full disk shows now, not after hours of decoding
                os.posix_fallocate(file.fileno(), 0, int(np.prod(shape)))
            yield Writer(folder, shape, new, file)


def identity(digest: Callable[[int], bytes], i: int) -> bytes:
    """Return what tells an encoded picture from all others, 32 bytes; also of one that is not there."""
    try:
        return digest(i)
    except (decode.BadImageError, OSError) as error:
        return hashlib.sha256(b"unreadable: " + str(error).encode("utf-8", "replace")).digest()


def tidy(folder: Path) -> None:
    """Remove what no run has used for long, and what was never finished; nothing that is not ours."""
    for place in folder.iterdir():
        unfinished = place.name.startswith(_UNFINISHED)
        if not unfinished and not _NAME.fullmatch(place.name):
            continue
        days, parts = (_ABANDONED_DAYS, place.rglob("*")) if unfinished else (KEPT_DAYS, ())
        try:
            used = max(path.stat().st_mtime for path in (place, *parts))
        except OSError:  # another process was faster
            continue
        if time.time() - used > days * 24 * 3600:
            shutil.rmtree(place, ignore_errors=True)


def _prefix(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) + "-"


def _name(shape: tuple[int, ...], identities: np.ndarray) -> str:
    return _prefix(shape) + _key(identities)


def _key(identities: np.ndarray) -> str:
    """Hash the pictures and what decides how they are decoded: the contract, its code, its library."""
    key = hashlib.sha256(json.dumps([decode.CONTRACT, PIL.__version__]).encode())
    for file in sorted(Path(decode.__file__).parent.glob("decode*.py")):
        key.update(file.read_bytes())
    key.update(np.ascontiguousarray(identities))
    return key.hexdigest()[:16]
