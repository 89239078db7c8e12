"""Normalisation layers with a faster TensorFlow kernel: BatchNormalization and the older LRN."""

from typing import Any

import keras

_FUSED_DTYPES = ("float32", "float16", "bfloat16")  # of the inputs; it keeps statistics in float32


@keras.saving.register_keras_serializable("cnn_keras")
class BatchNormalization(keras.layers.BatchNormalization):
    """keras.layers.BatchNormalization that runs as TensorFlow's fused kernel in training.

    Keras 3 computes the batch moments and the scaling as separate TensorFlow operations, which costs
    MobileNetV2 half as much time again for a whole training step. Weights, names, gradients and
    outputs are those of the stock layer, and so is the moving variance: it takes the biased variance
    (divided by n), where the fused kernel would give the unbiased one (divided by n - 1).

    Everything that the kernel does not do (other backends, an axis that is not the last, float64, masks,
    renormalisation, statistics across replicas) is left to the stock layer. `to_stock` turns a network
    into one of plain Keras layers.
    """

    def _fusable(self, inputs: Any, mask: Any) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and keras.backend.standardize_dtype(inputs.dtype) in _FUSED_DTYPES
            and mask is None
            and not self.renorm
            and not self.synchronized
        )

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise `inputs`, float (batch, height, width, channels), over all but the channels."""
        if not (training and self.trainable and self._fusable(inputs, mask)):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        channels = inputs.shape[-1]
        gamma = self.gamma if self.scale else tf.ones(channels)
        beta = self.beta if self.center else tf.zeros(channels)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.cast(gamma, "float32"),
            offset=tf.cast(beta, "float32"),
            mean=tf.zeros(0),
            variance=tf.zeros(0),
            epsilon=self.epsilon,
            is_training=True,
        )
        count = tf.cast(tf.size(inputs) // channels, "float32")
        biased = variance * ((count - 1.0) / count)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, biased)):
            moving.assign(moving * self.momentum + tf.cast(batch, moving.dtype) * (1 - self.momentum))
        return outputs


@keras.saving.register_keras_serializable(package="cnn_keras")
class LocalResponseNormalization(keras.layers.Layer):
    """Divide each value by the energy of its neighbours on the channel axis.

    b_i = a_i / (k + alpha * sum of a_j^2)^beta, the sum over the n channels around i that exist
    (Krizhevsky, Sutskever and Hinton 2012, section 3.3). The defaults are the paper's. alpha is not
    divided by n: Caffe and PyTorch do divide it, their alpha is n times this one.

    On TensorFlow it is the framework's own operation, which TFLite has too; elsewhere keras.ops.

    Args:
        n: Channels that are summed, an odd number: i itself and (n - 1) / 2 on either side.
        k: The constant.
        alpha: Factor of the sum.
        beta: Exponent.
        **options: See keras.layers.Layer.

    Raises:
        ValueError: If `n` is not odd and positive.
    """

    def __init__(self, n: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75, **options):
        super().__init__(**options)
        if n < 1 or n % 2 == 0:
            raise ValueError(f"n must be odd and positive, not {n}.")
        self.n, self.k, self.alpha, self.beta = n, k, alpha, beta

    def call(self, inputs: Any) -> Any:
        """Normalise `inputs`, float (batch, height, width, channels)."""
        radius = self.n // 2
        x = keras.ops.cast(inputs, "float32")  # squares overflow float16; kernels for it are missing
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            x = tf.nn.local_response_normalization(x, radius, self.k, self.alpha, self.beta)
        else:
            squares = keras.ops.pad(keras.ops.square(x), [(0, 0), (0, 0), (0, 0), (radius, radius)])
            energy = sum(squares[..., i : i + x.shape[-1]] for i in range(self.n))
            x = x / keras.ops.power(self.k + self.alpha * energy, self.beta)
        return keras.ops.cast(x, inputs.dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict:
        """Return what makes the layer again."""
        settings = {"n": self.n, "k": self.k, "alpha": self.alpha, "beta": self.beta}
        return super().get_config() | settings
