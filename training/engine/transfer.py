"""Transfer learning: other weights below, a new head above.

The new head is trained first, on features that the frozen backbone computes once: a head that is still
random would send large gradients into the backbone. BatchNormalization of the backbone stays in
inference mode throughout: its statistics are those of millions of pictures, a batch's are not.
"""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from cnn_keras.preprocessing import Standardize, assemble
from cnn_keras.weights import HEAD
from training.data.labels import is_multi
from training.data.pipeline import evaluation_batches
from training.data.prepare import Split
from training.engine.losses import Loss, metrics


@dataclass(frozen=True)
class HeadTraining:
    """How a head is trained on features, by AdamW.

    Attributes:
        lr: Learning rate.
        weight_decay: Decoupled weight decay.
        batch_size: Pictures a step.
        epochs: At most: training ends when the validation loss has not fallen for `patience` epochs.
        patience: See `epochs`.
    """

    lr: float = 1e-3
    weight_decay: float = 0.004
    batch_size: int = 64
    epochs: int = 200
    patience: int = 10


HEAD_TRAINING = HeadTraining()


def features(
    network: keras.Model, scaling: str | Standardize, split: Split, batch_size: int
) -> np.ndarray:
    """Return what the head of `network` sees of every picture: float32 (n, features)."""
    backbone = keras.Model(network.input, network.get_layer(HEAD).input)
    model = assemble(backbone, scaling)
    step = tf.function(lambda images: model(images, training=False))
    steps = -(-len(split) // batch_size)
    batches = tqdm(
        evaluation_batches(split, batch_size), "computing features", steps, leave=False, disable=None
    )
    return np.concatenate([step(tf.cast(images, "float32")).numpy() for images, _ in batches])


def train_head(
    network: keras.Model, scaling: str | Standardize, train: Split, val: Split, batch_size: int
) -> list[dict[str, float]]:
    """Train the head of `network` on the frozen features of the training pictures.

    Returns:
        One row an epoch: epoch, loss, accuracy, val_loss, val_accuracy; of several labels exact_match
        and f1 in place of accuracy.
    """
    x, x_val = (features(network, scaling, split, batch_size) for split in (train, val))
    head = network.get_layer(HEAD)
    weights, rows = fit_linear((x, train.labels), (x_val, val.labels), head.units)
    head.set_weights(weights)
    return rows


def fit_linear(
    train: tuple[np.ndarray, np.ndarray], val: tuple[np.ndarray, np.ndarray], num_classes: int
) -> tuple[list[np.ndarray], list[dict[str, float]]]:
    """Fit a linear classifier on features by Model.fit, until the validation loss is lowest.

    Args:
        train: Features, float32 (n, features), and labels: int32 (n,), for a softmax, or of 0 and 1
            int32 (n, classes), for a sigmoid each.
        val: The same of the validation pictures.
        num_classes: Number of classes.

    Returns:
        Kernel (features, classes) and bias (classes,) of the best epoch; one row an epoch.
    """
    how, multi_label = HEAD_TRAINING, is_multi(train[1])
    inputs = keras.Input(train[0].shape[1:])
    model = keras.Model(inputs, keras.layers.Dense(num_classes, kernel_initializer="zeros")(inputs))
    model.compile(
        keras.optimizers.AdamW(how.lr, weight_decay=how.weight_decay),
        Loss("binary", multi_label=True)
        if multi_label
        else keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=metrics(True) if multi_label else ["accuracy"],
    )
    history = model.fit(
        *train,
        batch_size=how.batch_size,
        epochs=how.epochs,
        validation_data=val,
        verbose=0,
        callbacks=[keras.callbacks.EarlyStopping(patience=how.patience, restore_best_weights=True)],
    ).history
    scores = [name for name in history if name != "loss" and not name.startswith("val_")]
    columns = ("loss", *scores, "val_loss", *(f"val_{name}" for name in scores))
    rows = zip(*(history[c] for c in columns), strict=True)
    rows = [{"epoch": i, **dict(zip(columns, row, strict=True))} for i, row in enumerate(rows, 1)]
    return model.layers[-1].get_weights(), rows


def freeze_normalization(model: keras.Model) -> None:
    """Prepare fine-tuning: everything but BatchNormalization learns, and that keeps its statistics."""
    for layer in model.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
