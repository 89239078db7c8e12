"""Small pictures inside a page."""

import base64
import io

from PIL import Image


def thumbnail(image: Image.Image, side: int) -> str:
    """Return a picture, at most `side` pixels wide and high, as the address of an <img>."""
    image = image.copy()
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    lossless = max(image.size) <= 64
    image.save(buffer, "PNG" if lossless else "JPEG", quality=85)
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
