"""What is wrong with a folder of pictures: findings over all its files.

Nothing is changed: what should be set aside becomes a list.
"""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data.duplicates import groups
from training.data.examine import Picture, examine_all, unread_picture
from training.data.folder import files_of, read_folder
from training.data.given import to_source
from training.data.table import read_csv, read_rows
from training.runs.command import InputError

TINY_PIXELS = 8  # a shorter side below shows next to nothing,
TINY_SHARE = 0.1  # and so does one below this share of the usual
IMBALANCE = 10  # times as many pictures in the largest class as in the smallest

# kind: (title, what it means and what to do), the worst first
KINDS = {
    "leak": (
        "in more than one split",
        "accuracy on the held-out pictures is flattered: keep each picture in one split only",
    ),
    "split_leak": (
        "copies that fit's own split would put on both sides",
        "accuracy on the held-out pictures would be flattered: keep one of each, or make train/ and "
        "val/ folders with all copies on one side",
    ),
    "two_classes": (
        "in more than one class",
        "at least one label is wrong: look, and keep each in its class",
    ),
    "broken": ("broken", "fit leaves them out: replace them or set them aside"),
    "all_broken": ("classes without a readable picture", "nothing can be learnt of them"),
    "not_in_train": (
        "classes that are not in train/",
        "fit leaves their pictures out: add some to train/",
    ),
    "one_picture": ("classes with one picture", "too few to learn from and to judge by: add pictures"),
    "not_held_out": ("classes missing in val/ or test/", "nothing tells how well they are recognised"),
    "imbalance": ("imbalance", "accuracy mostly tells of the large classes: look at macro F1 too"),
    "tiny": ("tiny, or far smaller than the others", "they show little: set them aside"),
    "single_colour": ("of a single colour", "they show nothing: set them aside"),
    "exact_copies": ("exact copies", "each counts as many times as it is there; {copies}"),
    "near_copies": (
        "re-encoded, resized, brighter or darker copies",
        "each counts as many times as it is there; {copies}",
    ),
    "not_read": (
        "pictures that fit does not read, for their names or places",
        "rename, move or convert",
    ),
    "wrong_extension": ("of another format than their names say", "fit reads them as what they are"),
    "animated": ("animated", "fit takes the first frame"),
    "cmyk": ("in CMYK", "fit turns them into RGB; colours may be a little off"),
    "16_bit": ("of 16 bits", "fit takes the high 8 bits"),
    "exif_rotated": ("turned by their EXIF tag", "fit turns them upright; other programs may not"),
}
NOTES = ("wrong_extension", "animated", "cmyk", "16_bit", "exif_rotated")  # no harm is done
_COPIES = {
    True: "keep one of each",
    False: "a random split may put copies on both sides and flatter accuracy: keep one of each",
}
_PARTS = ("", "train", "val", "test")  # of copies, the one in the last of these is kept


@dataclass(frozen=True)
class Entry:
    """One case of a finding.

    Attributes:
        names: The files, relative to the folder; none where it is about a class.
        detail: What about them.
    """

    names: tuple[str, ...]
    detail: str


@dataclass(frozen=True)
class Check:
    """All that is known of a folder.

    Attributes:
        place: The folder, or the list, that was checked.
        folder: What the names of the pictures are relative to.
        names: Its picture files, relative to it.
        parts: The split of each, "" where the folder is not split.
        classes: The class of each, or its labels; perhaps none in a list with several labels a picture.
        pictures: What was found in each.
        findings: By kind, in the order of `KINDS`; only those that there are.
        set_aside: Files better set aside: name, reason, and of copies the one to keep.
        refusal: Why fit would not take the folder, or None.
        seed: Of the split that fit would make.
    """

    place: Path
    folder: Path
    names: list[str]
    parts: list[str]
    classes: list[tuple[str, ...]]
    pictures: list[Picture]
    findings: dict[str, list[Entry]]
    set_aside: list[tuple[str, str, str]]
    refusal: str | None
    seed: int

    @property
    def is_split(self) -> bool:
        """Whether the folder has train/ and val/ or test/."""
        return len(set(self.parts)) > 1

    def counts(self, readable: bool = False) -> dict[str, Counter]:
        """Return the number of pictures of each class, by split; of all, or of the readable ones."""
        found: dict[str, Counter] = {part: Counter() for part in dict.fromkeys(self.parts)}
        for part, names, picture in zip(self.parts, self.classes, self.pictures, strict=True):
            for name in names:
                found[part][name] += not (readable and picture.broken)
        return found

    def advice(self, kind: str) -> str:
        """Return what a finding means and what to do."""
        return KINDS[kind][1].format(copies=_COPIES[self.is_split])


def check(place: Path, seed: int = 0, quiet: bool = False) -> Check:
    """Decode every picture of a folder, or of a list, and tell what is wrong with it.

    Args:
        place: As for `read_folder` or, a .csv file, for `read_csv`.
        seed: Of the split that fit would make.
        quiet: Show no progress bar.

    Raises:
        InputError: If it has no pictures in class folders, or is no list of pictures.
    """
    is_list = place.is_file()
    folder = place.parent if is_list else place
    files = (
        [(Path(row.path), row.split or "", row.names) for row in read_rows(place)]
        if is_list
        else [
            (Path(path), part, (name,))
            for part, classes in sorted(files_of(folder).items(), key=lambda item: _PARTS.index(item[0]))
            for name, paths in classes.items()
            for path in paths
        ]
    )
    fit_parts, refusal = {}, None
    try:
        source = to_source(read_csv(place) if is_list else read_folder(folder), seed)
        fit_parts = {n: part for part, entries in source.splits.items() for n in entries.names}
    except InputError as error:
        refusal = str(error)
    if not files:
        raise InputError(refusal or f"{folder} has no pictures in class folders.")
    paths, parts, classes = (list(column) for column in zip(*files, strict=True))
    pictures, small = examine_all(paths, quiet)
    names = [os.path.relpath(path, folder) for path in paths]
    checked = Check(place, folder, names, parts, classes, pictures, {}, [], refusal, seed)
    found: dict[str, list[Entry]] = {kind: [] for kind in KINDS}
    _add_files(checked, found)
    copies = groups([picture.digest for picture in pictures], small)
    _add_copies(checked, copies, [fit_parts.get(str(path), "") for path in paths], found)
    _add_classes(checked, found)
    found["not_read"] = [
        Entry((os.path.relpath(path, folder),), f"it is a {kind}")
        for path in ([] if is_list else _others(folder, set(paths)))
        if (kind := unread_picture(path))
    ]
    checked.findings.update({kind: entries for kind, entries in found.items() if entries})
    checked.set_aside.extend(_set_aside(checked, copies))
    return checked


def _add_files(checked: Check, found: dict[str, list[Entry]]) -> None:
    """Add what is to say of single files."""
    sides = [min(p.width, p.height) for p in checked.pictures if not p.broken]
    tiny = max(TINY_PIXELS, TINY_SHARE * float(np.median(sides))) if sides else 0
    for name, picture in zip(checked.names, checked.pictures, strict=True):
        if picture.broken:
            found["broken"].append(Entry((name,), picture.broken))
            continue
        if min(picture.width, picture.height) < tiny:
            found["tiny"].append(Entry((name,), f"{picture.width} x {picture.height} pixels"))
        for kind, detail in picture.traits.items():
            found[kind].append(Entry((name,), detail))


def _add_copies(
    checked: Check, copies: list[np.ndarray], fit_parts: list[str], found: dict[str, list[Entry]]
) -> None:
    """Add the pictures that are there more than once."""
    for group in copies:
        exact = len({checked.pictures[i].digest for i in group}) == 1
        kind = "exact copies" if exact else "re-encoded, resized, brighter or darker"
        names = tuple(checked.names[i] for i in group)
        parts = _in_order(checked.parts[i] for i in group)
        fitted = _in_order(fit_parts[i] for i in group)
        classes = sorted({" | ".join(sorted(checked.classes[i])) or "no class" for i in group})
        if len(parts) > 1:
            found["leak"].append(Entry(names, f"{kind}, in {_and(parts)}"))
        elif len(fitted) > 1:
            found["split_leak"].append(
                Entry(names, f"{kind}, in {_and(fitted)} with --seed {checked.seed}")
            )
        if len(classes) > 1:
            found["two_classes"].append(Entry(names, f"{kind}, in {_and(classes)}"))
        elif len(parts) < 2:
            found["exact_copies" if exact else "near_copies"].append(Entry(names, f"{len(group)} files"))


def _add_classes(checked: Check, found: dict[str, list[Entry]]) -> None:
    """Add what is to say of classes and their sizes, over readable pictures."""
    counts = checked.counts(readable=True)
    learnt = counts.get("train") or counts.get("") or Counter()
    where = " in train/" if "train" in counts else ""
    for name, count in learnt.items():
        if count < 2:
            kind = "one_picture" if count else "all_broken"
            found[kind].append(Entry((), f"'{name}'{where}"))
    for part, others in counts.items():
        if part in ("", "train") or "train" not in counts:
            continue
        for name in sorted(others.keys() - learnt.keys()):
            found["not_in_train"].append(Entry((), f"'{name}', {others[name]} picture(s) in {part}/"))
        for name in sorted(name for name in learnt if not others[name]):
            found["not_held_out"].append(Entry((), f"'{name}' in {part}/"))
    sizes = sorted((count, name) for name, count in learnt.items() if count)
    if sizes and sizes[-1][0] >= IMBALANCE * sizes[0][0]:
        (least, small), (most, large) = sizes[0], sizes[-1]
        detail = f"'{large}' has {most} pictures{where}, '{small}' has {least}: {most / least:.0f} times"
        found["imbalance"].append(Entry((), detail))


def _others(folder: Path, pictures: set[Path]) -> list[Path]:
    """Return the files of a folder that are not among its pictures, but for hidden ones."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
    return [path for path in found if path not in pictures]


def _set_aside(checked: Check, copies: list[np.ndarray]) -> list[tuple[str, str, str]]:
    """Return the files better set aside, each once: name, reason, and of copies the one to keep."""
    reasons: dict[str, tuple[str, str]] = {}
    for kind in ("broken", "tiny", "single_colour"):
        for entry in checked.findings.get(kind, ()):
            reasons.setdefault(entry.names[0], (f"{KINDS[kind][0]}: {entry.detail}".rstrip(": "), ""))
    for group in copies:
        if len({frozenset(checked.classes[i]) for i in group}) > 1:
            for i in group:
                reasons.setdefault(checked.names[i], ("in more than one class: keep the right one", ""))
            continue

        def rank(i: int) -> tuple:
            picture = checked.pictures[i]
            area = picture.width * picture.height
            return -_PARTS.index(checked.parts[i]), -area, -picture.size_bytes, checked.names[i]

        kept, *others = sorted(group, key=rank)
        for i in others:
            reasons.setdefault(checked.names[i], ("copy", checked.names[kept]))
    return [(name, *reason) for name, reason in sorted(reasons.items())]


def _in_order(parts: Iterable[str]) -> list[str]:
    found = set(parts)
    return [part for part in _PARTS[1:] if part in found]


def _and(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"
