"""The layers that the networks share: normalisation, pooling and the style of a convolutional unit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras

Normalization = Literal["batch", "layer", "group", "none"]


@keras.saving.register_keras_serializable("cnn_keras")
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


@keras.saving.register_keras_serializable("cnn_keras")
class LocalResponseNormalization(keras.layers.Layer):
    """Divide each value by a power of the energy of its neighbouring channels.

    Krizhevsky, Sutskever and Hinton, 2012, section 3.3: b = a / (k + alpha * sum of a^2) ** beta, where
    the sum runs over n = 2 * depth_radius + 1 channels at the same position. Computed in float32.

    Args:
        depth_radius: Channels on either side that the sum takes in, (n - 1) / 2.
        bias: The paper's k.
        alpha: Factor of the sum; not divided by n, as Caffe and PyTorch do.
        beta: Exponent.
    """

    def __init__(self, depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75, **options):
        super().__init__(**options)
        self.depth_radius = depth_radius
        self.bias = bias
        self.alpha = alpha
        self.beta = beta

    def call(self, inputs: Any) -> Any:
        """Normalise `inputs`, float (batch, height, width, channels)."""
        x = keras.ops.cast(inputs, "float32")
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            x = tf.nn.local_response_normalization(
                x, self.depth_radius, bias=self.bias, alpha=self.alpha, beta=self.beta
            )
        else:
            channels = x.shape[-1]
            squares = keras.ops.pad(keras.ops.square(x), [(0, 0)] * 3 + [(self.depth_radius,) * 2])
            energy = sum(squares[..., i : i + channels] for i in range(2 * self.depth_radius + 1))
            x = x / keras.ops.power(self.bias + self.alpha * energy, self.beta)
        return keras.ops.cast(x, inputs.dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return `input_shape`."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        names = ("depth_radius", "bias", "alpha", "beta")
        return super().get_config() | {name: getattr(self, name) for name in names}


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
    # a model of its own: the clone of a compiled model has an optimizer, which would be saved too
    return keras.Model(copy.inputs, copy.outputs, name=model.name)


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

    def norm(self, x: Any, name: str, gamma: str = "ones") -> Any:
        """Normalise `x` as `normalization` says; the factor gamma starts at "ones" or "zeros"."""
        options = {"epsilon": self.epsilon, "gamma_initializer": gamma, "name": name}
        if self.normalization == "batch":
            layer = BatchNormalization(momentum=self.bn_momentum, scale=self.scale, **options)
        elif self.normalization == "layer":
            layer = keras.layers.LayerNormalization(**options)
        elif self.normalization == "group":
            layer = keras.layers.GroupNormalization(math.gcd(32, x.shape[-1]), **options)
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


def pool(
    x: Any, kind: str, size: int, stride: int = 1, padding: str = "same", *, name: str | None = None
) -> Any:
    """Pool `x` over windows of side `size`; `kind` is "max" or "average".

    Raises:
        ValueError: If `kind` is neither.
    """
    if kind == "max":
        return keras.layers.MaxPooling2D(size, stride, padding, name=name)(x)
    if kind == "average":
        return keras.layers.AveragePooling2D(size, stride, padding, name=name)(x)
    raise ValueError(f"pooling must be max or average, not '{kind}'.")


def pad(x: Any, pixels: int, name: str) -> Any:
    """Put `pixels` zeros on every side of `x`."""
    return keras.layers.ZeroPadding2D(pixels, name=name)(x)


def activation(kind: str, name: str | None = None, rank: int = 4) -> keras.layers.Layer:
    """Return the layer of the activation `kind` for tensors with `rank` axes.

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


def dilated(strides: Sequence[int], output_stride: int, reached: int = 1) -> list[tuple[int, int, int]]:
    """Turn the strides beyond `output_stride` into dilations; every weight keeps its place and meaning.

    Args:
        strides: Stride of each stage, or of each layer, in order.
        output_stride: Input pixels that a step of the last feature map may take.
        reached: Input pixels that a step takes in front of the first stage.

    Returns:
        For each stage: its stride; the dilation of the layer that strides, or would have; the dilation
        of the layers behind that one.
    """
    plan, dilation = [], 1
    for stride in strides:
        before = dilation
        if reached * stride > output_stride:
            stride, dilation = 1, dilation * stride
        reached *= stride
        plan.append((stride, before, dilation))
    return plan


def check_choice(switch: str, value: Any, choices: Sequence[Any]) -> None:
    """Raise a ValueError that lists the `choices` if `value` is none of them."""
    if value not in choices:
        *others, last = map(str, choices)
        raise ValueError(f"{switch} must be {', '.join(others)} or {last}, not {value}.")
