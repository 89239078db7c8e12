"""Optimizers by name, with the learning rates that suit them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import keras
from keras import ops

from cnn_keras.weights import HEAD
from training.engine.layer_rates import LayerRates, layer_wise

CLIP_NORM = 1.0  # where gradients may be large: fine-tuning, recurrent networks
BATCH_SIZE = 32  # the one that the learning rates are for


class Muon(keras.optimizers.Muon):
    """keras.optimizers.Muon that takes the kernels of convolutions for matrices too.

    Keras leaves everything that is not two-dimensional to AdamW, which is nearly all of a convolutional
    network. As in the authors' code, a kernel is a matrix of what one output channel sees, by output
    channels. Depthwise kernels, the first layer and the classifier stay with AdamW.
    """

    def _should_use_adamw(self, variable):
        *others, outputs = variable.shape
        matrix = len(others) in (1, 3) and outputs > 1 and variable.name == "kernel"
        return not matrix or variable.path.split("/")[0] == HEAD

    def _muon_update_step(self, gradient, variable, lr, m):
        self.assign_add(m, gradient + m * (self.momentum - 1))
        g = gradient + self.momentum * m if self.nesterov else m
        matrix = ops.reshape(g, (-1, variable.shape[-1]))
        update = self.lr_adjust(lr * self.zeropower_via_newtonschulz5(matrix, self.ns_steps))
        self.assign_sub(variable, ops.reshape(update, variable.shape))


@dataclass(frozen=True)
class Kind:
    """An optimizer and what it usually takes.

    Attributes:
        make: Its class.
        lr: Largest learning rate from scratch, for batches of 32.
        fine_tune_lr: The same for weights that come from elsewhere; of the head, the layers below have
            less.
        weight_decay: Decoupled weight decay.
        scaling: How the rate grows with the batch size: "linear" (Goyal et al. 2017) for those that
            follow the gradient's size, "root" (Malladi et al. 2022) for those that divide by it.
        source: The paper.
    """

    make: Callable[..., keras.optimizers.Optimizer]
    lr: float
    fine_tune_lr: float
    weight_decay: float
    scaling: Literal["linear", "root"]
    source: str


_sgd, _k = keras.optimizers.SGD, keras.optimizers
OPTIMIZERS = {
    "sgd": Kind(_sgd, 0.1, 1e-1, 0.0, "linear", "Robbins and Monro 1951"),
    "momentum": Kind(partial(_sgd, momentum=0.9), 0.05, 1e-2, 0.0, "linear", "Polyak 1964"),
    "nesterov": Kind(
        partial(_sgd, momentum=0.9, nesterov=True), 0.05, 1e-2, 0.0, "linear", "Sutskever et al. 2013"
    ),
    "adagrad": Kind(_k.Adagrad, 0.02, 1e-4, 0.0, "root", "Duchi et al. 2011"),
    "rmsprop": Kind(_k.RMSprop, 1e-3, 1e-5, 0.0, "root", "Tieleman and Hinton 2012"),
    "adam": Kind(_k.Adam, 2e-3, 1e-5, 0.0, "root", "Kingma and Ba 2015"),
    "adamw": Kind(_k.AdamW, 4e-3, 3e-4, 0.01, "root", "Loshchilov and Hutter 2019"),
    "nadam": Kind(_k.Nadam, 2e-3, 1e-5, 0.0, "root", "Dozat 2016"),
    "lion": Kind(_k.Lion, 4e-4, 1e-6, 0.1, "root", "Chen et al. 2023"),
    "muon": Kind(Muon, 4e-3, 1e-5, 0.01, "root", "Jordan et al. 2024; Liu et al. 2025"),
    "lamb": Kind(_k.Lamb, 4e-3, 1e-4, 0.01, "root", "You et al. 2020"),
}


def default_lr(name: str, batch_size: int, *, fine_tune: bool) -> float:
    """Return the largest learning rate of an optimizer for a batch size.

    Args:
        name: A key of `OPTIMIZERS`.
        batch_size: Pictures an update.
        fine_tune: Whether the weights come from elsewhere.
    """
    kind = OPTIMIZERS[name]
    ratio = batch_size / BATCH_SIZE
    return (kind.fine_tune_lr if fine_tune else kind.lr) * (
        ratio if kind.scaling == "linear" else ratio**0.5
    )


def make_optimizer(
    name: str,
    rate: float | keras.optimizers.schedules.LearningRateSchedule,
    weight_decay: float,
    *,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    ema: float | None = None,
    accumulate: int = 1,
    layer_rates: LayerRates | None = None,
) -> keras.optimizers.Optimizer:
    """Make an optimizer.

    Args:
        name: A key of `OPTIMIZERS`.
        rate: Learning rate, or its schedule.
        weight_decay: Decoupled decay of kernels a step, as a share of the rate (Loshchilov and Hutter
            2019); biases and normalisation have none.
        clip_norm: Largest norm of all gradients together; None for no limit.
        clip_value: Largest value of each; None for no limit.
        ema: Momentum of the moving average of the weights; None for none.
        accumulate: Batches whose gradients are averaged for one update.
        layer_rates: Rates of single layers; None for one rate for all.
    """
    make = OPTIMIZERS[name].make
    if layer_rates:
        make = layer_wise(make, layer_rates)
    options = {"adam_weight_decay": weight_decay} if name == "muon" else {}
    optimizer = make(
        learning_rate=rate,
        weight_decay=weight_decay if weight_decay or name == "adamw" else None,
        global_clipnorm=clip_norm,
        clipvalue=clip_value,
        use_ema=ema is not None,
        ema_momentum=ema or 0.0,
        gradient_accumulation_steps=accumulate if accumulate > 1 else None,
        **options,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma", "alpha"])
    return optimizer
