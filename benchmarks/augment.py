"""Images/s of training batches, per augmentation policy: ours against the same made of Keras layers.

    python -m benchmarks.augment light standard strong --image-size 96 --torch PYTHON

All read the same JPEGs (drawn here, or those of --data) and give batches of 32. Ours:
`training_batches`, pictures decoded in memory, or afresh each epoch. Theirs:
`image_dataset_from_directory`, with and without `cache()`, and the layers mapped over its batches. With
--torch, which takes a Python that has torch: a DataLoader with Pillow, torchvision's transforms and 2
workers, in a process of its own. They take turns: each starts afresh, runs for --warm seconds to find
its pace, and is counted for --seconds; medians are compared. CPU time is counted beside: it tells more
where other programs run. Keras has no random resized crop, PCA colour or scale jitter: its layers come
as near as they can, and do less. Prints a Markdown table; spread is the interquartile range.
"""

import argparse
import functools
import os
import platform
import resource
import subprocess
import tempfile
import time
from contextlib import ExitStack
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
MANY = 1_000_000  # epochs
TORCH = "torch, JPEG"
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


def sides(folder: Path, policy: str, size: int) -> dict[str, tf.data.Dataset]:
    """Return the batches of each of the four, without end."""
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
        found[name] = training_batches(
            data.to_augment, BATCH, MANY, policy=policy, seed=0, image_size=size
        )[0]
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
        endless = dataset.repeat().map(augmented, tf.data.AUTOTUNE)
        found[name] = endless.prefetch(tf.data.AUTOTUNE)
    return found


def turn(batches: tf.data.Dataset, warm: float, seconds: float) -> tuple[float, float]:
    """Run through batches, and after `warm` seconds count; return images/s and CPU seconds of each."""
    iterator = iter(batches)
    next(iterator)
    end = time.perf_counter() + warm
    while time.perf_counter() < end:
        next(iterator)
    start, cpu, pictures = time.perf_counter(), _cpu_seconds(), 0
    while time.perf_counter() < start + seconds:
        pictures += len(next(iterator)[1])
    return pictures / (time.perf_counter() - start), (_cpu_seconds() - cpu) / pictures


class TorchLoader:
    """A process of `benchmarks/torch_loader.py`, which rests between its turns."""

    def __init__(self, python: str, folder: Path, policy: str, size: int):
        """Start it and wait until it is ready."""
        words = [str(folder / "train"), policy, str(size), str(stored_size(policy, size))]
        script = Path(__file__).with_name("torch_loader.py")
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([python, script, *words], stdin=pipe, stdout=pipe, text=True)
        self.version = self._answer()

    def turn(self, warm: float, seconds: float) -> float:
        """Run for `warm` and then `seconds`; return the images/s of the latter."""
        self.process.stdin.write(f"{warm} {seconds}\n")
        self.process.stdin.flush()
        pictures, took = map(float, self._answer().split())
        return pictures / took

    def _answer(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"torch_loader.py ended with status {self.process.wait()}")
        return line.strip()

    def __enter__(self) -> "TorchLoader":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def compare(folder: Path, policy: str, arguments: argparse.Namespace) -> list[str]:
    """Time all sides in turns and return the rows of the table."""
    size, warm, seconds = arguments.image_size, arguments.warm, arguments.seconds
    batches = sides(folder, policy, size)
    epoch = sum(1 for _ in (folder / "train").glob("*/*")) // BATCH + 2
    for dataset in batches.values():  # traces, and fills the cache
        for _ in dataset.take(epoch):
            pass
    rates: dict[str, list[float]] = {name: [] for name in [*batches, TORCH]}
    efforts: dict[str, list[float]] = {name: [] for name in batches}
    with ExitStack() as stack:
        loader = None
        if arguments.torch:
            loader = stack.enter_context(TorchLoader(arguments.torch, folder, policy, size))
        for _ in range(arguments.rounds):
            for name, dataset in batches.items():
                rate, effort = turn(dataset, warm, seconds)
                rates[name].append(rate)
                efforts[name].append(effort)
            if loader:
                rates[TORCH].append(loader.turn(warm, seconds))
    rows = []
    pairs = [("cached", "theirs, cached"), ("cached", "theirs, JPEG"), ("JPEG", "theirs, JPEG")]
    for own, peer in [*pairs, *([("JPEG", TORCH)] if loader else [])]:
        ours = f"ours, {own}"
        ratio = np.median(rates[ours]) / np.median(rates[peer])
        effort = "-"  # its workers are other processes
        if peer in efforts:
            effort = f"{np.median(efforts[peer]) / np.median(efforts[ours]):.1f}"
        cells = [_spread(rates[ours]), _spread(rates[peer]), f"{ratio:.1f}", effort]
        name = loader.version if peer == TORCH else peer
        rows.append(f"| {policy} | {ours} / {name} | {' | '.join(cells)} |")
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
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warm", type=float, default=0.4, metavar="SECONDS")
    parser.add_argument("--seconds", type=float, default=0.6)
    parser.add_argument("--torch", metavar="PYTHON", help="compare with torch, which this Python has")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {load:.1f} before, "
        f"Python {platform.python_version()}, TensorFlow {tf.__version__}, Keras {keras.__version__}; "
        f"{arguments.image_size} pixels, "
        f"{arguments.rounds} turns each of {arguments.seconds} s after {arguments.warm} s"
    )
    print("\n| policy | ours / theirs | ours, images/s | theirs | ratio | ratio by CPU time |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.data or Path(temporary)
        if not arguments.data:
            draw(folder)
        for policy in arguments.policies:
            for row in compare(folder, policy, arguments):
                print(row, flush=True)


if __name__ == "__main__":
    main()
