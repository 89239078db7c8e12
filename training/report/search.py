"""What a search or a sweep leaves: a page, tables, plots, the command of the best."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from cnn_keras.tables import as_text
from training.report import plots, search_plots
from training.runs import command
from training.runs.command import log
from training.runs.files import write_json, write_table, write_text
from training.runs.space import shown

FINISHED = ("done", "pruned", "failed")
LISTED = 10  # best trials on the terminal
FIGURES = ("accuracy", "loss", "seconds")


def summarise(
    rows: list[dict[str, Any]],
    names: list[str],
    *,
    metric: str,
    sweep: bool,
    limit: int,
    command_of: Callable[[dict[str, Any]], str],
) -> dict[str, Any]:
    """Sum up a study.

    Args:
        rows: Of `training.engine.search.SharedStudy.rows`.
        names: Of the settings that were varied.
        metric: "accuracy" or "loss": what the best is the best by.
        sweep: Whether one setting was tried value by value.
        limit: Number of trials of the whole study.
        command_of: Returns the fit command of a point.

    Returns:
        counts: of trials by state; left: trials still to be done; best: the best row, or of a sweep the
        best entry of `values`; fit_command, its own; values: of a sweep, for each value the mean and
        the standard deviation (n - 1; None for one) of accuracy, loss and seconds; rows, by number.
    """
    done = [row for row in rows if row["state"] == "done"]
    summary: dict[str, Any] = {
        "metric": metric,
        "sweep": sweep,
        "names": names,
        "limit": limit,
        "counts": {s: n for s in (*FINISHED, "running") if (n := sum(r["state"] == s for r in rows))},
        "left": max(limit - sum(row["state"] in FINISHED for row in rows), 0),
        "best": None,
        "fit_command": None,
        "values": _values(done, names[0]) if sweep else [],
        "rows": rows,
    }
    candidates = summary["values"] if sweep else done
    if candidates:
        best = min(candidates, key=lambda entry: rank(entry, metric, mean=sweep))
        summary["best"] = best
        summary["fit_command"] = command_of({names[0]: best["value"]} if sweep else best["params"])
    return summary


def rank(row: dict[str, Any], metric: str, *, mean: bool = False) -> tuple[float, float]:
    """Return what the best row has the least of; of equal accuracies, that is the lowest loss."""
    accuracy, loss = ((row[k]["mean"] if mean else row[k]) for k in ("accuracy", "loss"))
    return (loss, -accuracy) if metric == "loss" else (-accuracy, loss)


def _values(done: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Sum up the trials of each value, numbers in their order."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in done:
        groups.setdefault(row["params"][name], []).append(row)
    if all(isinstance(value, int | float) for value in groups):
        groups = dict(sorted(groups.items()))
    entries = []
    for value, rows in groups.items():
        entry: dict[str, Any] = {"value": value, "n": len(rows)}
        for key in FIGURES:
            figures = np.array([row[key] for row in rows])
            deviation = float(figures.std(ddof=1)) if len(rows) > 1 else None
            entry[key] = {"mean": float(figures.mean()), "std": deviation}
        entries.append(entry)
    return entries


def table(summary: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return header and rows as text: the best trial first; of a sweep, the values."""
    if summary["sweep"]:
        header = (summary["names"][0], "trials", *FIGURES)
        return [header, *(_value_row(entry) for entry in summary["values"])]
    names = summary["names"]
    order = {state: i for i, state in enumerate((*FINISHED, "running", "waiting"))}
    rows = sorted(
        summary["rows"],
        key=lambda r: (
            order[r["state"]],
            rank(r, summary["metric"]) if r["state"] == "done" else (r["trial"],),
        ),
    )
    cells = [("trial", "state", *names, "accuracy", "loss", "epoch", "seconds")]
    for row in rows:
        cells.append(
            (
                str(row["trial"]),
                row["state"],
                *(shown(row["params"][name]) for name in names),
                _shown("accuracy", row.get("accuracy")),
                _shown("loss", row.get("loss")),
                f"{row['epoch']}/{row['epochs']}" if "epoch" in row else "-",
                _shown("seconds", row.get("seconds")),
            )
        )
    return cells


def write_report(
    root: Path, summary: dict[str, Any], importances: dict[str, float], arch: str, data: str
) -> None:
    """Write search.json, trials.csv, search.html and plots/*.png into the folder of the study.

    Args:
        root: The folder.
        summary: Of `summarise`.
        importances: Of `SharedStudy.importances`.
        arch: Name of the network.
        data: The value of --data.
    """
    write_json(root / "search.json", summary | {"importances": importances, "command": command.line()})
    _write_trials(root / "trials.csv", summary)
    figures = []
    done = any(row["state"] == "done" for row in summary["rows"])
    if done and summary["sweep"]:
        figures += [("sweep", search_plots.sweep(summary)), ("curves", search_plots.curves(summary))]
    elif done:
        figures += [
            ("parallel_coordinates", search_plots.parallel(summary)),
            ("progress", search_plots.progress(summary)),
        ]
        if importances:
            figures.append(("importance", search_plots.importance(importances)))
    for name, figure in figures:
        plots.save(figure, root / "plots" / f"{name}.png")
    template = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True
    ).get_template("search.html")
    page = template.render(
        title=root.name,
        subtitle=f"{arch} on {data}: "
        + ("what " if summary["sweep"] else "")
        + ", ".join(summary["names"])
        + (" does" if summary["sweep"] else ""),
        summary=summary,
        headline=_headline(summary),
        table=table(summary),
        errors=[(row["trial"], row["error"]) for row in summary["rows"] if "error" in row],
        plots={name: _embedded(root / "plots" / f"{name}.png") for name, _ in figures},
        command=command.line(),
    )
    write_text(root / "search.html", page)


def conclude(root: Path, summary: dict[str, Any]) -> None:
    """Print the best trials, and where everything is.

    Raises:
        RuntimeError: If every trial failed.
    """
    failed = [row for row in summary["rows"] if row["state"] == "failed"]
    if failed and not summary["best"] and not summary["left"]:
        raise RuntimeError(f"no trial came through; trial {failed[0]['trial']}: {failed[0]['error']}")
    lines = table(summary)
    log.info("\n%s", as_text(lines if summary["sweep"] else lines[: LISTED + 1]))
    if len(lines) > LISTED + 1 and not summary["sweep"]:
        log.info("...")
    log.info("\n%s\n", _headline(summary))
    for name, path in {
        "study": root,
        "report": root / "search.html",
        "table": root / "trials.csv",
    }.items():
        log.info("%-9s %s", name, path)
    if summary["fit_command"]:
        log.info("\nthe best:\n%s", summary["fit_command"])


def _headline(summary: dict[str, Any]) -> str:
    counts = ", ".join(f"{n} {state}" for state, n in summary["counts"].items()) or "no trial yet"
    left = f", {summary['left']} still to be done" if summary["left"] else ""
    return f"trials: {counts}{left}; figures of the validation pictures"


def _write_trials(path: Path, summary: dict[str, Any]) -> None:
    """Write one row a trial, in their order, every digit kept."""
    keys = ("accuracy", "loss", "epoch", "epochs", "seconds", "run", "same_as", "error")
    names = [*summary["names"], *(["seed"] if summary["sweep"] else [])]
    rows = [("trial", "state", *names, *keys)]
    for row in summary["rows"]:
        point = ("none" if row["params"][name] is None else row["params"][name] for name in names)
        rows.append((row["trial"], row["state"], *point, *(row.get(key, "") for key in keys)))
    write_table(path, rows)


def _value_row(entry: dict[str, Any]) -> tuple[str, ...]:
    cells = [shown(entry["value"]), str(entry["n"])]
    for key in FIGURES:
        mean, deviation = entry[key]["mean"], entry[key]["std"]
        text = _shown(key, mean)
        cells.append(text if deviation is None else f"{text} +- {_shown(key, deviation)}")
    return tuple(cells)


def _shown(key: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.2f} %" if key == "accuracy" else f"{value:.{1 if key == 'seconds' else 4}f}"


def _embedded(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
