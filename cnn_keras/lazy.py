"""Import Keras only when a network is really built.

Importing Keras loads TensorFlow, which takes seconds. The tables of the networks are needed far more
often than that: by `--help`, by the check of a mistyped `--arch`, by `python -m cnn_keras`.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any


class LazyModule:
    """Stand in for a module and import it when one of its attributes is first asked for."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)

    def __repr__(self) -> str:
        return f"<lazy module {self._name!r}>"


@contextlib.contextmanager
def without_native_noise() -> Iterator[None]:
    """Keep what C++ libraries say about themselves off the terminal; their errors are exceptions.

    TF_CPP_MIN_LOG_LEVEL=0 shows everything.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "0":
        yield
        return
    sys.stderr.flush()
    terminal, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(null)


def quietly_import_keras() -> None:
    """Import Keras, and TensorFlow where it is the backend, without their messages."""
    if "keras" not in sys.modules:
        with without_native_noise():
            module = importlib.import_module("keras")
            if module.backend.backend() == "tensorflow":
                importlib.import_module("tensorflow").config.list_logical_devices()


keras = LazyModule("keras")
layers = LazyModule("cnn_keras.layers")
