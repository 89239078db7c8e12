"""What the courses teach, with the numbers of a network as it was built.

Each lesson compares what the network does with what it avoids: a stack of 3x3 convolutions with one
larger kernel, a depthwise separable convolution with a standard one, a convolution behind a 1x1
reduction with one on all channels. Weights are those of the kernels, without biases and normalisation.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from cnn_keras.lazy import keras


@dataclass(frozen=True)
class Cost:
    """Weights of kernels, and multiply-adds of one image."""

    weights: int
    macs: int

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.weights + other.weights, self.macs + other.macs)


NOTHING = Cost(0, 0)


@dataclass(frozen=True)
class Comparison:
    """A piece of the network against what could stand in its place.

    Attributes:
        layers: Names of the layers, in order.
        instead: What could stand in their place, e.g. "one 7x7 convolution from 512 to 512 channels".
        cost: Of the layers.
        other: Of what could stand in their place.
    """

    layers: tuple[str, ...]
    instead: str
    cost: Cost
    other: Cost


def of(model: "keras.Model") -> list[str]:
    """Return the lessons that a Functional model teaches, a paragraph each; often there are none."""
    return [
        *_about_stacks(stacks(model)),
        *_about_separable(separable(model)),
        *_about_reductions(reductions(model)),
    ]


def stacks(model: "keras.Model") -> list[Comparison]:
    """Find two or more 3x3 convolutions in line, against one kernel that sees as much."""
    feeding = _feeding(model, past_forks=False)  # one kernel could not give what lies between
    found: list[list] = []
    for layer in model.layers:
        if not _is_standard(layer, (3, 3)) or layer.strides != (1, 1):
            continue
        before = feeding[layer.name]
        line = next((line for line in found if before is not None and line[-1] is before), None)
        if line:
            line.append(layer)
        else:
            found.append([layer])
    comparisons = []
    for line in found:
        if len(line) > 1:
            side, first, last = 2 * len(line) + 1, _channels_in(line[0]), line[-1].filters
            comparisons.append(
                Comparison(
                    tuple(layer.name for layer in line),
                    f"one {side}x{side} convolution from {first} to {last} channels",
                    sum(map(_cost, line), NOTHING),
                    _standard((side, side), first, last, line[-1]),
                )
            )
    return comparisons


def separable(model: "keras.Model") -> list[Comparison]:
    """Find depthwise convolutions with the 1x1 convolution behind, against standard convolutions."""
    feeding = _feeding(model)
    comparisons = []
    for layer in model.layers:
        before = feeding.get(layer.name)
        if _is_standard(layer, (1, 1)) and isinstance(before, keras.layers.DepthwiseConv2D):
            channels, kernel = _channels_in(layer), before.kernel_size
            comparisons.append(
                Comparison(
                    (before.name, layer.name),
                    f"one {_by(kernel)} convolution from {channels} to {layer.filters} channels",
                    _cost(before) + _cost(layer),
                    _standard(kernel, channels, layer.filters, layer),
                )
            )
    return comparisons


def reductions(model: "keras.Model") -> list[Comparison]:
    """Find larger convolutions behind a 1x1 that reduces, against the same on all channels."""
    feeding = _feeding(model)
    counted: set[str] = set()  # a reduction that feeds two convolutions is paid for once
    comparisons = []
    for layer in model.layers:
        before = feeding.get(layer.name)
        if (
            isinstance(layer, keras.layers.Conv2D)
            and layer.groups == 1
            and max(layer.kernel_size) > 1
            and before is not None
            and _is_standard(before, (1, 1))
            and before.filters < _channels_in(before)
        ):
            channels = _channels_in(before)
            comparisons.append(
                Comparison(
                    (before.name, layer.name),
                    f"one {_by(layer.kernel_size)} convolution on all {channels} channels",
                    _cost(layer) + (NOTHING if before.name in counted else _cost(before)),
                    _standard(layer.kernel_size, channels, layer.filters, layer),
                )
            )
            counted.add(before.name)
    return comparisons


def _about_stacks(found: list[Comparison]) -> Iterator[str]:
    if not found:
        return
    most = max(len(comparison.layers) for comparison in found)
    longest = [comparison for comparison in found if len(comparison.layers) == most]
    shown = max(reversed(longest), key=lambda c: c.other.weights / c.cost.weights)
    yield (
        f"Stacked 3x3 convolutions: {shown.layers[0]} to {shown.layers[-1]}, {most} in line, see as "
        f"much as {shown.instead}, with {most} non-linearities in place of one:\n{_against(shown)}"
    )


def _about_separable(found: list[Comparison]) -> Iterator[str]:
    if found:
        yield _example_and_sum(
            "Depthwise separable convolutions",
            found,
            "filter each channel by itself, then mix them by 1x1",
        )


def _about_reductions(found: list[Comparison]) -> Iterator[str]:
    if found:
        yield _example_and_sum(
            "1x1 reductions",
            found,
            "leave the larger kernel fewer channels to read",
        )


def _example_and_sum(title: str, found: list[Comparison], why: str) -> str:
    shown = max(found, key=lambda comparison: comparison.other.macs - comparison.cost.macs)
    cost = sum((comparison.cost for comparison in found), NOTHING)
    other = sum((comparison.other for comparison in found), NOTHING)
    lines = [
        f"{title} {why}. {' and '.join(shown.layers)} against {shown.instead}:",
        _against(shown),
    ]
    if len(found) > 1:
        whole = Comparison((), "", cost, other)
        lines += [f"All {len(found)} of this network together:", _against(whole)]
    return "\n".join(lines)


def _against(comparison: Comparison) -> str:
    pairs = (
        ("weights", comparison.cost.weights, comparison.other.weights),
        ("MACs", comparison.cost.macs, comparison.other.macs),
    )
    return "\n".join(f"    {own:,} {what} against {b:,}: {b / own:.2f} times" for what, own, b in pairs)


def _feeding(model, past_forks: bool = True) -> dict[str, "keras.layers.Layer"]:
    """Find for each layer the one that feeds it, past those that only pad, normalise or activate.

    Without `past_forks`, a layer whose output is read more than once feeds nothing.
    """
    layers = keras.layers
    passing = (
        layers.Activation,
        layers.BatchNormalization,
        layers.Dropout,
        layers.GroupNormalization,
        layers.LayerNormalization,
        layers.ReLU,
        layers.ZeroPadding2D,
    )
    readers = Counter(
        id(tensor) for operation in model.operations for tensor in keras.tree.flatten(operation.input)
    )
    feeding: dict[str, layers.Layer] = {}
    for layer in model.layers:
        tensors = keras.tree.flatten(layer.input)
        source = tensors[0]._keras_history.operation if len(tensors) == 1 else None
        if source is not None and not past_forks and readers[id(tensors[0])] > 1:
            source = None
        feeding[layer.name] = feeding[source.name] if isinstance(source, passing) else source
    return feeding


def _is_standard(layer, kernel: tuple[int, int]) -> bool:
    return (
        isinstance(layer, keras.layers.Conv2D)
        and layer.kernel_size == kernel
        and layer.groups == 1
        and layer.dilation_rate == (1, 1)
    )


def _channels_in(layer) -> int:
    return layer.input.shape[-1]


def _positions(layer) -> int:
    return math.prod(layer.output.shape[1:3])


def _cost(layer) -> Cost:
    weights = math.prod(layer.kernel.shape)
    return Cost(weights, weights * _positions(layer))


def _standard(kernel: tuple[int, int], channels: int, filters: int, layer) -> Cost:
    """Return the cost of a standard convolution that gives the map of `layer`."""
    weights = math.prod(kernel) * channels * filters
    return Cost(weights, weights * _positions(layer))


def _by(kernel: tuple[int, int]) -> str:
    return "x".join(map(str, kernel))
