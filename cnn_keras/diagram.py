"""The block diagram of a network as an SVG picture."""

import math
import os
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from cnn_keras import blocks
from cnn_keras.blocks import Block, Fork, Unit

UNIT_HEIGHT, UNIT_GAP = 24, 12  # pixels
FORK_GAP, BRANCH_GAP = 16, 14  # above and below the branches; between them
TIMES = "\N{MULTIPLICATION SIGN}"
LINE_WIDTH = 22  # room for a branch that is only a line
LEFT, RIGHT = 170, 250  # columns of names and of numbers
COLOURS = {
    "input": ("#eceff1", "#607d8b"),
    "conv": ("#dbe9fb", "#2f6fc4"),
    "depthwise": ("#d5f0ea", "#1b8a73"),
    "pool": ("#fdebd0", "#c77c11"),
    "dense": ("#eadcf7", "#7d3fb5"),
    "other": ("#f3f3f3", "#777777"),
}
MEANINGS = {
    "conv": "convolution",
    "depthwise": "depthwise or separable",
    "pool": "pooling",
    "dense": "dense",
}
STYLE = """
text { font-family: "DejaVu Sans", Verdana, sans-serif; font-size: 11px; fill: #1d2733; }
.title { font-size: 18px; font-weight: bold; }
.name { font-weight: bold; font-size: 12px; }
.quiet { fill: #5b6773; }
.mid { text-anchor: middle; }
.panel { fill: #fafbfc; stroke: #dfe4ea; }
.wire { stroke: #44505c; stroke-width: 1.4; fill: none; }
.join { fill: #ffffff; stroke: #44505c; stroke-width: 1.4; }
"""


def draw(model, title: str, subtitle: str = "") -> str:
    """Draw a Functional model as blocks, top to bottom.

    A block shows its units and branches; beside it stand its name, its output, what it costs and how
    much of the picture one position sees. Neighbours that are alike are drawn once, "x 5". Layers that
    only normalise, activate or drop have no box of their own; the tool tip of a block names them all.

    Args:
        model: A Functional model with one output and a fixed input size.
        title: Heading.
        subtitle: A line below it.

    Returns:
        The text of an SVG file.
    """
    parts = blocks.of(model)
    inner = max(240, *(_series_size(block.parts)[0] + 30 for block in parts))
    width = LEFT + inner + RIGHT
    svg = ElementTree.Element("svg", xmlns="http://www.w3.org/2000/svg")
    ElementTree.SubElement(svg, "title").text = title
    ElementTree.SubElement(svg, "style").text = STYLE
    paper = _add(svg, "rect", x=0, y=0, width="100%", height="100%", fill="#ffffff")
    _text(svg, 20, 34, title, "title")
    _text(svg, 20, 54, subtitle, "quiet")
    middle, y = LEFT + inner / 2, 74
    for i, block in enumerate(parts):
        height = max(_series_size(block.parts)[1] + 16, 50 if block.count > 1 else 40)
        if i:
            _wire(svg, (middle, y - 14), (middle, y))
        _draw_block(svg, block, middle, y, inner, height, first=i == 0, last=i == len(parts) - 1)
        y += height + 14
    _draw_legend(svg, y + 12)
    height = y + 70
    paper.set("height", str(height))
    svg.set("viewBox", f"0 0 {width:g} {height:g}")
    svg.set("width", f"{width:g}")
    svg.set("height", f"{height:g}")
    ElementTree.indent(svg)
    return ElementTree.tostring(svg, encoding="unicode") + "\n"


def write(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all: under a temporary name, which then becomes `path`."""
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=".tmp-", suffix=path.suffix, delete=False
    ) as file:
        temporary = Path(file.name)
    try:
        temporary.write_text(text, encoding="utf-8")
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # temporary files are for their owner only
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def short(number: float) -> str:
    """Write a number with three digits and its unit: 25_557_032 as "25.6 M"."""
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= 0.9995 * limit:
            digits = f"{number / limit:.3g}"
            return (f"{number / limit:.0f}" if "e" in digits else digits) + unit
    return f"{number:g}"


def _draw_block(svg, block: Block, middle, y, inner, height, *, first, last) -> None:
    group = _add(svg, "g", id=block.name, **{"class": "block"})
    ElementTree.SubElement(group, "title").text = ", ".join(row.name for row in block.rows)
    _add(group, "rect", x=LEFT, y=y, width=f"{inner:g}", height=height, rx=6, **{"class": "panel"})
    content = _series_size(block.parts)[1]
    top = y + (height - content) / 2
    if not first:
        _wire(group, (middle, y), (middle, top))
    _draw_series(group, block.parts, middle, top)
    if not last:
        _wire(group, (middle, top + content), (middle, y + height))

    names = (
        [block.name] if block.count == 1 else [f"{block.name} …", f"{block.last}  {TIMES} {block.count}"]
    )
    for i, name in enumerate(names):
        _text(group, 20, y + height / 2 + 4 + 15 * (i - (len(names) - 1) / 2), name, "name")
    params, macs = sum(row.params for row in block.rows), sum(row.macs for row in block.rows)
    field = block.rows[-1].field
    seen = "the whole picture" if math.isinf(field.size) else f"{field.size} px"
    costs = f"{short(params)} parameters, {short(macs)} MACs" if params or macs else ""
    shape = " x ".join(map(str, block.rows[-1].output_shape))
    x = LEFT + inner + 14
    lines = [f"{shape}, sees {seen}", costs] if costs else [f"{shape}, sees {seen}"]
    for i, line in enumerate(lines):
        _text(group, x, y + height / 2 + 4 + 15 * (i - (len(lines) - 1) / 2), line, "quiet" if i else "")


def _draw_legend(svg, y: float) -> None:
    x = 20.0
    for kind, meaning in MEANINGS.items():
        fill, stroke = COLOURS[kind]
        _add(svg, "rect", x=f"{x:g}", y=y - 10, width=14, height=12, rx=2, fill=fill, stroke=stroke)
        _text(svg, x + 20, y, meaning, "quiet")
        x += 40 + 6.6 * len(meaning)
    explanation = (
        "/2: stride 2 · +: sum · concat: channels side by side · sees: side of the receptive field"
    )
    _text(svg, 20, y + 20, explanation, "quiet")
    repeats = (
        f"{TIMES} 3: three alike, one behind the other; beside them the last output and what all cost"
    )
    _text(svg, 20, y + 36, repeats, "quiet")


def _unit_width(unit: Unit) -> float:
    return max(96, 6.7 * len(unit.label) + 16)


def _series_size(parts) -> tuple[float, float]:
    """Return width and height in pixels."""
    if not parts:
        return LINE_WIDTH, 0
    sizes = [_size(part) for part in parts]
    return max(w for w, _ in sizes), sum(h for _, h in sizes) + UNIT_GAP * (len(sizes) - 1)


def _size(part: Unit | Fork) -> tuple[float, float]:
    if isinstance(part, Unit):
        return _unit_width(part), UNIT_HEIGHT
    sizes = [_series_size(branch) for branch in part.branches]
    width = sum(w for w, _ in sizes) + BRANCH_GAP * (len(sizes) - 1)
    return width, max(h for _, h in sizes) + 2 * FORK_GAP + _join_height(part)


def _join_height(fork: Fork) -> float:
    return 18 if fork.kind == "add" else 20


def _draw_series(svg, parts, middle: float, y: float) -> None:
    for i, part in enumerate(parts):
        if i:
            _wire(svg, (middle, y - UNIT_GAP), (middle, y))
        (_draw_unit if isinstance(part, Unit) else _draw_fork)(svg, part, middle, y)
        y += _size(part)[1] + UNIT_GAP


def _draw_unit(svg, unit: Unit, middle: float, y: float) -> None:
    width, (fill, stroke) = _unit_width(unit), COLOURS[unit.kind]
    _add(
        svg,
        "rect",
        **{"class": unit.kind, "x": f"{middle - width / 2:g}", "y": f"{y:g}", "width": f"{width:g}"},
        height=UNIT_HEIGHT,
        rx=4,
        fill=fill,
        stroke=stroke,
    )
    _text(svg, middle, y + 16, unit.label, "mid")


def _draw_fork(svg, fork: Fork, middle: float, y: float) -> None:
    width, height = _size(fork)
    bottom = y + height - _join_height(fork)  # where the branches meet
    x = middle - width / 2
    places = []
    for branch in fork.branches:
        across, down = _series_size(branch)
        centre = x + across / 2
        _draw_series(svg, branch, centre, y + FORK_GAP)
        _wire(svg, (middle, y), (middle, y + 6), (centre, y + 6), (centre, y + FORK_GAP))
        _wire(svg, (centre, y + FORK_GAP + down), (centre, bottom - (6 if fork.kind == "add" else 0)))
        places.append(centre)
        x += across + BRANCH_GAP
    if fork.kind == "add":
        _wire(svg, (places[0], bottom - 6), (places[-1], bottom - 6))
        _wire(svg, (middle, bottom - 6), (middle, bottom))
        _add(svg, "circle", cx=f"{middle:g}", cy=f"{bottom + 9:g}", r=9, **{"class": "join"})
        _text(svg, middle, bottom + 13, "+", "mid")
    else:
        left, right = min(places[0], middle - 30) - 8, max(places[-1], middle + 30) + 8
        box = {"x": f"{left:g}", "y": f"{bottom:g}", "width": f"{right - left:g}", "class": "join"}
        _add(svg, "rect", height=_join_height(fork), rx=9, **box)
        _text(svg, (left + right) / 2, bottom + 14, "concat", "mid")


def _wire(svg, *points: tuple[float, float]) -> None:
    _add(svg, "polyline", points=" ".join(f"{x:g},{y:g}" for x, y in points), **{"class": "wire"})


def _text(svg, x: float, y: float, text: str, kind: str = "") -> None:
    _add(svg, "text", x=f"{x:g}", y=f"{y:g}", **({"class": kind} if kind else {})).text = text


def _add(parent, tag: str, **attributes) -> ElementTree.Element:
    return ElementTree.SubElement(parent, tag, {key: str(value) for key, value in attributes.items()})
