"""The command line of a fit, made of its settings."""

import shlex
from dataclasses import fields

from training.runs.settings import Fit


def flag(name: str) -> str:
    """Return the flag of a setting: "--batch-size" of "batch_size"."""
    return "--" + name.replace("_", "-")


def fit_command(settings: Fit) -> str:
    """Return the command line that does a fit of these settings, ready to paste.

    Settings at their defaults are left out.
    """
    words = ["python", "-m", "training.fit"]
    for field in (field for group in Fit.__bases__ for field in fields(group)):  # as --help shows them
        value = getattr(settings, field.name)
        if value == field.default:
            continue
        if isinstance(value, bool):  # all of them are off by default
            words.append(flag(field.name))
            continue
        for one in value if isinstance(value, tuple) else (value,):
            text = str(one)
            # a word that begins with "-" would be taken for a flag
            words += [f"{flag(field.name)}={text}"] if text.startswith("-") else [flag(field.name), text]
    return shlex.join(words)
