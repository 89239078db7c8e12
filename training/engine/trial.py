"""One trial of a search: a fit that leaves its figures, but no weights."""

import contextlib
import csv
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras

from training.data.sources import Source
from training.engine import device
from training.engine.callbacks import BestWeights
from training.engine.recipe import train
from training.runs import checkpoints
from training.runs.command import log
from training.runs.folder import Run
from training.runs.settings import Fit

Report = Callable[[int, float, float], bool]


class Hopeless(Exception):
    """Ends the training of a trial that is not worth going on with."""


CURVES = ("loss", "accuracy", "val_loss", "val_accuracy")  # columns of history.csv that are kept


class BestFigures(BestWeights):
    """Tells which epoch's weights would be kept, and passes on what each epoch reached.

    Args:
        arguments: Those of `BestWeights`.
        report: Gets epoch, validation accuracy and loss; returns whether to go on.
        options: Those of `BestWeights`.
    """

    writes = False

    def __init__(self, *arguments: Any, report: Report, **options: Any):
        super().__init__(*arguments, **options)
        self._report = report
        self.seconds = 0.0  # in all epochs

    def _keep(self) -> None:
        pass

    @property
    def figures(self) -> dict[str, Any]:
        """Accuracy and loss of the weights that a fit would keep, and their epoch; none without any."""
        if self.best is None:
            return {}
        accuracy, loss = self.best
        exact = round(accuracy * self._pictures) / self._pictures  # Keras gives the nearest float32
        return {"accuracy": exact, "loss": loss, "epoch": self.best_epoch}

    def on_epoch_begin(self, epoch, logs=None):
        """Start the clock of the epoch."""
        self._epoch_start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Take the figures of the epoch."""
        self.seconds += time.perf_counter() - self._epoch_start
        super().on_epoch_end(epoch, logs)
        if not self._report(epoch + 1, logs[f"val_{self.score}"], logs["val_loss"]):
            raise Hopeless


def run_trial(settings: Fit, source: Source, report: Report) -> dict[str, Any]:
    """Do what fit would do with these settings, up to its report.

    Args:
        settings: Of the fit; `out` and `name` say where settings.json, history.csv and log.txt go.
        source: The pictures, split.
        report: See `BestFigures`.

    Returns:
        accuracy and loss, of the validation pictures, of the weights that a fit would keep; epoch, their
        own; epochs, how many there were; seconds of training; history, columns of history.csv; pruned,
        whether it was ended early.
    """
    keras.backend.clear_session()
    on_device = device.start(settings.seed, settings.precision)
    run = Run(settings.out / settings.name)
    made: list[BestFigures] = []

    def keeper(*arguments, **options):
        made.append(BestFigures(*arguments, report=report, **options))
        return made[0]

    start = time.perf_counter()
    pruned = False
    with _quiet():
        try:
            train(settings, source, on_device, keeper)
        except Hopeless:
            pruned = True
    seconds = time.perf_counter() - start
    shutil.rmtree(checkpoints.folder(run), ignore_errors=True)  # has but the lock
    rows = read_history(run.history)
    return made[0].figures | {
        "epochs": len(rows),
        "seconds": round(made[0].seconds or seconds, 3),
        "history": {name: [row[name] for row in rows] for name in CURVES if rows and name in rows[0]},
        "pruned": pruned,
    }


def read_history(path: Path) -> list[dict[str, float]]:
    """Return the rows of a history.csv; none where no epoch has ended."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Send what a fit says to its log.txt alone; a search says one line a trial."""
    terminal = [h for h in log.handlers if not isinstance(h, logging.FileHandler)]
    levels = [handler.level for handler in terminal]
    for handler in terminal:
        handler.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for handler, level in zip(terminal, levels, strict=True):
            handler.setLevel(level)
