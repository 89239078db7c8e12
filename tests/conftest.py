"""What the tests share."""

import gc
import math
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cnn_keras.lazy import quietly_import_keras

quietly_import_keras()

import keras  # noqa: E402

ROOT = Path(__file__).parents[1]

# clear_session collects garbage after every test; the modules of TensorFlow are none, and many
gc.freeze()


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(0)
    yield
    keras.backend.clear_session()


@pytest.fixture
def randomise():
    """A function that gives every layer of a model weights that carry the signal through.

    In a fresh network it dies out layer by layer (BatchNormalization has mean 0 and variance 1, and the
    kernels of depthwise convolutions are small), and any two networks look equal. Here kernels keep the
    variance (He et al. 2015), with the fan-in of each kernel, and statistics are far from 0 and 1.
    """

    def draw(layer, weight, rng):
        if weight.name in ("gamma", "moving_variance"):
            return rng.uniform(0.5, 1.5, weight.shape)
        if "kernel" in weight.name:
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            fan_in = math.prod(weight.shape[:2] if depthwise else weight.shape[:-1])
            return rng.normal(0, math.sqrt(2 / fan_in), weight.shape)
        return rng.normal(0, 0.1, weight.shape)

    def randomise(model, seed=0):
        rng = np.random.default_rng(seed)
        for layer in model.layers:
            for weight in layer.weights:
                if weight.dtype == "float32":
                    weight.assign(draw(layer, weight, rng))

    return randomise


@pytest.fixture
def relative_difference():
    """max |a - b| / max |b|."""

    def difference(a, b):
        a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
        assert a.shape == b.shape
        return np.abs(a - b).max() / np.abs(b).max()

    return difference


def run_command(*words, timeout=300, **options):
    """Run `python -m WORDS...` as a user would; return the finished process with its output."""
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        cwd=ROOT,
        env=environment,
        **options,
    )


@pytest.fixture(scope="session")
def cli():
    """The function `run_command`."""
    return run_command


@pytest.fixture(scope="session")
def digits_fit(tmp_path_factory):
    """A finished fit of lenet5 on digits, 8 epochs: its process and its run folder."""
    out = tmp_path_factory.mktemp("runs")
    words = ("training.fit", "--arch", "lenet5", "--epochs", 8, "--out", out, "--name", "digits")
    return run_command(*words), out / "digits"


@pytest.fixture(scope="session")
def digits_run(digits_fit):
    """The run folder of `digits_fit`."""
    process, run = digits_fit
    assert process.returncode == 0, process.stderr
    return run


@pytest.fixture(scope="session")
def drawn_pictures(tmp_path_factory):
    """A folder of three classes of drawn pictures, 24 each, of several formats; one is broken."""
    folder = tmp_path_factory.mktemp("drawn") / "shapes & <b>co</b>"
    rng = np.random.default_rng(0)
    formats = ("png", "jpg", "bmp", "gif", "webp")
    for name in ("disc", "ring <i>", "square"):
        (folder / name).mkdir(parents=True)
        for i in range(24):
            image = Image.new("RGB", (70, 50), tuple(int(c) for c in rng.integers(0, 90, 3)))
            x, y, r = (int(v) for v in rng.integers((20, 18, 8), (50, 32, 16)))
            colour = tuple(int(c) for c in rng.integers(150, 256, 3))
            box = (x - r, y - r, x + r, y + r)
            pen = ImageDraw.Draw(image)
            if name == "square":
                pen.rectangle(box, fill=colour)
            else:
                pen.ellipse(
                    box, fill=None if name.startswith("ring") else colour, outline=colour, width=3
                )
            image.save(folder / name / f"{name[0]} {i}.{formats[i % 5]}")
    (folder / "disc" / "broken.jpg").write_bytes(b"not a picture")
    return folder


@pytest.fixture(scope="session")
def drawn_fit(tmp_path_factory, drawn_pictures):
    """A finished fit of a small mobilenet_v2 on `drawn_pictures`: its process and its run folder."""
    out = tmp_path_factory.mktemp("runs")
    words = ("training.fit", "--alpha", 0.35, "--image-size", 32, "--epochs", 3, "--batch-size", 8)
    return run_command(*words, "--data", drawn_pictures, "--out", out, "--name", "drawn"), out / "drawn"


def pytest_addoption(parser):
    parser.addoption("--slow-part", metavar="I/N", help="run the I-th of N parts of the slow tests")


def pytest_collection_modifyitems(config, items):
    if part := config.getoption("--slow-part"):
        index, parts = map(int, part.split("/"))
        slow = [item for item in items if item.get_closest_marker("slow")]
        left_out = [item for i, item in enumerate(slow) if i % parts != index]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def grouped(tmp_path):
    """60 pictures of 3 classes and 20 groups, as a CSV; its labels and groups."""
    rng = np.random.default_rng(0)
    labels, groups = np.repeat(["a", "b", "c"], 20), rng.integers(0, 20, 60).astype(str)
    lines = ["path,label,group"]
    for i, (label, group) in enumerate(zip(labels, groups, strict=True)):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{label},g{group}")
    (tmp_path / "list.csv").write_text("\n".join(lines))
    return tmp_path / "list.csv", labels, np.char.add("g", groups)


@pytest.fixture(scope="session")
def digit_files(tmp_path_factory):
    """Some scanned digits as picture files; the name begins with the digit."""
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("digit files")
    digits = load_digits()
    for i in range(40):
        image = Image.fromarray(np.rint(digits.images[i] * 255 / 16).astype(np.uint8))
        image.save(folder / f"{digits.target[i]}-{i}.png")
    return folder
