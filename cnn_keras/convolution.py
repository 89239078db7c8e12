"""A convolution whose 1x1 kernels are trained as matrix products."""

from typing import Any

import keras


@keras.saving.register_keras_serializable("cnn_keras")
class Conv2D(keras.layers.Conv2D):
    """keras.layers.Conv2D that trains 1x1 kernels as matrix products where TensorFlow runs.

    A 1x1 convolution of stride 1 multiplies the channels of every pixel by one matrix, and so do its
    gradients. TensorFlow's matrix product does that faster than its convolution, most of all for the
    gradient of the kernel. Weights, names, gradients and outputs are those of the stock layer within
    rounding. Inference, other kernels and other backends are left to the stock layer, so that what is
    exported holds convolutions. `to_stock` turns a network into one of plain Keras layers.
    """

    def _is_product(self) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and self.kernel_size == (1, 1)
            and self.strides == (1, 1)
            and self.groups == 1
            and self.data_format == "channels_last"
            and not self.lora_enabled
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Convolve `inputs`, float (batch, height, width, channels)."""
        if not (training and self._is_product()):
            return super().call(inputs)
        import tensorflow as tf

        kernel = tf.reshape(self.kernel, (-1, self.filters))
        pixels = tf.matmul(tf.reshape(inputs, (-1, self.kernel.shape[2])), kernel)
        if self.use_bias:
            pixels = tf.nn.bias_add(pixels, self.bias)
        outputs = tf.reshape(pixels, tf.concat([tf.shape(inputs)[:3], [self.filters]], 0))
        outputs.set_shape((*inputs.shape[:3], self.filters))
        return outputs if self.activation is None else self.activation(outputs)
