"""What a picture means: from a file to the pixels that a network sees.

This is the one definition; the card of a run repeats it in words (`CONTRACT`), and every other
implementation of it is tested against this one. It needs Pillow and NumPy only.
"""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile

CONTRACT = {
    "decode": "first frame, as RGB; transparent pixels over white; of 16 bits the high 8",
    "exif": "the orientation tag is applied",
    "serve_jpeg": "the same, but for orientation outside JPEG, transparency in GIF, palette BMP",
    "grey": "where the network takes one channel: (19595 R + 38470 G + 7471 B + 32768) >> 16",
    "resize": "stretch to the square",
    "interpolation": "bilinear, antialiased (a triangle filter as wide as the reduction), half-pixel "
    "centres; width first, then height, each rounded to 8 bits",
}

EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp")
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")

_ORIENTATION_TAG = 0x0112
_TURNS = {  # EXIF 2.3, table of tag 0112: how to bring the stored rows and columns upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

ImageFile.LOAD_TRUNCATED_IMAGES = False
Image.MAX_IMAGE_PIXELS = 300_000_000  # a decompression bomb is a broken picture


class BadImageError(Exception):
    """A file that holds no picture that can be read whole; the text says why, without its name."""


def open_picture(source: str | Path | bytes) -> Image.Image:
    """Decode a picture as a person sees it.

    Args:
        source: A file or the encoded bytes: JPEG, PNG, BMP, GIF or WebP.

    Returns:
        An image in mode "RGB", or "L" where the file is grey, upright.

    Raises:
        BadImageError: If it is empty, truncated, of another format, or not a picture.
        OSError: If the file cannot be opened.
    """
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    if not data:
        raise BadImageError("the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if image.width * image.height > Image.MAX_IMAGE_PIXELS:
                    raise Image.DecompressionBombError  # filters of warnings are not kept per thread
                image.load()
                return _upright(_colours(image), image)
    except Image.UnidentifiedImageError:
        expected = "JPEG, PNG, BMP, GIF or WebP"
        raise BadImageError(f"it is not a picture ({expected} expected)") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadImageError("it has more pixels than any camera makes") from None
    except Exception as error:  # Pillow's decoders raise what they like on broken data
        raise BadImageError(f"it is broken: {error}") from error


def _colours(image: Image.Image) -> Image.Image:
    mode = image.mode
    if mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip it to 255
        values = np.asarray(image).astype(np.int64)
        return Image.fromarray((values >> 8).clip(0, 255).astype(np.uint8), "L")
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("L" if mode in ("L", "LA", "La", "1") else "RGB")
    if mode in ("L", "1"):
        return image.convert("L")
    return image.convert("RGB")


def orientation(source: Image.Image) -> int:
    """Return the EXIF orientation of an opened file, 2 to 8, or 1 where it says nothing."""
    try:
        value = source.getexif().get(_ORIENTATION_TAG)
    except Exception:  # broken EXIF of a sound picture
        return 1
    return value if value in _TURNS else 1


def _upright(image: Image.Image, source: Image.Image) -> Image.Image:
    turn = _TURNS.get(orientation(source))
    return image if turn is None else image.transpose(turn)


def resize(image: Image.Image, image_size: int, channels: int) -> np.ndarray:
    """Bring a decoded picture to the size and channels of a network.

    Args:
        image: A picture of `open_picture`.
        image_size: Side of the square, pixels.
        channels: 1 (grey) or 3 (RGB).

    Returns:
        uint8 (image_size, image_size, channels), 0..255.
    """
    image = image.convert("L" if channels == 1 else "RGB")
    # in two calls, because Pillow chooses the order of the two passes by the picture's shape
    image = image.resize((image_size, image.height), Image.Resampling.BILINEAR)
    image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(image_size, image_size, channels)


def read(source: str | Path | bytes, image_size: int, channels: int) -> np.ndarray:
    """Decode a picture and bring it to the size of a network: `open_picture`, then `resize`."""
    return resize(open_picture(source), image_size, channels)


def contract(scaling: dict[str, Any]) -> dict[str, Any]:
    """Return the preprocessing entry of a card; `scaling` is of cnn_keras.preprocessing.as_entries."""
    return {**CONTRACT, **scaling}
