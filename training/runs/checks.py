"""Checks of settings; importing this loads nothing heavy."""

import importlib.util
import math
from pathlib import Path
from typing import Any

from cnn_keras import torchvision
from training.runs.command import InputError


def check_data_name(data: str | None, flag: str = "--data") -> None:
    """Check the value of --data as far as that needs no look at the pictures.

    Raises:
        InputError: If it is neither a known name nor a folder.
    """
    if data is None or data == "digits" or data.startswith("tfds:") or Path(data).is_dir():
        return
    what = "this is a file" if Path(data).exists() else "there is no such folder"
    raise InputError(
        f"{flag} {data}: {what}. Expected a folder with one sub-folder a class, tfds:NAME, or digits."
    )


def check_weights(weights: str | None) -> None:
    """Check the value of --weights as far as that needs no look into the file.

    Raises:
        InputError: If there is no such file, or it is of a kind that is not read.
    """
    if weights in (None, "imagenet"):
        return
    if not Path(weights).is_file():
        raise InputError(f"--weights {weights}: there is no such file.")
    if torchvision.is_state_dict(weights):
        if importlib.util.find_spec("torch") is None:
            raise InputError(f"--weights {weights} needs PyTorch: pip install -r requirements-torch.txt")
    elif not weights.lower().endswith((".h5", ".keras")):
        raise InputError(
            f"--weights {weights}: expected a .weights.h5, .h5, .keras or torchvision's .pth file."
        )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def positive(settings: Any, *names: str) -> None:
    """Raise an InputError that names the flag if a setting is given and is not positive and finite."""
    for name in names:
        value = getattr(settings, name)
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise InputError(f"{_flag(name)} must be positive, not {value}.")


def not_negative(settings: Any, *names: str) -> None:
    """Raise an InputError that names the flag if a setting is given and is below 0 or not finite."""
    for name in names:
        value = getattr(settings, name)
        if value is not None and not (value >= 0 and math.isfinite(value)):
            raise InputError(f"{_flag(name)} must be 0 or more, not {value}.")
