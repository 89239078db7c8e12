"""`python -m cnn_keras`: the table of networks, or one network layer by layer."""

import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

import cnn_keras
from cnn_keras import analysis, knobs
from cnn_keras.lazy import quietly_import_keras
from cnn_keras.registry import Variant
from cnn_keras.tables import Table, as_markdown, as_text


@dataclass(frozen=True)
class Arguments:
    """Show the catalogue of networks, or one network layer by layer."""

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = None
    """Network to show; without it, the table of all."""
    image_size: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None
    """Side of the square input in pixels; by default the reference network's."""
    channels: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Channels of the input, 1, 3 or 4; by default the reference network's."""
    num_classes: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Number of classes; by default the reference network's."""
    knob: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=VALUE")] = ()
    """A switch of the network as NAME=VALUE, e.g. alpha=0.5; repeatable."""
    markdown: bool = False
    """Print the table of networks as Markdown, for the README."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    arguments = tyro.cli(
        Arguments,
        args=argv,
        prog="python -m cnn_keras",
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    try:
        if arguments.name is None:
            print(as_markdown(catalogue()) if arguments.markdown else as_text(catalogue()))
        else:
            show(arguments)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def catalogue() -> Table:
    """Return the table of networks: a header, then a row a network."""
    header = ("network", "paper", "input", "parameters", "MACs (M)", "published top-1")
    return [header, *(_catalogue_row(cnn_keras.get(name)) for name in cnn_keras.names())]


def _catalogue_row(variant: Variant) -> tuple[str, ...]:
    best = next((p for p in variant.published if p.top1 is not None), None)
    return (
        variant.name,
        variant.paper,
        f"{variant.input_size} x {variant.input_size} x {variant.channels}",
        f"{variant.params:,}",
        f"{variant.macs / 1e6:,.2f}",
        f"{best.top1:g} % {best.dataset} ({best.source})" if best else "",
    )


def show(arguments: Arguments) -> None:
    """Print one network layer by layer, with its sums."""
    variant = cnn_keras.get(arguments.name)
    switches = knobs.parse(arguments.knob)
    variant.check_knobs(switches)
    size = arguments.image_size or variant.input_size
    variant.check_size(size, size)
    quietly_import_keras()
    shape = (size, size, arguments.channels or variant.channels)
    num_classes = arguments.num_classes or variant.num_classes
    rows = analysis.rows(cnn_keras.build(variant.name, shape, num_classes, **switches))
    print(f"{variant.name}: {variant.summary}\n{variant.paper}, {variant.url}")
    print(
        "Switches: " + ", ".join(f"{k}={v}" for k, v in {**variant.available_knobs, **switches}.items())
    )
    print()
    header = ("layer", "kind", "output", "parameters", "MACs", "memory (kB)", "sees (px)", "stride")
    body = [
        (
            row.name,
            row.kind,
            " x ".join(map(str, row.output_shape)),
            f"{row.params:,}",
            f"{row.macs:,}",
            f"{row.activation_bytes / 1000:,.1f}",
            "all" if math.isinf(row.field.size) else f"{row.field.size}",
            "" if math.isinf(row.field.size) else f"{row.field.stride}",
        )
        for row in rows
    ]
    total = (
        "sum",
        f"{len(rows)} layers",
        "",
        f"{sum(r.params for r in rows):,}",
        f"{sum(r.macs for r in rows):,}",
        f"{sum(r.activation_bytes for r in rows) / 1000:,.1f}",
        "",
        "",
    )
    print(as_text([header, *body, total]))
    print(
        "\nparameters: trainable ones; MACs: multiply-adds for one image without bias and normalisation;"
        "\nmemory: the layer's output for one image in float32; sees: side of the receptive field of one"
        "\noutput position, in input pixels; stride: input pixels between neighbouring positions."
    )


if __name__ == "__main__":
    sys.exit(main())
