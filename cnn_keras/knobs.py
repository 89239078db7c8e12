"""Switches of a network as text: NAME=VALUE on a command line."""

import ast
from collections.abc import Iterable
from typing import Any


def parse(pairs: Iterable[str]) -> dict[str, Any]:
    """Turn NAME=VALUE texts into arguments of a builder.

    Args:
        pairs: Texts such as "alpha=0.5", "residual=False", "shortcut=A". A value that is no Python
            number, truth value, tuple or None is taken as a word.

    Raises:
        ValueError: If a text has no "=" or names a switch twice.
    """
    knobs: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        name = name.strip().replace("-", "_")
        if not separator or not name:
            raise ValueError(f"--knob takes NAME=VALUE, e.g. alpha=0.5, not '{pair}'.")
        if name in knobs:
            raise ValueError(f"--knob {name} is given twice.")
        text = text.strip()
        text = {"true": "True", "false": "False", "none": "None"}.get(text.lower(), text)
        try:
            knobs[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            knobs[name] = text
    return knobs
