"""Which trials of a study are being run, known to every process that shares its folder.

A process holds a lock on the byte of a file that has the trial's number; the system frees it when the
process ends, however that happens. So a trial that was broken off is told from one that runs.
"""

import contextlib
import fcntl
import os
import uuid
from pathlib import Path

FILE = "running.lock"


class Claims:
    """The locks of a study's folder.

    Args:
        folder: Of the study.

    Attributes:
        mark: What a process in the same folder shares with this one, and no other has.
    """

    def __init__(self, folder: Path):
        path = folder / FILE
        if not path.exists():
            draft = folder / f".{uuid.uuid4().hex}"
            draft.write_text(uuid.uuid4().hex)
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)  # whole or not at all, and only one of several
            draft.unlink()
        self._file = os.open(path, os.O_RDWR)  # never closed: closing any handle frees all our locks
        self.mark = os.read(self._file, 32).decode()

    def take(self, number: int, *, wait: bool = True) -> bool:
        """Lock a trial's number; without waiting, return whether that could be done."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, number)
        except BlockingIOError:
            return False
        return True

    def free(self, number: int) -> None:
        """Unlock a trial's number."""
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)
