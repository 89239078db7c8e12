"""The layers that the networks share: normalisations and the style of a convolutional unit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras

Normalization = Literal["batch", "layer", "group", "none"]


class BatchNormalization(keras.layers.BatchNormalization):
    """keras.layers.BatchNormalization that runs as TensorFlow's fused kernel in training.

    Keras 3 computes the batch moments and the scaling as separate TensorFlow operations, which costs
    MobileNetV2 half as much time again for a whole training step. Weights, names, gradients and
    outputs are those of the stock layer, and so is the moving variance: it takes the biased variance
    (divided by n), where the fused kernel would give the unbiased one (divided by n - 1).

    Everything that the kernel does not do (other backends, an axis that is not the last, masks,
    renormalisation, statistics across replicas) is left to the stock layer. `to_stock` turns a network
    into one of plain Keras layers.
    """

    def _fusable(self, inputs: Any, mask: Any) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
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


def to_stock(model: keras.Model) -> keras.Model:
    """Return a copy of `model` made of plain Keras layers only, with the same weights and names.

    What it saves as `.keras` opens in Keras without this package.
    """

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        cls = type(layer)
        if cls is BatchNormalization:
            cls = keras.layers.BatchNormalization
        return cls.from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy


@dataclass(frozen=True, kw_only=True)
class Style:
    """What the convolutional units of one network have in common.

    A builder makes one of its switches and hands it to its blocks, which then name only what differs.

    Attributes:
        normalization: "batch", "layer" (over the channels of each pixel), "group" (of 32 channels, or
            the largest divisor of both) or "none".
        activation: "relu", "relu6", "leaky_relu", "elu", "prelu", "tanh", "sigmoid", or any other name
            that keras.activations knows.
        bn_momentum: Momentum of the moving statistics of BatchNormalization.
        epsilon: Small number added to the variance.
        scale: Whether BatchNormalization has a factor gamma.
        initializer: Initialiser of the kernels.
        use_bias: Whether convolutions have a bias.
    """

    normalization: Normalization = "batch"
    activation: str = "relu"
    bn_momentum: float = 0.9
    epsilon: float = 1e-3
    scale: bool = True
    initializer: str = "glorot_uniform"
    use_bias: bool = False

    def conv(
        self,
        x: Any,
        filters: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        *,
        name: str,
        padding: str = "same",
        **options: Any,
    ) -> Any:
        """Convolve `x` with `filters` kernels of side `kernel`."""
        options = {"use_bias": self.use_bias, "kernel_initializer": self.initializer} | options
        return keras.layers.Conv2D(
            filters, kernel, strides=stride, padding=padding, name=name, **options
        )(x)

    def depthwise(self, x: Any, kernel: int, stride: int = 1, *, name: str, dilation: int = 1) -> Any:
        """Convolve each channel of `x` with a kernel of its own."""
        return keras.layers.DepthwiseConv2D(
            kernel,
            strides=stride,
            padding="same",
            dilation_rate=dilation,
            use_bias=self.use_bias,
            depthwise_initializer=self.initializer,
            name=name,
        )(x)

    def norm(self, x: Any, name: str) -> Any:
        """Normalise `x` as `normalization` says."""
        if self.normalization == "batch":
            layer = BatchNormalization(
                momentum=self.bn_momentum, epsilon=self.epsilon, scale=self.scale, name=name
            )
        elif self.normalization == "layer":
            layer = keras.layers.LayerNormalization(epsilon=self.epsilon, name=name)
        elif self.normalization == "group":
            groups = math.gcd(32, x.shape[-1])
            layer = keras.layers.GroupNormalization(groups, epsilon=self.epsilon, name=name)
        elif self.normalization == "none":
            return x
        else:
            raise ValueError(
                f"normalization must be batch, layer, group or none, not '{self.normalization}'."
            )
        return layer(x)

    def act(self, x: Any, name: str) -> Any:
        """Apply the activation to `x`."""
        return activation(self.activation, name, rank=len(x.shape))(x)

    def dense(self, x: Any, units: int, *, name: str) -> Any:
        """Connect every one of `units` to every feature of `x`, float (batch, features)."""
        return keras.layers.Dense(units, kernel_initializer=self.initializer, name=name)(x)


def activation(kind: str, name: str | None = None, rank: int = 4) -> keras.layers.Layer:
    """Return the layer of the activation `kind` for tensors with `rank` axes, the batch's included.

    Raises:
        ValueError: If Keras knows no activation of that name.
    """
    if kind == "relu6":
        return keras.layers.ReLU(6.0, name=name)
    if kind == "prelu":  # one slope a channel, as in He et al. 2015
        return keras.layers.PReLU(shared_axes=list(range(1, rank - 1)) or None, name=name)
    if kind == "relu":
        return keras.layers.ReLU(name=name)
    return keras.layers.Activation(kind, name=name)


def pool(
    x: Any, kind: str, size: int, stride: int | None = None, *, name: str, padding: str = "valid"
) -> Any:
    """Pool windows of side `size` of `x`; `kind` is "max" or "average".

    Raises:
        ValueError: If `kind` is neither.
    """
    if kind not in ("max", "average"):
        raise ValueError(f"pooling must be max or average, not '{kind}'.")
    pooling = keras.layers.MaxPooling2D if kind == "max" else keras.layers.AveragePooling2D
    return pooling(size, strides=stride, padding=padding, name=name)(x)


def flatten(x: Any) -> Any:
    """Put all values of `x`, float (batch, height, width, channels), in one row.

    Raises:
        ValueError: If height or width is open: a fully connected layer needs a number of inputs.
    """
    if None in x.shape[1:]:
        raise ValueError(
            "This network has fully connected layers on its feature map and needs a fixed height and "
            "width in input_shape."
        )
    return keras.layers.Flatten(name="flatten")(x)


def dropout(x: Any, rate: float, *, name: str) -> Any:
    """Drop a share `rate` of the features of `x` in training; at rate 0 there is no layer."""
    return keras.layers.Dropout(rate, name=name)(x) if rate else x


def check_hidden(hidden: Sequence[int]) -> None:
    """Raise a ValueError if `hidden` is no sequence of positive numbers of units."""
    if not isinstance(hidden, Sequence) or not all(isinstance(n, int) and n > 0 for n in hidden):
        raise ValueError(f"hidden must be a tuple of units a layer, e.g. (300, 100), not {hidden!r}.")


def hidden_layers(
    x: Any, hidden: Sequence[int], *, prefix: str, style: Style, dropout_rate: float
) -> Any:
    """Connect fully connected layers of `hidden` units, called `prefix` and a number, behind `x`.

    There is dropout between them; that behind the last is the classifier's.

    Raises:
        ValueError: If `hidden` is no sequence of positive numbers.
    """
    check_hidden(hidden)
    for i, units in enumerate(hidden, start=1):
        if i > 1:
            x = dropout(x, dropout_rate, name=f"{prefix}{i - 1}_dropout")
        x = style.dense(x, units, name=f"{prefix}{i}")
        x = style.act(x, f"{prefix}{i}_act")
    return x


def classifier(x: Any, num_classes: int, *, dropout: float = 0.0, initializer="glorot_uniform") -> Any:
    """Map features, float (batch, features), to logits, float32 (batch, num_classes).

    The layer is called `predictions`: transfer learning replaces it. It stays in float32 under mixed
    precision.
    """
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.layers.Dense(
        num_classes, kernel_initializer=initializer, dtype="float32", name="predictions"
    )(x)
