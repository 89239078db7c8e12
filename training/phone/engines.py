"""What computes probabilities from pictures: LiteRT, a SavedModel, or Keras, behind one function.

The LiteRT engine imports neither TensorFlow nor Keras.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cnn_keras.lazy import quietly_import_keras, without_native_noise
from training.runs.command import InputError
from training.runs.folder import Run
from training.runs.task import is_multi_label

Engine = Callable[[np.ndarray], np.ndarray]
"""From uint8 (n, height, width, channels), 0..255, to probabilities, float32 (n, classes)."""


def open_engine(run: Run, card: dict[str, Any], kind: str) -> Engine:
    """Open an engine over a run.

    Args:
        run: The run folder.
        card: Its card.
        kind: "tflite", "saved_model", "keras", or "auto" for the first of these that the run has.

    Raises:
        InputError: If the run lacks what the engine needs.
    """
    if kind == "auto":
        kind = "tflite" if run.tflite("float32").is_file() else "keras"
        if kind == "keras" and run.saved_model.is_dir():
            kind = "saved_model"
    if kind == "tflite":
        return tflite_engine(_there(run.tflite("float32"), run))
    if kind == "saved_model":
        return saved_model_engine(_there(run.saved_model, run))
    from training.runs.model import load_model

    return keras_engine(load_model(run, card), is_multi_label(card))


def _there(path: Path, run: Run) -> Path:
    if not path.exists():
        raise InputError(f"{path} is missing. `python -m training.export {run.path}` writes it.")
    return path


def tflite_engine(path: Path, threads: int | None = None) -> Engine:
    """Open a .tflite file of ours: float32 or uint8 in, float32 or uint8 out, batch 1.

    Raises:
        InputError: If it is no TFLite file that runs.
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        with without_native_noise():
            interpreter = Interpreter(str(path), num_threads=threads)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{path} does not run: {error}") from error
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero = target["quantization"]

    def run(pictures: np.ndarray) -> np.ndarray:
        rows = []
        for picture in pictures:
            interpreter.set_tensor(source["index"], picture[np.newaxis].astype(source["dtype"]))
            interpreter.invoke()
            row = interpreter.get_tensor(target["index"])[0].astype("float32")
            rows.append((row - zero) * scale if scale else row)
        return np.stack(rows)

    return run


def saved_model_engine(path: Path) -> Engine:
    """Open a SavedModel of ours and use its `serving_default` signature.

    Raises:
        InputError: If it is damaged.
    """
    quietly_import_keras()
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(path))
        signature = loaded.signatures["serving_default"]
    except Exception as error:  # TensorFlow raises a different one for each file that is damaged
        raise InputError(f"{path} is damaged: {error} `python -m training.export` writes it.") from error

    def run(pictures: np.ndarray) -> np.ndarray:
        return signature(image=tf.constant(pictures, tf.float32))["probabilities"].numpy()

    run.keeps_alive = loaded  # a signature holds its variables weakly
    return run


def probabilities_of(model, multi_label: bool = False) -> Callable:
    """Return a graph function from images, float32, to the probabilities of a model of logits.

    Softmax makes one choice among the classes; for several labels a picture, each class has a sigmoid.
    """
    import tensorflow as tf

    activation = tf.sigmoid if multi_label else tf.nn.softmax
    return lambda images: activation(model(images, training=False))


def keras_engine(model, multi_label: bool = False) -> Engine:
    """Wrap a Keras model from raw pixels to logits."""
    import tensorflow as tf

    step = tf.function(
        probabilities_of(model, multi_label),
        input_signature=[tf.TensorSpec((None, *model.input_shape[1:]))],
    )
    return lambda pictures: step(tf.cast(pictures, tf.float32)).numpy()
