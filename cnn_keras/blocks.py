"""The blocks of a network: its graph as units one behind the other and branches side by side.

A classifier's graph is series-parallel: wherever it forks, the branches meet again. So every Functional
model of the catalogue is a series of units (a convolution with its normalisation and activation, a
pooling, a dense layer) and forks (branches and the layer where they meet), each branch a series again.
"""

import re
from dataclasses import dataclass, field

from cnn_keras.analysis import Row, rows
from cnn_keras.lazy import keras

# What layers of one block have in common where they lie in one line: block_3_expand and block_3_project,
# block5_conv1 and block5_pool, conv_dw_2 and conv_pw_2.
_BLOCK = re.compile(r"(.*?block_?\d+|expanded_conv|stem|pool\d+)_|conv_(?:dw|pw)(_\d+)")

_PREPARING = ("ZeroPadding2D", "Pad", "Flatten")  # small layers that belong to the unit behind them


@dataclass
class Unit:
    """A layer that works on the picture, with the small ones around it.

    Attributes:
        label: What it does, e.g. "3x3 conv 64 /2".
        kind: "input", "conv", "depthwise", "pool", "dense" or "other".
        rows: The layers, in order.
        main: The row of the layer that gives the unit its name.
    """

    label: str
    kind: str
    rows: list[Row]
    main: Row


@dataclass
class Fork:
    """Branches, each a series, and the layers from where they meet.

    Attributes:
        branches: Each a list of units and forks; an empty one carries the input past the others.
        kind: "add" or "concat".
        rows: The layer where the branches meet, and the small ones behind it.
    """

    branches: list[list["Unit | Fork"]]
    kind: str
    rows: list[Row]


@dataclass
class Block:
    """A part of the network that is drawn as one.

    Attributes:
        name: What its layers' names have in common.
        parts: Its units and forks, in order.
        count: How many such blocks lie one behind the other.
        last: Name of the last of them.
        rows: The layers of all of them.
    """

    name: str
    parts: list[Unit | Fork]
    count: int = 1
    last: str = ""
    rows: list[Row] = field(default_factory=list)


def of(model: "keras.Model") -> list[Block]:
    """Return the blocks of a Functional model with one output, from the picture to the logits.

    Neighbours that differ in nothing but their input's channels become one with a `count`.

    Raises:
        ValueError: If the graph is not a series of units and forks.
    """
    blocks: list[Block] = []
    for block in _grouped(_Graph(model).series()):
        block.rows = [row for part in block.parts for row in layers_of(part)]
        if blocks and _signature(block.parts) == _signature(blocks[-1].parts):
            blocks[-1].count += 1
            blocks[-1].last = block.name
            blocks[-1].rows += block.rows
        else:
            blocks.append(block)
    return blocks


def with_weights(model: "keras.Model") -> list[tuple[str, list[str]]]:
    """Return name and layers of each block that has weights, from the picture to the logits.

    Neighbours that are alike stay apart; the names are those of the layers with weights.
    """
    weighted = {layer.name for layer in model.layers if layer.weights}
    found = []
    for block in _grouped(_Graph(model).series()):
        names = [row.name for part in block.parts for row in layers_of(part) if row.name in weighted]
        if names:
            found.append((block.name, names))
    return found


def layers_of(part: Unit | Fork) -> list[Row]:
    """Return the layers of a part in order, those of the branches one branch after the other."""
    if isinstance(part, Unit):
        return part.rows
    inner = [row for branch in part.branches for piece in branch for row in layers_of(piece)]
    return inner + part.rows


class _Graph:
    """The operations of a model with who feeds whom."""

    def __init__(self, model):
        self.rows = rows(model)
        self.operations = model.operations
        index = {id(operation): i for i, operation in enumerate(self.operations)}
        self.inputs = [
            [
                index[id(tensor._keras_history.operation)]
                for tensor in keras.tree.flatten(operation.input)
                if tensor._keras_history.operation is not operation
            ]
            for operation in self.operations
        ]
        self.consumers = [[] for _ in self.operations]
        for i, sources in enumerate(self.inputs):
            for source in dict.fromkeys(sources):
                self.consumers[source].append(i)
        self.meeting = self._meeting_points()

    def _meeting_points(self) -> list[int]:
        """Find for each operation the first one that every way to the end passes (post-dominator)."""
        end = len(self.operations)
        meeting = [end] * end
        for i in reversed(range(end)):
            places = list(self.consumers[i])
            while len(set(places)) > 1:  # the one that comes first moves on, until all have met
                first = min(places)
                places = [meeting[p] if p == first else p for p in places]
            meeting[i] = places[0] if places else end
        return meeting

    def series(self) -> list[Unit | Fork]:
        """Return the whole network."""
        visited: list[int] = []
        parts = self._walk(0, len(self.operations), visited)
        if sorted(visited) != list(range(len(self.operations))):
            raise ValueError("This network has branches that never meet: it cannot be drawn in blocks.")
        return parts

    def _walk(self, at: int, end: int, visited: list[int]) -> list[Unit | Fork]:
        """Return what lies between the operations `at`, included, and `end`, excluded."""
        parts: list[Unit | Fork] = []
        waiting: list[Row] = []  # small layers in front of the unit that they belong to
        while at != end:
            visited.append(at)
            row = self.rows[at]
            label, kind = _describe(self.operations[at], row)
            if label:
                parts.append(Unit(label, kind, [*waiting, row], row))
                waiting = []
            elif parts and not waiting and row.kind not in _PREPARING:
                parts[-1].rows.append(row)
            else:
                waiting.append(row)
            while len(self.consumers[at]) > 1:
                meeting = self.meeting[at]
                if meeting == len(self.operations):
                    raise ValueError("This network has several outputs: it has no one line of blocks.")
                branches = [self._walk(c, meeting, visited) for c in self.consumers[at]]
                kind = "add" if self.rows[meeting].kind == "Add" else "concat"
                branches.sort(key=_first_name)  # as the tables number them
                branches.sort(key=_work if kind == "add" else bool, reverse=True)  # the shortcut last
                parts.append(Fork(branches, kind, [self.rows[meeting]]))
                visited.append(meeting)
                at = meeting
            at = self.consumers[at][0] if self.consumers[at] else end
        if waiting:
            parts.append(Unit(_words(waiting[-1].kind), "other", waiting, waiting[-1]))
        return parts


def _first_name(parts: list[Unit | Fork]) -> str:
    return layers_of(parts[0])[0].name if parts else ""


def _work(parts: list[Unit | Fork]) -> tuple[int, int]:
    return sum(row.macs for part in parts for row in layers_of(part)), len(parts)


def _grouped(parts: list[Unit | Fork]) -> list[Block]:
    """Join neighbours whose names say that they are one block."""
    blocks: list[Block] = []
    for part in parts:
        name = _block_name(part)
        if blocks and blocks[-1].name == name:
            blocks[-1].parts.append(part)
        else:
            blocks.append(Block(name, [part], last=name))
    return blocks


def _block_name(part: Unit | Fork) -> str:
    if isinstance(part, Unit):
        name = part.main.name
    else:  # not the layers behind the meeting, which may be called after the next block
        inner = layers_of(part)[: 1 - len(part.rows) or None]
        # keras.ops.pad has a name that Keras gave it
        named = [row.name for row in inner if row.kind != "Pad"]
        name = _shared_start(named)
    if found := _BLOCK.match(name + "_"):
        return found[1] or f"separable{found[2]}"
    return name.removesuffix("_conv")


def _shared_start(names: list[str]) -> str:
    first, last = min(names), max(names)  # what these share, all names between them share
    end = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:end].rstrip("_")


def _signature(parts: list[Unit | Fork]):
    """Return what two blocks must share to be drawn as one."""
    if len(parts) == 1 and isinstance(parts[0], Unit):
        return object()  # a layer on its own is shown on its own
    return (_layout(parts), parts[-1].rows[0].output_shape[:2])


def _layout(parts: list[Unit | Fork]) -> tuple:
    return tuple(
        part.label
        if isinstance(part, Unit)
        else (part.kind, *(_layout(branch) for branch in part.branches))
        for part in parts
    )


def _describe(operation, row: Row) -> tuple[str, str]:
    """Return label and kind of the unit that an operation makes; "" for a small one: it makes none."""
    layers = keras.layers
    if isinstance(operation, layers.InputLayer):
        return " x ".join(map(str, row.output_shape)), "input"
    if isinstance(operation, layers.Dense):
        return f"dense {operation.units}", "dense"
    if isinstance(operation, layers.Conv2D | layers.DepthwiseConv2D | layers.SeparableConv2D):
        kind = {"Conv2D": "conv", "DepthwiseConv2D": "depthwise"}.get(row.kind, "separable")
        label = f"{_square(operation.kernel_size)} {kind} {row.output_shape[-1]}"
        groups = getattr(operation, "groups", 1)
        label += _stride(operation.strides)
        label += f" in {groups} groups" if groups > 1 else ""
        label += f" by {operation.dilation_rate[0]}" if max(operation.dilation_rate) > 1 else ""
        return label, "depthwise" if kind == "separable" else kind
    if isinstance(operation, layers.MaxPooling2D | layers.AveragePooling2D):
        kind = "max" if isinstance(operation, layers.MaxPooling2D) else "average"
        return f"{_square(operation.pool_size)} {kind} pool{_stride(operation.strides)}", "pool"
    if isinstance(operation, layers.GlobalAveragePooling2D):
        return "global average pool", "pool"
    if "LocalResponse" in row.kind:
        return "local response norm", "other"
    if row.macs or (row.params and "Normalization" not in row.kind and "ReLU" not in row.kind):
        return _words(row.kind), "other"
    return "", ""


def _square(sides: tuple[int, ...]) -> str:
    return "x".join(map(str, sides))


def _stride(strides: tuple[int, ...]) -> str:
    return f" /{strides[0]}" if max(strides) > 1 else ""


def _words(kind: str) -> str:
    """Write a class name as words: "SparseConv" as "sparse conv"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower()
