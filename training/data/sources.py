"""Where pictures come from: `--data digits`, a folder, a file, a function, or `tfds:NAME`.

Every source is a `Source`: class names and, for each split, labelled entries that decode themselves.
Nothing is decoded before `prepare`.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cnn_keras.lazy import quietly_import_keras
from training.runs.checks import check_data_name, data_kind, is_place
from training.runs.command import InputError
from training.runs.files import printable

Splits = dict[str, "Entries"]


@dataclass(frozen=True)
class Entries:
    """The labelled pictures of one split, not decoded yet.

    Attributes:
        labels: int32 (n,), index into the class names.
        names: What to call each picture: its path, or a number.
        load: Decodes picture i, upright, in mode "RGB" or "L"; raises BadImageError.
        digest: SHA-256 of the encoded picture i.
        groups: Text (n,); pictures of one group never come into two splits. None where each is its own.
    """

    labels: np.ndarray
    names: tuple[str, ...]
    load: Callable[[int], Image.Image]
    digest: Callable[[int], bytes]
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "Entries":
        """Return the entries at `indices`."""
        return Entries(
            self.labels[indices],
            tuple(self.names[i] for i in indices),
            lambda i: self.load(indices[i]),
            lambda i: self.digest(indices[i]),
            None if self.groups is None else self.groups[indices],
        )


@dataclass(frozen=True)
class Source:
    """A labelled set of pictures.

    Attributes:
        name: Short name, part of the run's default name.
        class_names: In the order of the labels.
        splits: "train", "val" and, where there is one, "test".
        pool: What may be split in other ways, in its own order: all pictures but those of a test split
            that was given.
        grey: Whether all pictures are grey.
        picture_size: Median of the pictures' shorter sides, pixels.
        own_splits: Whether the pictures came already split.
        mirrored: Whether a mirrored picture still belongs to its class.
        fold: Which of several ways to split the pool this is, as `folds.Fold.as_json` says; None for the
            source's own splits.
        notices: What the user should know about the data, a line each.
    """

    name: str
    class_names: tuple[str, ...]
    splits: Splits
    pool: Entries
    grey: bool
    picture_size: int
    own_splits: bool = False
    mirrored: bool = True
    fold: dict[str, Any] | None = None
    notices: tuple[str, ...] = field(default=())

    def __post_init__(self):
        for name in self.class_names:
            if not name.strip() or name != printable(name):
                raise InputError(f"{self.name}: {name!r} cannot be the name of a class. Rename it.")


def open_source(data: str, data_dir: str | None = None, seed: int = 0) -> Source:
    """Open a source by its name on the command line.

    Args:
        data: "digits", a folder, a .csv or .npz file, "module:function", or "tfds:NAME".
        data_dir: Where TensorFlow Datasets keeps its files.
        seed: Decides the splits that the source does not have itself.

    Raises:
        InputError: If there is no such source or it cannot be used; the message says why.
    """
    if data == "digits":
        return digits(seed)
    from training.data.given import to_source

    return to_source(_read(data, data_dir), seed)


def _read(data: str, data_dir: str | None):
    """Read what a source has, before anything is held out: a `training.data.given.Given`."""
    kind = data_kind(data)
    if kind in ("tfds", "function"):  # these load TensorFlow
        quietly_import_keras()
    if kind == "tfds":
        from training.data.tfds import read_tfds

        return read_tfds(data.removeprefix("tfds:"), data_dir)
    check_data_name(data)
    if kind == "csv":
        from training.data.table import read_csv

        return read_csv(Path(data))
    if kind == "npz":
        from training.data.arrays import read_npz

        return read_npz(Path(data))
    if kind == "function":
        from training.data.function import read_function

        return read_function(data)
    from training.data.folder import read_folder

    return read_folder(Path(data))


def open_again(card: dict[str, Any], data: str | None = None, data_dir: str | None = None) -> Source:
    """Open the source that a card names, with the same splits.

    Args:
        card: A run's card.
        data: Where its pictures are now, if not where the card says.
        data_dir: The same for what TensorFlow Datasets keeps.

    Raises:
        InputError: If they are not there.
    """
    about = card["data"]
    where = data or about["source"]
    if data is None and is_place(where) and not Path(where).exists():
        raise InputError(
            f"the pictures of the fit are not at {where} any more. Say with --moved-to where they are."
        )
    source = open_source(where, data_dir or about["data_dir"], about["seed"])
    if about.get("fold"):
        from training.data.folds import fold_from, in_fold

        source = in_fold(source, fold_from(about["fold"]))
    return aligned(source, tuple(card["class_names"]))


def open_as_test(data: str, data_dir: str | None, class_names: tuple[str, ...]) -> Source:
    """Open a source to judge a trained network on it, as one split "test".

    Args:
        data: As for `open_source`. Of pictures that came split, "test" or else "val" is taken; of
            others, all.
        data_dir: Where TensorFlow Datasets keeps its files.
        class_names: The network's classes; the source's are matched to them by name.

    Raises:
        InputError: If the source has none of these classes.
    """
    if data == "digits":
        source = digits(seed=0)
        return aligned(replace(source, splits={"test": source.pool}), class_names)
    if Path(data).is_dir():
        from training.data.folder import folder_as_test

        return aligned(folder_as_test(Path(data)), class_names)
    from training.data.given import to_test

    return aligned(to_test(_read(data, data_dir)), class_names)


def same(data: str, source: str) -> bool:
    """Tell whether two values of --data mean the same pictures."""
    return data == source or (is_place(data) and Path(data).resolve() == Path(source).resolve())


def joined(parts: list[Entries]) -> Entries:
    """Return the pictures of several splits as one."""
    where = [(part, i) for part in parts for i in range(len(part))]
    return Entries(
        np.concatenate([part.labels for part in parts]),
        tuple(name for part in parts for name in part.names),
        lambda i: where[i][0].load(where[i][1]),
        lambda i: where[i][0].digest(where[i][1]),
        None if parts[0].groups is None else np.concatenate([part.groups for part in parts]),
    )


def relabelled(entries: Entries, names: tuple[str, ...], new_names: tuple[str, ...]) -> Entries:
    """Return the entries, whose labels index `names`, with labels that index `new_names`.

    Pictures of classes that are not among these are left out.
    """
    index = {name: i for i, name in enumerate(new_names)}
    labels = np.array([index.get(name, -1) for name in names], np.int32)[entries.labels]
    return replace(entries, labels=labels).take(np.flatnonzero(labels >= 0))


def aligned(source: Source, class_names: tuple[str, ...]) -> Source:
    """Return the source with labels that index `class_names`; pictures of other classes are left out.

    Raises:
        InputError: If the source has none of these classes.
    """
    if source.class_names == class_names:
        return source
    others = [name for name in source.class_names if name not in class_names]
    if len(others) == len(source.class_names):
        raise InputError(
            f"{source.name} has none of the network's classes. It has {', '.join(others[:5])}; the "
            f"network knows {', '.join(class_names[:5])}."
        )

    def moved(entries: Entries) -> Entries:
        return relabelled(entries, source.class_names, class_names)

    return replace(
        source,
        class_names=class_names,
        splits={part: moved(entries) for part, entries in source.splits.items()},
        pool=moved(source.pool),
        notices=(
            *source.notices,
            *(f"class '{name}' is not one of the network's: left out" for name in others),
        ),
    )


def digits(seed: int) -> Source:
    """Scikit-learn's 1,797 scanned digits of 8 x 8 pixels: 70 % train, 10 % val, 20 % test."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.rint(data.images * (255 / 16)).astype(np.uint8)
    entries = array_entries(images, data.target)
    return Source(
        name="digits",
        class_names=tuple(str(name) for name in data.target_names),
        splits=split(entries, {"val": 0.1, "test": 0.2}, seed),
        pool=entries,
        grey=True,
        picture_size=8,
        mirrored=False,
    )


def array_entries(images: np.ndarray, labels: np.ndarray) -> Entries:
    """Return entries over decoded pictures, each uint8 (height, width) or (height, width, 3)."""
    return Entries(
        np.asarray(labels, np.int32),
        tuple(str(i) for i in range(len(images))),
        lambda i: Image.fromarray(images[i]),
        lambda i: hashlib.sha256(images[i].tobytes()).digest(),
    )


def split(entries: Entries, shares: dict[str, float], seed: int) -> Splits:
    """Split entries into "train" and what `shares` names, stratified by class.

    Every class gives each split its share, rounded, and keeps at least one picture in train; where
    pictures have groups, `training.data.folds.hold_out` keeps these whole. The same seed gives the same
    splits.

    Args:
        entries: Labelled pictures.
        shares: For each further split, the share of the pictures that it gets.
        seed: Decides which.
    """
    if entries.groups is not None:
        from training.data.folds import hold_out

        return hold_out(entries, shares, seed)
    rng = np.random.default_rng(seed)
    parts: dict[str, list[int]] = {name: [] for name in ("train", *shares)}
    carry = dict.fromkeys(shares, 0.0)  # what rounding left over goes to the next class
    for label in np.unique(entries.labels):
        members = rng.permutation(np.flatnonzero(entries.labels == label))
        count = len(members)
        for name, share in shares.items():
            wanted = share * count + carry[name]
            taken = min(round(wanted), len(members) - 1)
            carry[name] = min(wanted - taken, 1.0)
            parts[name].extend(members[:taken])
            members = members[taken:]
        parts["train"].extend(members)
    return {name: entries.take(np.sort(np.array(part, int))) for name, part in parts.items() if part}
