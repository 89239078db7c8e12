"""The official ImageNet weights of keras.applications, downloaded on demand; never any code."""

import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnn_keras import registry
from cnn_keras.imagenet_files import check, file_of
from cnn_keras.lazy import keras

if TYPE_CHECKING:
    import numpy as np

_BASE = "https://storage.googleapis.com/tensorflow/keras-applications/"
CLASSES = 1000


def download(name: str, image_size: int, knobs: Mapping[str, Any], *, top: bool = False) -> Path:
    """Download the official weights of a network, once, and return the file.

    Args:
        name: Name of the network.
        image_size: Side of its input, pixels.
        knobs: Its switches.
        top: Whether with the classifier of 1000 classes.

    Raises:
        ValueError: If there are no official weights for it.
        OSError: If the file cannot be had; the message says what to do.
    """
    path, known = file_of(name, image_size, knobs, top=top)
    file = path.rsplit("/", 1)[-1]
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    there = (home / "models" / file).is_file()
    try:
        found = Path(keras.utils.get_file(file, _BASE + path, cache_subdir="models", file_hash=known))
    except Exception as error:
        raise OSError(
            f"The ImageNet weights cannot be downloaded ({error}).\nFetch {_BASE + path} on a machine "
            f"with a network and put it at {home / 'models' / file}."
        ) from error
    if known is None and not there:
        with found.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        print(
            f"note: nobody publishes a hash of {file}; this one's SHA-256 is {digest}", file=sys.stderr
        )
    return found


def arrays(model: "keras.Model") -> tuple[dict[str, list["np.ndarray"]], tuple[str, ...]]:
    """Download the official weights of a model of `cnn_keras.build`.

    The layers in the files are in the order of keras.applications, and some have older names: those
    that keras.applications gives them today are returned.

    Returns:
        For each layer name of keras.applications, its arrays; and the layers of ours that may keep fresh
        weights because the number of classes is another.

    Raises:
        ValueError: If there are no official weights for the model.
        OSError: If the file cannot be had.
    """
    from cnn_keras.weights import HEAD, read

    knobs = getattr(model, "knobs", None)
    if knobs is None:
        raise ValueError(f"'{model.name}' was not made by cnn_keras.build: its switches are not known.")
    check(model.name, knobs)
    size = model.input_shape[1] or registry.get(model.name).input_size
    if model.input_shape[-1] != 3:
        raise ValueError(f"The official weights are for 3 channels, not {model.input_shape[-1]}.")
    hidden = tuple(layer.name for layer in model.layers if layer.name in ("fc1", "fc2"))
    fits = bool(hidden) and size == registry.get(model.name).input_size  # VGG's dense layers
    top = fits or model.output_shape[-1] == CLASSES
    if hidden and not fits:
        top = False
    found = read(download(model.name, size, knobs, top=top))
    make = getattr(keras.applications, registry.get(model.name).reference.rpartition(".")[2])
    alpha = {"alpha": knobs["alpha"]} if "alpha" in knobs else {}
    theirs = [
        layer.name for layer in make(weights=None, include_top=top, **alpha).layers if layer.weights
    ]
    if len(theirs) != len(found):
        raise ValueError(
            f"The weights file has {len(found)} layers, keras.applications' {model.name} {len(theirs)}."
        )
    heads = tuple(layer.name for layer in model.layers if layer.name.startswith("aux") and layer.weights)
    fresh = (HEAD, *heads) if top else (HEAD, *hidden, *heads)
    return dict(zip(theirs, found.values(), strict=True)), fresh
