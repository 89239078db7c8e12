"""Transfer learning: other weights below, a new head above, and what of it learns when and how fast.

A head that is still random would send large gradients into the backbone: it is trained first, on
features (`training.engine.features`). BatchNormalization of the backbone stays in inference mode
throughout: its statistics are those of millions of pictures, a batch's are not.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import keras

from cnn_keras import blocks
from cnn_keras.weights import HEAD
from training.engine.layer_rates import LayerRates, decayed, thawed
from training.engine.optimizers import OPTIMIZERS, default_lr
from training.engine.schedules import RISE
from training.runs.command import InputError
from training.runs.settings import Fit

Freeze = str | int


@dataclass(frozen=True)
class HeadTraining:
    """How a head is trained on features.

    Attributes:
        optimizer: Its name.
        lr: Largest learning rate.
        weight_decay: Decoupled weight decay.
        batch_size: Pictures a step.
        epochs: At most: training ends when the validation loss has not fallen for `patience` epochs.
        patience: See `epochs`.
        schedule: How the learning rate goes on after its rise.
        warmup_epochs: Epochs of the rise.
        clip_norm: Largest norm of all gradients together; None for no limit.
        clip_value: Largest value of each gradient; None for no limit.
        loss: Its name.
        multi_label: Whether pictures may have several labels.
        passes: Augmented passes over the training pictures; 0 for one over the pictures as they are.
    """

    optimizer: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.004
    batch_size: int = 64
    epochs: int = 200
    patience: int = 10
    schedule: str = "constant"
    warmup_epochs: float = 0.0
    clip_norm: float | None = None
    clip_value: float | None = None
    loss: str = "cross-entropy"
    multi_label: bool = False
    passes: int = 0


HEAD_TRAINING = HeadTraining()
FIRST_SHARE = 0.05  # of the learning rate, that the block next to the picture has in fine-tuning


def head_training(settings: Fit, loss: str, multi_label: bool) -> HeadTraining:
    """Decide how a head is trained: as the flags say where it is all that learns."""
    passes = settings.augmented_passes or 0
    usual = replace(HEAD_TRAINING, loss=loss, multi_label=multi_label, passes=passes)
    if settings.freeze != "backbone":
        return usual
    optimizer = usual.optimizer if settings.optimizer == "auto" else settings.optimizer
    lr, decay, warmup = settings.lr, settings.weight_decay, settings.warmup_epochs
    epochs = settings.epochs or usual.epochs
    if lr is None:
        pictures = settings.batch_size * settings.accumulate
        lr = default_lr(optimizer, pictures, fine_tune=False)
        if optimizer == usual.optimizer:
            lr = usual.lr * (pictures / usual.batch_size) ** 0.5
    if decay is None:
        same = optimizer == usual.optimizer
        decay = usual.weight_decay if same else OPTIMIZERS[optimizer].weight_decay
    if warmup is None:
        warmup = RISE * epochs if settings.schedule == "one-cycle" else usual.warmup_epochs
    return replace(
        usual,
        optimizer=optimizer,
        lr=lr,
        weight_decay=decay,
        batch_size=settings.batch_size,
        epochs=epochs,
        patience=settings.early_stop or usual.patience,
        schedule=settings.schedule,
        warmup_epochs=warmup,
        clip_norm=settings.clip_norm,
        clip_value=settings.clip_value,
    )


def is_linear(network: keras.Model) -> bool:
    """Tell whether the head is a linear classifier: dense, or a 1x1 convolution that is averaged."""
    head = network.get_layer(HEAD)
    if isinstance(head, keras.layers.Conv2D):
        return head.kernel_size == (1, 1)
    return isinstance(head, keras.layers.Dense)


def head_input(network: keras.Model):
    """Return the features that the head classifies, and the dropout between them and the head.

    The mean of a 1x1 convolution is the convolution of the mean: for such a head, the features are
    those of the averaged map.

    Returns:
        A Keras tensor, float (batch, features); the share dropped, 0 where there is no dropout.
    """
    head = network.get_layer(HEAD)
    tensor, rate = head.input, 0.0
    before = tensor._keras_history.operation
    if isinstance(before, keras.layers.Dropout):
        tensor, rate = before.input, before.rate
    if isinstance(head, keras.layers.Conv2D):
        tensor = keras.layers.GlobalAveragePooling2D()(tensor)
    return tensor, rate


def block_names(network: keras.Model) -> list[list[str]]:
    """Return the layers with weights of each block, from the picture to the logits.

    Args:
        network: The network that is kept: without auxiliary classifiers.
    """
    return [names for _, names in blocks.with_weights(network)]


def default_decay(network: keras.Model) -> float:
    """Return the factor of the learning rate from a block to the one before it, for fine-tuning.

    It depends on the number of blocks: the first has the same small share in every network.
    """
    return round(FIRST_SHARE ** (1 / max(1, len(block_names(network)) - 1)), 3)


def frozen_layers(network: keras.Model, freeze: Freeze, fresh: Collection[str]) -> tuple[str, ...]:
    """Return the layers that never learn: those of the first `freeze` blocks, if it is a number.

    Args:
        network: The network that is kept.
        freeze: Value of --freeze.
        fresh: Layers whose weights are random.

    Raises:
        InputError: If there are too few blocks, or one has random weights.
    """
    if not isinstance(freeze, int):
        return ()
    found = blocks.with_weights(network)
    if freeze >= len(found):
        raise InputError(
            f"--freeze {freeze}: {network.name} has {len(found)} blocks, from {found[0][0]} to "
            f"{found[-1][0]}; the last, its head, must learn. Give at most {len(found) - 1}."
        )
    frozen = tuple(name for _, names in found[:freeze] for name in names)
    if unknown := [name for name in frozen if name in fresh]:
        raise InputError(
            f"--freeze {freeze}: the file has no weights for {', '.join(unknown)}, and random ones are "
            "no use frozen. Give fewer blocks, or another --head."
        )
    return frozen


def freeze(model: keras.Model, frozen: Collection[str]) -> None:
    """Prepare fine-tuning: all learn but the `frozen` layers and BatchNormalization.

    BatchNormalization keeps its statistics and normalises by them, in the other layers too.
    """
    for layer in model.layers:
        normalizes = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = not normalizes and layer.name not in frozen


def layer_rates(
    network: keras.Model,
    frozen: Collection[str],
    *,
    decay: float | None,
    unfreeze_epochs: int | None,
    steps: int,
) -> LayerRates | None:
    """Return what single layers do differently; None where all learn alike.

    Args:
        network: The network that is kept.
        frozen: Its layers that never learn.
        decay: Factor of the learning rate from a block to the one before it; None for 1.
        unfreeze_epochs: Epochs over which the blocks thaw; None where all learn from the start.
        steps: Steps an epoch.
    """
    if decay in (None, 1) and not unfreeze_epochs:
        return None
    names = block_names(network)
    learning = [block for block in names if not set(block) & set(frozen)]
    starts = thawed(learning, unfreeze_epochs, steps) if unfreeze_epochs else {}
    return LayerRates(decayed(names, decay or 1.0), starts)
