"""The judgement of a run: metrics.json, plots and report.html."""

import base64
import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import keras
import numpy as np
from PIL import Image
from tqdm import tqdm

from training.data.labels import is_multi
from training.data.pipeline import evaluation_batches
from training.data.prepare import Data, Split
from training.phone.engines import Engine, keras_engine
from training.phone.summary import summarise
from training.report import multi_label, plots
from training.report.metrics import measure
from training.report.thumbnails import thumbnail
from training.runs.files import write_json, write_text
from training.runs.task import THRESHOLD

WORDS = {"test": "test", "val": "validation"}
MISTAKES = 24


def probabilities(
    engine: Engine,
    split: Split,
    batch_size: int = 64,
    views: Callable[[np.ndarray], list[np.ndarray]] = lambda images: [images],
) -> np.ndarray:
    """Return the probabilities of every picture, float32 (n, classes).

    Args:
        engine: What computes them.
        split: The pictures.
        batch_size: Pictures a step.
        views: What the model sees of a batch, uint8 (batch, height, width, channels): the result is the
            mean over all of these.
    """
    steps = -(-len(split) // batch_size)
    batches = tqdm(evaluation_batches(split, batch_size), "evaluating", steps, leave=False, disable=None)
    return np.concatenate(
        [np.mean([engine(view) for view in views(images)], axis=0) for images, _ in batches]
    )


def judge(
    model: keras.Model, data: Data, batch_size: int = 64, threshold: float | None = None
) -> dict[str, tuple[dict, np.ndarray]]:
    """Measure a model on the test and validation splits: for each, its metrics and probabilities.

    Args:
        model: From raw pixels to logits.
        data: The pictures; whether they may have several labels decides what the logits mean.
        batch_size: Pictures a step.
        threshold: Of several labels, those of at least this probability are told; by default 0.5.
    """
    judged, engine = {}, keras_engine(model, data.source.multi_label)
    for part in ("test", "val"):
        if part in data.splits:
            split = data.splits[part]
            found = probabilities(engine, split, batch_size)
            judged[part] = measured(split, found, data.class_names, threshold), found
    return judged


def measured(
    split: Split, found: np.ndarray, class_names: tuple[str, ...], threshold: float | None = None
) -> dict[str, Any]:
    """Return the metrics of a split's probabilities: of one class a picture, or of several labels."""
    if not is_multi(split.labels):
        return measure(split.labels, found, class_names)
    told_from = THRESHOLD if threshold is None else threshold
    return multi_label.measure(split.labels, found, class_names, told_from)


def headline(numbers: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics that a card has."""
    several = ("mean_average_precision", "micro_f1", "macro_f1", "exact_match", "hamming_loss")
    keys = several if "exact_match" in numbers else ("top1", "top5")
    return {key: numbers[key] for key in (*keys, "loss", "n")}


def write_report(
    folder: Path,
    title: str,
    card: dict[str, Any],
    data: Data,
    judged: dict[str, tuple[dict, np.ndarray]],
    history: Path | None = None,
) -> None:
    """Write metrics.json, plots/*.png and report.html into a folder.

    Args:
        folder: Where they go.
        title: Title of the page.
        card: The run's card.
        data: The pictures that were judged.
        judged: What `judge` returned.
        history: The run's history.csv, to draw its curves.
    """
    metrics = {part: numbers for part, (numbers, _) in judged.items()}
    main = "test" if "test" in metrics else "val"
    write_json(folder / "metrics.json", metrics)
    split, (numbers, found) = data.splits[main], judged[main]
    if data.source.multi_label:
        page, plot = "multi_label.html", folder / "plots" / "precision_recall.png"
        figure = plots.precision_recall(split.labels, found, data.class_names, numbers["threshold"])
    else:
        page, plot = "page.html", folder / "plots" / "confusion_matrix.png"
        figure = plots.confusion(numbers["confusion_matrix"], data.class_names)
    plots.save(figure, plot)
    rows = _rows(history)
    if rows:
        plots.save(plots.curves(rows), folder / "plots" / "curves.png")
    template = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True
    ).get_template(page)
    page = template.render(
        title=title,
        subtitle=f"{card['architecture']} on {card['data']['source']}, {card['created']}",
        metrics=metrics,
        words=WORDS,
        main=main,
        selected=bool(rows) and "val" in metrics,
        curves=_embedded(folder / "plots" / "curves.png") if rows else None,
        plot=_embedded(plot),
        mistakes=mistakes(split, found, data.class_names, numbers),
        rendering="pixelated" if data.image_size < 100 else "auto",
        notices=[*data.source.notices, *(f"left out: {b.name}: {b.reason}" for b in data.left_out)],
        card=card,
        facts=_facts(card),
        exports=summarise(folder / "export") if (folder / "export" / "export.json").is_file() else None,
    )
    write_text(folder / "report.html", page)


def mistakes(
    split: Split, found: np.ndarray, class_names: tuple[str, ...], numbers: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the wrongly classified pictures with the lowest probability of the truth, worst first."""
    if is_multi(split.labels):
        entries = multi_label.worst(split.labels, found, class_names, numbers["threshold"], MISTAKES)
        return [
            entry
            | {
                "name": Path(split.names[entry["index"]]).name,
                "image": _thumbnail(split.picture(entry["index"])),
            }
            for entry in entries
        ]
    predicted = found.argmax(axis=1)
    wrong = np.flatnonzero(predicted != split.labels)
    truth = found[wrong, split.labels[wrong]]
    return [
        {
            "name": Path(split.names[i]).name,
            "image": _thumbnail(split.picture(i)),
            "predicted": class_names[predicted[i]],
            "probability": float(found[i, predicted[i]]),
            "true": class_names[split.labels[i]],
            "true_probability": float(found[i, split.labels[i]]),
        }
        for i in wrong[np.argsort(truth, kind="stable")][:MISTAKES]
    ]


def _thumbnail(pixels: np.ndarray) -> str:
    return thumbnail(Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels), 224)


def _embedded(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _rows(history: Path | None) -> list[dict[str, float]]:
    if history is None or not history.is_file():
        return []
    with history.open(encoding="utf-8", newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def _facts(card: dict[str, Any]) -> dict[str, str]:
    knobs = ", ".join(f"{k}={v}" for k, v in card["knobs"].items())
    size = card["image_size"]
    return {
        "network": f"{card['architecture']}{f' ({knobs})' if knobs else ''}",
        "input": f"{size} x {size} x {card['channels']} pixels, scaled {card['preprocessing']['scale']}",
        "resize": f"{card['preprocessing']['resize']}; {card['preprocessing']['interpolation']}",
        "data": f"{card['data']['source']}, seed {card['data']['seed']}: "
        + ", ".join(f"{n} {part}" for part, n in card["data"]["pictures"].items()),
        "weights": f"SHA-256 {card['weights_sha256']}",
        "versions": ", ".join(f"{k} {v}" for k, v in card["versions"].items()),
        "commit": card["commit"] or "unknown",
    }
