"""What happens beside the steps of a fit: a progress bar, a line an epoch, the best weights."""

import csv
import io
import math
import time
from typing import Any

import keras
from tqdm import tqdm

from training.runs.command import log
from training.runs.files import check_space, replaced, write_text
from training.runs.folder import Run

RULES = {  # by whether the latest is taken
    True: "the latest of those within one standard error of the highest validation {score}",
    False: "the lowest validation loss of those within one standard error of the highest {score}",
}
HDF5_BYTES = 4096  # what a variable takes in a file beside its values


class Progress(keras.callbacks.Callback):
    """A bar with images/s and time left, one line an epoch, and history.csv.

    Args:
        run: Where history.csv goes.
        steps: Steps an epoch.
        epochs: Epochs of the whole fit.
        batch_size: Pictures a step.
        score: The metric that is shown beside the loss.
    """

    def __init__(self, run: Run, steps: int, epochs: int, batch_size: int, score: str = "accuracy"):
        super().__init__()
        self._run, self._epochs, self._batch_size, self._score = run, epochs, batch_size, score
        self.steps = steps  # an epoch
        self._rows: list[dict[str, float]] = []
        self.stage = ""  # what is being trained, where that changes

    @property
    def last_loss(self) -> float:
        """The training loss of the last epoch; NaN before the first has ended."""
        return self._rows[-1]["loss"] if self._rows else math.nan

    def state(self) -> dict[str, Any]:
        """Return the rows so far."""
        return {"rows": self._rows}

    def restore(self, state: dict[str, Any]) -> None:
        """Take them back; what history.csv has of later epochs goes."""
        self._rows = state["rows"]
        if self._rows:
            write_text(self._run.history, as_csv(self._rows))

    def on_train_begin(self, logs=None):
        """Open the bar: it counts pictures of all epochs, so that its time left is that of the fit."""
        pictures = self.steps * self._batch_size
        self._bar = tqdm(
            total=pictures * self._epochs,
            initial=pictures * len(self._rows),
            unit=" images",
            unit_scale=True,
            leave=False,
            disable=None,
            dynamic_ncols=True,
        )

    def on_epoch_begin(self, epoch, logs=None):
        """Start the clock of the epoch."""
        self._epoch_start = time.perf_counter()
        self._bar.set_description(f"epoch {epoch + 1}/{self._epochs}")

    def on_train_batch_end(self, batch, logs=None):
        """Advance the bar."""
        self._bar.update(self._batch_size)

    def on_epoch_end(self, epoch, logs=None):
        """Print the line of the epoch and write history.csv."""
        seconds = time.perf_counter() - self._epoch_start
        row = _row(self.model, epoch, logs)
        self._rows.append(row)
        write_text(self._run.history, as_csv(self._rows))
        with tqdm.external_write_mode():
            log.info(
                "epoch %d/%d%s  loss %.4f  %s %.4f  val_loss %.4f  val_%s %.4f  %.1f s",
                *(epoch + 1, self._epochs, self.stage and f" ({self.stage})"),
                *(row["loss"], self._score, row[self._score]),
                *(row["val_loss"], self._score, row[f"val_{self._score}"], seconds),
            )

    def on_train_end(self, logs=None):
        """Close the bar."""
        self._bar.close()


class RowsOfHistory(keras.callbacks.Callback):
    """Collect what history.csv has of every epoch, of a training too short for a line each."""

    def __init__(self):
        super().__init__()
        self.rows: list[dict[str, float]] = []

    def on_epoch_end(self, epoch, logs=None):
        """Add the row of the epoch."""
        self.rows.append(_row(self.model, epoch, logs))


class BestWeights(keras.callbacks.Callback):
    """Keep the weights with the highest validation accuracy; of near equals, the latest or lowest loss.

    Accuracies within one standard error of the highest count as equal (the rule of Breiman et al. 1984
    for trees): of 180 pictures, one that happens to be right says little. The highest is estimated by
    Laplace's rule of succession, because all of 180 being right does not mean that none will be wrong.
    From scratch the latest of them is taken: at small rates what comes later generalises better than
    what was lucky before. In fine-tuning, where later may be worse, it is the lowest loss.

    Of pictures with several labels the score is the share of those with all labels right: a share of
    pictures as accuracy is, and unlike F1 it is low for a network that tells every label of everything.

    Args:
        network: The network whose weights are kept.
        run: Where they go, each time that they are better.
        pictures: Number of validation pictures.
        latest: Whether the latest of near equals is kept.
        score: The metric: a share of the pictures.
    """

    writes = True

    def __init__(
        self,
        network: keras.Model,
        run: Run,
        pictures: int,
        *,
        latest: bool = False,
        score: str = "accuracy",
    ):
        super().__init__()
        self.score = score
        self._network, self._run, self._pictures, self._latest = network, run, pictures, latest
        self._highest = 0.0
        self.best: tuple[float, float] | None = None  # score, loss
        self.best_epoch = 0

    def offer(self, score: float, loss: float, epoch: int) -> None:
        """Write the network's present weights if they are better than the best so far."""
        self._highest = max(self._highest, score)
        n = self._pictures + 2
        estimate = (self._highest * self._pictures + 1) / n
        enough = estimate - math.sqrt(estimate * (1 - estimate) / n)
        if score < enough or math.isnan(loss):
            return
        if self._latest or self.best is None or self.best[0] < enough or loss < self.best[1]:
            self.best, self.best_epoch = (score, loss), epoch
            self._keep()

    def _keep(self) -> None:
        size = sum(4 * math.prod(v.shape) + HDF5_BYTES for v in self._network.variables)
        check_space(self._run.path, size)
        with replaced(self._run.weights) as path:
            self._network.save_weights(path)

    def state(self) -> dict[str, Any]:
        """Return what is known of the best epoch."""
        return {"highest": self._highest, "best": self.best, "epoch": self.best_epoch}

    def restore(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self._highest, self.best_epoch = state["highest"], state["epoch"]
        self.best = state["best"] and tuple(state["best"])

    def on_epoch_end(self, epoch, logs=None):
        """Offer the weights of the epoch."""
        self.offer(logs[f"val_{self.score}"], logs["val_loss"], epoch + 1)


class EarlyStop(keras.callbacks.Callback):
    """End the training when the best epoch is long ago.

    Args:
        best: Knows the best epoch; comes before this among the callbacks.
        patience: So many epochs.
    """

    def __init__(self, best: BestWeights, patience: int):
        super().__init__()
        self._best, self._patience = best, patience

    def on_epoch_end(self, epoch, logs=None):
        """Look how long ago it is."""
        if epoch + 1 - self._best.best_epoch >= self._patience:
            self.model.stop_training = True
            log.info("ended early: epoch %d is still the best", self._best.best_epoch)


def as_csv(rows: list[dict[str, float]]) -> str:
    """Format rows with the same keys as CSV with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(model: keras.Model, epoch: int, logs: dict[str, float]) -> dict[str, float]:
    """Return what history.csv has of an epoch; no times, so that the same seed gives the same bytes."""
    figures = {k: float(v) for k, v in logs.items()}
    return {"epoch": epoch + 1, **figures, "learning_rate": float(model.optimizer.learning_rate)}
