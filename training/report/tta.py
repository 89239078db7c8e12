"""Test-time augmentation: the mean of the probabilities of several views of each picture."""

from dataclasses import dataclass

import keras
import numpy as np

from training.data.prepare import Data, prepare
from training.phone.engines import keras_engine
from training.report.evaluation import measured, probabilities
from training.runs.command import log

CENTRE = (0.5, 0.5)
CORNERS = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))


@dataclass(frozen=True)
class Views:
    """What a network sees of a picture.

    Attributes:
        scales: Sides that the picture is brought to, in units of the network's input.
        places: Where a square of the network's side is cut out: shares of the free rows and columns.
        mirrored: Whether each is seen mirrored too.
    """

    scales: tuple[float, ...] = (1.0,)
    places: tuple[tuple[float, float], ...] = (CENTRE,)
    mirrored: bool = False

    def __len__(self) -> int:
        return len(self.scales) * len(self.places) * (1 + self.mirrored)

    def of(self, images: np.ndarray, image_size: int) -> list[np.ndarray]:
        """Cut the views out of pictures of one scale, uint8 (batch, side, side, channels)."""
        free = images.shape[1] - image_size
        corners = [(round(free * y), round(free * x)) for y, x in self.places]
        cuts = [images[:, y : y + image_size, x : x + image_size] for y, x in corners]
        return cuts + [cut[:, :, ::-1] for cut in cuts] if self.mirrored else cuts


VIEWS = {
    "flip": Views(mirrored=True),
    # Krizhevsky et al. 2012, section 4.1: 224 of 256 pixels
    "ten-crop": Views(scales=(256 / 224,), places=(*CORNERS, CENTRE), mirrored=True),
    # Simonyan and Zisserman 2014, section 4.2: sides of 256 and 32 less or more, for 224
    "multi-scale": Views(scales=(1.0, 256 / 224, 288 / 224)),
}


def count(name: str) -> int:
    """Return the number of views."""
    return len(VIEWS[name])


def judge(
    model: keras.Model,
    data: Data,
    name: str,
    batch_size: int = 64,
    threshold: float | None = None,
) -> dict[str, tuple[dict, np.ndarray]]:
    """Measure a model as `training.report.evaluation.judge` does, on the mean over views.

    Args:
        model: From raw pixels to logits.
        data: The pictures at the network's size; other scales are made from the same files.
        name: One of `VIEWS`.
        batch_size: Pictures a step.
        threshold: As for `training.report.evaluation.judge`.

    Returns:
        For each split, its metrics with `tta`, the name, and `views`, their number; its probabilities.
    """
    views = VIEWS[name]
    if views.mirrored and not data.source.mirrored:
        log.warning("note: --tta %s mirrors, but these are not their class mirrored", name)
    parts = tuple(part for part in ("test", "val") if part in data.splits)
    total, engine = dict.fromkeys(parts, 0.0), keras_engine(model, data.source.multi_label)
    for scale in views.scales:
        size = round(scale * data.image_size)
        scaled = (
            data if size == data.image_size else prepare(data.source, size, data.channels, parts=parts)
        )
        for part in parts:
            found = probabilities(
                engine,
                scaled.splits[part],
                batch_size,
                lambda images: views.of(images, data.image_size),
            )
            total[part] = total[part] + found / len(views.scales)
    return {
        part: (
            measured(data.splits[part], found, data.class_names, threshold)
            | {"tta": name, "views": len(views)},
            found,
        )
        for part, found in total.items()
    }
