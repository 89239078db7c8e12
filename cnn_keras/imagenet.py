"""The official ImageNet weights of keras.applications, downloaded on demand.

Hashes are those that Keras or others publish for the very files. For most of MobileNetV2's files nobody
publishes one; these are checked layer by layer when they are read (`cnn_keras.weights`), and no code is
ever read from them.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnn_keras.lazy import keras

_BASE = "https://storage.googleapis.com/tensorflow/keras-applications/"

_MOBILENET_V2_SIZES = (96, 128, 160, 192, 224)
_MOBILENET_V2_ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
_MOBILENET_V2 = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_"
_MD5 = {
    _MOBILENET_V2 + "1.0_224.h5": "321911b381f6fd09b744356f6796ee18",
    _MOBILENET_V2 + "1.0_224_no_top.h5": "f1a68526548f7541cda07e19ba6c85f4",
}


def file_of(name: str, image_size: int, knobs: Mapping[str, Any], *, top: bool) -> str:
    """Return the path below the official address of a network's weights.

    Args:
        name: Name of the network.
        image_size: Side of its input, pixels; where there are weights for several sizes, those of this
            size are taken, else those for 224.
        knobs: Its switches.
        top: Whether with the classifier of 1000 classes.

    Raises:
        ValueError: If there are no official weights for it.
    """
    if name != "mobilenet_v2":
        raise ValueError(f"There are no official ImageNet weights for {name}.")
    alpha = float(knobs.get("alpha", 1.0))
    others = {
        k: v for k, v in knobs.items() if k not in ("alpha", "dropout", "output_stride", "bn_momentum")
    }
    if alpha not in _MOBILENET_V2_ALPHAS or others:
        what = ", ".join(f"{k}={v}" for k, v in {"alpha": alpha, **others}.items())
        raise ValueError(
            f"There are no official ImageNet weights for {name} with {what}. There are for alpha "
            f"{', '.join(map(str, _MOBILENET_V2_ALPHAS))} and otherwise unchanged switches."
        )
    rows = image_size if image_size in _MOBILENET_V2_SIZES and alpha <= 1 else 224
    end = "" if top else "_no_top"
    return f"mobilenet_v2/{_MOBILENET_V2}{alpha}_{rows}{end}.h5"


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
    path = file_of(name, image_size, knobs, top=top)
    file = path.rsplit("/", 1)[-1]
    try:
        found = keras.utils.get_file(file, _BASE + path, cache_subdir="models", file_hash=_MD5.get(file))
    except Exception as error:
        home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
        raise OSError(
            f"The ImageNet weights cannot be downloaded ({error}).\nFetch {_BASE + path} on a machine "
            f"with a network and put it at {home / 'models' / file}, or pass the file with --weights."
        ) from error
    return Path(found)
