"""TensorFlow, started as a run needs it."""

import os

from cnn_keras.lazy import quietly_import_keras
from training.runs.command import InputError


def start(seed: int = 0, precision: str = "float32") -> str:
    """Load TensorFlow and set randomness and precision for this process.

    Args:
        seed: Seed of everything that is random.
        precision: "auto", "float32", "mixed_bfloat16" or "mixed_float16".

    Returns:
        What it runs on, in words.

    Raises:
        InputError: If Keras is told to use another backend.
    """
    if os.environ.setdefault("KERAS_BACKEND", "tensorflow") != "tensorflow":
        raise InputError(
            f"KERAS_BACKEND is {os.environ['KERAS_BACKEND']}; training needs tensorflow. Unset it."
        )
    quietly_import_keras()
    import keras
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if precision == "auto":
        precision = "mixed_float16" if gpus else "float32"
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(seed)
    if not gpus:  # runs repeat bit for bit
        tf.config.experimental.enable_op_determinism()
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus]
    device = ", ".join(names) if gpus else f"CPU, {os.cpu_count()} cores"
    return f"{device}, {precision}"
