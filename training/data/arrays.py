"""Pictures as NumPy arrays: `--data pictures.npz`, and what a function of the user's returns."""

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from training.data.cache import memory_bytes
from training.data.entries import array_entries
from training.data.given import ALL, Given, Part, numbered
from training.data.labels import checked_rows, is_multi
from training.runs.command import InputError

KEYS = {  # the arrays of each part; the second pair is how Keras's own files name them
    "train": (("x", "y"), ("x_train", "y_train")),
    "val": (("x_val", "y_val"),),
    "test": (("x_test", "y_test"),),
}
EXPECTED = "uint8 (n, height, width), (n, height, width, 1) or (n, height, width, 3), 0..255"


def read_npz(file: Path) -> Given:
    """Read pictures from a file of `numpy.savez` or `savez_compressed`.

    Args:
        file: Has x, uint8 (n, height, width[, 1 or 3]), and y, (n,), integers or text; perhaps x_val,
            y_val, x_test and y_test; perhaps class_names, text (classes,), which y then indexes. x_train
            and y_train mean x and y. y may also be (n, classes) of 0 and 1, for pictures with several
            labels.

    Raises:
        InputError: If it is no such file; pickled objects are never loaded.
    """
    arrays = _load(file)
    names = arrays.pop("class_names", None)
    class_names = None if names is None else _class_names(file, names)
    parts = {}
    for part, pairs in KEYS.items():
        for x, y in pairs:
            if x in arrays or y in arrays:
                if part in parts:
                    raise InputError(f"--data {file} has both {pairs[0][0]} and {x}. Keep one of them.")
                parts[part] = _part(file, arrays, x, y, class_names)
    known = {name for pairs in KEYS.values() for pair in pairs for name in pair}
    if not parts:
        found = ", ".join(arrays) or "nothing"
        raise InputError(
            f"--data {file} has {found}. Expected x and y [, x_val, y_val, x_test, y_test]."
        )
    try:
        check_same_kind([part.entries.labels for part in parts.values()])
    except ValueError as error:
        raise InputError(f"--data {file}: {error}") from None
    if set(parts) == {"train"}:
        parts = {ALL: parts["train"]}
    shapes = {arrays[x].shape[1:] for pairs in KEYS.values() for x, _ in pairs if x in arrays}
    return Given(
        data=str(file),
        name=file.stem,
        parts=parts,
        grey=all(len(shape) == 2 or shape[2] == 1 for shape in shapes),
        picture_size=max(min(shape[:2]) for shape in shapes),
        notices=tuple(f"{file}: '{name}' is ignored" for name in arrays if name not in known),
    )


def checked_labels(
    labels: np.ndarray, class_names: Sequence[str] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Number labels of the user's, (n,); see `numbered`. Or take rows of 0 and 1, (n, classes).

    Raises:
        ValueError: If they are neither integers nor text, or none of the class names.
    """
    if is_multi(labels):
        return checked_rows(labels, class_names)
    if labels.dtype.kind not in "iuU":
        raise ValueError(f"labels are {labels.dtype}. Expected integers or text.")
    if labels.dtype.kind == "U" and not all(map(str.strip, labels.tolist())):
        raise ValueError("a label is empty.")
    return numbered(labels, class_names)


def check_same_kind(labels: Sequence[np.ndarray]) -> None:
    """Refuse parts of which some have one label a picture and others rows of 0 and 1, and one-hot rows.

    Raises:
        ValueError: If so.
    """
    kinds = {is_multi(of_part) for of_part in labels}
    if kinds == {True, False}:
        raise ValueError(
            "some parts have one label a picture, others rows of 0 and 1. Expected the same in all."
        )
    if kinds == {True} and all((of_part.sum(axis=1) == 1).all() for of_part in labels):
        raise ValueError(
            "every picture has exactly one of several labels: these are classes that exclude each "
            "other. Give one label a picture; of one-hot rows, y.argmax(axis=1)."
        )


def _load(file: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(file) as members:
            size = sum(member.file_size for member in members.infolist())
        if size > memory_bytes() // 2:
            raise InputError(
                f"--data {file} takes {size / 1e9:.1f} GB, more than half of this machine's memory. "
                "Write the pictures to folders and pass these."
            )
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, zipfile.BadZipFile, EOFError, OSError, NotImplementedError) as error:
        if "allow_pickle" in str(error):
            raise InputError(
                f"--data {file} has an array of Python objects, which is never loaded. Save x as uint8 "
                "and y as integers or text, e.g. y.astype(str)."
            ) from None
        raise InputError(f"--data {file} is no whole .npz file: {error}") from None


def _class_names(file: Path, names: np.ndarray) -> tuple[str, ...]:
    if names.ndim != 1 or names.dtype.kind != "U" or len(set(names.tolist())) != len(names):
        raise InputError(
            f"--data {file}: class_names is {names.dtype} {names.shape}. Expected text (classes,), each "
            "name once."
        )
    return tuple(str(name) for name in names)


def _part(file: Path, arrays: dict[str, np.ndarray], x: str, y: str, class_names) -> Part:
    for name, other in ((x, y), (y, x)):
        if name not in arrays:
            raise InputError(f"--data {file} has {other} but no {name}.")
    images, labels = arrays[x], arrays[y]
    if images.dtype != np.uint8:
        raise InputError(
            f"--data {file}: {x} is {images.dtype}{_range(images)}. Expected {EXPECTED}; of values 0..1 "
            "make (255 * x).round().astype('uint8')."
        )
    grey = images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 1)
    if not (grey or (images.ndim == 4 and images.shape[3] == 3)) or 0 in images.shape[1:3]:
        raise InputError(f"--data {file}: {x} has the shape {images.shape}. Expected {EXPECTED}.")
    rows = labels.ndim == 2 and labels.shape[1] > 1
    if labels.shape[: 1 + rows] != labels.shape or len(labels) != len(images):
        raise InputError(
            f"--data {file}: {y} has the shape {labels.shape}. Expected ({len(images)},), one label for "
            f"each of {x}; y.reshape(-1) makes one axis of it. Or (n, classes) of 0 and 1 for pictures "
            "with several labels."
        )
    try:
        numbers, names = checked_labels(labels, class_names)
    except ValueError as error:
        raise InputError(f"--data {file}: {y}: {error}") from None
    images = images[..., 0] if images.ndim == 4 and grey else images
    entries = array_entries(images, numbers)
    return Part(replace(entries, names=tuple(f"{x}[{i}]" for i in range(len(images)))), names)


def _range(images: np.ndarray) -> str:
    """Return the range of numbers, in words, where it can be told."""
    if images.size and images.dtype.kind in "iuf":
        return f" from {images.min():g} to {images.max():g}"
    return ""
