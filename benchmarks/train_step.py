"""Images/s of one training step: ours against keras.applications' network, alternating in one process.

    python benchmarks/train_step.py mobilenet_v2:96:32 mobilenet_v1:128:32 --seconds 60

Each argument is NETWORK:IMAGE_SIZE:BATCH. Both networks see the same images; SGD with momentum 0.9,
compiled by Keras as usual. After a warm-up the two take turns of one step, and the medians are compared.
Prints a Markdown table with the interquartile range.
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

PEERS = {
    "mobilenet_v2": keras.applications.MobileNetV2,
    "mobilenet_v1": keras.applications.MobileNet,
    "resnet50": keras.applications.ResNet50,
    "densenet121": keras.applications.DenseNet121,
    "inception_v3": keras.applications.InceptionV3,
}
WARM_UP = 5


def trainer(model: keras.Model, images: np.ndarray, labels: np.ndarray):
    """Compile a model and return a function that takes one training step."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    batch = iter(tf.data.Dataset.from_tensors((images, labels)).cache().repeat())
    model.make_train_function()
    return lambda: model.train_function(batch)


def compare(name: str, image_size: int, batch: int, seconds: float) -> str:
    """Time both networks in turns and return a row of the table."""
    shape = (image_size, image_size, 3)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch, *shape)).astype("float32")
    labels = rng.integers(0, 1000, batch)
    knobs = cnn_keras.get(name).reference_knobs
    steps = {
        "ours": trainer(cnn_keras.build(name, shape, **knobs), images, labels),
        "theirs": trainer(
            PEERS[name](input_shape=shape, weights=None, classifier_activation=None), images, labels
        ),
    }
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
    return f"| {name} | {image_size} | {batch} | {cells[0]} | {cells[1]} | {ratio:.2f} | {count} |"


def main() -> None:
    """Compare the networks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("networks", nargs="+", metavar="NETWORK:IMAGE_SIZE:BATCH")
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, TensorFlow {tf.__version__}, Keras {keras.__version__}\n"
    )
    print("| network | pixels | batch | ours, images/s | keras.applications | ratio | steps each |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for network in arguments.networks:
        name, image_size, batch = network.split(":")
        print(compare(name, int(image_size), int(batch), arguments.seconds), flush=True)
        keras.backend.clear_session()


if __name__ == "__main__":
    main()
