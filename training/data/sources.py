"""Where pictures come from: `--data digits`, a folder, a file, a function, or `tfds:NAME`.

Every source is a `Source`: class names and, for each split, labelled entries that decode themselves.
Nothing is decoded before `prepare`.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cnn_keras.lazy import quietly_import_keras
from training.data.entries import Entries, Splits, array_entries, relabelled, split
from training.data.labels import is_multi, one_hot
from training.runs.checks import check_data_name, data_kind, is_place
from training.runs.command import InputError
from training.runs.files import printable
from training.runs.task import is_multi_label


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

    @property
    def multi_label(self) -> bool:
        """Whether a picture may have several labels, or none."""
        return is_multi(self.pool.labels)

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
    return aligned(source, tuple(card["class_names"]), is_multi_label(card))


def open_as_test(
    data: str, data_dir: str | None, class_names: tuple[str, ...], multi_label: bool = False
) -> Source:
    """Open a source to judge a trained network on it, as one split "test".

    Args:
        data: As for `open_source`. Of pictures that came split, "test" or else "val" is taken; of
            others, all.
        data_dir: Where TensorFlow Datasets keeps its files.
        class_names: The network's classes; the source's are matched to them by name.
        multi_label: Whether the network knows of several labels a picture.

    Raises:
        InputError: If the source has none of these classes, or pictures of several labels that the
            network knows nothing of.
    """
    if data == "digits":
        source = digits(seed=0)
        return aligned(replace(source, splits={"test": source.pool}), class_names, multi_label)
    if Path(data).is_dir():
        from training.data.folder import folder_as_test

        return aligned(folder_as_test(Path(data)), class_names, multi_label)
    from training.data.given import to_test

    return aligned(to_test(_read(data, data_dir)), class_names, multi_label)


def same(data: str, source: str) -> bool:
    """Tell whether two values of --data mean the same pictures."""
    return data == source or (is_place(data) and Path(data).resolve() == Path(source).resolve())


def aligned(source: Source, class_names: tuple[str, ...], multi_label: bool = False) -> Source:
    """Return the source with labels that index `class_names`; pictures of other classes are left out.

    Where pictures may have several labels, only those labels are. Pictures of one class each become
    pictures with that label alone where `multi_label` asks for it.

    Raises:
        InputError: If the source has none of these classes, or several labels a picture unasked.
    """
    if source.multi_label and not multi_label:
        raise InputError(
            f"{source.name} has pictures with several labels, but the network tells one class each. "
            "Judge it on pictures of one class each."
        )
    if multi_label and not source.multi_label:
        source = aligned(source, class_names)

        def rows(entries: Entries) -> Entries:
            return replace(entries, labels=one_hot(entries.labels, len(class_names)))

        splits = {part: rows(entries) for part, entries in source.splits.items()}
        return replace(source, splits=splits, pool=rows(source.pool))
    if source.class_names == class_names:
        return source
    others = [name for name in source.class_names if name not in class_names]
    if len(others) == len(source.class_names):
        raise InputError(
            f"{source.name} has none of the network's classes. It has {', '.join(others[:5])}; the "
            f"network knows {', '.join(class_names[:5])}."
        )

    gone = "the label is ignored" if multi_label else "left out"

    def moved(entries: Entries) -> Entries:
        return relabelled(entries, source.class_names, class_names)

    return replace(
        source,
        class_names=class_names,
        splits={part: moved(entries) for part, entries in source.splits.items()},
        pool=moved(source.pool),
        notices=(
            *source.notices,
            *(f"class '{name}' is not one of the network's: {gone}" for name in others),
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
