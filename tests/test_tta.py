"""Test-time augmentation: views by hand, the mean of the probabilities, and the command."""

import json
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

from training.data.prepare import prepare
from training.data.sources import open_source
from training.report import tta

SIZE = 28


@pytest.fixture(scope="module")
def data():
    return prepare(open_source("digits"), SIZE, 1, parts=("val",), quiet=True)


@pytest.fixture
def model():
    """A network whose classes depend on where the ink is."""
    image = keras.Input((SIZE, SIZE, 1))
    layer = keras.layers.Dense(10, kernel_initializer=keras.initializers.RandomNormal(0, 0.02, seed=1))
    return keras.Model(image, layer(keras.layers.Flatten()(image / 255)))


def pictures(source, size):
    """The validation pictures by Pillow alone: stretched, width first."""
    entries = source.splits["val"]
    images = [
        entries.load(i)
        .resize((size, entries.load(i).height), Image.Resampling.BILINEAR)
        .resize((size, size), Image.Resampling.BILINEAR)
        for i in range(len(entries))
    ]
    return np.stack([np.asarray(image) for image in images])[..., None]


def by_hand(model, views):
    found = []
    for images in views:
        logits = np.asarray(model(images.astype("float32")), "float64")
        odds = np.exp(logits - logits.max(1, keepdims=True))
        found.append(odds / odds.sum(1, keepdims=True))
    return np.mean(found, 0)


def cuts(images, *corners):
    return [images[:, y : y + SIZE, x : x + SIZE] for y, x in corners]


def test_flip_ten_crop_and_multi_scale_by_hand(data, model):
    plain, larger, largest = (pictures(data.source, size) for size in (28, 32, 36))
    five = cuts(larger, (0, 0), (0, 4), (4, 0), (4, 4), (2, 2))
    expected = {
        "flip": [plain, plain[:, :, ::-1]],
        "ten-crop": five + [one[:, :, ::-1] for one in five],
        "multi-scale": [plain, *cuts(larger, (2, 2)), *cuts(largest, (4, 4))],
    }
    assert expected.keys() == tta.VIEWS.keys()
    for name, views in expected.items():
        metrics, found = tta.judge(model, data, name)["val"]
        np.testing.assert_allclose(found, by_hand(model, views), rtol=1e-3, atol=1e-5)
        assert metrics["tta"] == name
        assert metrics["views"] == len(views)
        assert metrics["top1"] == np.mean(found.argmax(1) == data.splits["val"].labels)


def test_the_command_says_so_and_keeps_the_runs_own_figures(cli, digits_run, tmp_path):
    run = shutil.copytree(digits_run, tmp_path / "run")
    before = (run / "metrics.json").read_bytes()
    process = cli("training.evaluate", run, "--tta", "flip")
    assert process.returncode == 0, process.stderr
    assert "note: --tta flip mirrors" in process.stdout
    assert (run / "metrics.json").read_bytes() == before
    found = json.loads((run / "evaluation-flip" / "metrics.json").read_text())
    assert found["test"]["tta"] == "flip"
    assert found["test"]["top1"] < json.loads(before)["test"]["top1"]  # no digit is its mirror image
    assert "mean of 2 views" in (run / "evaluation-flip" / "report.html").read_text()
