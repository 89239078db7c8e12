"""Pictures in folders: one sub-folder a class, or train/ val/ [test/] of them."""

import hashlib
import os
import unicodedata
from pathlib import Path

import numpy as np
from PIL import Image

from training.data import decode
from training.data.sources import Entries, Source, split
from training.runs.command import InputError
from training.runs.files import printable

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
SHARES = {"val": 0.15, "test": 0.15}


def folder_source(folder: Path, seed: int) -> Source:
    """Open a folder of pictures.

    Args:
        folder: Has one sub-folder a class (split by `seed`: 70 % train, 15 % val, 15 % test), or
            train/, val/ and perhaps test/ with one sub-folder a class each. Where there is no val/,
            15 % of train/ are held out for it.
        seed: Decides the splits that the folder does not have.

    Raises:
        InputError: If it has fewer than two classes, or two with one name.
    """
    given, children = _splits_of(folder), _folders(folder)
    if "train" in given:
        others = [p.name for p in children if p not in given.values()]
        if others:
            raise InputError(
                f"--data {folder} has {given['train'].name}/ but also {', '.join(others)}. Expected "
                "either one sub-folder a class, or only train/, val/ and test/."
            )
        return _given_splits(folder, given, seed)
    if given and len(given) == len(children):
        raise InputError(f"--data {folder} has {', '.join(p.name for p in children)} but no train/.")
    return _one_folder(folder, children, seed)


def folder_as_test(folder: Path) -> Source:
    """Open a folder of pictures to judge a network on them: nothing is held out, one class is enough.

    Args:
        folder: As for `folder_source`; of split pictures, test/ or else val/ is taken.

    Raises:
        InputError: If it has no pictures in sub-folders, or two classes with one name.
    """
    given = _splits_of(folder)
    place = given.get("test") or given.get("val") if "train" in given else folder
    if place is None:
        raise InputError(f"--data {folder} has train/ but neither val/ nor test/ to judge a network on.")
    notices = _loose_pictures(place)
    files = _files_of_classes(_folders(place), notices)
    if not files:
        raise InputError(f"--data {place} has no pictures in sub-folders. Expected one a class.")
    names = tuple(sorted(files))
    _one_name_each(place, names)
    if not given:
        notices.append(f"all pictures of {folder} are judged: none of them should be one of the fit")
    return _source(folder, names, {"test": _entries(files, names)}, notices)


def files_of(folder: Path) -> dict[str, dict[str, list[Path]]]:
    """Return all picture files by split ("" where the folder is not split) and by class.

    Also those that a fit leaves out: of classes that are not in train/, of a folder without train/.
    """
    given = _splits_of(folder)
    split_up = "train" in given or len(given) == len(_folders(folder))
    places = given if split_up else {"": folder}
    return {part: _files_of_classes(_folders(path), []) for part, path in places.items()}


def _splits_of(folder: Path) -> dict[str, Path]:
    """Return the sub-folders named as splits, by our name of the split."""
    given: dict[str, Path] = {}
    for path in _folders(folder):
        part = SPLIT_NAMES.get(path.name.lower())
        if part in given:
            raise InputError(
                f"--data {folder} has both {given[part].name}/ and {path.name}/. Keep one of them."
            )
        if part:
            given[part] = path
    return given


def _one_folder(folder: Path, classes: list[Path], seed: int) -> Source:
    notices = _loose_pictures(folder)
    files = _files_of_classes(classes, notices)
    names = _class_names(folder, files)
    entries = _entries(files, names)
    for name in names:
        if len(files[name]) == 1:
            notices.append(
                f"class '{name}' has one picture: it is trained on, neither validated nor tested"
            )
    splits = split(entries, SHARES, seed)
    if "val" not in splits:
        raise InputError(
            f"--data {folder} has too few pictures ({len(entries)}) to hold some out. Add pictures, or "
            "make train/ and val/ folders."
        )
    return _source(folder, names, splits, notices)


def _given_splits(folder: Path, given: dict[str, Path], seed: int) -> Source:
    notices: list[str] = []
    files = {}
    for name, path in given.items():
        classes = _folders(path)
        if not classes:
            raise InputError(f"{path} has no sub-folders. Expected one a class.")
        files[name] = _files_of_classes(classes, notices)
    names = _class_names(given["train"], files["train"])
    splits = {}
    for part, of_class in files.items():
        for name in sorted(of_class.keys() - set(names)):
            notices.append(
                f"class '{name}' is in {given[part].name}/ but not in {given['train'].name}/: its "
                f"{len(of_class[name])} pictures are left out"
            )
        for name in names:
            if name not in of_class:
                notices.append(f"class '{name}' has no pictures in {given[part].name}/")
        known = {name: of_class[name] for name in names if name in of_class}
        _one_name_each(given[part], [*of_class, *names])
        if known:
            splits[part] = _entries(known, names)
    for name in names:
        if len(files["train"][name]) == 1:
            notices.append(f"class '{name}' has one picture in {given['train'].name}/")
    if "val" not in splits:
        notices.append(f"there is no val/: {SHARES['val']:.0%} of train/ are held out for it")
        splits |= split(splits["train"], {"val": SHARES["val"]}, seed)
        if "val" not in splits:
            raise InputError(f"{given['train']} has too few pictures to hold some out for val.")
    return _source(folder, names, splits, notices, own_splits=True)


def _source(
    folder: Path, names: tuple[str, ...], splits: dict[str, Entries], notices, own_splits=False
) -> Source:
    grey, picture_size = _look(splits.get("train") or splits["test"])
    return Source(
        name=folder.resolve().name,
        class_names=names,
        splits=splits,
        grey=grey,
        picture_size=picture_size,
        own_splits=own_splits,
        notices=tuple(notices),
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _loose_pictures(folder: Path) -> list[str]:
    """Return a notice where pictures lie beside the class folders."""
    loose = [p.name for p in folder.iterdir() if p.is_file() and _is_picture(p.name)]
    if not loose:
        return []
    return [f"{folder} has {len(loose)} picture(s) in no class folder, e.g. '{min(loose)}': ignored"]


def _is_picture(name: str) -> bool:
    return name.lower().endswith(decode.EXTENSIONS) and not name.startswith(".")


def _files_of_classes(classes: list[Path], notices: list[str]) -> dict[str, list[Path]]:
    """Return the picture files of each class folder, by class name; empty classes become notices."""
    found: dict[str, list[Path]] = {}
    for path in classes:
        files, others, seen = [], [], set()
        for parent, folders, names in os.walk(path, followlinks=True):
            here = os.path.realpath(parent)
            if here in seen:  # a link to a folder above, or to one that was there already
                folders.clear()
                continue
            seen.add(here)
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            for name in sorted(n for n in names if not n.startswith(".")):
                (files if _is_picture(name) else others).append(Path(parent, name))
        if others:
            notices.append(
                f"{path} has {len(others)} file(s) that are no pictures by their names, e.g. "
                f"'{others[0].name}': ignored"
            )
        if files:
            found[printable(path.name)] = files  # labels.txt has one name a line
        else:
            notices.append(f"class '{path.name}' is empty ({path} has no pictures): left out")
    return found


def _class_names(folder: Path, files: dict[str, list[Path]]) -> tuple[str, ...]:
    names = tuple(sorted(files))
    if len(names) < 2:
        found = f"only '{names[0]}'" if names else "none"
        raise InputError(
            f"{folder} has fewer than two classes with pictures: {found}. Expected one sub-folder a "
            f"class, with pictures ({' '.join(decode.EXTENSIONS)})."
        )
    _one_name_each(folder, names)
    return names


def _one_name_each(folder: Path, names) -> None:
    """Refuse folders that a person, or another system, would take for one and the same class."""
    seen: dict[str, str] = {}
    for name in dict.fromkeys(names):
        key = unicodedata.normalize("NFKC", name).strip().casefold()
        if key in seen:
            raise InputError(
                f"{folder}: '{seen[key]}' and '{name}' are two classes with one name (they differ in "
                "case, spaces or Unicode form only). Rename or merge them."
            )
        seen[key] = name


def _entries(files: dict[str, list[Path]], names: tuple[str, ...]) -> Entries:
    paths = [path for name in names for path in files.get(name, ())]
    labels = [i for i, name in enumerate(names) for _ in files.get(name, ())]
    return Entries(
        np.array(labels, np.int32),
        tuple(str(path) for path in paths),
        lambda i: decode.open_picture(paths[i]),
        lambda i: hashlib.sha256(paths[i].read_bytes()).digest(),
    )


def _look(entries: Entries) -> tuple[bool, int]:
    """Tell from the headers of up to 64 pictures whether they are grey, and their usual size."""
    modes, sides = set(), []
    for i in np.linspace(0, len(entries) - 1, num=min(64, len(entries)), dtype=int):
        try:
            with Image.open(entries.names[i], formats=decode.FORMATS) as image:
                modes.add(image.mode)
                sides.append(min(image.size))
        except Exception:  # broken ones are reported when they are decoded
            continue
    grey = bool(modes) and modes <= {"1", "L", "LA", "I", "I;16", "I;16B"}
    return grey, int(np.median(sides)) if sides else 224
