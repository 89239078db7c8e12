"""The catalogue of networks: what each one is, what it should measure, and how to build it."""

import difflib
import fnmatch
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import keras

Preprocessing = Literal["tf", "caffe", "torch", "unit", "none"]

_VARIANTS: dict[str, "Variant"] = {}


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published operating point of a network.

    Accuracy belongs to weights, preprocessing and crop, not to an architecture: `source` says whose.

    Attributes:
        top1: Top-1 accuracy in percent, None where only the counts are published.
        top5: Top-5 accuracy in percent, or None.
        dataset: The data set that the accuracy was measured on.
        source: Where the accuracy is published.
        knobs: The switches of the builder that give this network.
        image_size: Side of its square input, pixels; None for the variant's own.
        num_classes: Classes that `params` and `macs` count; None for the variant's own.
        params: Trainable parameters; None for the variant's own.
        macs: Multiply-adds of one image, likewise; None for the variant's own.
    """

    top1: float | None = None
    top5: float | None = None
    dataset: str = "ImageNet"
    source: str = ""
    knobs: Mapping[str, Any] = field(default_factory=dict)
    image_size: int | None = None
    num_classes: int | None = None
    params: int | None = None
    macs: int | None = None


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A network that `build` knows by name.

    Attributes:
        name: What `build` and `--arch` take.
        family: The file in `cnn_keras` that defines it, e.g. "mobilenet_v2".
        builder: Function (input_shape, num_classes, *, name, **knobs) -> keras.Model.
        knobs: Arguments of the builder that make this variant out of the family.
        paper: Authors and year; arXiv number or journal.
        year: Year of the paper.
        url: Where to read the paper.
        input_size: Side of the reference network's square input, pixels.
        min_size: Smallest side that still leaves at least 1 x 1 before the classifier.
        channels: Input channels of the reference network: 3 (RGB) or 1 (grey).
        num_classes: Classes of the reference network: those that `params` and `macs` count.
        preprocessing: How raw 0..255 pixels are scaled for it.
        params: Trainable parameters of the reference network, as papers and torchvision count them.
        macs: Multiply-adds of its convolutions and dense layers for one image, no bias, no BatchNorm.
        aux_weight: Weight of each auxiliary classifier in the loss, where `aux=True` adds some.
        published: Published operating points; where there is one of its own knobs and size, it is first.
        reference: The implementation that the tests compare with, e.g. "keras.applications.MobileNetV2".
        reference_knobs: Switches that make this network the one of `reference`, weight for weight.
        aliases: Our names of the layers that `reference` names otherwise, by its names.
        keras_units: Names of the convolutional units in the order in which `reference` creates its own,
            where Keras numbers its layers: `load_weights` finds conv2d_7 by its place in this order.
    """

    name: str
    family: str
    builder: Callable[..., "keras.Model"]
    knobs: Mapping[str, Any] = field(default_factory=dict)
    paper: str
    year: int
    url: str
    input_size: int
    min_size: int
    channels: int = 3
    num_classes: int = 1000
    preprocessing: Preprocessing
    params: int
    macs: int
    aux_weight: float = 0.0
    published: tuple[Published, ...] = ()
    reference: str | None = None
    reference_knobs: Mapping[str, Any] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    keras_units: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """First sentence of the family's documentation."""
        return (inspect.getdoc(self.builder) or "").split("\n", 1)[0].rstrip(".")

    @property
    def available_knobs(self) -> Mapping[str, Any]:
        """Every switch of the builder with the value that this variant gives it."""
        knobs = {
            p.name: p.default
            for p in inspect.signature(self.builder).parameters.values()
            if p.kind is p.KEYWORD_ONLY and p.name != "name"
        }
        return MappingProxyType(knobs | dict(self.knobs))

    def published_for(self, knobs: Mapping[str, Any], image_size: int) -> Published | None:
        """Return the first point whose accuracy is that of this network with `knobs` at `image_size`."""
        wanted = self.available_knobs | dict(knobs)
        for point in self.published:
            size = point.image_size or self.input_size
            same = size == image_size and self.available_knobs | dict(point.knobs) == wanted
            if same and point.top1 is not None:
                return point
        return None

    def check_knobs(self, knobs: Mapping[str, Any]) -> None:
        """Raise a ValueError if one of `knobs` is unknown or of another kind than the builder's."""
        for knob, value in knobs.items():
            if knob not in self.available_knobs:
                raise ValueError(
                    f"{self.name} has no switch '{knob}'.{_did_you_mean(knob, self.available_knobs)} "
                    f"It has: {', '.join(self.available_knobs)}."
                )
            usual = self.available_knobs[knob]
            for kind, what in ((bool, "True or False"), (int | float, "a number"), (str, "a word")):
                if isinstance(usual, kind):
                    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
                        raise ValueError(f"{self.name}: {knob} must be {what}, not {value!r}.")
                    break

    def check_size(self, height: int | None, width: int | None) -> None:
        """Raise a ValueError that names the minimum if a side in pixels is too small."""
        if any(side is not None and side < self.min_size for side in (height, width)):
            raise ValueError(
                f"An input of {height} x {width} pixels is too small for {self.name}, which needs at "
                f"least {self.min_size} x {self.min_size}."
            )


def register(variant: Variant) -> None:
    """Add `variant` to the catalogue.

    Raises:
        ValueError: If a variant of that name is there already.
    """
    if variant.name in _VARIANTS:
        raise ValueError(f"A network named '{variant.name}' is registered already.")
    _VARIANTS[variant.name] = variant


def names(pattern: str = "*") -> tuple[str, ...]:
    """Return the names of the registered networks that match a shell `pattern`, in catalogue order."""
    return tuple(name for name in _VARIANTS if fnmatch.fnmatchcase(name, pattern))


def get(name: str) -> Variant:
    """Return the catalogue's record of the network `name`.

    Raises:
        ValueError: If there is none; the message suggests the nearest names.
    """
    if name not in _VARIANTS:
        raise ValueError(
            f"Unknown network '{name}'.{_did_you_mean(name, _VARIANTS)} "
            "Run `python -m cnn_keras` for the list."
        )
    return _VARIANTS[name]


def build(
    name: str,
    input_shape: tuple[int | None, int | None, int] | None = None,
    num_classes: int = 1000,
    *,
    head: str = "paper",
    **knobs: Any,
) -> "keras.Model":
    """Build a network from the catalogue.

    Args:
        name: A name from `names()`.
        input_shape: (height, width, channels); by default that of the reference network. A network
            that ends in global pooling takes None for height and width.
        num_classes: Number of classes, 1 or more.
        head: The classifier: the "paper"'s, or "gap", "flatten" or "conv1x1" on the last feature map;
            see `cnn_keras.heads`.
        **knobs: The switches of the paper, e.g. `alpha=0.5`; `get(name).available_knobs` lists them.

    Returns:
        A Functional model from `image`, float32 (batch, height, width, channels), already scaled as
        `get(name).preprocessing` says, to logits, float32 (batch, num_classes). Its attribute `knobs`
        has all its switches.

    Raises:
        ValueError: If the name or a switch is unknown, the input too small, or the head not for it.
    """
    variant = get(name)
    variant.check_knobs(knobs)
    if input_shape is None:
        input_shape = (variant.input_size, variant.input_size, variant.channels)
    if len(input_shape) != 3 or not input_shape[2]:
        raise ValueError(f"input_shape must be (height, width, channels), not {input_shape}.")
    if num_classes < 1:
        raise ValueError(f"num_classes must be 1 or more, not {num_classes}.")
    variant.check_size(*input_shape[:2])
    model = variant.builder(
        tuple(input_shape), num_classes, name=variant.name, **{**variant.knobs, **knobs}
    )
    switches = {**variant.available_knobs, **knobs}
    if head != "paper":
        from cnn_keras.heads import replace_head

        model = replace_head(model, head, num_classes, dropout=switches.get("dropout", 0.0))
    model.knobs = MappingProxyType(switches)
    return model


def _did_you_mean(name: str, known: Mapping[str, Any]) -> str:
    """Return " Did you mean ...?" for the nearest of the `known` names, or nothing."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(near)}?" if near else ""
