"""Images/s of one training step: ours against keras.applications' network, alternating in one process.

    python -m benchmarks.train_step mobilenet_v2:96:32 mobilenet_v1:128:32 --seconds 60

    python -m benchmarks.train_step mobilenet_v2:96:32:alpha=0.5

Each argument is NETWORK:IMAGE_SIZE:BATCH, and :alpha=WIDTH where it has one. Both networks see the same
images; SGD with momentum 0.9, compiled by Keras as usual. After a warm-up the two take turns of one
step, and the medians are compared. Prints a Markdown table with the interquartile range.
"""

import argparse
import os
import platform
import time

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf

import cnn_keras
from cnn_keras import knobs

WARM_UP = 5


def trainer(model: keras.Model, images: np.ndarray, labels: np.ndarray):
    """Compile a model and return a function that takes one training step."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    batch = iter(tf.data.Dataset.from_tensors((images, labels)).cache().repeat())
    model.make_train_function()
    return lambda: model.train_function(batch)


def pair(name: str, shape: tuple[int, int, int], switches: dict) -> dict[str, keras.Model]:
    """Build the network and the one of keras.applications that its record names, at the same width."""
    variant = cnn_keras.get(name)
    package, _, peer = (variant.reference or "").rpartition(".")
    if package != "keras.applications":
        raise ValueError(f"keras.applications has no {name} to compare with.")
    if unknown := switches.keys() - ({"alpha"} & variant.available_knobs.keys()):
        raise ValueError(f"keras.applications' {peer} has no switch {', '.join(sorted(unknown))}.")
    theirs = getattr(keras.applications, peer)
    return {
        "ours": cnn_keras.build(name, shape, **variant.reference_knobs, **switches),
        "theirs": theirs(input_shape=shape, weights=None, classifier_activation=None, **switches),
    }


def compare(name: str, image_size: int, batch: int, seconds: float, switches: dict) -> str:
    """Time both networks in turns and return a row of the table."""
    shape = (image_size, image_size, 3)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch, *shape)).astype("float32")
    labels = rng.integers(0, 1000, batch)
    networks = pair(name, shape, switches)
    steps = {side: trainer(network, images, labels) for side, network in networks.items()}
    for step in steps.values():
        for _ in range(WARM_UP):
            step()
    times: dict[str, list[float]] = {side: [] for side in steps}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for side, step in steps.items():
            start = time.perf_counter()
            step()
            times[side].append(time.perf_counter() - start)
    rates = {side: batch / np.array(found) for side, found in times.items()}
    cells = [
        "{:.0f} ({:.0f} to {:.0f})".format(*np.percentile(rates[side], [50, 25, 75])) for side in steps
    ]
    ratio = np.median(rates["ours"]) / np.median(rates["theirs"])
    count = len(times["ours"])
    name = " ".join([name, *(f"{switch}={value}" for switch, value in switches.items())])
    return f"| {name} | {image_size} | {batch} | {cells[0]} | {cells[1]} | {ratio:.2f} | {count} |"


def main() -> None:
    """Compare the networks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("networks", nargs="+", metavar="NETWORK:IMAGE_SIZE:BATCH[:alpha=WIDTH]")
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, TensorFlow {tf.__version__}, Keras {keras.__version__}\n"
    )
    print("| network | pixels | batch | ours, images/s | keras.applications | ratio | steps each |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for network in arguments.networks:
        name, image_size, batch, *switches = network.split(":")
        row = compare(name, int(image_size), int(batch), arguments.seconds, knobs.parse(switches))
        print(row, flush=True)
        keras.backend.clear_session()


if __name__ == "__main__":
    main()
