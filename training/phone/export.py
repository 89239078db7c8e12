"""A run as files for servers and phones, each compared with what was trained."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from training.data.labels import in_order
from training.data.prepare import Data, Split
from training.phone import graph, inspect
from training.phone.agreement import agreement_of, compare_labels
from training.phone.convert import KINDS, convert_in_children
from training.phone.engines import (
    Engine,
    keras_engine,
    probabilities_of,
    saved_model_engine,
    tflite_engine,
)
from training.runs.command import log
from training.runs.files import replaced, write_json, write_text
from training.runs.folder import Run
from training.runs.model import in_float32
from training.runs.task import is_multi_label, threshold_of

MIN_AGREEMENT = {"int8": 0.97}
DEFAULT_MIN_AGREEMENT = 0.99
CALIBRATION_PICTURES = 200
BATCH = 32
SAVED_MODEL = "saved_model/1"


def export_run(
    run: Run,
    card: dict[str, Any],
    model: keras.Model,
    data: Data,
    *,
    tflite: bool = True,
    min_agreement: float | None = None,
    max_images: int | None = None,
) -> list[str]:
    """Export a run and compare every file with the Keras model.

    Args:
        run: The run folder; its export/ is replaced as a whole when all files are written.
        card: Its card.
        model: From raw pixels to logits; its layers compute in float32.
        data: Held-out pictures to compare on, and training pictures for the ranges of int8.
        tflite: Whether to write the TFLite files.
        min_agreement: Share of pictures on which a file must choose the Keras model's class, or tell the
            same labels, all of them; by default 0.99, and 0.97 for int8.
        max_images: Pictures to compare on, at most; None for all.

    Returns:
        What is wrong with the files that keep their promise badly, a text each.
    """
    model = in_float32(model)
    part = "test" if "test" in data.splits else "val"
    pictures, labels = _sample(data.splits[part], max_images)
    multi_label, threshold = is_multi_label(card), threshold_of(card)
    expected = in_batches(keras_engine(model, multi_label), pictures)
    report: dict[str, Any] = {}
    with replaced(run.export) as folder:
        folder.mkdir()
        log.info("exporting SavedModel")
        write_saved_model(model, card, folder / SAVED_MODEL)
        write_text(folder / "labels.txt", "\n".join(card["class_names"]) + "\n")
        engine = saved_model_engine(folder / SAVED_MODEL)
        report[SAVED_MODEL] = {
            "bytes": sum(f.stat().st_size for f in (folder / SAVED_MODEL).rglob("*") if f.is_file()),
            "operators": _graph_operators(folder / SAVED_MODEL),
            **compare(engine, pictures, labels, expected, threshold),
        }
        if tflite:
            log.info("exporting TFLite: %s", ", ".join(KINDS))
            calibration, _ = _sample(data.splits.get("train", data.splits[part]), CALIBRATION_PICTURES)
            files = {kind: folder / run.tflite(kind).name for kind in KINDS}
            write_tflite(model, calibration, files, multi_label)
            for kind in KINDS:
                path = files[kind]
                report[path.name] = {
                    "bytes": path.stat().st_size,
                    "operators": inspect.operators(path),
                    **inspect.ends(path),
                    **compare(tflite_engine(path, threads=2), pictures, labels, expected, threshold),
                }
        for name, entry in report.items():
            kind = name.removeprefix("model_").removesuffix(".tflite")
            entry["min_agreement"] = (
                MIN_AGREEMENT.get(kind, DEFAULT_MIN_AGREEMENT)
                if min_agreement is None
                else min_agreement
            )
            entry["problems"] = _problems(folder / name, kind, entry)
            entry["pictures"] = part
        write_json(folder / "export.json", report)
    return [f"{run.export / name}: {p}" for name, entry in report.items() for p in entry["problems"]]


def gate_by_gate(model: keras.Model) -> None:
    """Let LSTM and GRU cells compute each gate by a product of its own.

    The gates that act on the state do nothing in the first step, where it is zero. Where one product is
    split among all gates, TFLite's converter leaves the dead part, and with it the split, in float.
    """
    for layer in model.layers:
        for side in (getattr(layer, "forward_layer", layer), getattr(layer, "backward_layer", layer)):
            if isinstance(side, keras.layers.LSTM | keras.layers.GRU):
                side.cell.implementation = 1


def write_saved_model(model: keras.Model, card: dict[str, Any], path: Path) -> None:
    """Write a SavedModel with three signatures.

    - `serving_default`: `image`, float32 (n, height, width, channels), raw 0..255, to `probabilities`,
      float32 (n, classes);
    - `serve_uint8`: the same from uint8;
    - `serve_jpeg`: `encoded`, string (n,), JPEG, PNG, BMP, GIF or WebP files of any size, to
      `probabilities` and `class_names`, string (n, classes).
    """
    height, width, channels = model.input_shape[1:]
    names = tf.constant(card["class_names"])

    probabilities = probabilities_of(model, is_multi_label(card))

    def classify(image):
        return {"probabilities": probabilities(tf.cast(image, tf.float32))}

    def classify_files(encoded):
        pictures = tf.map_fn(
            lambda one: graph.picture(one, height, channels), encoded, fn_output_signature=tf.uint8
        )
        found = classify(pictures)
        labels = tf.tile(names[tf.newaxis], [tf.shape(encoded)[0], 1])
        return {**found, "class_names": labels}

    def image(dtype):
        return tf.TensorSpec((None, height, width, channels), dtype, name="image")

    files = tf.TensorSpec((None,), tf.string, name="encoded")
    functions = {
        "serving_default": tf.function(classify, [image(tf.float32)]),
        "serve_uint8": tf.function(classify, [image(tf.uint8)]),
        "serve_jpeg": tf.function(classify_files, [files]),
    }
    _save(model, functions, path)


def _save(model: keras.Model, functions: dict[str, Any], path: Path) -> None:
    """Write functions of a model as the signatures of a SavedModel.

    Not by keras.export.ExportArchive, which writes every weight twice.
    """
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    tf.saved_model.save(module, str(path), signatures=functions)


def write_tflite(
    model: keras.Model, calibration: np.ndarray, files: dict[str, Path], multi_label: bool = False
) -> None:
    """Write the TFLite files of a model.

    Args:
        model: From raw pixels to logits, float32.
        calibration: uint8 (n, height, width, channels).
        files: For each of `KINDS`, the file to write.
        multi_label: Whether probabilities are those of a sigmoid for each class, not of a softmax.
    """
    gate_by_gate(model)
    one = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name="image")
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        probabilities = probabilities_of(model, multi_label)
        classify = tf.function(lambda image: {"probabilities": probabilities(image)}, [one])
        _save(model, {"serving_default": classify}, place / "saved_model")
        np.save(place / "calibration.npy", calibration)
        (place / "out").mkdir()
        convert_in_children(place / "saved_model", place / "calibration.npy", place / "out")
        for kind, file in files.items():
            shutil.move(place / "out" / f"{kind}.tflite", file)


def compare(
    engine: Engine,
    pictures: np.ndarray,
    labels: np.ndarray,
    expected: np.ndarray,
    threshold: float | None = None,
) -> dict[str, float]:
    """Compare an engine with the Keras model.

    Args:
        engine: What to judge.
        pictures: uint8 (n, height, width, channels).
        labels: int32 (n,), the truth.
        expected: float32 (n, classes), the Keras model's probabilities.
        threshold: Of the labels that are told; None where each picture has one class.

    Returns:
        What `compare_labels` returns where there is a threshold. Otherwise n; top1_agreement (share of
        pictures with the same class); max_difference and mean_difference of probabilities; top1
        (accuracy) and keras_top1.
    """
    found = in_batches(engine, pictures)
    if threshold is not None:
        return compare_labels(found, expected, labels, threshold)
    difference = np.abs(found - expected)
    return {
        "n": len(pictures),
        "top1_agreement": float((found.argmax(1) == expected.argmax(1)).mean()),
        "max_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
        "top1": float((found.argmax(1) == labels).mean()),
        "keras_top1": float((expected.argmax(1) == labels).mean()),
    }


def in_batches(engine: Engine, pictures: np.ndarray) -> np.ndarray:
    """Return the probabilities of many pictures, of which an engine could not hold all at once."""
    starts = tqdm(range(0, len(pictures), BATCH), "comparing", leave=False, disable=None)
    return np.concatenate([engine(pictures[i : i + BATCH]) for i in starts])


def _problems(path: Path, kind: str, entry: dict[str, Any]) -> list[str]:
    problems = []
    agreement, right, keras_right = agreement_of(entry)
    if not agreement >= entry["min_agreement"]:
        problems.append(
            f"agrees with the Keras model on {agreement:.2%} of {entry['n']} pictures, "
            f"less than {entry['min_agreement']:.2%} (accuracy {right:.2%}, Keras "
            f"{keras_right:.2%}). Take a file that agrees, or set your own limit with "
            "`python -m training.export RUN --min-agreement X`"
        )
    if path.suffix == ".tflite":
        foreign = [o for o in entry["operators"] if o.startswith("CUSTOM")]
        if foreign:
            problems.append(f"has operators that plain LiteRT does not run: {', '.join(foreign)}")
        if kind == "int8":
            scale, zero = entry["input"]["scale"], entry["input"]["zero_point"]
            if abs(scale - 1) > 1e-6 or zero:
                problems.append(f"does not take pixels as they are: (byte - {zero}) * {scale} is meant")
            floats = inspect.float_tensors(path)
            if floats:
                problems.append(f"is not fully quantised: {len(floats)} float tensors, e.g. {floats[0]}")
    return problems


def _sample(split: Split, most: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures of a split with their labels; at most so many, spread evenly over its classes."""
    chosen = in_order(split.labels)
    if most is not None and len(chosen) > most:
        chosen = chosen[np.linspace(0, len(chosen) - 1, most).round().astype(int)]
    return np.stack([split.picture(int(i)) for i in chosen]), split.labels[chosen]


def _graph_operators(path: Path) -> list[str]:
    """Return the TensorFlow operations of a SavedModel's serving_default, each once, sorted."""
    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    definition = signature.graph.as_graph_def()
    names = {node.op for node in definition.node}
    names |= {node.op for function in definition.library.function for node in function.node_def}
    return sorted(names - {"Placeholder", "NoOp", "Identity", "Const", "StatefulPartitionedCall"})
