"""What the runs of a cross-validation or a bootstrap say together."""

import base64
import io
import math
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from scipy import stats

from cnn_keras.tables import as_text
from training.report import plots
from training.runs import command
from training.runs.command import log
from training.runs.files import write_json, write_text

LEVEL = 0.95
WORDS = {
    "top1": "top-1",
    "top5": "top-5",
    "mean_average_precision": "mean AP",
    "micro_f1": "micro F1",
    "macro_f1": "macro F1",
    "exact_match": "all labels right",
    "loss": "loss",
}
SHARES = tuple(key for key in WORDS if key != "loss")  # fractions 0..1, shown as percentages
ACCURACY = {"top1": "accuracy", "exact_match": "share of pictures with all labels right"}
METHODS = {
    "kfold": (
        "95 % interval: of the mean, by Student's t over the folds. Folds share training pictures, so "
        "they are not independent, and it is too narrow as a rule. The corrected interval takes the "
        "variance of Nadeau and Bengio (2003): 1 / runs + tested / trained in place of 1 / runs."
    ),
    "bootstrap": (
        "95 % interval: the percentiles 2.5 and 97.5 of the out-of-bag figures, which say little of few "
        "samples. Each sample trains on about 63 % of the pictures, so the mean is a cautious one."
    ),
}


def summarise(rows: list[dict[str, Any]], method: str) -> dict[str, Any]:
    """Sum up the runs of a study.

    Args:
        rows: Of `training.runs.study.read`, one a run.
        method: "kfold" or "bootstrap".

    Returns:
        method; interval_method, in words; metrics: for each its mean, its standard deviation over the
        runs (n - 1; None for one run), its 95 % interval and, for folds, the corrected one; runs.
    """
    metrics = {}
    ratio = np.mean([row["n"] / (row["trained_on"] + row["validated_on"]) for row in rows])
    for key in _words(rows):
        values = np.array([row[key] for row in rows])
        high = 1.0 if key in SHARES else math.inf
        entry: dict[str, Any] = {
            "mean": float(values.mean()),
            "std": float(values.std(ddof=1)) if len(values) > 1 else None,
            "interval": None,
        }
        if len(values) > 1 and method == "kfold":
            entry["interval"] = student(values, 1 / len(values), high)
            entry["corrected_interval"] = student(values, 1 / len(values) + ratio, high)
        elif len(values) > 1:
            entry["interval"] = [float(v) for v in np.percentile(values, [2.5, 97.5])]
        metrics[key] = entry
    return {"method": method, "interval_method": METHODS[method], "metrics": metrics, "runs": rows}


def student(values: np.ndarray, factor: float, high: float = math.inf) -> list[float]:
    """Return the two-sided 95 % interval of a mean by Student's t.

    Args:
        values: float (n,), n at least 2.
        factor: What the values' variance is multiplied by to be that of their mean: 1 / n where they are
            independent.
        high: The interval is cut at 0 and here.
    """
    half = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * values.std(ddof=1) * math.sqrt(factor)
    mean = values.mean()
    return [float(max(mean - half, 0.0)), float(min(mean + half, high))]


def table(summary: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return header, runs, and what sums them up, as text."""
    words = _words(summary["runs"])
    rows = [("run", "trained on", "tested on", *words.values())]
    for run in summary["runs"]:
        figures = (_shown(key, run[key]) for key in words)
        rows.append((run["run"], f"{run['trained_on']:,}", f"{run['n']:,}", *figures))
    for word, key in (("mean", "mean"), ("standard deviation", "std")):
        figures = (_shown(metric, summary["metrics"][metric][key]) for metric in words)
        rows.append((word, "", "", *figures))
    for word, key in (("95 % interval", "interval"), ("corrected interval", "corrected_interval")):
        intervals = [summary["metrics"][metric].get(key) for metric in words]
        if all(intervals):
            figures = (
                f"{_shown(metric, low, bare=True)} to {_shown(metric, high)}"
                for metric, (low, high) in zip(words, intervals, strict=True)
            )
            rows.append((word, "", "", *figures))
    return rows


def write_report(root: Path, summary: dict[str, Any], arch: str, data: str, notices: list[str]) -> None:
    """Write crossval.json, crossval.html and plots/folds.png.

    Args:
        root: Folder of the study.
        summary: Of `summarise`.
        arch: Name of the network.
        data: The value of --data.
        notices: What the user should know about the data.
    """
    write_json(root / "crossval.json", summary)
    key = next(key for key in ACCURACY if key in summary["metrics"])
    figure = plots.folds(summary["runs"], key, ACCURACY[key], summary["metrics"][key]["mean"])
    plots.save(figure, root / "plots" / "folds.png")
    image = io.BytesIO()
    figure.savefig(image, dpi=120, bbox_inches="tight")
    template = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True
    ).get_template("folds.html")
    page = template.render(
        title=root.name,
        subtitle=f"{arch} on {data}",
        accuracy=ACCURACY[key],
        mean=summary["metrics"][key]["mean"],
        runs=summary["runs"],
        method=summary["interval_method"],
        table=table(summary),
        plot=f"data:image/png;base64,{base64.b64encode(image.getvalue()).decode()}",
        notices=notices,
        command=command.line(),
    )
    write_text(root / "crossval.html", page)


def conclude(root: Path, summary: dict[str, Any]) -> None:
    """Print the table and where everything is."""
    log.info("\n%s\n\n%s\n", as_text(table(summary)), summary["interval_method"])
    log.info("runs      %s\nreport    %s", root, root / "crossval.html")


def _words(runs: list[dict[str, Any]]) -> dict[str, str]:
    """Return what the figures of runs are called: those that all of them have."""
    return {key: word for key, word in WORDS.items() if all(run.get(key) is not None for run in runs)}


def _shown(metric: str, value: float | None, *, bare: bool = False) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.2f}{'' if bare else ' %'}" if metric in SHARES else f"{value:.4f}"
