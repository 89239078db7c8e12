"""Files that are either there whole or not at all."""

import contextlib
import csv
import errno
import json
import os
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # general categories of Unicode
_JOINERS = "\u200c\u200d"  # some scripts, and emoji, are written with them


@contextlib.contextmanager
def replaced(path: str | Path) -> Iterator[Path]:
    """Give a temporary name to write to; when all went well, it takes the place of `path`.

    The temporary name ends as `path` does and lies beside it. Works for files and for folders. An
    interrupted write leaves what was there before.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = Path(tempfile.mkdtemp(prefix=".tmp-", dir=path.parent))
    try:
        temporary = holder / path.name
        yield temporary
        _sync(temporary)
        previous = holder / "previous"
        try:
            if temporary.is_dir() and path.exists():  # a folder takes the place of none but an empty one
                path.rename(previous)
            temporary.replace(path)
        except BaseException:
            if previous.exists() and not path.exists():
                previous.rename(path)
            raise
        _sync_folder(path.parent)
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def _sync(path: Path) -> None:
    """Bring what was written to the disk before it is renamed."""
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        if file.is_dir():
            _sync_folder(file)
        elif file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())


def _sync_folder(path: Path) -> None:
    with contextlib.suppress(OSError):  # not every system opens folders
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_text(path: str | Path, text: str) -> None:
    r"""Write `text` to `path`, whole or not at all.

    Bytes of file names that are no UTF-8 become escapes, "\udcff", which in JSON stand for themselves.
    """
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as JSON to `path`, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def check_space(folder: Path, needed_bytes: int) -> None:
    """Raise an OSError if a file of so many bytes does not fit on the disk of `folder`.

    For writers that do not survive a full disk: HDF5 takes the process down with it.
    """
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise OSError(
            errno.ENOSPC,
            f"no space left: {needed_bytes / 1e6:,.1f} MB needed, {free_bytes / 1e6:,.1f} MB free",
            str(folder),
        )


def write_table(path: str | Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as CSV to `path`, whole or not at all; file names keep their very bytes."""
    with (
        replaced(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        csv.writer(file).writerows(rows)


def printable(name: object) -> str:
    r"""Return a name in one line that any terminal or page can show: "a\nb" for a newline.

    Controls, bytes that are no UTF-8 and marks that turn the direction of writing become escapes.
    """
    return "".join(
        c.encode("unicode_escape", "surrogatepass").decode()
        if unicodedata.category(c) in _UNSEEN and c not in _JOINERS
        else c
        for c in str(name)
    )
