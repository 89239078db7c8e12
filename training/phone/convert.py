"""TFLite files from a SavedModel, in processes of their own.

TensorFlow's converter leaks memory on every call (tensorflow#122598) and is to leave TensorFlow; this is
the one place that knows it. Run as
`python -m training.phone.convert SAVED_MODEL CALIBRATION.npy OUT KIND...`, with a SavedModel whose
signature takes one picture, float32 (1, height, width, channels).
"""

import subprocess
import sys
from pathlib import Path

import numpy as np

KINDS = ("float32", "float16", "dynamic", "int8")


def convert_in_children(saved_model: Path, calibration: Path, out: Path) -> None:
    """Write OUT/KIND.tflite for every kind, from two child processes at a time.

    Args:
        saved_model: Folder of the SavedModel.
        calibration: .npy file of uint8 pictures (n, height, width, channels) for int8.
        out: Folder to write to.

    Raises:
        RuntimeError: If the conversion fails; the message ends as the converter's does.
    """
    words = [sys.executable, "-m", "training.phone.convert", *map(str, (saved_model, calibration, out))]
    root = Path(__file__).parents[2]
    children = [
        subprocess.Popen([*words, *kinds], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=root)
        for kinds in (KINDS[::2], KINDS[1::2])
    ]
    try:
        errors = [child.communicate()[1].decode(errors="replace") for child in children]
    except BaseException:
        for child in children:
            child.kill()
            child.communicate()
        raise
    for child, text in zip(children, errors, strict=True):
        if child.returncode:
            raise RuntimeError(f"conversion to TFLite failed:\n{text.strip()[-2000:]}")


def convert(saved_model: str, kind: str, pictures: np.ndarray) -> bytes:
    """Convert a SavedModel to one TFLite file of builtin operators only.

    Args:
        saved_model: Folder of the SavedModel.
        kind: "float32"; "float16" (weights); "dynamic" (8-bit weights, float activations); "int8" (all
            of it 8-bit, uint8 in and out).
        pictures: uint8 (n, height, width, channels), for the ranges of int8.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind == "int8":
        pictures = pictures.copy()
        # so that the range of the input is 0..255 and its bytes are the pixels themselves
        pictures[0, 0, 0], pictures[0, -1, -1] = 0, 255
        converter.representative_dataset = lambda: ([p[np.newaxis].astype("float32")] for p in pictures)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8
    return converter.convert()


if __name__ == "__main__":
    source, calibration_file, folder, *wanted = sys.argv[1:]
    for kind_ in wanted:
        Path(folder, f"{kind_}.tflite").write_bytes(convert(source, kind_, np.load(calibration_file)))
