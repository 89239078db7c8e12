"""The layers that the networks share: normalisation, pooling and the style of a convolutional unit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras

from cnn_keras.convolution import Conv2D
from cnn_keras.normalization import (
    BatchNormalization,
    LocalResponseNormalization,  # noqa: F401  networks find it here beside the others
)

Normalization = Literal["batch", "layer", "group", "none"]


def to_stock(model: keras.Model) -> keras.Model:
    """Return a copy of `model` made of plain Keras layers only, with the same weights and names.

    What it saves as `.keras` opens in Keras without this package.
    """
    stock = {BatchNormalization: keras.layers.BatchNormalization, Conv2D: keras.layers.Conv2D}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        cls = stock.get(type(layer), type(layer))
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
        bn_momentum: Momentum of the moving statistics of BatchNormalization, 0 to 1.
        epsilon: Small number added to the variance.
        scale: Whether BatchNormalization has a factor gamma.
        initializer: Initialiser of the kernels.
        use_bias: Whether convolutions have a bias.
        torchvision: Pad strided convolutions on all sides, where "same" pads even inputs at the end
            only, and let poolings round and count as torchvision's do.
    """

    normalization: Normalization = "batch"
    activation: str = "relu"
    bn_momentum: float = 0.9
    epsilon: float = 1e-3
    scale: bool = True
    initializer: str = "glorot_uniform"
    use_bias: bool = False
    torchvision: bool = False

    def __post_init__(self):
        if not 0 <= self.bn_momentum <= 1:
            raise ValueError(f"bn_momentum must be from 0 to 1, not {self.bn_momentum}.")

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
        if self.torchvision and padding == "same" and stride > 1:
            x, padding = pad(x, kernel // 2, f"{name}_pad"), "valid"
        return Conv2D(filters, kernel, strides=stride, padding=padding, name=name, **options)(x)

    def depthwise(
        self,
        x: Any,
        kernel: int,
        stride: int = 1,
        *,
        name: str,
        dilation: int = 1,
        padding: str = "same",
    ) -> Any:
        """Convolve each channel of `x` with a kernel of its own."""
        if self.torchvision and padding == "same" and stride > 1:
            x, padding = pad(x, kernel // 2 * dilation, f"{name}_pad"), "valid"
        return keras.layers.DepthwiseConv2D(
            kernel,
            strides=stride,
            padding=padding,
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

    def dense(self, x: Any, units: int, *, name: str) -> Any:
        """Connect every one of `units` to every feature of `x`, float (batch, features)."""
        return keras.layers.Dense(units, kernel_initializer=self.initializer, name=name)(x)


def pad(x: Any, pixels: Any, name: str) -> Any:
    """Put `pixels` zeros on every side of `x`; see keras.layers.ZeroPadding2D for unequal sides."""
    return keras.layers.ZeroPadding2D(pixels, name=name)(x)


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
    x: Any, kind: str, size: int, stride: int | None = None, padding: str = "valid", *, name: str
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


def head_initializer(initializer: str) -> str:
    """Return the classifier's initialiser in a network whose convolutions have `initializer`.

    It is the same but for He's: its double variance makes up for a ReLU behind, which logits have not.
    """
    return "glorot_uniform" if initializer == "he_normal" else initializer


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
