"""Pictures in rows and columns, with words beside them."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LEAST = 96  # side that small pictures are enlarged to, pixels
GAP, TEXT, LABEL = 4, 14, 120  # pixels; a label is at most so long


def grid(rows: list[tuple[str, list[np.ndarray]]], titles: list[str]) -> Image.Image:
    """Draw a table of pictures.

    Args:
        rows: For each, what to write at its left, and its pictures, uint8 (side, side, 1 or 3).
        titles: What to write above each column.

    Returns:
        An RGB picture. Small pictures are enlarged by a whole factor, so that their pixels show.
    """
    side = rows[0][1][0].shape[0]
    factor = -(-LEAST // side)
    step = side * factor + GAP
    font = ImageFont.load_default(TEXT - 3)
    labels = [_shortened(label, font) for label, _ in rows]
    left = 2 * GAP + round(max(map(font.getlength, labels)))
    page = Image.new("RGB", (left + len(titles) * step, TEXT + 2 * GAP + len(rows) * step), "white")
    pen = ImageDraw.Draw(page)
    for column, title in enumerate(titles):
        pen.text((left + column * step, GAP), title, "black", font)
    for row, (label, (_, pictures)) in enumerate(zip(labels, rows, strict=True)):
        top = TEXT + 2 * GAP + row * step
        pen.text((GAP, top), label, "black", font)
        for column, picture in enumerate(pictures):
            image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
            image = image.resize((side * factor, side * factor), Image.Resampling.NEAREST)
            page.paste(image.convert("RGB"), (left + column * step, top))
    return page


def _shortened(text: str, font: ImageFont.FreeTypeFont) -> str:
    """Return as much of the text as fits beside a row."""
    text = " ".join(text.split())
    if font.getlength(text) <= LABEL:
        return text
    while text and font.getlength(text + "...") > LABEL:
        text = text[:-1]
    return text + "..."
