"""Pictures from a function of the user's: `--data module:function`."""

import contextlib
import importlib
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from training.data.arrays import check_same_kind, checked_labels
from training.data.cache import memory_bytes
from training.data.entries import array_entries
from training.data.given import ALL, SPLIT_NAMES, Given, Part
from training.data.labels import indicators
from training.runs.command import InputError

PICTURE = "a picture, uint8 (height, width), (height, width, 1) or (height, width, 3)"


def read_function(data: str) -> Given:
    """Call a function of the user's and read the pictures that it returns.

    Args:
        data: "module:function". The module is a file, or a package, of the current folder. The function
            takes no arguments and returns a dict with, for "train" and perhaps "val" and "test", an
            iterable or an unbatched tf.data.Dataset of (picture, label): uint8 (height, width),
            (height, width, 1) or (height, width, 3), 0..255, RGB, of any size; an integer or text, or
            where pictures may have several labels a list of texts or a row of 0 and 1.
            "class_names" may be in it too, a list of text, which integer labels index. What is not split
            is in "train" alone. It should return the same every time: evaluate and export call it again.

    Raises:
        InputError: If it is not there, raises an error, or returns something else.
    """
    returned = _call(data)
    if not isinstance(returned, Mapping):
        raise InputError(
            f"--data {data} returned {type(returned).__name__}. Expected a dict like "
            '{"train": pairs of (picture, label), "val": ..., "class_names": [...]}.'
        )
    returned = dict(returned)
    class_names = _class_names(data, returned.pop("class_names", None))
    budget, parts, sizes, grey = memory_bytes() // 2, {}, [], []
    for name, pairs in returned.items():
        ours = SPLIT_NAMES.get(str(name).lower())
        if ours is None or ours in parts:
            why = "is there twice" if ours else f"is none of {', '.join(SPLIT_NAMES)}, class_names"
            raise InputError(f"--data {data} returned a dict in which '{name}' {why}.")
        images, labels = [], []
        for image, label in _pairs(data, name, pairs):
            images.append(image)
            labels.append(label)
            budget -= image.nbytes
            if budget < 0:
                raise InputError(
                    f"--data {data} returns more pictures than fit into half of this machine's memory. "
                    "Write them to folders and pass these."
                )
            sizes.append(min(image.shape[:2]))
            grey.append(image.ndim == 2)
        if not images:
            raise InputError(f"--data {data}: '{name}' has no pictures.")
        if len({type(label) for label in labels}) > 1:
            raise InputError(f"--data {data}: '{name}' mixes labels of different kinds.")
        try:
            if isinstance(labels[0], list):
                numbers, names = indicators(labels, class_names)
            else:
                numbers, names = checked_labels(np.array(labels), class_names)
        except ValueError as error:
            raise InputError(f"--data {data}: '{name}': {error}") from None
        entries = array_entries(images, numbers)
        entries = replace(entries, names=tuple(f"{name}/{i}" for i in range(len(images))))
        parts[ours] = Part(entries, names)
    if not parts:
        raise InputError(f"--data {data} returned a dict without pictures. Expected 'train' in it.")
    try:
        check_same_kind([part.entries.labels for part in parts.values()])
    except ValueError as error:
        raise InputError(f"--data {data}: {error}") from None
    if set(parts) == {"train"}:
        parts = {ALL: parts["train"]}
    return Given(
        data=data,
        name=data.split(":")[1],
        parts=parts,
        grey=all(grey),
        picture_size=int(np.median(sizes)),
    )


def _call(data: str) -> Any:
    """Import the module from the current folder alone: a card may name it, and no card may run more."""
    module_name, function_name = data.split(":")
    here = str(Path.cwd())
    importlib.invalidate_caches()
    if here not in sys.path:
        sys.path.insert(0, here)
    with _told_as_the_users(data):
        module = importlib.import_module(module_name)
    file = Path(getattr(module, "__file__", None) or "").resolve()
    if not file.is_relative_to(Path(here).resolve()):
        raise InputError(
            f"--data {data}: the name '{module_name}' is taken by a module of Python or of a "
            "package. Rename yours."
        )
    function = getattr(module, function_name, None)
    if not callable(function):
        raise InputError(f"--data {data}: {file.name} has no function '{function_name}'.")
    with _told_as_the_users(data):
        return function()


@contextlib.contextmanager
def _told_as_the_users(data: str) -> Iterator[None]:
    """Turn an error in the user's code into wrong input that names the place in it."""
    try:
        yield
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        here = str(Path.cwd())
        own = [f for f in frames if f.filename.startswith(here) and "site-packages" not in f.filename]
        own = [f for f in own if f.filename != __file__]
        where = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
        raise InputError(f"--data {data} raised {type(error).__name__}: {error}{where}") from error


def _class_names(data: str, names: Any) -> tuple[str, ...] | None:
    if names is None:
        return None
    names = None if isinstance(names, str | bytes) else tuple(names)
    if not names or not all(isinstance(n, str) for n in names) or len(set(names)) < len(names):
        raise InputError(f"--data {data}: class_names must be a list of text, each name once.")
    return tuple(str(name) for name in names)


def _pairs(data: str, part: str, pairs: Iterable) -> Iterator[tuple[np.ndarray, Any]]:
    """Yield checked pictures, uint8 (height, width) or (height, width, 3), with labels."""
    if isinstance(pairs, str | bytes | Mapping) or not isinstance(pairs, Iterable):
        raise InputError(f"--data {data}: '{part}' is {type(pairs).__name__}. Expected pairs.")
    with _told_as_the_users(data):
        iterator = iter(pairs)
    for n in range(sys.maxsize):
        with _told_as_the_users(data):
            try:
                pair = next(iterator)
            except StopIteration:
                return
        where = f"--data {data}: item {n} of '{part}'"
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise InputError(f"{where} is {type(pair).__name__}. Expected (picture, label).")
        image = np.asarray(pair[0])
        if image.ndim == 3 and image.shape[2] == 1:
            image = image[..., 0]
        shaped = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
        if image.dtype != np.uint8 or not shaped or not image.size:
            hint = " A tf.data.Dataset of batches needs .unbatch()." if image.ndim == 4 else ""
            raise InputError(f"{where} is {image.dtype} {image.shape}. Expected {PICTURE}.{hint}")
        value = _label(pair[1])
        if value is None:
            raise InputError(
                f"{where} has the label {pair[1]!r}. Expected an integer or text, or of pictures with "
                "several labels a list of texts or a row of 0 and 1."
            )
        yield np.ascontiguousarray(image), value


def _label(given: Any) -> int | str | list[str] | np.ndarray | None:
    """Return an integer, a text, a list of texts or a row of numbers; None for anything else."""
    if isinstance(given, set | frozenset):
        given = sorted(given)
    if isinstance(given, list | tuple) and not given:
        return []
    label = np.asarray(given)
    if label.dtype.kind in "SO":  # TensorFlow's texts are bytes
        texts = [t.decode("utf-8", "replace") if isinstance(t, bytes) else t for t in label.flat]
        if not all(isinstance(text, str) for text in texts):
            return None
        label = np.array(texts, str).reshape(label.shape)
    if label.ndim == 1 and label.dtype.kind == "U":
        return label.tolist()
    if label.ndim == 1 and label.dtype.kind in "biuf":
        return label
    value = label.item() if label.ndim == 0 else None
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None
