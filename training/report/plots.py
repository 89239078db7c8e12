"""Plots of a run, as PNG."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve

from training.runs.files import replaced

mpl.use("agg")

TRAIN, VAL = "#8a8f98", "#1f5fbf"


def save(figure: Figure, path: Path) -> None:
    """Write a figure, whole or not at all."""
    with replaced(path) as temporary:
        figure.savefig(temporary, dpi=120, bbox_inches="tight")


def curves(history: list[dict[str, float]]) -> Figure:
    """Draw loss and accuracy, or the share of pictures with all labels right, over the epochs.

    Args:
        history: Rows of history.csv.
    """
    score = "accuracy" if "accuracy" in history[0] else "exact_match"
    figure = Figure(figsize=(10, 3.6))
    epochs = [row["epoch"] for row in history]
    marker = "o" if len(epochs) < 3 else None
    for axes, name in zip(figure.subplots(1, 2), ("loss", score), strict=True):
        for column, colour, label in ((name, TRAIN, "training"), (f"val_{name}", VAL, "validation")):
            axes.plot(epochs, [row[column] for row in history], color=colour, label=label, marker=marker)
        title = "All labels right" if name == "exact_match" else name.capitalize()
        axes.set_title(title, loc="left")
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


def precision_recall(
    labels: np.ndarray, probabilities: np.ndarray, class_names: tuple[str, ...], threshold: float
) -> Figure:
    """Draw precision against recall of each class that has pictures, with a dot at the threshold.

    Args:
        labels: int (n, classes) of 0 and 1.
        probabilities: float (n, classes).
        class_names: In the order of the columns.
        threshold: Where the dots are.
    """
    figure = Figure(figsize=(7.5, 4.5))
    axes = figure.subplots()
    there = np.flatnonzero(labels.any(axis=0))
    named = len(there) <= 20
    colours = mpl.colormaps["tab10" if len(there) <= 10 else "tab20"]
    for n, i in enumerate(there):
        style = {"color": colours(n)} if named else {"color": TRAIN, "alpha": 0.5, "linewidth": 0.8}
        precision, recall, _ = precision_recall_curve(labels[:, i], probabilities[:, i])
        axes.step(recall, precision, where="post", **style)
        told = probabilities[:, i] >= threshold
        right = (told & (labels[:, i] == 1)).sum()
        if told.any():
            axes.plot(right / labels[:, i].sum(), right / told.sum(), "o", markersize=5, **style)
        if named:
            name = class_names[i].replace("$", r"\$")  # "$" in a name is no formula
            axes.plot([], [], label=name if not name.startswith("_") else f" {name}", **style)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if named and len(there):
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.02, 1.0), fontsize=8)
    return figure


def folds(runs: list[dict], key: str, word: str, mean: float) -> Figure:
    """Draw the accuracy of each run of a study with its interval, and their mean.

    Args:
        runs: Each with "run" and, by its key, the accuracy and its interval, "KEY_interval".
        key: Which figure the accuracy is.
        word: What it is called.
        mean: Over the runs, 0..1.
    """
    figure = Figure(figsize=(10, max(1.6, 0.28 * len(runs) + 0.9)))
    axes = figure.subplots()
    places = range(len(runs))
    values = [100 * run[key] for run in runs]
    ends = [[100 * end for end in run[f"{key}_interval"]] for run in runs]
    sides = [[v - low for v, (low, _) in zip(values, ends, strict=True)]]
    sides += [[high - v for v, (_, high) in zip(values, ends, strict=True)]]
    axes.errorbar(values, places, xerr=sides, fmt="o", color=VAL, ecolor=TRAIN, capsize=3)
    axes.axvline(100 * mean, color=VAL, linewidth=1)
    axes.set_yticks(places, [run["run"] for run in runs])
    axes.set_ylim(len(runs) - 0.5, -0.5)
    axes.set_xlabel(f"{word}, %")
    axes.grid(alpha=0.25, axis="x")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
