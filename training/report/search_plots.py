"""Plots of a search and of a sweep."""

import itertools
import math
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.report.plots import TRAIN, VAL
from training.runs.space import shown

COLOURS = mpl.colormaps["viridis"]
WORDS = {"accuracy": "accuracy, %", "loss": "loss", "seconds": "seconds of training"}
LOG_FROM = 20  # an axis of positive numbers whose ends have this ratio is logarithmic


def is_log(values: list) -> bool:
    """Tell whether values are better shown on a logarithmic axis."""
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if not numbers or min(values) <= 0:
        return False
    ordered = sorted(set(values))
    ratios = {round(b / a, 2) for a, b in itertools.pairwise(ordered)}
    return max(values) / min(values) >= LOG_FROM or (len(ordered) > 2 and len(ratios) == 1)


def parallel(summary: dict[str, Any]) -> Figure:
    """Draw each trial as a line over one axis a setting, coloured by what it reached.

    Args:
        summary: Of `training.report.search.summarise`.
    """
    names, metric = summary["names"], summary["metric"]
    done = [row for row in summary["rows"] if row["state"] == "done"]
    pruned = [row for row in summary["rows"] if row["state"] == "pruned"]
    figure = Figure(figsize=(max(6.5, 2.0 * (len(names) + 1)), 4.4))
    axes = figure.subplots()
    columns = [_place([row["params"][n] for row in done + pruned]) for n in names]
    values = [_percent(metric, row[metric]) for row in done]
    worst, best = (min(values), max(values)) if metric == "accuracy" else (max(values), min(values))
    span = (best - worst) or 1.0
    shares = [(value - worst) / span for value in values]
    for i in range(len(pruned)):
        line = [places[len(done) + i] for places, _ in columns]
        axes.plot(range(len(names)), line, color=TRAIN, linewidth=1.2, linestyle=":")
    for i in np.argsort(shares):  # the best on top
        line = [*(places[i] for places, _ in columns), shares[i]]
        width = 2.4 if shares[i] == max(shares) else 1.1
        axes.plot(range(len(line)), line, color=COLOURS(0.9 * (1 - shares[i])), linewidth=width)
    ends = [(0.0, f"{worst:.4g}"), (1.0, f"{best:.4g}")]
    for x, ticks in enumerate([*(ticks for _, ticks in columns), ends]):
        axes.axvline(x, color="black", linewidth=0.8)
        for place, text in ticks:
            axes.annotate(
                text,
                (x, place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                parse_math=False,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6},
            )
    axes.set_xticks(range(len(names) + 1), [*names, WORDS[metric]], parse_math=False)
    axes.set_yticks([])
    axes.set_xlim(-0.15, len(names) + 0.45)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def _place(values: list) -> tuple[list[float], list[tuple[float, str]]]:
    """Return where values are on an axis from 0 to 1, and its ticks."""
    unique = list(dict.fromkeys(values))
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in unique)
    unique.sort(key=None if numbers else str)
    if len(unique) <= 8:  # evenly, whatever they are
        at = {value: i / (len(unique) - 1) if len(unique) > 1 else 0.5 for i, value in enumerate(unique)}
        return [at[value] for value in values], [(place, shown(value)) for value, place in at.items()]
    if not numbers:
        at = {value: i / (len(unique) - 1) for i, value in enumerate(unique)}
        return [at[value] for value in values], [(place, shown(value)) for value, place in at.items()]
    scale = math.log if is_log(unique) else float
    low, high = scale(unique[0]), scale(unique[-1])
    places = [(scale(value) - low) / (high - low) for value in values]
    back = math.exp if scale is math.log else float
    return places, [(s, f"{back(low + s * (high - low)):.2g}") for s in (0, 0.25, 0.5, 0.75, 1)]


def progress(summary: dict[str, Any]) -> Figure:
    """Draw what each trial reached, and the best so far."""
    metric = summary["metric"]
    figure = Figure(figsize=(8, 3.4))
    axes = figure.subplots()
    for state, colour, marker in (("done", VAL, "o"), ("pruned", TRAIN, "x")):
        rows = [row for row in summary["rows"] if row["state"] == state and metric in row]
        values = [_percent(metric, row[metric]) for row in rows]
        if rows:
            label = state if state == "done" else "pruned: what it had by then"
            axes.plot([row["trial"] for row in rows], values, marker, color=colour, label=label)
    done = [row for row in summary["rows"] if row["state"] == "done"]
    running = np.maximum if metric == "accuracy" else np.minimum
    best = running.accumulate([_percent(metric, row[metric]) for row in done])
    axes.step([row["trial"] for row in done], best, where="post", color=VAL, label="the best so far")
    _finish(axes, "trial", metric)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)
    return figure


def importance(importances: dict[str, float]) -> Figure:
    """Draw the share of each setting, the largest above."""
    names = sorted(importances, key=importances.get)
    figure = Figure(figsize=(8, 0.6 + 0.42 * len(names)))
    axes = figure.subplots()
    bars = axes.barh(range(len(names)), [importances[name] for name in names], color=VAL)
    axes.bar_label(bars, fmt="%.2f", padding=4)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_xlim(0, 1.08)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def sweep(summary: dict[str, Any]) -> Figure:
    """Draw accuracy, loss and time against the setting: a dot a trial, means, standard deviations."""
    name, entries = summary["names"][0], summary["values"]
    values = [entry["value"] for entry in entries]
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    x = values if numbers else list(range(len(values)))
    at = dict(zip(values, x, strict=True))
    figure = Figure(figsize=(12, 3.6))
    for axes, key in zip(figure.subplots(1, 3), WORDS, strict=True):
        means = [_percent(key, entry[key]["mean"]) for entry in entries]
        spread = [_percent(key, entry[key]["std"] or 0.0) for entry in entries]
        style = {"color": VAL, "marker": "o", "capsize": 4, "linestyle": "-" if numbers else "none"}
        axes.errorbar(x, means, yerr=spread if any(spread) else None, **style)
        for row in summary["rows"]:
            if row["state"] == "done" and any(entry["n"] > 1 for entry in entries):
                place = at[row["params"][name]]
                axes.plot(place, _percent(key, row[key]), "o", color=TRAIN, markersize=4, zorder=3)
        if is_log(values):
            axes.set_xscale("log")
            axes.minorticks_off()
        if len(values) <= 8 or not numbers:
            axes.set_xticks(x, [shown(value) for value in values], parse_math=False)
            if not numbers and len(values) > 3:
                axes.tick_params("x", rotation=45)
        if key == "accuracy" and axes.get_ylim()[1] > 100:
            axes.set_ylim(top=100.5)
        _finish(axes, name, key)
    figure.tight_layout()
    return figure


def curves(summary: dict[str, Any]) -> Figure:
    """Draw validation loss and accuracy over the epochs, a line a value, the mean of its trials."""
    name, entries = summary["names"][0], summary["values"]
    figure = Figure(figsize=(12, 3.8))
    for axes, column in zip(figure.subplots(1, 2), ("val_loss", "val_accuracy"), strict=True):
        for i, entry in enumerate(entries):
            rows = [r for r in summary["rows"] if r["state"] == "done"]
            histories = [r["history"] for r in rows if r["params"][name] == entry["value"]]
            lines = [history[column] for history in histories if column in history]
            if not lines:
                continue
            length = min(map(len, lines))
            mean = np.mean([line[:length] for line in lines], axis=0)
            key = "accuracy" if column == "val_accuracy" else "loss"
            colour = COLOURS(0.9 * i / max(len(entries) - 1, 1))
            mean = [_percent(key, value) for value in mean]
            axes.plot(range(1, length + 1), mean, color=colour, label=shown(entry["value"]))
            _finish(axes, "epoch", key)
        axes.set_title("validation", loc="left", fontsize=10)
        axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, title=name, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    return figure


def _percent(metric: str, value: float) -> float:
    return 100 * value if metric == "accuracy" else value


def _finish(axes: Axes, x: str, key: str) -> None:
    axes.set_xlabel(x, parse_math=False)
    axes.set_ylabel(WORDS[key])
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
