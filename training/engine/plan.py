"""What a fit is going to do: defaults resolved, network built."""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

import cnn_keras
from cnn_keras import torchvision
from cnn_keras.preprocessing import Standardize, as_entries
from cnn_keras.weights import HEAD
from training.data import augment, decode
from training.data.prepare import Data
from training.data.sources import Source
from training.data.statistics import channel_moments
from training.engine import transfer
from training.engine.losses import MULTI_LABEL_LOSSES
from training.engine.optimizers import CLIP_NORM, OPTIMIZERS, default_lr
from training.engine.schedules import RISE
from training.engine.transfer import HeadTraining
from training.runs.checks import is_place
from training.runs.command import InputError
from training.runs.settings import Fit
from training.runs.task import task_entries

SMALL_BYTES = 20_000_000


@dataclass(frozen=True)
class Choices:
    """The settings that were left open, decided.

    Attributes:
        image_size: Side of the square pictures, pixels.
        channels: 1 or 3.
        scaling: Mode of cnn_keras.preprocessing; "standardize" until `measure` has the figures.
        policy: Augmentation.
        train_head: Whether the head is trained on frozen features first.
        epochs: Epochs of Model.fit; 0 where the head is all that is trained.
        fine_tune: Whether the weights come from elsewhere.
        optimizer: Its name.
        lr: Largest learning rate.
        weight_decay: Decoupled weight decay.
        clip_norm: Largest norm of all gradients together; None for no limit.
        precision: Name of Keras's dtype policy.
        schedule: How the learning rate goes on after its rise.
        warmup_epochs: Epochs of the rise.
        clip_value: Largest value of each gradient; None for no limit.
        head: How the head is trained on frozen features.
        frozen: Layers that never learn.
        layer_decay: Factor of the learning rate from a block to the one before it; None until `adapt`
            has the network.
        loss: Its name.
        multi_label: Whether pictures may have several labels.
    """

    image_size: int
    channels: int
    scaling: str | Standardize
    policy: str
    train_head: bool
    epochs: int
    fine_tune: bool
    optimizer: str
    lr: float
    weight_decay: float
    clip_norm: float | None
    precision: str
    schedule: str = "cosine"
    warmup_epochs: float = 1.0
    clip_value: float | None = None
    head: HeadTraining = transfer.HEAD_TRAINING
    frozen: tuple[str, ...] = ()
    layer_decay: float | None = None
    loss: str = "cross-entropy"
    multi_label: bool = False

    @property
    def stored_size(self) -> int:
        """Side of the training pictures before augmentation, pixels."""
        augmented = self.epochs or self.head.passes
        return augment.stored_size(self.policy if augmented else "none", self.image_size)

    def as_json(self) -> dict[str, Any]:
        """Return the choices as plain values."""
        values = dataclasses.asdict(self)
        return values if self.train_head else values | {"head": None}


def choose(settings: Fit, source: Source) -> Choices:
    """Decide what the settings leave open, from the network and the pictures."""
    variant = cnn_keras.get(settings.arch)
    fine_tune = settings.weights is not None
    optimizer = settings.optimizer
    if optimizer == "auto":
        optimizer = "nesterov" if fine_tune else "adamw"
    scaling = settings.preprocessing
    if scaling == "auto":
        theirs = settings.weights and torchvision.is_state_dict(settings.weights)
        scaling = torchvision.preprocessing(settings.arch) if theirs else variant.preprocessing
    policy = augment.resolve(settings.augment, mirrored=source.mirrored)
    channels = settings.channels
    if channels is None:
        channels = 1 if variant.channels == 1 and source.grey else 3
    if channels == 1 and scaling in ("torch", "caffe"):
        raise InputError(f"--preprocessing {scaling} needs 3 channels: pass --channels 3.")
    epochs = settings.epochs or default_epochs(variant, fine_tune)
    loss = choose_loss(settings.loss, source.multi_label)
    lr, decay, warmup = settings.lr, settings.weight_decay, settings.warmup_epochs
    clip_norm = settings.clip_norm
    if lr is None:
        lr = default_lr(optimizer, settings.batch_size * settings.accumulate, fine_tune=fine_tune)
    if warmup is None:
        warmup = RISE * epochs if settings.schedule == "one-cycle" else 1.0
    if clip_norm is None and settings.clip_value is None and fine_tune:
        clip_norm = CLIP_NORM
    if (settings.unfreeze_epochs or 0) > epochs:
        raise InputError(
            f"--unfreeze-epochs {settings.unfreeze_epochs} is more than the {epochs} epochs of the fit."
        )
    if settings.augmented_passes and policy == "none":
        raise InputError("--augmented-passes needs augmentation: with --augment none all are the same.")
    return Choices(
        image_size=settings.image_size or image_size_for(variant, source.picture_size, fine_tune),
        channels=channels,
        scaling=scaling,
        policy=policy,
        train_head=fine_tune and settings.freeze != "none",
        epochs=0 if settings.freeze == "backbone" else epochs,
        fine_tune=fine_tune,
        optimizer=optimizer,
        lr=lr,
        weight_decay=OPTIMIZERS[optimizer].weight_decay if decay is None else decay,
        clip_norm=clip_norm,
        precision=keras.config.dtype_policy().name,
        schedule=settings.schedule,
        warmup_epochs=warmup,
        clip_value=settings.clip_value,
        head=transfer.head_training(settings, loss, source.multi_label),
        layer_decay=settings.layer_decay,
        loss=loss,
        multi_label=source.multi_label,
    )


def choose_loss(loss: str, multi_label: bool) -> str:
    """Return the loss that "auto" stands for.

    Raises:
        InputError: If a loss of classes that exclude each other is asked for where they do not.
    """
    if loss == "auto":
        return "binary" if multi_label else "cross-entropy"
    if multi_label and loss not in MULTI_LABEL_LOSSES:
        instead = "--class-weight balanced" if loss == "class-balanced" else "--loss binary or focal"
        raise InputError(
            f"--loss {loss} is for pictures of one class each; these have several labels. Give "
            f"{instead}."
        )
    return loss


def default_epochs(variant: cnn_keras.Variant, fine_tune: bool) -> int:
    """Choose the epochs: 10 of fine-tuning, 25 from scratch, 60 for very small networks."""
    if fine_tune:
        return 10
    return 60 if variant.macs < 10_000_000 else 25


def image_size_for(variant: cnn_keras.Variant, picture_size: int, fine_tune: bool) -> int:
    """Choose the side of a network's input, pixels.

    Networks that start from other weights keep the size of the reference network. Otherwise it is the
    pictures' own size rounded up to a multiple of 32, at least 64 (networks for photographs halve their
    input five times) and at most the network's own.
    """
    if fine_tune:
        return variant.input_size
    size = max(64, -(-picture_size // 32) * 32, variant.min_size)
    return min(size, variant.input_size)


def build_network(
    settings: Fit, choices: Choices, num_classes: int
) -> tuple[keras.Model, tuple[str, ...]]:
    """Build the network, perhaps with auxiliary classifiers, and load its first weights.

    Returns:
        The network; where it has weights from elsewhere, the layers that kept random ones.

    Raises:
        InputError: If the weights do not fit.
    """
    shape = (choices.image_size, choices.image_size, choices.channels)
    try:
        knobs = settings.knobs
        network = cnn_keras.build(settings.arch, shape, num_classes, head=settings.head, **knobs)
        if settings.stage_by_stage and choices.epochs < len(network.output):
            raise ValueError(
                f"--stage-by-stage trains {settings.arch} in {len(network.output)} stages: --epochs "
                "must be at least as many."
            )
        if settings.weights is None:
            return network, ()
        main = cnn_keras.without_auxiliary(network)
        replace = (HEAD, *getattr(network, "replaced", ()))
        return network, cnn_keras.load_weights(main, settings.weights, replace=replace)
    except (ValueError, TypeError, OSError) as error:
        raise InputError(str(error)) from error


def adapt(
    choices: Choices,
    network: keras.Model,
    freeze: transfer.Freeze = "auto",
    fresh: Collection[str] = (),
) -> Choices:
    """Decide what depends on the network itself.

    The head is not trained alone where it is no linear classifier on features or these are not trained,
    and gradients through loops are clipped.

    Args:
        choices: What was decided before.
        network: The network that is kept.
        freeze: Value of --freeze.
        fresh: Where it has weights from elsewhere, its layers that kept random ones.

    Raises:
        InputError: If the head is all that was to be trained, or what is to be frozen is random.
    """
    if is_recurrent(network) and choices.clip_norm is None and choices.clip_value is None:
        choices = dataclasses.replace(choices, clip_norm=CLIP_NORM)
    if choices.layer_decay is None:
        decay = transfer.default_decay(network) if choices.fine_tune and choices.epochs else 1.0
        choices = dataclasses.replace(choices, layer_decay=decay)
    choices = dataclasses.replace(choices, frozen=transfer.frozen_layers(network, freeze, fresh))
    if not choices.train_head or (transfer.is_linear(network) and set(fresh) <= {HEAD}):
        return choices
    flag = "--freeze backbone" if not choices.epochs else "--augmented-passes"
    if not choices.epochs or choices.head.passes:
        raise InputError(
            f"{flag}: the last layer of {network.name} is no linear classifier on trained features that "
            f"could be trained alone. Leave {flag.split()[0]} out, or give another --head."
        )
    return dataclasses.replace(choices, train_head=False)


def measure(choices: Choices, data: Data) -> Choices:
    """Decide what depends on the training pixels: the figures of "standardize"."""
    if choices.scaling != "standardize":
        return choices
    return dataclasses.replace(choices, scaling=Standardize(*channel_moments(data.splits["train"])))


def is_recurrent(model: keras.Model) -> bool:
    """Tell whether a network has loops, through which gradients explode (Pascanu et al. 2013)."""
    recurrent = (keras.layers.RNN, keras.layers.Bidirectional)
    return any(isinstance(layer, recurrent) for layer in model.layers)


def suits_phones(arch: str, network: keras.Model) -> bool:
    """Tell whether a network suits a phone: a MobileNet, or under 20 MB of float32 weights."""
    return "mobilenet" in cnn_keras.get(arch).family or 4 * network.count_params() < SMALL_BYTES


def card_entries(settings: Fit, choices: Choices, data: Data) -> dict[str, Any]:
    """Return what a card says about the network and its data."""
    return {
        "architecture": settings.arch,
        "knobs": {
            **{k: v for k, v in settings.knobs.items() if k != "aux"},  # these are not kept
            **({"head": settings.head} if settings.head != "paper" else {}),
        },
        "image_size": choices.image_size,
        "channels": choices.channels,
        "class_names": list(data.class_names),
        **task_entries(data.source.multi_label),
        "preprocessing": decode.contract(as_entries(choices.scaling)),
        "precision": choices.precision,
        "data": {
            "source": absolute(settings.data) if is_place(settings.data) else settings.data,
            "data_dir": settings.data_dir and absolute(settings.data_dir),
            "seed": settings.seed,
            **({"fold": data.source.fold} if data.source.fold else {}),
            "pictures": {name: len(split) for name, split in data.splits.items()},
            "fingerprint": {name: split.fingerprint for name, split in data.splits.items()},
            "left_out": len(data.left_out),
        },
    }


def absolute(path: str) -> str:
    """Return a path that means the same from every folder, without following links."""
    return str(Path(path).expanduser().absolute())
