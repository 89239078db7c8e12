"""`python -m cnn_keras`: the table of networks, one network layer by layer, two side by side."""

import math
import os
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

import cnn_keras
from cnn_keras import analysis, budget, comparison, diagram, knobs, lessons
from cnn_keras.lazy import quietly_import_keras
from cnn_keras.registry import Variant
from cnn_keras.tables import Table, as_markdown, as_text


@dataclass(frozen=True)
class Arguments:
    """Show the catalogue of networks, one network layer by layer, or two side by side."""

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = None
    """Network to show; without it, the table of all."""
    compare: Annotated[str | None, tyro.conf.arg(metavar="NAME2")] = None
    """Put this network beside NAME: the sums, and what each spends at every scale."""
    plot: Annotated[Path | None, tyro.conf.arg(metavar="FILE.svg")] = None
    """Draw the block diagram of NAME."""
    budget: Annotated[str | None, tyro.conf.arg(metavar="CONDITIONS")] = None
    """List the networks, widths and sizes that fit, with their published accuracy: e.g.
    "macs<60M,params<2M" or "top1>70,size<=224". Quantities: macs, params, size, top1, top5, year."""
    image_size: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None
    """Side of the square input in pixels; by default the reference network's."""
    channels: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Channels of the input, 1, 3 or 4; by default the reference network's."""
    num_classes: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Number of classes; by default the reference network's."""
    knob: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=VALUE")] = ()
    """A switch of the network NAME as NAME=VALUE, e.g. alpha=0.5; repeatable."""
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
        check(arguments)
        if arguments.budget is not None:
            print_budget(arguments)
        elif arguments.name is None:
            print(as_markdown(catalogue()) if arguments.markdown else as_text(catalogue()))
        else:
            show(arguments)
    except (ValueError, TypeError, OverflowError) as error:  # of switches with impossible values
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def check(arguments: Arguments) -> None:
    """Raise a ValueError that names the flag that cannot be meant, before TensorFlow loads."""
    given = {
        "--compare": arguments.compare,
        "--plot": arguments.plot,
        "--image-size": arguments.image_size,
        "--channels": arguments.channels,
        "--num-classes": arguments.num_classes,
        "--knob": arguments.knob or None,
    }
    for flag, value in given.items():
        if value is None:
            continue
        if arguments.budget is not None:
            raise ValueError(f"{flag} does not go with --budget, which lists networks as published.")
        if arguments.name is None:
            raise ValueError(f"{flag} needs the NAME of a network: python -m cnn_keras NAME {flag} ...")
    if arguments.markdown and (arguments.name is not None or arguments.budget is not None):
        raise ValueError("--markdown prints the table of all networks: leave NAME and --budget out.")
    for flag in ("--image-size", "--num-classes"):
        if given[flag] is not None and given[flag] < 1:
            raise ValueError(f"{flag} must be 1 or more, not {given[flag]}.")
    if arguments.channels not in (None, 1, 3, 4):
        raise ValueError(f"--channels must be 1, 3 or 4, not {arguments.channels}.")
    if arguments.plot is not None:
        if arguments.plot.suffix.lower() != ".svg":
            raise ValueError(f"--plot writes SVG: the file must end in .svg, not '{arguments.plot}'.")
        if arguments.plot.is_dir() or not os.access(arguments.plot.parent, os.W_OK):
            raise ValueError(
                f"--plot cannot write '{arguments.plot}': it must be a file in a writable folder."
            )


def print_budget(arguments: Arguments) -> None:
    """Print the published networks that meet the conditions, of one name or of all."""
    names = None if arguments.name is None else [arguments.name]
    found = budget.fitting(budget.parse(arguments.budget), names)
    if not found:
        print(f"No network of which the accuracy or the counts are published meets {arguments.budget}.")
        return
    print(as_text(budget.table(found)))
    print("\nAccuracies belong to the weights of the source. --alpha, --knob and --image-size of")
    print("training.fit train these networks on your pictures.")


def catalogue() -> Table:
    """Return the table of networks: a header, then a row a network."""
    header = ("network", "paper", "input", "parameters", "MACs (M)", "published top-1")
    return [header, *(_catalogue_row(cnn_keras.get(name)) for name in cnn_keras.names())]


def _catalogue_row(variant: Variant) -> tuple[str, ...]:
    best = next((p for p in variant.published if p.top1 is not None), None)
    switches = "".join(f"; {key}={value}" for key, value in best.knobs.items()) if best else ""
    return (
        variant.name,
        variant.paper,
        f"{variant.input_size} x {variant.input_size} x {variant.channels}",
        f"{variant.params:,}",
        f"{variant.macs / 1e6:,.2f}",
        f"{best.top1:g} % {best.dataset} ({best.source}{switches})" if best else "",
    )


def show(arguments: Arguments) -> None:
    """Print one network layer by layer with its sums and what it teaches; compare it or draw it."""
    switches = knobs.parse(arguments.knob)
    variant = cnn_keras.get(arguments.name)
    variant.check_knobs(switches)
    other = None if arguments.compare is None else cnn_keras.get(arguments.compare)
    for each in (variant, *([other] if other else [])):
        size = arguments.image_size or each.input_size
        if arguments.image_size is not None and size < each.min_size:
            raise ValueError(
                f"--image-size {size} is too small for {each.name}, which needs at least "
                f"{each.min_size} x {each.min_size}."
            )
    quietly_import_keras()
    model = _build(variant, arguments, switches)
    print(f"{variant.name}: {variant.summary}\n{variant.paper}, {variant.url}")
    print(
        "Switches: " + ", ".join(f"{k}={v}" for k, v in {**variant.available_knobs, **switches}.items())
    )
    print()
    if other is None:
        print_layers(model)
    else:
        print(f"{other.name}: {other.summary}\n{other.paper}, {other.url}\n")
        print_comparison(
            comparison.Measured.of(model, _published(variant, arguments, switches)),
            comparison.Measured.of(_build(other, arguments, {}), _published(other, arguments, {})),
        )
    if arguments.plot is not None:
        text = diagram.draw(cnn_keras.without_auxiliary(model), variant.name, _subtitle(variant, model))
        try:
            diagram.write(arguments.plot, text)
        except OSError as error:
            raise ValueError(f"--plot cannot write '{arguments.plot}': {error.strerror}.") from error
        print(f"\nThe block diagram is {arguments.plot}.")


def _build(variant: Variant, arguments: Arguments, switches: dict):
    size = arguments.image_size or variant.input_size
    shape = (size, size, arguments.channels or variant.channels)
    return cnn_keras.build(variant.name, shape, arguments.num_classes or variant.num_classes, **switches)


def _published(variant: Variant, arguments: Arguments, switches: dict):
    """Return the published accuracy of the very network that is shown, if there is one."""
    changed = (arguments.channels or variant.channels, arguments.num_classes or variant.num_classes)
    if changed != (variant.channels, variant.num_classes):
        return None
    return variant.published_for(switches, arguments.image_size or variant.input_size)


def _subtitle(variant: Variant, model) -> str:
    params, macs = analysis.count_params(model), analysis.count_macs(model)
    return f"{variant.paper} · {diagram.short(params)} parameters · {diagram.short(macs)} MACs"


def print_layers(model) -> None:
    """Print a network layer by layer, its sums and its lessons."""
    rows = analysis.rows(model)
    header = (
        *("layer", "kind", "output", "parameters", "MACs", "memory (kB)"),
        *("sees (px)", "stride", "centre"),
    )
    body = [
        (
            row.name,
            row.kind,
            " x ".join(map(str, row.output_shape)),
            f"{row.params:,}",
            f"{row.macs:,}",
            f"{row.activation_bytes / 1000:,.1f}",
            *_seen(row.field),
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
        *("", "", ""),
    )
    print(as_text([header, *body, total]))
    print(
        "\nparameters: trainable ones; MACs: multiply-adds for one image without bias and normalisation;"
        "\nmemory: the layer's output for one image in float32; sees: side of the receptive field of one"
        "\noutput position, in input pixels; stride: input pixels between neighbouring positions;"
        "\ncentre: middle of the first position's field, where the first pixel of the input is at 0."
    )
    for lesson in lessons.of(model):
        print()
        for line in lesson.splitlines():
            print(line if line.startswith(" ") else textwrap.fill(line, 100))


def _seen(field: analysis.Field) -> tuple[str, str, str]:
    if math.isinf(field.size):
        return "all", "", ""
    return f"{field.size}", f"{field.stride}", f"{field.centre:g}"


def print_comparison(one: comparison.Measured, two: comparison.Measured) -> None:
    """Print two networks side by side."""
    print(as_text(comparison.totals(one, two)))
    print(
        "\nWhat each spends at every scale. Below a network's name: its last output there; layers: those"
    )
    print("with kernels; stride: input pixels between neighbours; head: what sees the whole picture.\n")
    print(as_text(comparison.stages(one, two)))


if __name__ == "__main__":
    sys.exit(main())
