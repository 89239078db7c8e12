"""The z-score a channel: against NumPy, and the same in every file."""

import json

import keras
import numpy as np
import pytest

from cnn_keras.preprocessing import Standardize, as_entries, from_entries, scale
from training import evaluate, export, fit
from training.data.prepare import prepare
from training.data.sources import open_again, open_source
from training.data.statistics import channel_moments
from training.phone.engines import open_engine
from training.runs.command import InputError
from training.runs.folder import open_run
from training.runs.model import load_model


@pytest.mark.parametrize("cache", ["memory", "none"])
@pytest.mark.parametrize("channels", [1, 3])
def test_moments_equal_numpys(tmp_path, cache, channels):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (40, 9, 8, 3)) * np.array([1.0, 0.5, 0.1])
    np.savez(tmp_path / "a.npz", x=x.astype(np.uint8), y=np.arange(40) % 2)
    source = open_source(str(tmp_path / "a.npz"))
    split = prepare(source, 16, channels, cache=cache, quiet=True).splits["train"]
    pixels = np.stack([split.picture(i) for i in range(len(split))]).astype(np.float64)
    mean, variance = channel_moments(split)
    assert len(mean) == len(variance) == channels
    np.testing.assert_allclose(mean, pixels.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(np.sqrt(variance), pixels.std((0, 1, 2)), rtol=1e-12)


def test_the_layer_standardizes():
    x = np.random.default_rng(0).integers(0, 256, (20, 6, 6, 3)).astype("float32")
    x[..., 2] = 77  # a channel that never varies is only centred
    mode = Standardize(tuple(x.mean((0, 1, 2)).tolist()), tuple(x.var((0, 1, 2)).tolist()))
    image = keras.Input(x.shape[1:])
    found = keras.Model(image, scale(image, mode)).predict(x, verbose=0)
    deviation = np.where(x.std((0, 1, 2)) == 0, 1, x.std((0, 1, 2)))
    np.testing.assert_allclose(found, (x - x.mean((0, 1, 2))) / deviation, atol=2e-6)
    np.testing.assert_allclose(found[..., :2].std((0, 1, 2)), 1, atol=1e-5)
    with pytest.raises(ValueError, match="figures for 3 channels, not 1"):
        scale(keras.Input((6, 6, 1)), mode)
    assert from_entries(json.loads(json.dumps(as_entries(mode)))) == mode


@pytest.mark.parametrize(
    "figures",
    [
        {},
        {"mean": [1.0], "variance": None},
        {"mean": [1.0, 2.0], "variance": [1.0]},
        {"mean": [float("nan")], "variance": [1.0]},
        {"mean": [1.0], "variance": [-1.0]},
        {"mean": ["x"], "variance": [1.0]},
    ],
)
def test_figures_edited_by_hand_are_refused(figures):
    with pytest.raises((ValueError, KeyError, TypeError)):
        from_entries({"scale": "standardize", **figures})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of digits with standardize."""
    out = tmp_path_factory.mktemp("runs")
    words = ("--arch", "lenet5", "--epochs", "2", "--preprocessing", "standardize", "--out", str(out))
    assert fit.main([*words, "--name", "z", "--export", "none"]) == 0
    return out / "z"


def test_the_card_has_numpys_figures_of_the_training_pictures(run):
    card = json.loads((run / "card.json").read_text())
    pixels = prepare(open_again(card), 32, 1, quiet=True).splits["train"].pixels / 1.0
    entry = card["preprocessing"]
    assert entry["scale"] == "standardize"
    np.testing.assert_allclose(entry["mean"], [pixels.mean()], rtol=1e-12)
    np.testing.assert_allclose(np.sqrt(entry["variance"]), [pixels.std()], rtol=1e-12)
    resolved = json.loads((run / "settings.json").read_text())["resolved"]["scaling"]
    assert resolved["mean"] == entry["mean"]


@pytest.mark.slow
def test_every_engine_agrees_without_data(run):
    opened, card = open_run(run)
    assert export.main([str(run), "--max-images", "50", "--min-agreement", "0"]) == 0
    pictures = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 1), np.uint8)
    expected = open_engine(opened, card, "keras")(pictures)
    for kind in ("saved_model", "tflite"):
        np.testing.assert_allclose(open_engine(opened, card, kind)(pictures), expected, atol=1e-5)
    plain = keras.models.load_model(run / "model.keras")(pictures.astype("float32"))
    np.testing.assert_allclose(keras.ops.softmax(plain), expected, atol=1e-5)
    # by hand: the network on pixels that NumPy standardised
    mean, variance = (np.float32(card["preprocessing"][key]) for key in ("mean", "variance"))
    network = load_model(opened, {**card, "preprocessing": {"scale": "none"}})
    found = network((pictures - mean) / np.sqrt(variance))
    np.testing.assert_allclose(keras.ops.softmax(found), expected, atol=1e-5)


def test_evaluate_repeats_the_figures(run):
    before = json.loads((run / "metrics.json").read_text())
    assert evaluate.main([str(run)]) == 0
    after = json.loads((run / "metrics.json").read_text())
    assert after["test"]["top1"] == before["test"]["top1"] > 0.5
    card = json.loads((run / "card.json").read_text())
    opened, _ = open_run(run)
    for entry in ({"mean": [1.0, 2.0]}, {"variance": None}):
        with pytest.raises(InputError, match="cannot be followed"):
            load_model(opened, {**card, "preprocessing": {**card["preprocessing"], **entry}})


@pytest.mark.slow
def test_fine_tuning_with_standardize(tmp_path, drawn_pictures):
    """Three channels, and a head on frozen features."""
    import cnn_keras

    cnn_keras.build("mobilenet_v2", (32, 32, 3), 5, alpha=0.35).save_weights(tmp_path / "w.weights.h5")
    words = (
        "--alpha",
        "0.35",
        "--image-size",
        "32",
        "--data",
        str(drawn_pictures),
        "--freeze",
        "backbone",
    )
    words += ("--weights", str(tmp_path / "w.weights.h5"), "--preprocessing", "standardize")
    assert fit.main([*words, "--out", str(tmp_path), "--name", "t", "--export", "none"]) == 0
    card = json.loads((tmp_path / "t" / "card.json").read_text())
    assert len(card["preprocessing"]["mean"]) == 3
    pixels = prepare(open_again(card), 32, 3, quiet=True).splits["train"].pixels
    np.testing.assert_allclose(card["preprocessing"]["mean"], pixels.mean((0, 1, 2)), rtol=1e-12)
