"""Plots of a run, as PNG."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from training.runs.files import replaced

mpl.use("agg")

TRAIN, VAL = "#8a8f98", "#1f5fbf"


def save(figure: Figure, path: Path) -> None:
    """Write a figure, whole or not at all."""
    with replaced(path) as temporary:
        figure.savefig(temporary, dpi=120, bbox_inches="tight")


def curves(history: list[dict[str, float]]) -> Figure:
    """Draw loss and accuracy over the epochs.

    Args:
        history: Rows of history.csv.
    """
    figure = Figure(figsize=(10, 3.6))
    epochs = [row["epoch"] for row in history]
    marker = "o" if len(epochs) < 3 else None
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for column, colour, label in ((name, TRAIN, "training"), (f"val_{name}", VAL, "validation")):
            axes.plot(epochs, [row[column] for row in history], color=colour, label=label, marker=marker)
        axes.set_title(name.capitalize(), loc="left")
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return figure


def confusion(matrix: list[list[int]], class_names: tuple[str, ...]) -> Figure:
    """Draw a confusion matrix: rows true, columns predicted, shaded by share of the true class."""
    counts = np.array(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    n = len(class_names)
    side = min(max(3.5, 0.45 * n + 1.5), 20)
    figure = Figure(figsize=(side, side))
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    labelled = n <= 60
    ticks, names = (range(n), class_names) if labelled else ([], [])
    axes.set_xticks(ticks, names, rotation=90, parse_math=False)  # "$" in a name is no formula
    axes.set_yticks(ticks, names, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.spines[:].set_visible(False)
    if n <= 30:
        for i, j in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, counts[i, j], ha="center", va="center", color=colour, fontsize=8)
    return figure


def folds(runs: list[dict], top1: dict) -> Figure:
    """Draw the accuracy of each run of a study with its interval, and their mean.

    Args:
        runs: Each with "run", "top1" and "top1_interval".
        top1: With "mean".
    """
    figure = Figure(figsize=(10, max(1.6, 0.28 * len(runs) + 0.9)))
    axes = figure.subplots()
    places = range(len(runs))
    values = [100 * run["top1"] for run in runs]
    ends = [[100 * end for end in run["top1_interval"]] for run in runs]
    sides = [[v - low for v, (low, _) in zip(values, ends, strict=True)]]
    sides += [[high - v for v, (_, high) in zip(values, ends, strict=True)]]
    axes.errorbar(values, places, xerr=sides, fmt="o", color=VAL, ecolor=TRAIN, capsize=3)
    axes.axvline(100 * top1["mean"], color=VAL, linewidth=1)
    axes.set_yticks(places, [run["run"] for run in runs])
    axes.set_ylim(len(runs) - 0.5, -0.5)
    axes.set_xlabel("accuracy, %")
    axes.grid(alpha=0.25, axis="x")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
