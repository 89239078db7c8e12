"""Import Keras only when a network is really built.

Importing Keras loads TensorFlow, which takes seconds. The tables of the networks are needed far more
often than that: by `--help`, by the check of a mistyped `--arch`, by `python -m cnn_keras`.
"""

import importlib
import os
import sys
from typing import Any


class LazyModule:
    """Stand in for a module and import it when one of its attributes is first asked for."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)

    def __repr__(self) -> str:
        return f"<lazy module {self._name!r}>"


def quietly_import_keras() -> None:
    """Import Keras and keep what TensorFlow's C++ code says about itself off the terminal.

    Failures are Python exceptions and reach the caller. TF_CPP_MIN_LOG_LEVEL=0 shows everything.
    """
    if "keras" in sys.modules or os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    terminal, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        module = importlib.import_module("keras")
        if module.backend.backend() == "tensorflow":
            importlib.import_module("tensorflow").config.list_logical_devices()
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(null)


keras = LazyModule("keras")
layers = LazyModule("cnn_keras.layers")
