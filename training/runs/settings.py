"""The settings of `fit`: the one definition of its flags. The other commands hold their own.

Importing this loads no TensorFlow, so that `--help` and a wrong flag answer at once.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cnn_keras
from cnn_keras import imagenet_files, knobs, torchvision
from training.runs import groups
from training.runs.checks import (
    check_data_name,
    check_name,
    check_transfer,
    check_weights,
    check_writable,
    not_negative,
    positive,
)
from training.runs.command import InputError

NOT_KEPT = ("debug", "resume")  # they say nothing of the run


@dataclass(frozen=True, kw_only=True)
class Fit(
    groups.Main,
    groups.Network,
    groups.Pictures,
    groups.Training,
    groups.Optimization,
    groups.Interruption,
    groups.Output,
):
    """Train a network on pictures, report how good it is, export it for servers and phones."""

    def __post_init__(self):
        try:
            variant = cnn_keras.get(self.arch)
            variant.check_knobs(self.knobs)
            if self.weights == "imagenet":
                imagenet_files.check(self.arch, self.knobs)
        except ValueError as error:
            raise InputError(str(error)) from None
        if self.image_size is not None:
            try:
                variant.check_size(self.image_size, self.image_size)
            except ValueError as error:
                raise InputError(f"--image-size {self.image_size}: {error}") from None
        positive(self, "epochs", "batch_size", "lr", "alpha", "mixup", "cutmix")
        positive(self, "clip_norm", "clip_value", "accumulate", "early_stop", "checkpoint_every")
        positive(self, "layer_decay", "unfreeze_epochs", "augmented_passes")
        check_transfer(self)
        not_negative(self, "warmup_epochs", "weight_decay", "seed", "l1", "l2")
        if self.clip_norm and self.clip_value:
            raise InputError("--clip-norm and --clip-value cannot be had together: give one.")
        if not 0 <= self.label_smoothing < 1:
            raise InputError(
                f"--label-smoothing must be at least 0 and below 1, not {self.label_smoothing}."
            )
        if self.loss == "class-balanced" and self.class_weight != "none":
            raise InputError("--loss class-balanced has weights of its own: leave --class-weight out.")
        if self.ema is not None and not 0 < self.ema < 1:
            raise InputError(f"--ema must be between 0 and 1, not {self.ema}.")
        if (self.mixup or self.cutmix) and self.batch_size == 1:
            raise InputError(
                "--mixup and --cutmix mix the pictures of a batch: --batch-size 1 is too small."
            )
        if self.seed >= 2**31:
            raise InputError(f"--seed must be below {2**31}, not {self.seed}.")
        dropout = self.knobs.get("dropout", 0.0)
        if not 0 <= dropout < 1:
            raise InputError(f"--dropout must be at least 0 and below 1, not {dropout}.")
        if self.channels == 1 and self.weights == "imagenet":
            raise InputError("--weights imagenet are for colour pictures: leave --channels 1 out.")
        if self.channels not in (None, 1, 3):
            raise InputError(f"--channels must be 1 or 3, not {self.channels}.")
        check_name(self.name)
        if self.name and not self.resume and (self.out / self.name).exists():
            raise InputError(
                f"{self.out / self.name} is there already. Choose another --name, or go on with an "
                f"interrupted run by --resume {self.out / self.name} alone."
            )
        check_data_name(self.data)
        check_writable(self.resume or self.out, "--resume" if self.resume else "--out")
        if self.cache_dir is not None:
            check_writable(self.cache_dir, "--cache-dir")
        if self.stage_by_stage and not self.knobs.get("aux"):
            raise InputError("--stage-by-stage needs the auxiliary classifiers: --knob aux=True.")
        check_weights(self.weights)

    @property
    def knobs(self) -> dict[str, Any]:
        """Switches of the network, from --knob, the flags that are short for it, and --weights."""
        switches = knobs.parse(self.knob)
        if self.weights == "imagenet":
            switches = {**cnn_keras.get(self.arch).reference_knobs, **switches}
        elif self.weights and torchvision.is_state_dict(self.weights):
            switches = {**torchvision.switches(self.arch), **switches}
        for name in ("alpha", "dropout"):
            value = getattr(self, name)
            if value is not None and switches.setdefault(name, value) != value:
                raise InputError(f"--{name} {value} and --knob {name}={switches[name]} disagree.")
        return switches


def as_json(settings: Any) -> dict[str, Any]:
    """Return the settings as plain values, for settings.json."""

    def plain(value: Any) -> Any:
        return (
            str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
        )

    return {f.name: plain(getattr(settings, f.name)) for f in fields(settings) if f.name not in NOT_KEPT}
