"""What a check of pictures leaves: a page, a JSON file, a quarantine list, and lines on the terminal."""

import itertools
import time
from collections import Counter
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from training.data import decode
from training.data.check import KINDS, NOTES, Check, Entry
from training.report.thumbnails import thumbnail
from training.runs import command
from training.runs.command import InputError, log
from training.runs.files import printable, write_json, write_table, write_text

PAGE, FACTS, QUARANTINE = "check_data.html", "check_data.json", "quarantine.csv"
EXAMPLES = 3  # of each finding on the terminal
_LISTED, _DRAWN, _TOGETHER = (
    200,
    24,
    6,
)  # of each finding on the page: lines, pictures, copies side by side
_SHEET_CLASSES, _SHEET_PICTURES, _SIDE = 50, 8, 112


def check_place(place: Path, folder: Path) -> None:
    """Refuse to write among the pictures, or over files that no check wrote.

    Raises:
        InputError: If so.
    """
    here, pictures = place.resolve(), folder.resolve()
    if here == pictures or pictures in here.parents:
        raise InputError(
            f"what the check finds would go to {place}, which is in the folder of pictures. Choose a "
            "place outside it with --out."
        )
    if place.exists() and not place.is_dir():
        raise InputError(f"--out {place}: this is a file. Expected a folder, or the name of a new one.")
    if place.is_dir() and any(place.iterdir()) and not (place / FACTS).exists():
        raise InputError(f"{place} holds other files. Choose another, or a new, folder with --out.")


def write(checked: Check, place: Path) -> None:
    """Write check_data.html, check_data.json and quarantine.csv into a folder."""
    write_table(place / QUARANTINE, [("file", "reason", "copy_kept"), *checked.set_aside])
    write_text(place / PAGE, _page(checked))
    write_json(place / FACTS, facts(checked))


def facts(checked: Check) -> dict[str, Any]:
    """Return all that was found as plain values."""
    leaks = checked.findings.get("leak", [])
    return {
        "format_version": 1,
        "folder": str(checked.place),
        "command": command.line(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "seed": checked.seed,
        "is_split": checked.is_split,
        "exit_status": command.GATE_NOT_MET if leaks else command.WRONG_INPUT if checked.refusal else 0,
        "fit_refuses": checked.refusal,
        "pictures": len(checked.names),
        "readable": sum(not picture.broken for picture in checked.pictures),
        "classes": {
            part or "all": {
                name: {"pictures": count, "readable": readable[name]}
                for name, count in sorted(checked.counts()[part].items())
            }
            for part, readable in checked.counts(readable=True).items()
        },
        "sizes": _sizes(checked),
        "findings": {
            kind: {
                "title": KINDS[kind][0],
                "advice": checked.advice(kind),
                "count": len(entries),
                "entries": [{"files": list(e.names), "detail": e.detail} for e in entries],
            }
            for kind, entries in checked.findings.items()
        },
        "quarantine": [
            {"file": name, "reason": reason, "copy_kept": kept or None}
            for name, reason, kept in checked.set_aside
        ],
    }


def announce(checked: Check, place: Path) -> None:
    """Say in short what was found and where everything is."""
    log.info("%s", _summary(checked))
    sizes = _sizes(checked)
    if sizes:
        side = sizes["shorter_side"]
        log.info("shorter sides %d to %d pixels, median %d", side["min"], side["max"], side["median"])
    for kind, entries in checked.findings.items():
        log.info("\n%6s  %s", f"{len(entries):,}", KINDS[kind][0])
        for entry in entries[:EXAMPLES]:
            log.info("          %s", _line(entry))
        if len(entries) > EXAMPLES:
            log.info("          ...")
        log.info("        -> %s", checked.advice(kind))
    if not checked.findings:
        log.info("\nnothing is wrong with it")
    log.info("\n%-12s %s", "page", place / PAGE)
    log.info("%-12s %s", "for programs", place / FACTS)
    count = len(checked.set_aside)
    log.info(
        "%-12s %s: %d file(s) better set aside; none was touched",
        "quarantine",
        place / QUARANTINE,
        count,
    )


def _summary(checked: Check) -> str:
    counts = Counter(checked.parts)
    classes = len({name for names in checked.classes for name in names})
    text = f"{len(checked.names):,} pictures of {classes} classes in {printable(checked.place)}"
    split = ", ".join(f"{count:,} in {part}/" for part, count in counts.items() if part)
    return f"{text}: {split}" if split else f"{text}, not split"


def _line(entry: Entry) -> str:
    names = [printable(name) for name in entry.names[:EXAMPLES]]
    more = ["..."] if len(entry.names) > EXAMPLES else []
    return ": ".join(filter(None, (" = ".join(names + more), printable(entry.detail))))


def _sizes(checked: Check) -> dict[str, Any]:
    """Return the distribution of the sides of readable pictures, in pixels."""
    sizes = np.array([(p.width, p.height) for p in checked.pictures if not p.broken])
    if not len(sizes):
        return {}
    shorter = sizes.min(axis=1)
    counts, edges = np.histogram(shorter, bins=min(12, len(np.unique(shorter))))
    unique, number = np.unique(sizes, axis=0, return_counts=True)
    return {
        **{
            name: {"min": int(of.min()), "median": float(np.median(of)), "max": int(of.max())}
            for name, of in (("width", sizes[:, 0]), ("height", sizes[:, 1]), ("shorter_side", shorter))
        },
        "shorter_side_histogram": {"counts": counts.tolist(), "edges": edges.tolist()},
        "most_common": [
            {"width": int(unique[i][0]), "height": int(unique[i][1]), "pictures": int(number[i])}
            for i in np.argsort(-number, kind="stable")[:8]
        ],
    }


def _page(checked: Check) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True
    )
    environment.filters["printable"] = printable
    counts = checked.counts()
    return environment.get_template("data_report.html").render(
        title=f"Check of {checked.place.resolve().name}",
        summary=_summary(checked),
        command=command.line(),
        created=time.strftime("%Y-%m-%d %H:%M"),
        refusal=checked.refusal,
        set_aside=len(checked.set_aside),
        sections=[_section(checked, kind) for kind in checked.findings],
        parts=list(counts),
        counts=counts,
        class_names=sorted({name for names in checked.classes for name in names}),
        largest=max((n for part in counts.values() for n in part.values()), default=1),
        sizes=_sizes(checked),
        sheet=_sheet(checked),
        side=_SIDE,
    )


def _section(checked: Check, kind: str) -> dict[str, Any]:
    entries = checked.findings[kind]
    drawn = entries[:_DRAWN] if kind not in ("broken", "not_read") else []
    return {
        "kind": kind,
        "title": KINDS[kind][0],
        "advice": checked.advice(kind),
        "harmless": kind in NOTES,
        "count": len(entries),
        "cases": [_pictures(checked, entry) for entry in drawn if entry.names],
        "lines": [_line(entry) for entry in entries[:_LISTED] if entry not in drawn or not entry.names],
        "unlisted": max(0, len(entries) - _LISTED),
    }


def _pictures(checked: Check, entry: Entry) -> dict[str, Any]:
    shown = [(name, _small(checked, name)) for name in entry.names[:_TOGETHER]]
    return {"pictures": shown, "more": len(entry.names) - len(shown), "detail": entry.detail}


def _small(checked: Check, name: str) -> str | None:
    """Return a readable picture as the address of an <img>; it may have gone since it was checked."""
    try:
        return thumbnail(decode.open_picture(checked.folder / name), 2 * _SIDE)
    except (decode.BadImageError, OSError):
        return None


def _sheet(checked: Check) -> list[tuple[str, list[str]]]:
    """Return the contact sheet: some pictures of each class, from all over it."""
    members: dict[str, list[str]] = {}
    for name, labels, picture in zip(checked.names, checked.classes, checked.pictures, strict=True):
        for label in () if picture.broken else labels:
            members.setdefault(label, []).append(name)
    rows = []
    for label, names in itertools.islice(sorted(members.items()), _SHEET_CLASSES):
        chosen = np.unique(np.linspace(0, len(names) - 1, _SHEET_PICTURES).astype(int))
        rows.append((label, [image for i in chosen if (image := _small(checked, names[i]))]))
    return rows
