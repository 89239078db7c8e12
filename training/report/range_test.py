"""What a range test leaves: a plot, a table, a JSON file."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from training.report.plots import TRAIN, VAL, save
from training.runs.files import write_json, write_table


def write_report(
    folder: Path,
    facts: dict[str, Any],
    rates: np.ndarray,
    losses: np.ndarray,
    smoothed: np.ndarray,
    title: str,
) -> None:
    """Write lr_find.png, lr_find.csv and lr_find.json into a folder.

    Args:
        folder: Where they go.
        facts: What lr_find.json says; `suggested` is the rate, or None.
        rates: float64 (n,): the rate of each step.
        losses: float64 (n,): its loss.
        smoothed: float64 (n,): the same without the noise.
        title: Title of the plot.
    """
    columns = [column.tolist() for column in (rates, losses, smoothed)]
    header = ("step", "learning_rate", "loss", "smoothed_loss")
    write_table(folder / "lr_find.csv", [header, *zip(range(len(rates)), *columns, strict=True)])
    save(draw(rates, losses, smoothed, facts["suggested"], title), folder / "lr_find.png")
    write_json(folder / "lr_find.json", facts)


def draw(
    rates: np.ndarray, losses: np.ndarray, smoothed: np.ndarray, suggested: float | None, title: str
) -> Figure:
    """Draw the loss over the rate; the arguments are those of `write_report`."""
    figure = Figure(figsize=(8, 4.2))
    axes = figure.subplots()
    axes.plot(rates, losses, color=TRAIN, linewidth=0.8, label="loss of each step")
    axes.plot(rates, smoothed, color=VAL, linewidth=2, label="smoothed")
    if suggested is not None:
        place = int(np.argmin(np.abs(np.log(rates / suggested))))
        axes.axvline(suggested, color=VAL, linewidth=1, linestyle="--")
        axes.plot(
            [suggested], [smoothed[place]], "o", color=VAL, label=f"steepest descent: {suggested:g}"
        )
    low, high = smoothed.min(), smoothed[: max(len(smoothed) // 2, 1)].max()
    room = max(high - low, 1e-6)
    axes.set_ylim(max(low - 0.15 * room, 0), high + 0.6 * room)  # the end, where it diverges, is cut off
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.set_title(title, loc="left", parse_math=False)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(framealpha=0.85, edgecolor="none", loc="lower left")
    return figure
