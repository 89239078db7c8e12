"""The learning rate range test (Smith 2017): the rate rises over a few batches, the loss is watched."""

import math
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops
from scipy.ndimage import gaussian_filter1d
from tqdm import tqdm

import cnn_keras
from cnn_keras.preprocessing import assemble
from training.data.mixing import Mixing
from training.data.pipeline import training_batches
from training.data.sources import Source
from training.engine import features, plan, regime, transfer
from training.engine.auxiliary import stages
from training.engine.setup import set_up
from training.runs.command import log
from training.runs.settings import Fit

MEMORY = 0.9  # of the running mean of the losses, by which divergence is told
DIVERGED = 4.0  # times the lowest running mean (Howard and Gugger 2020: fastai's stop_div)
SMOOTHING = 0.03  # standard deviation of the bell that smooths the curve, as a share of all steps,
LEAST_SMOOTHING = 5.0  # but so many steps at least: each has noise of its own
BEGINNING = 0.2  # share of the steps, at whose rates nothing is learnt yet
RULE = (
    "the steepest descent of the smoothed loss over the logarithm of the rate, before its minimum (the "
    "range test of Smith 2017, section 3.3; the rule is fastai's `steep` and that of PyTorch Lightning)"
)


class Rise(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that grows by the same factor in every step.

    Args:
        low: Rate of the first step.
        high: Rate of the last step.
        steps: Number of steps, at least 2.
        batches: Batches a step: Keras counts these where gradients are accumulated.
    """

    def __init__(self, low: float, high: float, steps: int, batches: int = 1):
        self.low, self.high, self.steps, self.batches = low, high, steps, batches

    def __call__(self, step):
        """Return the rate of a batch, 0 for the first."""
        share = ops.floor(ops.cast(step, "float32") / self.batches) / (self.steps - 1)
        return self.low * ops.exp(share * math.log(self.high / self.low))

    def get_config(self):
        """Return what makes the schedule again."""
        return {
            "low": self.low,
            "high": self.high,
            "steps": self.steps,
            "batches": self.batches,
        }


@dataclass(frozen=True)
class Tested:
    """What a range test saw.

    Attributes:
        rates: float64 (steps,): the rate of each update.
        losses: float64 (steps,): its loss, on the pictures of the update alone.
        diverged: Whether the test ended early because the loss grew.
        choices: What the fit would do.
    """

    rates: np.ndarray
    losses: np.ndarray
    diverged: bool
    choices: plan.Choices


class Watch(keras.callbacks.Callback):
    """Note the loss of each update by itself, and end the test where it grows.

    Args:
        rise: The rates.
    """

    def __init__(self, rise: Rise):
        super().__init__()
        self._rise = rise
        self._running, self._lowest = 0.0, math.inf
        self._batches: list[float] = []
        self.losses: list[float] = []
        self.diverged = False

    def on_train_begin(self, logs=None):
        """Open the bar."""
        self._bar = tqdm(total=self._rise.steps, unit=" steps", leave=False, disable=None)

    def on_train_batch_begin(self, batch, logs=None):
        """Forget the batches before: Keras gives running means."""
        self.model.reset_metrics()

    def on_train_batch_end(self, batch, logs=None):
        """Take the loss of the batch."""
        self._batches.append(float(logs["loss"]))
        if len(self._batches) < self._rise.batches:
            return
        loss, self._batches = float(np.mean(self._batches)), []
        if not math.isfinite(loss):
            self._end()
            return
        self.losses.append(loss)
        self._bar.update(1)
        self._running = MEMORY * self._running + (1 - MEMORY) * loss
        mean = self._running / (1 - MEMORY ** len(self.losses))
        self._lowest = min(self._lowest, mean)
        if mean > DIVERGED * self._lowest:
            self._end()

    def on_train_end(self, logs=None):
        """Close the bar."""
        self._bar.close()

    def _end(self):
        self.diverged = self.model.stop_training = True


def sweep(settings: Fit, source: Source, low: float, high: float, steps: int) -> Tested:
    """Train as a fit would begin, at rates that rise from `low` to `high`; nothing is kept of it.

    Args:
        settings: Of the fit; rate, schedule and epochs play no part.
        source: The pictures, split.
        low: First rate.
        high: Last rate.
        steps: Number of updates, at least 2.

    Raises:
        InputError: If settings and pictures do not go together.
    """
    begun = set_up(settings, source)
    choices, trained, network, data = begun.choices, begun.trained, begun.network, begun.data
    if choices.train_head:
        log.info("training the head on frozen features, as fit does before it fine-tunes")
        how = choices.head, choices.policy
        features.train_head(network, choices.scaling, data, settings, *how)
    model = assemble(trained, choices.scaling)
    if choices.fine_tune:
        transfer.freeze(model, choices.frozen)
    parts = stages(
        model, cnn_keras.get(settings.arch).aux_weight, stage_by_stage=settings.stage_by_stage
    )
    first = parts[0][1]
    updates = steps * settings.accumulate
    batch_size = min(settings.batch_size, len(data.to_augment))
    mixing = None
    if settings.mixup or settings.cutmix:
        mixing = Mixing(settings.mixup, settings.cutmix, len(data.class_names))
    batches, steps_an_epoch = training_batches(
        data.to_augment,
        batch_size,
        math.ceil(updates / (len(data.to_augment) // batch_size)),
        policy=choices.policy,
        seed=settings.seed,
        image_size=choices.image_size,
        mixing=mixing,
        targets=regime.targets(settings, data),
    )
    rates = regime.layer_rates(network, settings, choices, steps_an_epoch)
    regime.compile_model(first, settings, choices, updates, steps_an_epoch, rates)
    rise = Rise(low, high, steps, settings.accumulate)
    first.optimizer.learning_rate = rise
    watch = Watch(rise)
    first.fit(batches, steps_per_epoch=updates, shuffle=False, verbose=0, callbacks=[watch])
    rates = low * (high / low) ** (np.arange(len(watch.losses)) / (steps - 1))
    return Tested(rates, np.array(watch.losses), watch.diverged, choices)


def smooth(losses: np.ndarray, steps: int) -> np.ndarray:
    """Smooth losses with a bell around each, which does not shift the curve as a running mean does.

    What lies above the losses of the beginning is cut there: the few huge ones of the end would lift the
    curve of all steps before them.

    Args:
        losses: float64 (n,).
        steps: Steps of the whole test; n may be smaller.
    """
    losses = np.minimum(losses, losses[: max(1, round(BEGINNING * steps))].max())
    return gaussian_filter1d(losses, max(SMOOTHING * steps, LEAST_SMOOTHING), mode="nearest")


def suggest(rates: np.ndarray, smoothed: np.ndarray) -> float | None:
    """Return the rate of the steepest descent, rounded to two digits; None where nothing descends.

    Args:
        rates: float64 (n,), rising by the same factor each time.
        smoothed: float64 (n,), the losses without their noise.
    """
    end = int(np.argmin(smoothed))
    if end < 2:
        return None
    slopes = np.gradient(smoothed[: end + 1])
    return float(f"{rates[int(np.argmin(slopes))]:.1e}")
