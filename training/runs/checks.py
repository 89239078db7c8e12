"""Checks of settings; importing this loads nothing heavy."""

import importlib.util
import math
import os
import re
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Literal

from cnn_keras import torchvision
from training.runs.command import InputError

_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def data_kind(data: str) -> Literal["digits", "tfds", "folder", "csv", "npz", "function"]:
    """Tell from its form what a value of --data means; what looks like nothing else is a folder."""
    if data == "digits":
        return "digits"
    if data.startswith("tfds:"):
        return "tfds"
    path = Path(data)
    if not path.is_dir():
        if path.suffix.lower() in (".csv", ".npz"):
            return path.suffix.lower()[1:]
        if not path.exists() and _FUNCTION.fullmatch(data):
            return "function"
    return "folder"


def is_place(data: str) -> bool:
    """Tell whether a value of --data is a folder or a file, which may be moved."""
    return data_kind(data) in ("folder", "csv", "npz")


def check_data_name(data: str | None, flag: str = "--data") -> None:
    """Check the value of --data as far as that needs no look at the pictures.

    Raises:
        InputError: If it is neither a known name nor something that is there.
    """
    if data is None:
        return
    kind, path = data_kind(data), Path(data)
    if kind == "function":
        module = data.split(":")[0].split(".")[0]
        if PathFinder.find_spec(module, [str(Path.cwd())]) is None:
            raise InputError(
                f"{flag} {data}: there is no module '{module}' in the current folder, {Path.cwd()}. Run "
                "the command in the folder that has it."
            )
    if kind in ("digits", "tfds", "function") or path.is_dir():
        return
    if kind in ("csv", "npz") and path.is_file():
        return
    what = "this is a file" if path.exists() else "there is no such folder"
    if kind in ("csv", "npz"):
        what = "there is no such file"
    raise InputError(
        f"{flag} {data}: {what}. Expected a folder with one sub-folder a class, a .csv or .npz file, "
        "module:function, tfds:NAME, or digits."
    )


def check_writable(folder: Path, flag: str = "--out") -> None:
    """Raise an InputError if a folder, or where it would be made, cannot be written to."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise InputError(f"{flag} {folder}: {place} is no folder that can be written to.")


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


def check_name(name: str | None) -> None:
    """Raise an InputError if the value of --name cannot be the name of a folder."""
    if name is not None and (not name.strip(".") or set(name) & set("/\\\0\n")):
        raise InputError(f"--name must be the name of a folder without slashes, not '{name}'.")


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


def check_transfer(settings: Any) -> None:
    """Check the flags of transfer learning against one another.

    Raises:
        InputError: If some do not go together.
    """
    freeze, backbone = settings.freeze, settings.freeze == "backbone"
    if isinstance(freeze, int) and freeze < 1:
        raise InputError(f"--freeze must be auto, backbone, none or a number from 1 on, not {freeze}.")
    if settings.layer_decay is not None and settings.layer_decay > 1:
        raise InputError(f"--layer-decay must be above 0 and at most 1, not {settings.layer_decay}.")
    if settings.weights is None and freeze != "auto":
        raise InputError(f"--freeze {freeze} needs --weights: random features are no use frozen.")
    for flag in ("unfreeze_epochs", "augmented_passes"):
        if settings.weights is None and getattr(settings, flag):
            raise InputError(
                f"--{flag.replace('_', '-')} needs --weights: random features are no use frozen."
            )
    if settings.augmented_passes and freeze == "none":
        raise InputError("--freeze none trains no head on frozen features: leave --augmented-passes out")
    if backbone and (settings.unfreeze_epochs or settings.layer_decay):
        raise InputError(
            "--freeze backbone trains the head alone: leave --unfreeze-epochs and --layer-decay out."
        )
    if settings.unfreeze_epochs and settings.stage_by_stage:
        raise InputError("--unfreeze-epochs and --stage-by-stage cannot be had together: give one.")
    if backbone and (settings.mixup or settings.cutmix):
        raise InputError(
            "--freeze backbone trains the head on features of whole pictures: leave --mixup and "
            "--cutmix out."
        )
