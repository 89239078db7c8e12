"""Images/s of training batches, per augmentation policy: ours against the same made of Keras layers.

    python -m benchmarks.augment randaugment strong light --image-size 96 --rounds 9

Both read the same JPEGs (drawn here, or those of --data) and give batches of 32. Ours:
`training_batches`, pictures decoded in memory, or afresh each epoch. Theirs:
`image_dataset_from_directory`, with and without `cache()`, and the layers mapped over its batches. The
four take turns of about a second, and medians are compared. CPU time is counted beside: it tells more
where other programs run. Keras has no random resized crop, PCA colour or scale jitter: its layers come
as near as they can, and do less. Prints a Markdown table; spread is the interquartile range.
"""

import argparse
import functools
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from keras import layers
from PIL import Image

from training.data.augment import POLICIES, Policy, stored_size
from training.data.pipeline import training_batches
from training.data.prepare import prepare
from training.data.randaugment import rand_augment
from training.data.sources import open_source

BATCH = 32
CLASSES, PICTURES, SIDES = 4, 512, (500, 375)
POLICIES["randaugment"] = Policy("RandAugment alone, to compare", ((rand_augment, {}),))


def theirs(policy: str, size: int) -> list[keras.layers.Layer]:
    """Return the layers of keras that do what a policy does, as near as there are any."""
    levels = {"value_range": (0, 255)}
    mirror = functools.partial(layers.RandomFlip, "horizontal")
    jitter = functools.partial(layers.RandomColorJitter, **levels, hue_factor=0.0)
    crop = [layers.RandomTranslation(0.15, 0.15), layers.RandomZoom((-0.5, 0.0)), mirror()]
    rand = layers.RandAugment(**levels, num_ops=2, factor=0.3)
    table = {
        "none": [],
        "light": [mirror(), layers.RandomTranslation(0.125, 0.125)],
        "digits": [
            layers.RandomTranslation(0.08, 0.08, fill_mode="constant"),
            layers.RandomRotation(10 / 360, fill_mode="constant"),
        ],
        "standard": [
            *crop,
            jitter(brightness_factor=0.4, contrast_factor=0.4, saturation_factor=(0.3, 0.7)),
        ],
        "randaugment": [rand],
        "strong": [mirror(), rand, layers.RandomErasing(factor=0.5, **levels)],
        "alexnet": [layers.RandomCrop(size, size), mirror()],
        "vgg": crop,
        "inception": [
            *crop,
            jitter(brightness_factor=0.5, contrast_factor=0.5, saturation_factor=(0.25, 0.75)),
        ],
        "cifar": [layers.ZeroPadding2D(size // 8), layers.RandomCrop(size, size), mirror()],
    }
    return table[policy]


def sides(folder: Path, policy: str, size: int) -> dict[str, Callable[[int], tf.data.Dataset]]:
    """Return, for each of the four, a function from a number of epochs to their batches."""
    source = open_source(str(folder))
    found = {}
    for name, cache in (("ours, cached", "memory"), ("ours, JPEG", "none")):
        data = prepare(
            source,
            size,
            3,
            parts=("train",),
            train_size=stored_size(policy, size),
            cache=cache,
            quiet=True,
        )
        found[name] = functools.partial(
            lambda data, epochs: training_batches(
                data.to_augment, BATCH, epochs, policy=policy, seed=0, image_size=size
            )[0],
            data,
        )
    side = stored_size(policy, size) if policy == "alexnet" else size
    pictures = keras.utils.image_dataset_from_directory(
        folder / "train", image_size=(side, side), batch_size=BATCH, verbose=False
    )
    augmentation = theirs(policy, size)

    def augmented(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        for layer in augmentation:
            images = layer(images, training=True)
        return images, labels

    for name, dataset in (("theirs, cached", pictures.cache()), ("theirs, JPEG", pictures)):
        found[name] = functools.partial(
            lambda dataset, epochs: (
                dataset.repeat(epochs).map(augmented, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
            ),
            dataset,
        )
    return found


def turn(batches: tf.data.Dataset) -> tuple[float, float, float]:
    """Run through the batches; return pictures, seconds, seconds of CPU time."""
    start, cpu = time.perf_counter(), _cpu_seconds()
    pictures = sum(len(labels) for _, labels in batches)
    return pictures, time.perf_counter() - start, _cpu_seconds() - cpu


def compare(folder: Path, policy: str, size: int, rounds: int) -> list[str]:
    """Time the four in turns and return the rows of the table."""
    batches = {}
    for name, make in sides(folder, policy, size).items():
        turn(make(1))  # traces, and fills the cache
        _, seconds, _ = turn(make(1))
        batches[name] = make(max(1, round(1 / seconds)))
    rates: dict[str, list[float]] = {name: [] for name in batches}
    efforts: dict[str, list[float]] = {name: [] for name in batches}
    for _ in range(rounds):
        for name, dataset in batches.items():
            pictures, seconds, cpu = turn(dataset)
            rates[name].append(pictures / seconds)
            efforts[name].append(1000 * cpu / pictures)
    rows = []
    pairs = (("cached", "cached"), ("cached", "JPEG"), ("JPEG", "JPEG"))
    for own, other in pairs:
        ours, peer = f"ours, {own}", f"theirs, {other}"
        ratio = np.median(rates[ours]) / np.median(rates[peer])
        effort = np.median(efforts[peer]) / np.median(efforts[ours])
        cells = [_spread(rates[ours]), _spread(rates[peer]), f"{ratio:.1f}", f"{effort:.1f}"]
        rows.append(f"| {policy} | {own} / {other} | {' | '.join(cells)} |")
    return rows


def draw(folder: Path) -> None:
    """Write JPEGs with the detail of photographs, one sub-folder a class."""
    rng = np.random.default_rng(0)
    for i in range(PICTURES):
        coarse, fine = rng.integers(0, 256, (12, 16, 3), np.uint8), rng.normal(0, 9, (*SIDES[::-1], 3))
        smooth = np.asarray(Image.fromarray(coarse).resize(SIDES, Image.Resampling.BICUBIC))
        path = folder / "train" / str(i % CLASSES) / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = (smooth + fine).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path, quality=85)
    for name in range(CLASSES):  # a folder that is split needs both
        path = folder / "val" / str(name) / "0.jpg"
        path.parent.mkdir(parents=True)
        path.write_bytes((folder / "train" / str(name) / f"{name}.jpg").read_bytes())


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _spread(values: list[float]) -> str:
    return "{:,.0f} ({:,.0f} to {:,.0f})".format(*np.percentile(values, [50, 25, 75]))


def main() -> None:
    """Compare the policies that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("policies", nargs="+", metavar="POLICY")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="with train/ and val/")
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {load:.1f} before, "
        f"Python {platform.python_version()}, TensorFlow {tf.__version__}, Keras {keras.__version__}; "
        f"{arguments.image_size} pixels, {arguments.rounds} turns each\n"
    )
    print("| policy | ours / theirs from | ours, images/s | theirs | ratio | ratio by CPU time |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.data or Path(temporary)
        if not arguments.data:
            draw(folder)
        for policy in arguments.policies:
            for row in compare(folder, policy, arguments.image_size, arguments.rounds):
                print(row, flush=True)


if __name__ == "__main__":
    main()
