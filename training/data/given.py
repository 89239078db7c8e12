"""Labelled pictures as the user gave them, and how they become splits with one list of classes."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from training.data.entries import Entries, joined, relabelled, split
from training.data.labels import class_counts, is_multi
from training.data.sources import Source
from training.runs.command import InputError

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
ALL = "all"  # the one part of pictures that did not come split
SHARES = {"val": 0.15, "test": 0.15}


@dataclass(frozen=True)
class Part:
    """Some of the pictures, with class names of their own.

    Attributes:
        entries: The pictures.
        class_names: In the order of their labels.
    """

    entries: Entries
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Given:
    """Labelled pictures before anything is held out.

    Attributes:
        data: What to call them in messages: the value of --data.
        name: Short name, part of the run's default name.
        parts: "train" and perhaps "val" and "test", or `ALL` alone.
        grey: Whether all pictures are grey.
        picture_size: Usual length of the pictures' shorter sides, pixels.
        mirrored: Whether a mirrored picture still belongs to its class, as far as is known without their
            names: those that are named as characters are taken for such.
        shares: What is held out of pictures that did not come split; its "val", out of those for
            training that came without.
        titles: What to call a part in messages, where that is not its name.
        notices: What the user should know, a line each.
    """

    data: str
    name: str
    parts: dict[str, Part]
    grey: bool
    picture_size: int
    mirrored: bool = True
    shares: dict[str, float] = field(default_factory=lambda: dict(SHARES))
    titles: dict[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    def title(self, part: str) -> str:
        """Return what to call a part."""
        return self.titles.get(part, f"'{part}'")


def to_source(given: Given, seed: int) -> Source:
    """Hold out what did not come split, and give all splits the classes of the training pictures.

    Raises:
        InputError: If there are fewer than two classes, two with one name, or nothing to train on.
    """
    notices = list(given.notices)
    own_splits = ALL not in given.parts
    main = "train" if own_splits else ALL
    if main not in given.parts:
        found = ", ".join(given.parts)
        raise InputError(f"--data {given.data} has pictures for {found} but none for train.")
    names = class_names_of(given, main)
    parts: dict[str, Entries] = {}
    for name, part in given.parts.items():
        entries = relabelled(part.entries, part.class_names, names)
        notices += _differences(given, name, main, names)
        if len(entries):
            parts[name] = entries
    where = f" in {given.title('train')}" if own_splits else ""
    then = "" if own_splits else ": it is trained on, neither validated nor tested"
    counts = class_counts(parts[main].labels, len(names))
    notices += [
        f"class '{name}' has one picture{where}{then}"
        for name, count in zip(names, counts, strict=True)
        if count == 1
    ]
    pool = joined([entries for name, entries in parts.items() if name != "test"])
    if not own_splits:
        splits = split(parts[ALL], given.shares, seed)
    elif "val" in parts:
        splits = parts
    else:
        share = given.shares["val"]
        notices.append(f"there is no {given.title('val')}: {share:.0%} of train are held out for it")
        splits = parts | split(parts["train"], {"val": share}, seed)
    if "val" not in splits:
        raise InputError(
            f"--data {given.data} has too few pictures ({len(pool)}) to hold some out for val. Add "
            "pictures, or split them into train and val yourself."
        )
    notices += _shared_groups(splits)
    if given.mirrored and are_characters(names):
        named = f"the classes are named as characters are ({', '.join(names[:3])}, ...)"
        notices.append(f"{named}: --augment auto does not mirror their pictures")
    return _source(given, names, splits, notices, pool=pool, own_splits=own_splits)


def to_test(given: Given) -> Source:
    """Take pictures to judge a network on: of those that came split test, else val; of others all.

    Nothing is held out, and one class is enough.

    Raises:
        InputError: If there is neither, or two classes have one name.
    """
    parts = given.parts
    part = parts.get(ALL) or parts.get("test") or parts.get("val")
    if part is None:
        raise InputError(
            f"--data {given.data} has pictures for train but none for val or test to judge a network on."
        )
    one_name_each(given.data, part.class_names)
    notices = list(given.notices)
    if ALL in parts:
        notices.append(f"all pictures of {given.data} are judged: none of them should be one of the fit")
    splits = {"test": part.entries}
    return _source(given, part.class_names, splits, notices, pool=part.entries)


def class_names_of(given: Given, main: str) -> tuple[str, ...]:
    """Return the classes that there are pictures of to train on.

    Raises:
        InputError: If they are fewer than two, or two in any part have one name.
    """
    part = given.parts[main]
    there = class_counts(part.entries.labels, len(part.class_names)) > 0
    names = tuple(name for name, some in zip(part.class_names, there, strict=True) if some)
    if len(names) < 2:
        found = f"only '{names[0]}'" if names else "none"
        where = f" in {given.title(main)}" if main != ALL else ""
        raise InputError(
            f"--data {given.data} has fewer than two classes with pictures{where}: {found}. Expected "
            "labelled pictures of two or more classes, in folders one sub-folder a class."
        )
    one_name_each(given.data, dict.fromkeys(n for p in given.parts.values() for n in p.class_names))
    return names


def one_name_each(data: Any, names: Iterable[str]) -> None:
    """Refuse classes that a person, or another system, would take for one and the same.

    Raises:
        InputError: If two names differ in case, spaces or Unicode form only.
    """
    seen: dict[str, str] = {}
    for name in dict.fromkeys(names):
        key = unicodedata.normalize("NFKC", name).strip().casefold()
        if key in seen:
            raise InputError(
                f"{data}: '{seen[key]}' and '{name}' are two classes with one name (they differ in "
                "case, spaces or Unicode form only). Rename or merge them."
            )
        seen[key] = name


def are_characters(names: Iterable[str]) -> bool:
    """Tell whether all classes are named as characters are: a single character or a number each."""
    return all(len(name) == 1 or name.isdecimal() for name in names)


def numbered(
    labels: Sequence[int | str] | np.ndarray, class_names: Sequence[str] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Bring labels to numbers from 0.

    Args:
        labels: (n,), numbers or texts. Numbers index `class_names` where these are given.
        class_names: Names in the order of the numbers; by default what the labels are as text, sorted
            (numbers by their value).

    Returns:
        int32 (n,), index into the class names; the class names.

    Raises:
        ValueError: If a label is none of the class names.
    """
    values, index = np.unique(np.asarray(labels), return_inverse=True)
    if class_names is None:
        return index.astype(np.int32), tuple(str(value) for value in values)
    names = tuple(class_names)
    if values.dtype.kind in "iu":
        wrong = [int(v) for v in values if not 0 <= v < len(names)]
        place = values
    else:
        wrong = [str(v) for v in values if str(v) not in names]
        place = np.array([names.index(str(v)) for v in values if str(v) in names])
    if wrong:
        raise ValueError(
            f"label {wrong[0]!r} is none of the {len(names)} class names. Expected one of them, or its "
            f"number from 0 to {len(names) - 1}."
        )
    return place[index].astype(np.int32), names


def _differences(given: Given, part: str, main: str, names: tuple[str, ...]) -> list[str]:
    """Tell which classes a part has beside those trained on, and which of these it lacks."""
    entries, own = given.parts[part].entries, given.parts[part].class_names
    counts = dict(zip(own, class_counts(entries.labels, len(own)).tolist(), strict=True))
    gone = (
        "this label of its {} pictures is ignored"
        if is_multi(entries.labels)
        else "its {} pictures are left out"
    )
    where, trained = given.title(part), given.title(main)
    if part == main:
        return [f"class '{name}' has no pictures: left out" for name in own if name not in names]
    return [
        f"class '{name}' is in {where} but not in {trained}: {gone.format(counts[name])}"
        for name in sorted(own)
        if counts[name] and name not in names
    ] + [f"class '{name}' has no pictures in {where}" for name in names if not counts.get(name)]


def _shared_groups(splits: dict[str, Entries]) -> list[str]:
    """Tell of groups whose pictures are both trained on and judged by."""
    found, train = [], splits["train"].groups
    for part in ("val", "test"):
        if train is not None and part in splits:
            both = np.intersect1d(train, splits[part].groups)
            if len(both):
                found.append(
                    f"{len(both)} group(s) are both in train and in {part}, e.g. '{both[0]}': the "
                    f"{part} figures flatter the network"
                )
    return found


def _source(given: Given, names, splits, notices, *, pool: Entries, own_splits: bool = False) -> Source:
    return Source(
        name=given.name,
        class_names=names,
        splits=splits,
        pool=pool,
        grey=given.grey,
        picture_size=given.picture_size,
        own_splits=own_splits,
        mirrored=given.mirrored and not are_characters(names),
        notices=tuple(notices),
    )
