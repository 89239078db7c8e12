"""Checks of settings; importing this loads nothing heavy."""

import math
from pathlib import Path
from typing import Any

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
