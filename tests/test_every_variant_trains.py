"""Every network of the catalogue trains through `training.fit`: the loss goes down."""

import csv
import json
import math

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import cnn_keras

CHANCE = math.log(10)  # the loss of a network that takes all ten classes to be equally likely
EPOCHS = 8
# small steps for deep stacks without normalisation
LR = {
    "vgg": 1e-4,
    "googlenet": 3e-4,
    "sequence": 1e-2,
    "recurrent": 1e-2,
    "perceptron": 1e-2,
    "lenet": 1e-2,
}
# Glorot's initialiser, the papers', barely starts them in so few steps; dropout hides what is learnt
KNOBS = {
    "vgg": ("initializer=he_normal",),
    "googlenet": ("initializer=he_normal", "dropout=0"),
}


@pytest.fixture(scope="session")
def few_digits(tmp_path_factory):
    """Train/ and val/ with eight and two scanned digits of each class."""
    folder = tmp_path_factory.mktemp("few") / "digits"
    digits = load_digits()
    for label in range(10):
        chosen = np.flatnonzero(digits.target == label)[:10]
        for n, i in enumerate(chosen):
            place = folder / ("train" if n < 8 else "val") / str(label)
            place.mkdir(parents=True, exist_ok=True)
            pixels = np.rint(digits.images[i] * (255 / 16)).astype(np.uint8)
            Image.fromarray(pixels).save(place / f"{i}.png")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", cnn_keras.names())
def test_the_loss_goes_down(name, few_digits, cli, tmp_path):
    variant = cnn_keras.get(name)
    small = 16 if variant.family == "densenet_cifar" else 32  # of 190 layers the activations fill 11 GB
    size = max(small, variant.min_size)
    words = (
        "--arch",
        name,
        "--data",
        few_digits,
        "--image-size",
        size,
        "--epochs",
        EPOCHS,
        "--augment",
        "none",
    )
    for knob in KNOBS.get(variant.family, ()):
        words += ("--knob", knob)
    more = ("--batch-size", 16, "--lr", LR.get(variant.family, 1e-3), "--export", "none")
    process = cli("training.fit", *words, *more, "--out", tmp_path, "--name", "run", timeout=900)
    assert process.returncode == 0, process.stderr
    with (tmp_path / "run" / "history.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert len(losses) == EPOCHS
    # an untrained network is at chance, or far above it where its first outputs are large
    assert np.mean(losses[-2:]) < 0.9 * CHANCE or losses[-1] < 0.5 * losses[0]
    assert json.loads((tmp_path / "run" / "card.json").read_text())["architecture"] == name
