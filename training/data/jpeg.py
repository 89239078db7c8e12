"""What is known of JPEG files before they are decoded. It needs Pillow and NumPy only."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from training.data import decode

_CODINGS = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive: Huffman codes, no lossless ones
_NO_FRAMES = (0xC4, 0xC8, 0xCC)  # of the markers 0xC0 to 0xCF, those of tables
_SCAN, _END = b"\xff\xda", b"\xff\xd9"  # markers: start of scan, end of image
_NOT_JPEG = (0, 0, 0)


@dataclass(frozen=True)
class Jpegs:
    """The files of a split's pictures.

    Attributes:
        path: Returns the file of picture i.
        layouts: int32 (n, 3): `layout` of each.
    """

    path: Callable[[int], str]
    layouts: np.ndarray


def layout(path: str) -> tuple[int, int, int]:
    """Return height and width of a JPEG as it is stored, pixels, and its orientation, 1 to 8.

    Zeros for other files, and for the rare JPEGs that only Pillow reads: CMYK, arithmetic codes, no end.
    """
    encoded = Path(path).read_bytes()
    ends = encoded.rfind(_END) > encoded.rfind(_SCAN)  # within a scan, neither occurs
    if not encoded.startswith(b"\xff\xd8\xff") or not ends or not _is_common(encoded):
        return _NOT_JPEG
    with Image.open(io.BytesIO(encoded), formats=["JPEG"]) as image:
        if image.mode not in ("L", "RGB"):
            return _NOT_JPEG
        return image.height, image.width, decode.orientation(image)


def _is_common(encoded: bytes) -> bool:
    """Tell whether the frame header has 8 bits a value and Huffman codes (ITU-T T.81, B.1.1.3)."""
    at = 2
    while at + 5 <= len(encoded) and encoded[at] == 0xFF:
        marker = encoded[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in _NO_FRAMES:
            return marker in _CODINGS and encoded[at + 4] == 8
        else:
            at += 2 + int.from_bytes(encoded[at + 2 : at + 4], "big")
    return False
