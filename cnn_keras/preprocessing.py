"""Scaling of raw pixels, as a layer in front of a network.

The modes are those of keras.applications: "tf" to -1..1, "unit" to 0..1, "torch" to 0..1 and then
ImageNet's mean and standard deviation a channel, "caffe" to BGR minus ImageNet's mean, "none". Beside
them, `Standardize` is the z-score a channel with figures that were measured.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnn_keras.lazy import keras

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB, 0..1
IMAGENET_STD = (0.229, 0.224, 0.225)
CAFFE_MEAN = (103.939, 116.779, 123.68)  # BGR, 0..255


@dataclass(frozen=True)
class Standardize:
    """Scaling to mean 0 and variance 1 a channel.

    Attributes:
        mean: Of the pixels 0..255, a number a channel.
        variance: The same. A channel that never varies (0) is only centred.
    """

    mean: tuple[float, ...]
    variance: tuple[float, ...]

    def __post_init__(self):
        figures = (*self.mean, *self.variance)
        if len(self.mean) != len(self.variance) or not all(map(math.isfinite, figures)):
            raise ValueError("Standardize needs a finite mean and a finite variance a channel.")
        if min(self.variance, default=0) < 0:
            raise ValueError(f"A variance cannot be negative, as in {self.variance}.")

    def __str__(self):
        return "standardize"


def as_entries(mode: str | Standardize) -> dict[str, Any]:
    """Return a mode as plain values: "scale", and "mean" and "variance" where they were measured."""
    if isinstance(mode, Standardize):
        return {"scale": str(mode), "mean": list(mode.mean), "variance": list(mode.variance)}
    return {"scale": mode}


def from_entries(entries: Mapping[str, Any]) -> str | Standardize:
    """Return the mode that `as_entries` wrote.

    Raises:
        KeyError: If there is none.
        TypeError: If the figures are no numbers.
        ValueError: If they are out of range.
    """
    if entries["scale"] != "standardize":
        return entries["scale"]
    mean, variance = (tuple(float(v) for v in entries[key]) for key in ("mean", "variance"))
    return Standardize(mean, variance)


def scale(x, mode: str | Standardize):
    """Scale pixels for a network.

    Args:
        x: A Keras tensor, float (batch, height, width, channels), 0..255; RGB, or grey.
        mode: "tf", "unit", "torch", "caffe", "none", or a `Standardize`.

    Returns:
        The scaled Keras tensor. Made of stock layers only.

    Raises:
        ValueError: If the mode is unknown, or needs RGB and the picture is not.
    """
    channels = x.shape[-1]
    if mode in ("torch", "caffe") and channels != 3:
        raise ValueError(f"Preprocessing '{mode}' needs 3 channels (RGB), not {channels}.")
    if mode == "none":
        return x
    if mode == "tf":
        return keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocessing")(x)
    if mode == "unit":
        return keras.layers.Rescaling(1 / 255, name="preprocessing")(x)
    if mode == "torch":
        factor = [1 / 255 / s for s in IMAGENET_STD]
        offset = [-m / s for m, s in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)]
        return keras.layers.Rescaling(factor, offset=offset, name="preprocessing")(x)
    if mode == "caffe":
        bgr = keras.ops.flip(x, axis=-1)
        offset = [-m for m in CAFFE_MEAN]
        return keras.layers.Rescaling(1.0, offset=offset, name="preprocessing")(bgr)
    if isinstance(mode, Standardize):
        if len(mode.mean) != channels:
            raise ValueError(f"Preprocessing has figures for {len(mode.mean)} channels, not {channels}.")
        deviation = [math.sqrt(v) or 1.0 for v in mode.variance]
        factor = [1 / d for d in deviation]
        offset = [-m / d for m, d in zip(mode.mean, deviation, strict=True)]
        return keras.layers.Rescaling(factor, offset=offset, name="preprocessing")(x)
    raise ValueError(f"Preprocessing must be tf, unit, torch, caffe or none, not '{mode}'.")


def assemble(network, mode: str | Standardize):
    """Put the scaling in front of a network.

    Args:
        network: A model of `cnn_keras.build`, which takes scaled pixels.
        mode: See `scale`.

    Returns:
        A Functional model from `image`, float32 (batch, height, width, channels), raw 0..255, to the
        network's outputs. It is flat and shares the network's layers: training one trains the other.
    """
    image = keras.Input(network.input_shape[1:], name="image")
    # call(), not __call__(): the layers themselves join the new graph, not the network as one layer
    return keras.Model(image, network.call(scale(image, mode)), name=network.name)
