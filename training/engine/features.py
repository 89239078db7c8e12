"""The frozen way: what the backbone makes of every picture is computed once, and a head trains on it.

The weights below the head do not change, so its input for a picture does not either. With
augmentation a picture is another one in each pass: a chosen number of passes is kept.
"""

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from cnn_keras.preprocessing import Standardize, assemble
from cnn_keras.weights import HEAD
from training.data.cache import memory_bytes
from training.data.pipeline import evaluation_batches, training_batches
from training.data.prepare import Data
from training.engine.callbacks import RowsOfHistory
from training.engine.regime import compile_model, targets
from training.engine.schedules import Plateau
from training.engine.transfer import HeadTraining, head_input
from training.runs.command import InputError, log
from training.runs.settings import Fit

EVALUATION_BATCH = 64
SHARE = 4  # features may take this part of the machine's memory, as pictures may


def check_memory(network: keras.Model, data: Data, passes: int) -> None:
    """Refuse what would not fit into memory, before anything is computed.

    Raises:
        InputError: If the features need more than a quarter of the machine's memory.
    """
    size = 4 * head_input(network)[0].shape[-1]
    most = memory_bytes() // SHARE
    once, val = size * len(data.splits["train"]), size * len(data.splits["val"])
    needed = max(1, passes) * once + val
    if needed <= most:
        return
    fit = max(0, (most - val) // once)
    what = f"at most {fit} fit" if fit and passes else "not even those of one pass fit"
    raise InputError(
        f"The features of {max(1, passes)} pass(es) over the pictures need {needed / 1e9:.1f} GB, more "
        f"than a quarter of this machine's memory: {what}. Give fewer --augmented-passes, a smaller "
        "--image-size or --head gap; or --freeze none, which keeps no features."
    )


def features(
    network: keras.Model, scaling: str | Standardize, batches: tf.data.Dataset, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what the head of `network` sees of every picture.

    Args:
        network: The network.
        scaling: Of its pixels.
        batches: Of (uint8 (batch, height, width, channels), int32 (batch,) or (batch, classes)).
        count: Number of pictures in them.

    Returns:
        float32 (count, features); their labels, int32 (count,) or (count, classes).
    """
    tensor, _ = head_input(network)
    model = assemble(keras.Model(network.input, tensor), scaling)
    pictures = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)
    step = tf.function(lambda images: model(images, training=False), input_signature=[pictures])
    found = np.empty((count, tensor.shape[-1]), "float32")
    labels = np.empty((count, *batches.element_spec[1].shape[1:]), "int32")
    at = 0
    with tqdm(total=count, desc="computing features", unit=" images", leave=False, disable=None) as bar:
        for images, label in batches:
            end = at + len(label)
            found[at:end], labels[at:end] = step(tf.cast(images, "float32")), label
            bar.update(end - at)
            at = end
    return found, labels


def train_head(
    network: keras.Model,
    scaling: str | Standardize,
    data: Data,
    settings: Fit,
    how: HeadTraining,
    policy: str,
) -> list[dict[str, float]]:
    """Train the head of `network` on the features of the frozen rest.

    Args:
        network: The network; its head gets the weights of the epoch with the lowest validation loss.
        scaling: Of its pixels.
        data: The pictures.
        settings: The settings: loss, targets, penalties, averages.
        how: What is special about heads.
        policy: Augmentation, where `how` has passes with it.

    Returns:
        One row an epoch: epoch, loss, accuracy (of several labels exact_match and f1), the same of the
        validation pictures with val_ before them, learning_rate.
    """
    train, val = data.splits["train"], data.splits["val"]
    if how.passes:
        batch_size = min(EVALUATION_BATCH, len(data.to_augment))
        batches, steps = training_batches(
            data.to_augment,
            batch_size,
            how.passes,
            policy=policy,
            seed=settings.seed,
            image_size=data.image_size,
        )
        count = how.passes * steps * batch_size
    else:
        batches, count = evaluation_batches(train, EVALUATION_BATCH), len(train)
    x, y = features(network, scaling, batches, count)
    x_val, y_val = features(network, scaling, evaluation_batches(val, EVALUATION_BATCH), len(val))
    head = network.get_layer(HEAD)
    taught = targets(settings, data)
    learned = (x, y) if taught.plain else [np.asarray(a) for a in taught(x, tf.constant(y))]
    weights, rows = fit_linear(
        learned, (x_val, y_val), head.bias.shape[0], settings, how, dropout=head_input(network)[1]
    )
    head.set_weights([w.reshape(v.shape) for w, v in zip(weights, head.weights, strict=True)])
    return rows


def fit_linear(
    train: tuple[np.ndarray, ...],
    val: tuple[np.ndarray, np.ndarray],
    num_classes: int,
    settings: Fit,
    how: HeadTraining,
    *,
    dropout: float = 0.0,
) -> tuple[list[np.ndarray], list[dict[str, float]]]:
    """Fit a linear classifier on features by Model.fit, until the validation loss is lowest.

    Args:
        train: Features, float32 (n, features); labels, int32 (n,), or shares or each of the
            classes, (n, classes); perhaps weights, float32 (n,) or (n, classes).
        val: Features and labels of the validation pictures.
        num_classes: Number of classes.
        settings: See `train_head`.
        how: See `train_head`.
        dropout: Share of the features dropped in training.

    Returns:
        Kernel (features, classes) and bias (classes,) of the best epoch; one row an epoch.
    """
    inputs = keras.Input(train[0].shape[1:])
    x = keras.layers.Dropout(dropout, seed=settings.seed)(inputs) if dropout else inputs
    dense = keras.layers.Dense(num_classes, kernel_initializer="zeros", dtype="float32", name=HEAD)
    model = keras.Model(inputs, dense(x))
    steps = -(-len(train[0]) // how.batch_size)
    schedule = compile_model(model, settings, how, steps * how.epochs, steps)
    rows = RowsOfHistory()
    model.fit(
        *train[:2],
        sample_weight=train[2] if len(train) > 2 else None,
        batch_size=how.batch_size,
        epochs=how.epochs,
        validation_data=val,
        validation_batch_size=len(val[0]),
        verbose=0,
        callbacks=[
            *([keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if settings.ema else []),
            *([Plateau(schedule)] if how.schedule == "plateau" else []),
            rows,
            keras.callbacks.TerminateOnNaN(),
            keras.callbacks.EarlyStopping(patience=how.patience, restore_best_weights=True),
        ],
    )
    best = min(rows.rows, key=lambda row: row["val_loss"])
    log.info("head: %d epochs, the lowest validation loss in epoch %d", len(rows.rows), best["epoch"])
    return dense.get_weights(), rows.rows
