"""What a search varies, as text: `lr=1e-4..1e-1:log`, `batch_size=16,32,64`, `optimizer=sgd,adamw`.

Names and values are those of fit's own flags, checked against its settings before TensorFlow loads.
"""

import difflib
import itertools
import math
import re
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from training.runs.command import InputError
from training.runs.settings import Fit

Value = str | int | float | bool | None
KNOB = "knob."
# what decides the pictures and where things go, and what changes nothing but time and space
FIXED = {"name", "out", "data", "data_dir", "seed", "knob", "export", "debug", "cache", "on_bad_image"}
MOST_CHECKED = 2000  # combinations whose settings are checked ahead
_RANGE = re.compile(r"(?P<low>[^:]+?)\.\.(?P<high>[^:]+?)(?P<log>:log)?(?::(?P<count>\d+))?")
FORMS = "NAME=a,b,c or NAME=LOW..HIGH[:log][:COUNT]"


@dataclass(frozen=True)
class Dimension:
    """One setting and its values: some choices, or all between two ends.

    Attributes:
        name: Of the setting of fit; "knob.NAME" for a switch of the network.
        choices: The values; None for a range.
        low: Lower end of a range.
        high: Upper end of a range, which belongs to it.
        log: Whether the range is even in its logarithm.
    """

    name: str
    choices: tuple[Value, ...] | None = None
    low: float = 0
    high: float = 0
    log: bool = False

    @property
    def integer(self) -> bool:
        """Whether a range is of whole numbers."""
        return isinstance(self.low, int)

    @property
    def samples(self) -> tuple[Value, ...]:
        """The choices, or the two ends."""
        return self.choices if self.choices is not None else (self.low, self.high)


def parse_space(texts: Sequence[str], flag: str = "--space") -> tuple[Dimension, ...]:
    """Return the dimensions that the texts describe.

    Raises:
        InputError: If a text names no setting of fit, or no values of it.
    """
    space = tuple(_parse(text, flag) for text in texts)
    names = [dimension.name for dimension in space]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{flag} {name} is given twice: give all its values at once.")
    return space


def size(space: Sequence[Dimension]) -> int | None:
    """Return the number of points; None where there is a range, which has no end of them."""
    if any(dimension.choices is None for dimension in space):
        return None
    return math.prod(len(dimension.choices) for dimension in space)


def apply(values: dict[str, Any], point: dict[str, Value]) -> dict[str, Any]:
    """Return settings of fit with those of a point of the space in their place."""
    switches = tuple(f"{k.removeprefix(KNOB)}={v}" for k, v in point.items() if k.startswith(KNOB))
    own = {k: v for k, v in point.items() if not k.startswith(KNOB)}
    return {**values, **own, "knob": (*values["knob"], *switches)}


def check(values: dict[str, Any], space: Sequence[Dimension], flag: str = "--space") -> None:
    """Check the settings of every point (of the ends, for ranges), or of many where there are too many.

    Raises:
        InputError: If a setting is given and searched too, or a point is nothing that fit would take.
    """
    defaults = {f.name: f.default for f in fields(Fit)}
    for name in (dimension.name for dimension in space):
        if name in defaults and values[name] != defaults[name]:
            raise InputError(f"--{name.replace('_', '-')} is given, and {flag} varies it: give one.")
    for point in _points(space):
        try:
            Fit(**apply(values, point))
        except InputError as error:
            raise InputError(f"{flag}: with {as_words(point)}: {error}") from None


def as_words(point: dict[str, Value]) -> str:
    """Return a point as one reads it: "lr=0.00123, optimizer=sgd"."""
    return ", ".join(f"{name}={shown(value)}" for name, value in point.items())


def shown(value: Value) -> str:
    """Return a value in few digits."""
    return f"{value:.4g}" if isinstance(value, float) else "none" if value is None else str(value)


def _points(space: Sequence[Dimension]) -> Iterator[dict[str, Value]]:
    names, samples = [d.name for d in space], [d.samples for d in space]
    if math.prod(map(len, samples)) <= MOST_CHECKED:
        rows = itertools.product(*samples)
    else:  # every value at least once
        longest = max(map(len, samples))
        rows = zip(*([s[i % len(s)] for i in range(longest)] for s in samples), strict=True)
    return (dict(zip(names, row, strict=True)) for row in rows)


def _parse(text: str, flag: str) -> Dimension:
    name, separator, values = (part.strip() for part in text.partition("="))
    name = name.lstrip("-").replace("-", "_") if not name.startswith(KNOB) else name
    if not separator or not name or not values:
        raise InputError(f"{flag} takes {FORMS}, not '{text}'.")
    kinds = _kinds(name, flag)
    between = _RANGE.fullmatch(values)
    number = int in kinds or float in kinds
    if between and number:
        return _range(name, kinds, between, f"{flag} {text}")
    choices = tuple(_value(name, kinds, word.strip(), flag) for word in values.split(","))
    if len(set(map(repr, choices))) < len(choices):
        raise InputError(f"{flag} {text}: a value is there twice.")
    return Dimension(name, choices)


def _kinds(name: str, flag: str) -> tuple[Any, ...]:
    """Return the types that a setting may have."""
    if name.startswith(KNOB):
        return int, float, str
    hints = typing.get_type_hints(Fit)
    known = [field.name for field in fields(Fit) if field.name not in FIXED]
    if name in FIXED and name in hints:
        instead = f"{KNOB}NAME" if name == "knob" else "one of " + ", ".join(known)
        raise InputError(f"{flag}: {name} cannot be varied. Expected {instead}.")
    if name not in known:
        near = difflib.get_close_matches(name, known, 3)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"There are {', '.join(known)}."
        raise InputError(f"{flag}: fit has no setting '{name}'. {hint}")
    hint = hints[name]
    either = typing.get_origin(hint) in (types.UnionType, typing.Union)
    return typing.get_args(hint) if either else (hint,)


def _value(name: str, kinds: tuple[Any, ...], word: str, flag: str) -> Value:
    """Turn a word into a value of one of the types."""
    if name.startswith(KNOB):
        return word  # read by the network, as after --knob
    if type(None) in kinds and word.lower() == "none":
        return None
    expected = []
    for kind in kinds:
        if typing.get_origin(kind) is Literal:
            expected.append(f"one of {', '.join(map(str, typing.get_args(kind)))}")
            if word in typing.get_args(kind):
                return word
        elif kind is bool:
            expected.append("True or False")
            if word.lower() in ("true", "false"):
                return word.lower() == "true"
        elif kind is str:
            return word
        elif kind in (int, float):
            expected.append("a whole number" if kind is int else "a number")
            try:
                return kind(word)
            except ValueError:
                continue
    raise InputError(f"{flag} {name}: expected {' or '.join(expected)}, not '{word}'.")


def _range(name: str, kinds: tuple[Any, ...], between: re.Match, given: str) -> Dimension:
    def number(word: str) -> int | float:
        for kind in (int, float):
            if kind in kinds:
                try:
                    return kind(word)
                except ValueError:
                    continue
        what = "numbers" if float in kinds else "whole numbers"
        raise InputError(f"{given}: {what} are expected at both ends, not '{word}'.")

    low, high = number(between["low"].strip()), number(between["high"].strip())
    if float in kinds and not (name.startswith(KNOB) and isinstance(low, int) and isinstance(high, int)):
        low, high = float(low), float(high)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"{given}: the lower end comes first, and both are finite.")
    log = bool(between["log"])
    if log and low <= 0:
        raise InputError(f"{given}: a logarithmic range begins above 0.")
    if between["count"] is None:
        return Dimension(name, None, low, high, log)
    count = int(between["count"])
    if count < 2:
        raise InputError(f"{given}: COUNT must be at least 2.")
    shares = [i / (count - 1) for i in range(count)]
    values = [low * (high / low) ** s if log else low + (high - low) * s for s in shares]
    if isinstance(low, int):
        values = sorted({round(value) for value in values})
    else:
        values = [float(f"{value:.4g}") for value in values]
    return Dimension(name, tuple(dict.fromkeys(values)))
