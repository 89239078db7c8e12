"""A frozen backbone two ways: features computed once, against plain fit; and what fine-tuning adds.

    python -m benchmarks.transfer sooner --data flowers/ --weights imagenet --alpha 0.35
    python -m benchmarks.transfer better --data flowers/ --weights imagenet --alpha 0.35

`sooner`: in one process, by turns, `--repeats` times, MobileNetV2's head is trained as `training.fit
--freeze backbone` does, and by Model.fit on the whole network with everything but the head frozen. Same
pictures in memory, no augmentation, same optimizer, rate, batch size and start of the head. The clock
runs from the loaded network to the end of the epoch whose validation accuracy is that of the weights
which the cached way keeps; compilation and the computation of features count. Plain fit ends there; of
the cached way the whole training is given too.

`better`: `training.fit` for `--seeds` seeds, the head alone and fine-tuned by the defaults, in turns;
validation accuracy of what is kept. Both print a Markdown table.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ARCH = "mobilenet_v2"


def machine() -> str:
    """Return what it runs on, in a line."""
    import keras
    import tensorflow as tf

    return (
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, TensorFlow {tf.__version__}, Keras {keras.__version__}\n"
    )


def fresh(arguments: argparse.Namespace, num_classes: int, seed: int):
    """Return the network with the given weights and a head of zeros, as the cached way starts."""
    import keras

    import cnn_keras

    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    shape = (arguments.image_size, arguments.image_size, 3)
    network = cnn_keras.build(ARCH, shape, num_classes, alpha=arguments.alpha)
    cnn_keras.load_weights(network, arguments.weights, replace=("predictions",))
    head = network.get_layer("predictions")
    head.set_weights([np.zeros(w.shape) for w in head.weights])
    return network


def cached(arguments, data, seed: int) -> tuple[float, float, float, int]:
    """Train on features that are kept.

    Returns:
        Accuracy of the weights kept; seconds until an epoch had it; of the whole; epochs until then.
    """
    from training.engine import features, transfer
    from training.runs.settings import Fit

    network = fresh(arguments, len(data.class_names), seed)
    start = time.perf_counter()
    how = transfer.HEAD_TRAINING
    rows = features.train_head(network, "tf", data, Fit(seed=seed), how, "none")
    whole = time.perf_counter() - start
    target = min(rows, key=lambda row: row["val_loss"])["val_accuracy"]
    first = next(i for i, row in enumerate(rows) if row["val_accuracy"] >= target)
    return target, whole - sum(row["seconds"] for row in rows[first + 1 :]), whole, first + 1


def plain(arguments, data, seed: int, target: float) -> tuple[float, float, int]:
    """Train the same head by Model.fit on the whole network.

    Returns:
        The validation accuracy of the last epoch; seconds until then; epochs.
    """
    import keras

    from cnn_keras.preprocessing import assemble
    from training.data.pipeline import evaluation_batches, training_batches
    from training.engine.losses import Loss, accuracy
    from training.engine.optimizers import make_optimizer
    from training.engine.transfer import HEAD_TRAINING as HOW

    network = fresh(arguments, len(data.class_names), seed)
    start = time.perf_counter()
    for layer in network.layers:
        layer.trainable = layer.name == "predictions"
    model = assemble(network, "tf")
    train = data.splits["train"]
    batches, steps = training_batches(train, HOW.batch_size, HOW.epochs, policy="none", seed=seed)
    optimizer = make_optimizer(HOW.optimizer, HOW.lr, HOW.weight_decay)
    model.compile(optimizer, Loss("cross-entropy"), metrics=[accuracy])

    def reached(epoch, logs):
        model.stop_training = logs["val_accuracy"] >= target

    history = model.fit(
        batches,
        epochs=HOW.epochs,
        steps_per_epoch=steps,
        validation_data=evaluation_batches(data.splits["val"], 64),
        shuffle=False,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_end=reached),
            keras.callbacks.EarlyStopping(patience=HOW.patience),
        ],
    ).history
    found = history["val_accuracy"]
    return found[-1], time.perf_counter() - start, len(found)


def sooner(arguments: argparse.Namespace) -> None:
    """Time both ways by turns."""
    from training.data.prepare import prepare
    from training.data.sources import open_source

    print(machine())
    source = open_source(arguments.data)
    data = prepare(source, arguments.image_size, 3, parts=("train", "val"), cache="memory", quiet=True)
    print("| seed | accuracy, cached | s to it (epochs) | s in all | plain fit | s (epochs) | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    ratios = []
    for seed in range(arguments.repeats):
        target, to_it, whole, epochs = cached(arguments, data, seed)
        found, seconds, theirs = plain(arguments, data, seed, target)
        ratios.append(seconds / to_it)
        print(
            f"| {seed} | {target:.3f} | {to_it:.1f} ({epochs}) | {whole:.1f} | {found:.3f} | "
            f"{seconds:.1f} ({theirs}) | {ratios[-1]:.1f} |",
            flush=True,
        )
    print(f"\nratio: median {np.median(ratios):.1f}, {min(ratios):.1f} to {max(ratios):.1f}")


def better(arguments: argparse.Namespace) -> None:
    """Fit the head alone and fine-tune, for each seed."""
    print(machine())
    ways = {"head alone": ("--freeze", "backbone"), "fine-tuned": tuple(arguments.flags)}
    found: dict[str, list[float]] = {way: [] for way in ways}
    print("| seed | head alone | fine-tuned |\n| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as out:
        for seed in range(arguments.seeds):
            for way, flags in ways.items():
                name = f"{way.split()[0]}-{seed}"
                words = ["--arch", ARCH, "--alpha", arguments.alpha, "--weights", arguments.weights]
                words += ["--data", arguments.data, "--image-size", arguments.image_size]
                words += ["--seed", seed, "--export", "none", "--out", out, "--name", name, *flags]
                command = [sys.executable, "-m", "training.fit", *map(str, words)]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                metrics = json.loads((Path(out) / name / "metrics.json").read_text())
                found[way].append(metrics["val"]["top1"])
            print(f"| {seed} | " + " | ".join(f"{v[-1]:.3f}" for v in found.values()) + " |", flush=True)
    cells = [f"{np.mean(v):.4f}, {np.std(v, ddof=1):.4f}" for v in found.values()]
    print(f"| mean, standard deviation | {' | '.join(cells)} |")


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("sooner", "better"))
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=3, help="of sooner")
    parser.add_argument("--seeds", type=int, default=3, help="of better")
    parser.add_argument("flags", nargs="*", help="of better, behind --: flags of the fine-tuned fit")
    arguments = parser.parse_args()
    (sooner if arguments.what == "sooner" else better)(arguments)


if __name__ == "__main__":
    main()
