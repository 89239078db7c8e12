"""`python -m training.predict`: classify pictures with a run."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from cnn_keras.tables import as_text
from training.data import decode
from training.data.folder import content, files_below
from training.phone.engines import open_engine
from training.runs import command
from training.runs.checks import positive
from training.runs.command import DONE, FAILED, InputError
from training.runs.files import printable
from training.runs.flags import Count, Debug, Run
from training.runs.folder import open_run
from training.runs.task import threshold_of

BATCH, TOP = 32, 3


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Classify pictures with a run."""

    run: Run
    """Run folder."""
    images: Annotated[
        tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE_OR_FOLDER...")
    ]
    """Pictures, or folders of pictures."""
    top: Count = None
    """Classes to show for each, by default 3; not for a run that tells several labels."""
    threshold: Annotated[float | None, tyro.conf.arg(metavar="X")] = None
    """Of a run that tells several labels, show those of at least this probability; by default what
    the card says, 0.5. 0 shows all."""
    json: bool = False
    """Print one JSON object a line instead of a table."""
    engine: Literal["auto", "saved_model", "tflite", "keras"] = "auto"
    """What computes: auto is tflite where the run has it (no TensorFlow needed), else saved_model, else
    keras."""
    debug: Debug = False

    def __post_init__(self):
        positive(self, "top")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise InputError(f"--threshold must be between 0 and 1, not {self.threshold}.")
        if not self.images:
            raise InputError("no picture given. Expected RUN IMAGE_OR_FOLDER...")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return command.run(Predict, predict, argv)


def predict(settings: Predict) -> int:
    """Print the likeliest classes, or all labels, of every picture.

    The exit status is 1 if one could not be read.
    """
    run, card = open_run(settings.run)
    threshold = _threshold(settings, card)
    files = list(find(settings.images))
    engine = open_engine(run, card, settings.engine)
    names = card["class_names"]
    top = min(settings.top or TOP, len(names))
    table = [("file", *(w for i in range(top) for w in (f"class {i + 1}", "probability")))]
    if threshold is not None:
        table = [("file", "labels")]
    broken = 0
    for start in range(0, len(files), BATCH):
        good, pictures = [], []
        for file in files[start : start + BATCH]:
            try:
                pictures.append(decode.read(content(file), card["image_size"], card["channels"]))
                good.append(file)
            except (decode.BadImageError, OSError) as error:
                broken += 1
                _complain(file, error, settings.json)
        if not good:
            continue
        for file, probabilities in zip(good, engine(np.stack(pictures)), strict=True):
            best = np.argsort(-probabilities, kind="stable")
            best = best[:top] if threshold is None else best[probabilities[best] >= threshold]
            if settings.json:
                found = [{"class": names[i], "probability": float(probabilities[i])} for i in best]
                _print_json({"file": str(file), "top" if threshold is None else "labels": found})
            elif threshold is not None:
                words = ", ".join(f"{names[i]} {probabilities[i]:.4f}" for i in best)
                table.append((printable(file), words or "none"))
            else:
                cells = (c for i in best for c in (names[i], f"{probabilities[i]:.4f}"))
                table.append((printable(file), *cells))
    if not settings.json and len(table) > 1:
        print(as_text(table))
    return FAILED if broken else DONE


def _threshold(settings: Predict, card: dict) -> float | None:
    """Return the probability from which on a label is told; None where each picture has one class."""
    threshold = threshold_of(card)
    if threshold is None and settings.threshold is not None:
        raise InputError(
            f"--threshold is for runs that tell several labels; {settings.run} tells one class."
        )
    if threshold is not None and settings.top is not None:
        raise InputError(
            f"--top is for runs that tell one class; {settings.run} tells all labels of a picture. "
            "--threshold X sets from which probability on, 0 shows all."
        )
    return threshold if settings.threshold is None else settings.threshold


def find(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the pictures that are named, and those in the folders that are named.

    Raises:
        InputError: If a path is not there, or a folder has no pictures.
    """
    for path in paths:
        if not path.is_dir():
            if not path.exists():
                raise InputError(f"{path}: there is no such picture or folder.")
            yield path
            continue
        files, _ = files_below(path)
        if not files:
            raise InputError(f"{path} has no pictures ({' '.join(decode.EXTENSIONS)}).")
        yield from map(Path, files)


def _complain(file: Path, error: Exception, as_json: bool) -> None:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if as_json:
        _print_json({"file": str(file), "error": reason})
    print(f"error: {printable(file)}: {reason}", file=sys.stderr)


def _print_json(entry: dict) -> None:
    """Print one object a line; readable where the terminal can show it."""
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(entry, ensure_ascii=not utf8), flush=True)


if __name__ == "__main__":
    sys.exit(main())
