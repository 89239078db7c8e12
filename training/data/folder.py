"""Pictures in folders: one sub-folder a class, or train/ val/ [test/] of them."""

import hashlib
import io
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from training.data import decode
from training.data.entries import Entries
from training.data.given import ALL, SPLIT_NAMES, Given, Part, are_characters, one_name_each
from training.data.sources import Source
from training.runs.command import InputError
from training.runs.files import printable


def read_folder(folder: Path) -> Given:
    """Find the pictures of a folder.

    Args:
        folder: Has one sub-folder a class, or train/, val/ and perhaps test/ with one sub-folder a class
            each.

    Raises:
        InputError: If it is laid out in neither way.
    """
    given, children = _splits_of(folder), _folders(folder)
    if "train" in given:
        others = [p.name for p in children if p not in given.values()]
        if others:
            raise InputError(
                f"--data {folder} has {given['train'].name}/ but also {', '.join(others)}. Expected "
                "either one sub-folder a class, or only train/, val/ and test/."
            )
    elif given and len(given) == len(children):
        raise InputError(f"--data {folder} has {', '.join(p.name for p in children)} but no train/.")
    else:
        given = {}
    notices: list[str] = [] if given else _loose_pictures(folder)
    parts = {}
    for name, path in (given or {ALL: folder}).items():
        classes = _folders(path)
        if given and not classes:
            raise InputError(f"{path} has no sub-folders. Expected one a class.")
        files = _files_of_classes(classes, notices)
        names = tuple(sorted(files))
        parts[name] = Part(_entries(files, names), names)
    grey, picture_size = look(parts[ALL if not given else "train"].entries)
    return Given(
        data=str(folder),
        name=folder.resolve().name,
        parts=parts,
        grey=grey,
        picture_size=picture_size,
        titles={"val": "val/"} | {name: f"{path.name}/" for name, path in given.items()},
        notices=tuple(notices),
    )


def folder_as_test(folder: Path) -> Source:
    """Open a folder of pictures to judge a network on them: nothing is held out, one class is enough.

    Args:
        folder: As for `read_folder`; of split pictures, test/ or else val/ is taken.

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
    one_name_each(place, names)
    if not given:
        notices.append(f"all pictures of {folder} are judged: none of them should be one of the fit")
    entries = _entries(files, names)
    grey, picture_size = look(entries)
    return Source(
        name=folder.resolve().name,
        class_names=names,
        splits={"test": entries},
        pool=entries,
        grey=grey,
        picture_size=picture_size,
        mirrored=not are_characters(names),
        notices=tuple(notices),
    )


def files_of(folder: Path) -> dict[str, dict[str, list[str]]]:
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


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _loose_pictures(folder: Path) -> list[str]:
    """Return a notice where pictures lie beside the class folders."""
    loose = [p.name for p in folder.iterdir() if p.is_file() and _is_picture(p.name)]
    if not loose:
        return []
    return [f"{folder} has {len(loose)} picture(s) in no class folder, e.g. '{min(loose)}': ignored"]


def files_below(folder: Path) -> tuple[list[str], list[str]]:
    """Return the pictures in a folder and those below it, and its other files; none that is hidden.

    Links are followed, but no folder is read twice. Plain text, because a million paths would take five
    times its memory.
    """
    pictures, others, seen = [], [], set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        here = os.path.realpath(parent)
        if here in seen:  # a link to a folder above, or to one that was there already
            folders.clear()
            continue
        seen.add(here)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(n for n in names if not n.startswith(".")):
            (pictures if _is_picture(name) else others).append(f"{parent}{os.sep}{name}")
    return pictures, others


def _is_picture(name: str) -> bool:
    return name.lower().endswith(decode.EXTENSIONS) and not name.startswith(".")


def _files_of_classes(classes: list[Path], notices: list[str]) -> dict[str, list[str]]:
    """Return the picture files of each class folder, by class name; empty classes become notices."""
    found: dict[str, list[str]] = {}
    for path in classes:
        files, others = files_below(path)
        if others:
            notices.append(
                f"{path} has {len(others)} file(s) that are no pictures by their names, e.g. "
                f"'{Path(others[0]).name}': ignored"
            )
        if files:
            found[printable(path.name)] = files  # labels.txt has one name a line
        else:
            notices.append(f"class '{path.name}' is empty ({path} has no pictures): left out")
    return found


def _entries(files: dict[str, list[str]], names: tuple[str, ...]) -> Entries:
    paths = [path for name in names for path in files.get(name, ())]
    labels = [i for i, name in enumerate(names) for _ in files.get(name, ())]
    return file_entries(paths, np.array(labels, np.int32))


def file_entries(paths: Sequence[str], labels: np.ndarray, groups: np.ndarray | None = None) -> Entries:
    """Return entries over picture files; one that is not there is told like a broken one."""
    return Entries(
        np.asarray(labels, np.int32),
        tuple(paths),
        lambda i: decode.open_picture(content(paths[i])),
        lambda i: hashlib.sha256(content(paths[i])).digest(),
        groups,
        lambda i: str(paths[i]),
    )


def content(path: str | Path) -> bytes:
    """Return what is in a picture file.

    Raises:
        BadImageError: If there is none, or it is a pipe or the like, which might never end.
        OSError: If it cannot be read.
    """
    file = Path(path)
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # reading a pipe would wait for ever
            raise decode.BadImageError("it is no regular file")
        return file.read_bytes()
    except FileNotFoundError:
        raise decode.BadImageError("there is no such file") from None


def look(entries: Entries) -> tuple[bool, int]:
    """Tell from the headers of up to 64 pictures whether they are grey, and their usual size."""
    modes, sides = set(), []
    for i in np.linspace(0, len(entries) - 1, num=min(64, len(entries)), dtype=int):
        try:
            with Image.open(io.BytesIO(content(entries.names[i])), formats=decode.FORMATS) as image:
                modes.add(image.mode)
                sides.append(min(image.size))
        except Exception:  # broken ones are reported when they are decoded
            continue
    grey = bool(modes) and modes <= {"1", "L", "LA", "I", "I;16", "I;16B"}
    return grey, int(np.median(sides)) if sides else 224
