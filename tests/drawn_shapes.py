"""Pictures of coloured shapes, of which several may be in one, drawn for the tests."""

import itertools

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("circle", "square", "triangle")


def draw(shapes, rng, side=64):
    """Draw shapes in quarters of their own of a dark picture, in bright colours."""
    image = Image.new("RGB", (side, side), tuple(rng.integers(0, 60, 3).tolist()))
    pen = ImageDraw.Draw(image)
    for shape, quarter in zip(shapes, rng.permutation(4), strict=False):
        half = side // 2
        radius = int(rng.integers(side // 8, side // 5))
        x, y = (
            int(v) for v in rng.integers(radius + 1, half - radius, 2) + half * np.r_[divmod(quarter, 2)]
        )
        colour = tuple(rng.integers(120, 256, 3).tolist())
        if shape == "circle":
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        elif shape == "square":
            pen.rectangle((x - radius, y - radius, x + radius, y + radius), fill=colour)
        else:
            pen.polygon(
                [(x, y - radius), (x + radius, y + radius), (x - radius, y + radius)], fill=colour
            )
    return image


def write_list(folder, count, seed=0, names=SHAPES, side=64):
    """Draw pictures into a folder, each subset of the names in turn; return the list of them, a CSV."""
    rng = np.random.default_rng(seed)
    subsets = [s for n in range(len(names) + 1) for s in itertools.combinations(names, n)]
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["path,label"]
    for i in range(count):
        shapes = subsets[i % len(subsets)]
        draw(shapes, rng, side).save(folder / f"{i:04}.png")
        lines.append(f"{i:04}.png,{'|'.join(shapes)}")
    file = folder / "list.csv"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file
