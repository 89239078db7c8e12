"""Which networks fit a budget: every published operating point of the catalogue against conditions.

Plain data: nothing is built, and no TensorFlow loaded. The tests recompute the counts from the built
networks.
"""

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cnn_keras import registry
from cnn_keras.tables import Table

_COMPARISONS = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}
_SUFFIXES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_CONDITION = re.compile(r"\s*(\w+)\s*(<=|>=|<|>|=)\s*(\d+(?:\.\d*)?|\.\d+)\s*([KMG]?)\s*", re.IGNORECASE)
QUANTITIES = ("macs", "params", "size", "top1", "top5", "year")


@dataclass(frozen=True, kw_only=True)
class Point:
    """A network at one width, size and set of switches, with what is published about it.

    Attributes:
        name: Name in the catalogue.
        switches: What differs from the catalogue's network, e.g. "alpha=0.5".
        size: Side of its square input, pixels.
        params: Trainable parameters.
        macs: Multiply-adds of one image.
        top1: Published top-1 accuracy in percent, or None.
        top5: Published top-5 accuracy in percent, or None.
        dataset: The data set of the accuracy; "" without one.
        source: Where the accuracy is published.
        year: Year of the network's paper.
    """

    name: str
    switches: str
    size: int
    params: int
    macs: int
    top1: float | None
    top5: float | None
    dataset: str
    source: str
    year: int


Condition = Callable[[Point], bool]


def parse(text: str) -> list[Condition]:
    """Turn a text such as "macs<60M,params<2M,top1>=60" into conditions that all must hold.

    Raises:
        ValueError: If a part of it is not QUANTITY, comparison and number.
    """
    return [_condition(part) for part in text.split(",")]


def _condition(text: str) -> Condition:
    found = _CONDITION.fullmatch(text)
    if not found or found[1].lower() not in QUANTITIES:
        raise ValueError(
            f"--budget takes conditions such as macs<60M,params<2M,top1>=60, not '{text.strip()}'. "
            f"There are {', '.join(QUANTITIES)}; {', '.join(_COMPARISONS)}; and numbers with K, M or G."
        )
    quantity, compare = found[1].lower(), _COMPARISONS[found[2]]
    limit = float(found[3]) * _SUFFIXES[found[4].upper()]

    def holds(point: Point) -> bool:
        value = getattr(point, quantity)
        return value is not None and compare(value, limit)

    return holds


def points(names: Sequence[str] | None = None) -> Iterator[Point]:
    """Yield the operating points of the networks `names`, or of all.

    A network of which no accuracy is published has one point without.
    """
    for name in registry.names() if names is None else names:
        variant = registry.get(name)
        for published in variant.published or (registry.Published(dataset=""),):
            yield Point(
                name=name,
                switches=" ".join(f"{key}={value}" for key, value in published.knobs.items()),
                size=published.image_size or variant.input_size,
                params=published.params or variant.params,
                macs=published.macs or variant.macs,
                top1=published.top1,
                top5=published.top5,
                dataset="" if published.top1 is None else published.dataset,
                source=published.source,
                year=variant.year,
            )


def fitting(conditions: Sequence[Condition], names: Sequence[str] | None = None) -> list[Point]:
    """Return the points that meet all conditions: by data set, then the most accurate first."""
    found = [point for point in points(names) if all(holds(point) for holds in conditions)]
    order = {"ImageNet": "", "": "~"}  # ImageNet first, networks without an accuracy last
    return sorted(found, key=lambda p: (order.get(p.dataset, p.dataset), -(p.top1 or 0), p.macs))


def table(found: Sequence[Point]) -> Table:
    """Return a header and a row a point."""
    header = ("network", "switches", "size", "parameters", "MACs (M)", "top-1", "top-5", "of", "source")
    return [
        header,
        *(
            (
                point.name,
                point.switches,
                str(point.size),
                f"{point.params:,}",
                f"{point.macs / 1e6:,.2f}",
                *("" if top is None else f"{top:g} %" for top in (point.top1, point.top5)),
                point.dataset,
                point.source,
            )
            for point in found
        ),
    ]
