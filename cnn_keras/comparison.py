"""Two networks side by side: in all, and scale by scale."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from cnn_keras.analysis import Row, depth, rows
from cnn_keras.registry import Published
from cnn_keras.tables import Table


@dataclass(frozen=True)
class Measured:
    """A network that was built, with its layers.

    Attributes:
        name: Name in the catalogue.
        table: Its layers, in graph order.
        depth: Convolutions and dense layers on the longest way from picture to logits.
        published: The published point of this very network, or None.
    """

    name: str
    table: list[Row]
    depth: int
    published: Published | None

    @classmethod
    def of(cls, model, published: Published | None) -> "Measured":
        """Measure a Functional model with a fixed input size."""
        return cls(model.name, rows(model), depth(model), published)


def totals(one: Measured, two: Measured) -> Table:
    """Return the sums of two networks, and how many times the first one's the second one's are."""
    facts: tuple[tuple[str, Callable[[Measured], float], str], ...] = (
        ("parameters", lambda m: sum(row.params for row in m.table), ","),
        ("MACs", lambda m: sum(row.macs for row in m.table), ","),
        ("memory of all outputs (kB)", lambda m: _memory(m.table), ",.1f"),
        ("largest output (kB)", lambda m: max(row.activation_bytes for row in m.table) / 1000, ",.1f"),
        ("layers with kernels, one behind the other", lambda m: m.depth, ","),
        ("receptive field of the last map (px)", lambda m: _last_map(m).field.size, ","),
        ("its stride (px)", lambda m: _last_map(m).field.stride, ","),
    )
    table = [("", *_headings(one, two), "second : first")]
    table.append(("input", *(_shape(m.table[0]) for m in (one, two)), ""))
    for label, fact, form in facts:
        a, b = fact(one), fact(two)
        table.append((label, f"{a:{form}}", f"{b:{form}}", f"{b / a:.2f}" if a else ""))
    table.append(("last map", *(_shape(_last_map(m)) for m in (one, two)), ""))
    table.append(("published top-1", *(_accuracy(m.published) for m in (one, two)), ""))
    return table


def stages(one: Measured, two: Measured) -> Table:
    """Return what two networks spend at each scale: where a step is 1, 2, 4, ... input pixels.

    What sees the whole picture, behind global pooling or flattening, is the head.
    """
    a, b = _by_stride(one.table), _by_stride(two.table)
    what = ("layers", "parameters", "MACs (M)")
    first, second = _headings(one, two)
    table = [("stride", first, *what, second, *what)]
    for stride in sorted(a.keys() | b.keys()):
        label = "head" if math.isinf(stride) else f"{stride:g}"
        table.append((label, *_spent(a.get(stride, [])), *_spent(b.get(stride, []))))
    return table


def _headings(one: Measured, two: Measured) -> tuple[str, str]:
    return (one.name, two.name) if one.name != two.name else (one.name, f"{two.name} (2)")


def _by_stride(table: list[Row]) -> dict[float, list[Row]]:
    groups: dict[float, list[Row]] = {}
    for row in table:
        stride = math.inf if math.isinf(row.field.size) else row.field.stride
        groups.setdefault(stride, []).append(row)
    return groups


def _spent(table: list[Row]) -> tuple[str, ...]:
    if not table:
        return ("", "", "", "")
    return (
        _shape(table[-1]),
        f"{sum(row.macs > 0 for row in table):,}",
        f"{sum(row.params for row in table):,}",
        f"{sum(row.macs for row in table) / 1e6:,.1f}",
    )


def _memory(table: list[Row]) -> float:
    return sum(row.activation_bytes for row in table) / 1000


def _last_map(measured: Measured) -> Row:
    """Return the last layer that still has places: not flattened, pooled globally or dense."""
    return [row for row in measured.table if not math.isinf(row.field.size)][-1]


def _shape(row: Row) -> str:
    return " x ".join(map(str, row.output_shape))


def _accuracy(published: Published | None) -> str:
    if published is None or published.top1 is None:
        return ""
    return f"{published.top1:g} % {published.dataset} ({published.source})"
