"""The run folder: names of its files, its card, its log."""

import hashlib
import json
import logging
import os
import platform
import re
import subprocess
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from training.runs import command, task
from training.runs.command import InputError, log
from training.runs.files import write_json

FORMAT_VERSION = 1
NEEDED = {  # entries of a card without which no command can work, and their types
    "architecture": str,
    "knobs": dict,
    "image_size": int,
    "channels": int,
    "class_names": list,
    "preprocessing": dict,
    "weights_sha256": str,
    "data": dict,
}


@dataclass(frozen=True)
class Run:
    """A run folder.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def card(self) -> Path:
        """What later commands need beside the weights."""
        return self.path / "card.json"

    @property
    def settings(self) -> Path:
        """Every setting of the fit."""
        return self.path / "settings.json"

    @property
    def weights(self) -> Path:
        """The best weights, by validation accuracy."""
        return self.path / "model.weights.h5"

    @property
    def keras(self) -> Path:
        """The same network as a plain Keras file, raw pixels to logits."""
        return self.path / "model.keras"

    @property
    def history(self) -> Path:
        """One row an epoch."""
        return self.path / "history.csv"

    @property
    def left_out(self) -> Path:
        """Pictures that could not be read, and why; only where there are some."""
        return self.path / "left_out.csv"

    @property
    def export(self) -> Path:
        """Files for servers and phones."""
        return self.path / "export"

    @property
    def saved_model(self) -> Path:
        """The SavedModel, in the layout that TensorFlow Serving mounts."""
        return self.export / "saved_model" / "1"

    def tflite(self, kind: str) -> Path:
        """The TFLite file "float32", "float16", "dynamic" or "int8"."""
        return self.export / ("model.tflite" if kind == "float32" else f"model_{kind}.tflite")


def create(out: Path, name: str | None, arch: str, data: str) -> Run:
    """Make a new run folder.

    Args:
        out: Where run folders are.
        name: Its name; None for one made of network, data and time.
        arch: Name of the network.
        data: Short name of the data.

    Raises:
        InputError: If it is there already or cannot be made.
    """
    if name is None:
        words = re.sub(r"[^A-Za-z0-9_.-]+", "-", data).strip("-.") or "data"
        name = f"{arch}-{words}-{time.strftime('%Y%m%d-%H%M%S')}"
    path = out / name
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        raise InputError(f"{path} is there already. Choose another --name.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be made: {error.strerror}. Choose another --out.") from None
    keep_log(path)
    return Run(path)


def keep_log(path: Path) -> None:
    """Write what is said into the log.txt of a run folder, from here on and at its end."""
    for old in [h for h in log.handlers if isinstance(h, logging.FileHandler)]:  # of the run before
        log.removeHandler(old)
        old.close()
    handler = logging.FileHandler(path / "log.txt", encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)


def open_run(path: Path, *, write: bool = False) -> tuple[Run, dict[str, Any]]:
    """Open a run folder and read its card.

    Args:
        path: The folder.
        write: Whether something is to be written into it.

    Raises:
        InputError: If it is no run folder, cannot be written to, or its card is of a newer format.
    """
    run = Run(path)
    if not path.is_dir():
        what = "this is a file, not a run folder" if path.exists() else "there is no such run folder"
        raise InputError(f"{path}: {what}.")
    if write and not os.access(path, os.W_OK):
        raise InputError(f"{path} cannot be written to. Copy the run to a place that can.")
    try:
        card = json.loads(run.card.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path} is no run folder: it has no card.json. Expected a folder that training.fit wrote."
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{run.card} is damaged: {error}") from None
    version = card.get("format_version") if isinstance(card, dict) else None
    if version != FORMAT_VERSION:
        raise InputError(
            f"{run.card} has format_version {version}; this program reads {FORMAT_VERSION}."
        )
    for key, kind in NEEDED.items():
        if type(card.get(key)) is not kind:
            raise InputError(
                f"{run.card} is damaged: '{key}' must be a {kind.__name__}, not {card.get(key)!r}."
            )
    problem = task.problem_of(card)
    if problem:
        raise InputError(f"{run.card} is damaged: {problem}.")
    return run, card


def write_card(run: Run, **entries: Any) -> dict[str, Any]:
    """Write the card: `entries`, and what describes this very process."""
    card = {
        "format_version": FORMAT_VERSION,
        **entries,
        "weights_sha256": sha256(run.weights),
        "versions": versions(),
        "commit": _commit(),
        "command": command.line(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    write_json(run.card, card)
    return card


def is_described(run: Run) -> bool:
    """Tell whether there is a card, and of the very weights that are there."""
    try:
        card = json.loads(run.card.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(card, dict) and card.get("weights_sha256") == sha256(run.weights)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of what a run depends on."""
    packages = ("tensorflow", "keras", "numpy", "pillow", "scikit-learn", "ai-edge-litert")
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    """Return the git commit of this code, "-dirty" where it was changed since, or None."""
    here = Path(__file__).resolve()

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here.parents[2]), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", str(here))  # an environment inside another repository is not
        dirty = git("status", "--porcelain", "--", "cnn_keras", "training")
        return git("rev-parse", "HEAD") + ("-dirty" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return None
