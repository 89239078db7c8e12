"""What each picture file of a folder is: readable or not, how it is stored, its size, a small copy."""

import hashlib
import io
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from training.data import decode
from training.data.folder import content

ENDINGS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
}
SIDE = 32  # of the small copies, pixels
_FLAT = 8  # a picture whose channels vary by no more levels has one colour; JPEG noise stays below
_BLOCK = 4096  # files in work at once: the list of waiting results does not grow with the folder
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_BIT_DEPTH = 24  # its place in the file


@dataclass(frozen=True, slots=True)
class Picture:
    """What was found in one file.

    Attributes:
        broken: Why it cannot be read, or None.
        traits: What a user may want to know of it, by kind of finding, with a word of detail.
        digest: SHA-256 of the file; empty where it is broken.
        width: Upright, pixels; 0 where it is broken.
        height: Upright, pixels; 0 where it is broken.
        size_bytes: Of the file.
    """

    broken: str | None
    traits: dict[str, str]
    digest: bytes = b""
    width: int = 0
    height: int = 0
    size_bytes: int = 0


def examine_all(paths: list[Path], quiet: bool = False) -> tuple[list[Picture], np.ndarray]:
    """Decode every file, in parallel.

    Threads serve: Pillow decodes, and hashlib hashes, without holding Python's lock.

    Args:
        paths: The files.
        quiet: Show no progress bar.

    Returns:
        What was found in each file, and small grey copies, uint8 (files, SIDE, SIDE), 0..255.
    """
    small = np.zeros((len(paths), SIDE, SIDE), np.uint8)
    found: list[Picture] = []

    def one(i: int) -> Picture:
        picture, copy = examine(paths[i])
        if copy is not None:
            small[i] = copy
        return picture

    bar = tqdm(
        total=len(paths), desc="reading pictures", unit=" pictures", leave=False, disable=quiet or None
    )
    with bar, ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for start in range(0, len(paths), _BLOCK):
                for picture in pool.map(one, range(start, min(start + _BLOCK, len(paths)))):
                    found.append(picture)
                    bar.update()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return found, small


def examine(path: Path) -> tuple[Picture, np.ndarray | None]:
    """Decode one file; `decode.open_picture` says whether it is broken.

    Returns:
        What was found, and a small grey copy, uint8 (SIDE, SIDE), 0..255; None where it is broken.
    """
    try:
        data = content(path)
        image = decode.open_picture(data)
    except decode.BadImageError as error:
        size_bytes = path.stat().st_size if path.is_file() else 0
        return Picture(str(error), {}, size_bytes=size_bytes), None
    except OSError as error:
        return Picture(error.strerror or str(error), {}), None
    traits = _stored(path.name, data)
    bands = image.getextrema()
    if all(high - low <= _FLAT for low, high in ([bands] if image.mode == "L" else bands)):
        traits["single_colour"] = ""
    return (
        Picture(None, traits, hashlib.sha256(data).digest(), *image.size, len(data)),
        decode.resize(image, SIDE, 1)[..., 0],
    )


def _stored(name: str, data: bytes) -> dict[str, str]:
    """Return how a readable picture is stored, where that is unusual."""
    traits = {}
    with Image.open(io.BytesIO(data), formats=decode.FORMATS) as image:
        kind = "JPEG" if image.format == "MPO" else image.format  # MPO: a JPEG with more behind it
        frames = 1 if image.format == "MPO" else _frames(image)
        if not name.lower().endswith(ENDINGS[kind]):
            traits["wrong_extension"] = f"it is a {kind}"
        if frames > 1:
            traits["animated"] = f"{frames} frames"
        if image.mode == "CMYK":
            traits["cmyk"] = ""
        if image.mode.startswith("I") or (
            data.startswith(_PNG_SIGNATURE) and data[_PNG_BIT_DEPTH] == 16
        ):
            traits["16_bit"] = ""
        turn = decode.orientation(image)
        if turn > 1:
            traits["exif_rotated"] = f"orientation {turn}"
    return traits


def _frames(image: Image.Image) -> int:
    try:
        return getattr(image, "n_frames", 1)
    except Exception:  # damage behind the first frame, the only one that is used
        return 1


def unread_picture(path: Path) -> str | None:
    """Tell the format of a picture in a file whose name is not that of one, or None if it holds none."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        Image.init()
        formats = [f for f in (*decode.FORMATS, "TIFF", "JPEG2000", "AVIF") if f in Image.OPEN]
        with Image.open(path, formats=formats) as image:
            return str(image.format)
    except Exception:  # Pillow needs a plug-in for HEIF
        return "HEIF" if path.suffix.lower() in (".heic", ".heif") else None
