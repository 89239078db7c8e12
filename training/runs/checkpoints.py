"""The checkpoints of a run: `checkpoint/epoch-000003-step-00000012/`, the newest and the one before.

Each is written under a temporary name, synced and renamed to a name that is new. So there is no moment,
of a crash or of a loss of power, at which less is there than before.
"""

import contextlib
import json
import math
import os
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from training.runs.command import InputError, log
from training.runs.files import check_space, replaced, write_json
from training.runs.folder import Run, sha256

FORMAT_VERSION = 1
KEPT = 2
VARIABLES, BEST, STATE = "variables.npz", "best.weights.h5", "state.json"
ARRAY_BYTES = 512  # what an array takes in a file beside its values
STATE_BYTES = 2**16


@dataclass(frozen=True)
class Place:
    """How far a fit is.

    Attributes:
        phase: Number of the phase, for fits of several.
        epoch: Number of the epoch that is being trained, from 0, over all phases.
        step: So many steps of it are done.
        done: Whether nothing but the report is left.
    """

    phase: int
    epoch: int
    step: int
    done: bool = False

    def in_words(self) -> str:
        """Return where a fit goes on."""
        return "with the report" if self.done else f"in epoch {self.epoch + 1}, after step {self.step}"


@dataclass(frozen=True)
class Saved:
    """A checkpoint that was read.

    Attributes:
        path: Its folder.
        place: How far the fit was.
        state: What callbacks know, by their names: plain values.
    """

    path: Path
    place: Place
    state: Mapping[str, Any] = field(repr=False)

    def arrays(self, group: str) -> list[np.ndarray]:
        """Return the arrays of a group in the order in which they were given to `write`."""
        with np.load(self.path / VARIABLES, allow_pickle=False) as file:
            return [file[name] for name in sorted(file.files) if name.split("/")[0] == group]


def folder(run: Run) -> Path:
    """Return where a run's checkpoints are."""
    return run.path / "checkpoint"


def write(
    run: Run,
    place: Place,
    variables: Mapping[str, Iterable[Any]],
    state: Mapping[str, Any],
    *,
    best: bool,
) -> None:
    """Write a checkpoint; then the one before stays, and older ones go.

    Args:
        run: The run folder.
        place: How far the fit is.
        variables: What NumPy makes arrays of, by group.
        state: Plain values.
        best: Whether model.weights.h5 holds the best weights of this fit and belongs to it.

    Raises:
        OSError: If it cannot be written. What was there before is still there.
    """
    target = folder(run) / f"epoch-{place.epoch:06}-step-{place.step:08}"
    named = [(f"{group}/{i:06}", v) for group, vs in variables.items() for i, v in enumerate(vs)]
    folder(run).mkdir(exist_ok=True)
    check_space(folder(run), sum(4 * math.prod(v.shape) + ARRAY_BYTES for _, v in named) + STATE_BYTES)
    for old in _all(run)[: -KEPT + 1]:
        shutil.rmtree(old)
    with replaced(target) as temporary:
        temporary.mkdir()
        _write_arrays(temporary / VARIABLES, named)
        if best:
            link_or_copy(run.weights, temporary / BEST)
        sums = {file.name: sha256(file) for file in sorted(temporary.iterdir())}
        write_json(
            temporary / STATE,
            {
                "format_version": FORMAT_VERSION,
                "place": asdict(place),
                "state": dict(state),
                "sha256": sums,
            },
        )


def exist(run: Run) -> bool:
    """Tell whether a run has checkpoints."""
    return bool(_all(run))


def newest(run: Run) -> Saved | None:
    """Return the newest checkpoint that is whole; damaged ones are told and get another name."""
    for path in reversed(_all(run)):
        try:
            return _read(path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            aside = path.with_name(f"damaged-{path.name}")
            shutil.rmtree(aside, ignore_errors=True)
            path.rename(aside)
            log.warning("note: the checkpoint %s is damaged (%s) and not used", aside, error)
    return None


def put_back_best(run: Run, saved: Saved) -> None:
    """Bring the best weights of a checkpoint back: those of the run may be of a later epoch."""
    source = saved.path / BEST
    if source.is_file() and not (run.weights.is_file() and sha256(run.weights) == sha256(source)):
        with replaced(run.weights) as temporary:
            link_or_copy(source, temporary)


def finish(run: Run, status: int) -> None:
    """Note that a run is finished; of the checkpoints, the last stays."""
    write_json(folder(run) / "finished.json", {"status": status})
    for old in [*_all(run)[:-1], *folder(run).glob("damaged-*")]:
        shutil.rmtree(old)


def finished(run: Run) -> int | None:
    """Return the exit status of a finished run, or None."""
    try:
        return int(json.loads((folder(run) / "finished.json").read_text(encoding="utf-8"))["status"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def lock(run: Run) -> IO:
    """Keep other processes away from a run until what is returned is closed or garbage.

    Raises:
        InputError: If another process trains it.
    """
    import fcntl

    folder(run).mkdir(exist_ok=True)
    file = (folder(run) / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise InputError(f"{run.path} is being trained by another process. Wait for its end.") from None
    except OSError:  # a file system without locks
        pass
    return file


def sweep(run: Run) -> None:
    """Remove what a killed process left half-written under temporary names."""
    for place in (run.path, folder(run)):
        for left in place.glob(".tmp-*"):
            shutil.rmtree(left, ignore_errors=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file that is only ever replaced, never changed, a second name; else copy it."""
    try:
        os.link(source, target)
    except OSError:  # not every file system can
        with contextlib.suppress(FileNotFoundError):
            target.unlink()
        shutil.copyfile(source, target)


def _all(run: Run) -> list[Path]:
    """Return the checkpoints, the newest last."""
    return sorted(path for path in folder(run).glob("epoch-*-step-*") if path.is_dir())


def _write_arrays(path: Path, named: list[tuple[str, Any]]) -> None:
    """Write an .npz file array by array: all at once, they would be in memory twice."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in named:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(value), allow_pickle=False)


def _read(path: Path) -> Saved:
    """Read a checkpoint and check that it is whole."""
    found = json.loads((path / STATE).read_text(encoding="utf-8"))
    if found["format_version"] != FORMAT_VERSION:
        raise InputError(
            f"{path} has format_version {found['format_version']}; this program reads {FORMAT_VERSION}."
        )
    if VARIABLES not in found["sha256"]:
        raise ValueError(f"no sum of {VARIABLES}")
    for name, expected in found["sha256"].items():
        if sha256(path / name) != expected:
            raise ValueError(f"{name} is not what was written")
    return Saved(path, Place(**found["place"]), found["state"])
