"""Learning rates over a training: a linear rise, then a curve."""

import math
from collections.abc import Callable

import keras
from keras import ops

FINAL_SHARE = 0.01  # of the largest rate, where a curve would otherwise never end
RESTARTS = (1 / 7, 3 / 7)  # cycles of 1, 2 and 4 parts (Loshchilov and Hutter 2017, T_mult = 2)
PATIENCE = 3  # epochs
RISE = 0.3  # share of the training in which the rate of "one-cycle" rises, where nothing else is said


def _cosine(t):
    return 0.5 * (1 + ops.cos(math.pi * t))


def _restarts(t):
    cycle = sum(ops.cast(t >= at, "float32") for at in RESTARTS)
    length = 2**cycle / 7
    return _cosine((t - (2**cycle - 1) / 7) / length)


CURVES: dict[str, Callable] = {
    # from the progress of the training after the rise, 0 to below 1, to a share of the largest rate
    "constant": ops.ones_like,
    # divided by 10 after each third (He et al. 2015, section 3.4: at 30 and 60 of 90 epochs)
    "step": lambda t: 0.1 ** ops.floor(3 * t),
    # by the same factor in every step, down to a hundredth
    "exponential": lambda t: FINAL_SHARE**t,
    # "poly" of the authors' GoogLeNet in Caffe, with the power of Chen et al. 2018
    "polynomial": lambda t: (1 - t) ** 0.9,
    # half a cosine (Loshchilov and Hutter 2017)
    "cosine": _cosine,
    # three half cosines, each twice as long as the one before (the same, T_mult = 2)
    "warm-restarts": _restarts,
    # a long rise, then half a cosine (Smith and Topin 2018); the momentum stays as it is
    "one-cycle": _cosine,
    # divided by 10 each time that the validation loss stops falling
    "plateau": ops.ones_like,
}


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of every step.

    The first of w steps of the rise has lr / (w + 1), the step after the last has lr; no step has 0.

    Args:
        name: A key of `CURVES`.
        lr: Largest learning rate.
        steps: Steps of the whole training.
        warmup_steps: Steps of the rise.

    Attributes:
        scale: float32 (), a factor of the rate; "plateau" lowers it.
    """

    def __init__(self, name: str, lr: float, steps: int, warmup_steps: int):
        self.name, self.lr, self.steps = name, lr, steps
        self.warmup_steps = min(warmup_steps, steps - 1)
        self.scale = keras.Variable(1.0, trainable=False, name="learning_rate_scale")

    def __call__(self, step):
        """Return the rate of `step`, 0 for the first."""
        step = ops.cast(step, "float32")
        rise = (step + 1) / (self.warmup_steps + 1)
        progress = (step - self.warmup_steps) / (self.steps - self.warmup_steps)
        share = CURVES[self.name](ops.clip(progress, 0.0, 1.0))
        return self.lr * self.scale * ops.where(step < self.warmup_steps, rise, share)

    def get_config(self):
        """Return what makes the schedule again."""
        return {
            "name": self.name,
            "lr": self.lr,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
        }


class Plateau(keras.callbacks.Callback):
    """Divide the rate of a `Schedule` by 10 where the validation loss has not fallen for some epochs.

    Args:
        schedule: Has the rate.
        patience: So many epochs.
    """

    def __init__(self, schedule: Schedule, patience: int = PATIENCE):
        super().__init__()
        self._schedule, self._patience = schedule, patience
        self.lowest, self.waited = math.inf, 0

    def state(self) -> dict[str, float]:
        """Return what is known of the epochs before."""
        return {"lowest": self.lowest, "waited": self.waited}

    def restore(self, state: dict[str, float]) -> None:
        """Take it back."""
        self.lowest, self.waited = state["lowest"], state["waited"]

    def on_epoch_end(self, epoch, logs=None):
        """Look at the validation loss of the epoch."""
        if logs["val_loss"] < self.lowest:
            self.lowest, self.waited = logs["val_loss"], 0
            return
        self.waited += 1
        if self.waited >= self._patience:
            self._schedule.scale.assign(self._schedule.scale * 0.1)
            self.waited = 0
