"""Where decoded pictures are kept: in memory, on disk (`training.data.stored`), or not at all."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from training.runs.command import InputError

Cache = Literal["auto", "memory", "disk", "none"]

MEMORY_SHARE = 4  # auto takes at most this part of the memory,
DISK_SHARE = 2  # and at most this part of what is free on the disk
_ALIGNMENT = 64  # bytes; what TensorFlow takes without a copy begins at a multiple of it
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Place:
    """Where decoded pictures are kept.

    Attributes:
        kind: "memory", "disk" or "none".
        why: What was chosen and why, for the user.
        folder: Of the files on disk.
        asked: Whether the user asked for it: then failing is an error.
    """

    kind: Literal["memory", "disk", "none"]
    why: str
    folder: Path | None = None
    asked: bool = False


def choose(cache: Cache, needed: int, to_write: int, folder: Path | None) -> Place:
    """Choose where decoded pictures are kept.

    Args:
        cache: What the user wants; "auto" is memory where they fit into a quarter of it, else disk where
            they take at most half of what is free, else none.
        needed: Size of the decoded pictures, bytes.
        to_write: Size of those of them that are not on disk from earlier, bytes.
        folder: For files on disk; without one "auto" takes memory or none.

    Raises:
        InputError: If what the user asked for has no room.
    """
    budget = memory_bytes() // MEMORY_SHARE
    if cache == "none":
        return Place("none", "none, as asked: pictures are decoded again in every epoch", asked=True)
    if cache == "memory":
        if needed > memory_bytes():
            raise InputError(
                f"--cache memory: the decoded pictures take {_gb(needed)}, and this machine has "
                f"{_gb(memory_bytes())}. Take --cache disk, none or auto."
            )
        return Place("memory", f"in memory, as asked: {_gb(needed)}", asked=True)
    if cache == "auto" and needed <= budget:
        return Place("memory", f"in memory: {_gb(needed)} of at most {_gb(budget)}, a quarter of it")
    again = "pictures are decoded again in every epoch"
    if cache == "auto" and folder is None:
        return Place("none", f"none: {_gb(needed)} are more than {_gb(budget)}; {again}")
    folder = folder or default_folder()
    free = _free_bytes(folder)
    if cache == "disk":
        if to_write > free:
            raise InputError(_no_room(folder, f"{_gb(to_write)} needed, {_gb(free)} free"))
        return Place("disk", f"on disk, as asked: {_gb(needed)} in {folder}", folder, asked=True)
    if to_write <= free // DISK_SHARE:
        why = f"{_gb(needed)} in {folder}; memory holds at most {_gb(budget)}, a quarter of it"
        return Place("disk", f"on disk: {why}", folder)
    why = (
        f"{_gb(needed)} are more than a quarter of the memory ({_gb(budget)}) and than half of what is "
    )
    why += f"free in {folder} ({_gb(free // DISK_SHARE)})"
    return Place("none", f"none: {why}; {again}")


def given_up(place: Place, error: OSError) -> Place:
    """Return what is done instead where the disk failed.

    Raises:
        InputError: If the user asked for the disk.
    """
    if place.asked:
        raise InputError(_no_room(place.folder, error.strerror or str(error))) from None
    why = f"none: {place.folder} could not be written ({error.strerror or error})"
    return Place("none", f"{why}; pictures are decoded again in every epoch")


def _no_room(folder: Path | None, why: str) -> str:
    return (
        f"--cache disk: the decoded pictures cannot be stored in {folder}: {why}. Make room there, "
        "choose another --cache-dir, or take --cache none."
    )


def default_folder() -> Path:
    """Return the folder of decoded pictures among the user's caches."""
    caches = os.environ.get("XDG_CACHE_HOME") or ""
    return (Path(caches) if Path(caches).is_absolute() else Path.home() / ".cache") / "cnn_keras"


def memory_bytes() -> int:
    """Return the machine's memory or a container's share of it; 8 GB where the system does not say."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        memory = 8 * 10**9
    for file in _LIMITS:
        try:
            memory = min(memory, int(Path(file).read_text(encoding="ascii")))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return memory


def in_memory(shape: tuple[int, ...]) -> np.ndarray:
    """Return room for pictures, uint8 of this shape, that TensorFlow can share."""
    size = int(np.prod(shape))
    room = np.empty(size + _ALIGNMENT, np.uint8)
    start = -room.ctypes.data % _ALIGNMENT
    return room[start : start + size].reshape(shape)


def is_shareable(pixels: np.ndarray) -> bool:
    """Tell whether TensorFlow can take an array as it lies in memory."""
    return pixels.ctypes.data % _ALIGNMENT == 0 and pixels.flags.c_contiguous and pixels.flags.writeable


def _free_bytes(folder: Path) -> int:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _gb(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"
