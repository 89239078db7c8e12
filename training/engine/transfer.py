"""Transfer learning: other weights below, a new head above.

The new head is trained first, on features that the frozen backbone computes once: a head that is still
random would send large gradients into the backbone. BatchNormalization of the backbone stays in
inference mode throughout: its statistics are those of millions of pictures, a batch's are not.
"""

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from cnn_keras.preprocessing import assemble
from cnn_keras.weights import HEAD
from training.data.pipeline import evaluation_batches
from training.data.prepare import Split

HEAD_EPOCHS = 200  # at most: training ends when the validation loss has
HEAD_PATIENCE = 10  # not fallen for so many epochs
HEAD_LR = 1e-3
HEAD_BATCH = 64


def features(network: keras.Model, scaling: str, split: Split, batch_size: int) -> np.ndarray:
    """Return what the head of `network` sees of every picture: float32 (n, features)."""
    backbone = keras.Model(network.input, network.get_layer(HEAD).input)
    model = assemble(backbone, scaling)
    step = tf.function(lambda images: model(images, training=False))
    steps = -(-len(split) // batch_size)
    batches = tqdm(
        evaluation_batches(split, batch_size), "computing features", steps, leave=False, disable=None
    )
    return np.concatenate([step(tf.cast(images, "float32")).numpy() for images, _ in batches])


def train_head(network: keras.Model, scaling: str, train: Split, val: Split, batch_size: int) -> None:
    """Train the head of `network` on the frozen features of the training pictures."""
    x, x_val = (features(network, scaling, split, batch_size) for split in (train, val))
    head = network.get_layer(HEAD)
    head.set_weights(fit_linear((x, train.labels), (x_val, val.labels), head.units))


def fit_linear(
    train: tuple[np.ndarray, np.ndarray], val: tuple[np.ndarray, np.ndarray], num_classes: int
) -> list[np.ndarray]:
    """Fit a softmax classifier on features by Model.fit, until the validation loss is lowest.

    Args:
        train: Features, float32 (n, features), and labels, int32 (n,).
        val: The same of the validation pictures.
        num_classes: Number of classes.

    Returns:
        Kernel (features, classes) and bias (classes,).
    """
    inputs = keras.Input(train[0].shape[1:])
    model = keras.Model(inputs, keras.layers.Dense(num_classes, kernel_initializer="zeros")(inputs))
    model.compile(
        keras.optimizers.AdamW(HEAD_LR), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    model.fit(
        *train,
        batch_size=HEAD_BATCH,
        epochs=HEAD_EPOCHS,
        validation_data=val,
        verbose=0,
        callbacks=[keras.callbacks.EarlyStopping(patience=HEAD_PATIENCE, restore_best_weights=True)],
    )
    return model.layers[-1].get_weights()


def freeze_normalization(model: keras.Model) -> None:
    """Prepare fine-tuning: everything but BatchNormalization learns, and that keeps its statistics."""
    for layer in model.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
