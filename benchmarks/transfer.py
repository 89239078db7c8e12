"""A frozen backbone two ways: features computed once, against plain fit; and what fine-tuning adds.

    python -m benchmarks.transfer sooner --data flowers/ --weights imagenet --alpha 0.35
    python -m benchmarks.transfer better --data flowers/ --weights imagenet --alpha 0.35

`sooner`: in one process, by turns, `--repeats` times, MobileNetV2's head is trained as `training.fit
--freeze backbone` does, and by Model.fit on the whole network with everything but the head frozen. Same
pictures in memory, no augmentation, same optimizer, rate, batch size and start of the head, and the same
end: when the validation loss has not fallen for 10 epochs. Both keep the epoch of the lowest. The clock
starts at the loaded network; compilation and the computation of features count. Two ratios: of the whole
trainings, and of the times to the end of the first epoch with the lower of the two accuracies kept.

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


def cached(arguments, data, seed: int) -> tuple[list[dict[str, float]], float]:
    """Train on features that are kept; return a row an epoch, and the seconds of the whole."""
    from training.engine import features, transfer
    from training.runs.settings import Fit

    network = fresh(arguments, len(data.class_names), seed)
    start = time.perf_counter()
    how = transfer.HEAD_TRAINING
    rows = features.train_head(network, "tf", data, Fit(seed=seed), how, "none")
    return rows, time.perf_counter() - start


def plain(arguments, data, seed: int) -> tuple[list[dict[str, float]], float]:
    """Train the same head by Model.fit on the whole network; return the same."""
    import keras

    from cnn_keras.preprocessing import assemble
    from training.data.pipeline import evaluation_batches, training_batches
    from training.engine.callbacks import RowsOfHistory
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
    history = RowsOfHistory()
    model.fit(
        batches,
        epochs=HOW.epochs,
        steps_per_epoch=steps,
        validation_data=evaluation_batches(data.splits["val"], 64),
        shuffle=False,
        verbose=0,
        callbacks=[
            history,
            keras.callbacks.EarlyStopping(patience=HOW.patience, restore_best_weights=True),
        ],
    )
    return history.rows, time.perf_counter() - start


def kept(rows: list[dict[str, float]]) -> float:
    """Return the validation accuracy of the epoch with the lowest validation loss."""
    return min(rows, key=lambda row: row["val_loss"])["val_accuracy"]


def reached(rows: list[dict[str, float]], whole: float, target: float) -> float:
    """Return the seconds until the end of the first epoch with at least the accuracy `target`."""
    first = next(i for i, row in enumerate(rows) if row["val_accuracy"] >= target)
    return whole - sum(row["seconds"] for row in rows[first + 1 :])


def sooner(arguments: argparse.Namespace) -> None:
    """Time both ways by turns."""
    from training.data.prepare import prepare
    from training.data.sources import open_source

    print(machine())
    source = open_source(arguments.data)
    data = prepare(source, arguments.image_size, 3, parts=("train", "val"), cache="memory", quiet=True)
    print("| seed | way | accuracy kept | epochs | s, whole | s to the accuracy |")
    print("| --- | --- | --- | --- | --- | --- |")
    ratios: dict[str, list[float]] = {"whole": [], "to the same accuracy": []}
    for seed in range(arguments.repeats):
        found = {"features": cached(arguments, data, seed), "plain": plain(arguments, data, seed)}
        target = min(kept(rows) for rows, _ in found.values())
        times = {way: (whole, reached(rows, whole, target)) for way, (rows, whole) in found.items()}
        for way, (rows, _) in found.items():
            whole, first = times[way]
            cells = f"{kept(rows):.3f} | {len(rows)} | {whole:.1f} | {first:.1f}"
            print(f"| {seed} | {way} | {cells} |", flush=True)
        for name, ours, theirs in zip(ratios, times["features"], times["plain"], strict=True):
            ratios[name].append(theirs / ours)
    print()
    for name, found in ratios.items():
        print(f"ratio, {name}: median {np.median(found):.1f}, {min(found):.1f} to {max(found):.1f}")


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
    parser.add_argument("--repeats", type=int, default=2, help="of sooner")
    parser.add_argument("--seeds", type=int, default=3, help="of better")
    parser.add_argument("flags", nargs="*", help="of better, behind --: flags of the fine-tuned fit")
    arguments = parser.parse_args()
    (sooner if arguments.what == "sooner" else better)(arguments)


if __name__ == "__main__":
    main()
