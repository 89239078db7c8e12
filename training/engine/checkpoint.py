"""Checkpoints of a fit, and the way back into one.

What a fit is at the end of a step is its variables (weights, statistics of BatchNormalization, the
random state of dropout; optimizer, averages and learning rate; the running sums of the epoch's metrics),
what its callbacks know, and its place. The order of the pictures and their augmentation are functions of
seed, epoch and index, so nothing of the pipeline has to be kept.
"""

import contextlib
import math
import os
import signal
import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import keras

from training.runs import checkpoints
from training.runs.checkpoints import Place, Saved
from training.runs.command import InputError, log
from training.runs.folder import Run


class Stateful(Protocol):
    """A callback that knows something from one epoch to the next."""

    def state(self) -> dict[str, Any]:
        """Return it as plain values."""

    def restore(self, state: dict[str, Any]) -> None:
        """Take it back."""


class Checkpoint(keras.callbacks.Callback):
    """Write a checkpoint at the beginning of every epoch, every so often, and when interrupted.

    It comes last among the callbacks: after those that change weights between epochs, and after those
    that end the training.

    Args:
        run: The run folder.
        minutes: How often; None for never.
        saved: The checkpoint to go on from.
        best: Whose weights are in the run folder; has `best` and is stateful.
    """

    def __init__(self, run: Run, minutes: float | None, saved: Saved | None, best: Any):
        super().__init__()
        self._run, self._minutes, self._best = run, minutes, best
        self._phase, self._epoch, self._walk = 0, 0, 0
        self._variables: dict[str, list] = {}
        self._kept: dict[str, Stateful] = {}
        self._saved = saved  # None from where the fit goes on from it
        self._written = time.monotonic()
        self.any = saved is not None  # whether there is one
        self.done = saved is not None and saved.place.done  # whether nothing but the report is left
        self.interrupted = False
        if saved:
            checkpoints.put_back_best(run, saved)
            best.restore(saved.state[type(best).__name__])

    @property
    def saved(self) -> Place | None:
        """Where the fit goes on; None from the beginning, or once it has gone on."""
        return self._saved and self._saved.place

    def begin(
        self,
        phase: int,
        model: keras.Model,
        everything: keras.Model,
        kept: Sequence[keras.callbacks.Callback],
        more: Sequence[keras.Variable] = (),
    ) -> None:
        """Say what belongs to the checkpoints of a phase, and bring it back where the fit goes on in it.

        Args:
            phase: Its number.
            model: What is trained, compiled, with all its variables.
            everything: A model that has all layers of the network.
            kept: Callbacks; those that are stateful matter.
            more: Variables that are neither the model's nor its optimizer's.
        """
        self._phase = phase
        self._kept = {type(c).__name__: c for c in kept if hasattr(c, "restore")}
        self._variables = {
            "model": _distinct([*everything.variables, *model.variables], but=model.metrics_variables),
            "optimizer": _distinct([*model.optimizer.variables, *more]),
            "metrics": list(model.metrics_variables),
        }
        if self._saved is None:
            return
        for group in ("model", "optimizer"):
            self._bring_back(group)
        for name, callback in self._kept.items():
            callback.restore(self._saved.state[name])
        self._walk = self._saved.place.step

    def finish(self) -> None:
        """Write the last checkpoint of the fit, whose next thing is the report."""
        self._write(Place(self._phase, self._epoch + 1, 0, done=True))
        self.done = True
        self._end_if_interrupted()

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM end the fit after its step, with a checkpoint; the second, at once."""

        def handle(number, frame):
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True
            with contextlib.suppress(OSError):  # print and log must not be entered twice
                os.write(2, b"\ninterrupted: ends after this step or validation (again: at once)\n")

        numbers = [signal.SIGTERM]
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as in the background of a shell
            numbers.append(signal.SIGINT)
        before = {number: signal.signal(number, handle) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def on_train_begin(self, logs=None):
        """Let steps that are done be no work; the callbacks still see all steps of the epoch."""
        if not self._walk:
            return
        model, step = self.model, self.model.train_function
        left = iter(range(self._walk))

        def walk(iterator):
            if next(left, None) is not None:
                return model.get_metrics_result()
            model.train_function = step
            return step(iterator)

        model.train_function = walk

    def on_epoch_begin(self, epoch, logs=None):
        """Write the checkpoint of the epochs before, or go on from it."""
        self._epoch = epoch
        if self._saved is None:
            self._write(Place(self._phase, epoch, 0))
            self._end_if_interrupted()
        elif self._walk:
            self._bring_back("metrics")  # Keras has just set them to zero
        self._saved = None

    def on_train_batch_end(self, batch, logs=None):
        """Write a checkpoint where it is time to or the fit is to end."""
        if self._walk:
            self._walk -= 1
        elif self.model.stop_training:
            return  # the epoch ends with this step
        elif self.interrupted or time.monotonic() - self._written >= 60 * (self._minutes or math.inf):
            self._write(Place(self._phase, self._epoch, batch + 1))
        self._end_if_interrupted()

    def _end_if_interrupted(self) -> None:
        if self.interrupted:
            raise KeyboardInterrupt

    def _write(self, place: Place) -> None:
        """Write a checkpoint; training goes on without it where it cannot be written."""
        if self._minutes is None:
            return
        kept = {type(self._best).__name__: self._best, **self._kept}
        state = {name: callback.state() for name, callback in kept.items()}
        self._written = time.monotonic()
        try:
            best = self._best.best is not None
            checkpoints.write(self._run, place, self._variables, state, best=best)
            self.any = True
        except OSError as error:
            log.warning(
                "note: the checkpoint could not be written (%s); %s",
                error.strerror or error,
                "the one before is kept" if self.any else "there is none yet",
            )

    def _bring_back(self, group: str) -> None:
        arrays, variables = self._saved.arrays(group), self._variables[group]
        if [a.shape for a in arrays] != [tuple(v.shape) for v in variables]:
            raise InputError(
                f"{self._saved.path} is of another network or another version of this program."
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)


def _distinct(
    variables: Sequence[keras.Variable], but: Sequence[keras.Variable] = ()
) -> list[keras.Variable]:
    """Return each variable once, in order, without those of `but`."""
    left_out = {id(v) for v in but}
    return [v for v in {id(v): v for v in variables}.values() if id(v) not in left_out]
