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

HEAD_EPOCHS = 30
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


def train_head(network: keras.Model, scaling: str, train: Split, batch_size: int) -> None:
    """Train the head of `network` on the frozen features of the training pictures, by Model.fit."""
    x = features(network, scaling, train, batch_size)
    head = network.get_layer(HEAD)
    inputs = keras.Input(x.shape[1:])
    probe = keras.Model(inputs, keras.layers.Dense(head.units, kernel_initializer="zeros")(inputs))
    steps = -(-len(x) // HEAD_BATCH) * HEAD_EPOCHS
    probe.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(HEAD_LR, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    probe.fit(x, train.labels, batch_size=HEAD_BATCH, epochs=HEAD_EPOCHS, verbose=0)
    head.set_weights(probe.layers[-1].get_weights())


def freeze_normalization(model: keras.Model) -> None:
    """Prepare fine-tuning: everything but BatchNormalization learns, and that keeps its statistics."""
    for layer in model.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
