"""What a network costs and what it sees, layer by layer.

Multiply-adds are those of kernels: convolutions, dense and recurrent layers, without biases,
normalisation and pooling, as the papers count them. Receptive fields follow Araujo, Norris and Sim,
"Computing Receptive Fields of Convolutional Neural Networks", Distill 2019.
"""

import math
from dataclasses import dataclass

from cnn_keras.lazy import keras


@dataclass(frozen=True)
class Field:
    """The input pixels that one output position depends on, along one side.

    Attributes:
        size: Side of the receptive field, pixels; infinity for the whole picture.
        stride: Input pixels between the fields of neighbouring positions.
        centre: Input coordinate of the middle of the first position's field; pixel 0 is at 0.
    """

    size: float = 1
    stride: int = 1
    centre: float = 0.0

    def window(self, kernel: int, stride: int, dilation: int, pad_before: int) -> "Field":
        """Return the field behind a sliding window."""
        reach = (kernel - 1) * dilation
        return Field(
            self.size + reach * self.stride,
            self.stride * stride,
            self.centre + (reach / 2 - pad_before) * self.stride,
        )


WHOLE = Field(size=math.inf)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One layer of a network.

    Attributes:
        name: Name of the layer.
        kind: Its class.
        output_shape: Shape of its output for one image.
        params: Its trainable parameters.
        macs: Its multiply-adds for one image.
        activation_bytes: Bytes of its float32 output for one image.
        field: Receptive field of one position of its output, along the side where it is larger;
            of a sequence, along its steps.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    params: int
    macs: int
    activation_bytes: int
    field: Field


def rows(model: "keras.Model") -> list[Row]:
    """Describe every layer of a Functional model with a fixed input size, in graph order."""
    fields: dict[int, tuple[Field, Field]] = {}  # id of a Keras tensor -> along height and width
    table = []
    for operation in model.operations:
        inputs = keras.tree.flatten(operation.input)
        outputs = keras.tree.flatten(operation.output)
        if any(size is None for tensor in outputs for size in tensor.shape[1:]):
            raise ValueError("The layer table needs a fixed input size: build with (height, width).")
        seen = [fields.get(id(tensor), (Field(), Field())) for tensor in inputs]
        both = tuple(_field(operation, inputs, [f[side] for f in seen], side) for side in (0, 1))
        fields.update((id(tensor), both) for tensor in outputs)
        shape = tuple(outputs[0].shape[1:])
        table.append(
            Row(
                name=operation.name,
                kind=type(operation).__name__,
                output_shape=shape,
                params=sum(math.prod(w.shape) for w in _trainable(operation)),
                macs=_macs(operation, inputs, shape),
                activation_bytes=4 * sum(math.prod(t.shape[1:]) for t in outputs),
                field=max(both, key=lambda field: field.size),
            )
        )
    return table


def count_params(model: "keras.Model") -> int:
    """Count the trainable parameters of a model, as papers do."""
    return sum(math.prod(w.shape) for layer in model.layers for w in _trainable(layer))


def count_macs(model: "keras.Model") -> int:
    """Count the multiply-adds of a Functional model for one image of its fixed input size."""
    return sum(row.macs for row in rows(model))


def depth(model: "keras.Model") -> int:
    """Count the layers with kernels on the longest way through a Functional model, as papers do."""
    deepest: dict[int, int] = {}  # id of a Keras tensor -> layers in front of it
    for operation in model.operations:
        inputs = keras.tree.flatten(operation.input)
        outputs = keras.tree.flatten(operation.output)
        own = bool(_macs(operation, inputs, tuple(outputs[0].shape[1:])))
        here = own + max((deepest.get(id(tensor), 0) for tensor in inputs), default=0)
        deepest.update((id(tensor), here) for tensor in outputs)
    return max(deepest.values())


def _trainable(operation) -> list:
    """Return what training could change: `trainable=False` (freezing) does not make it smaller."""
    return [w for w in getattr(operation, "variables", ()) if _is_parameter(w)]


def _is_parameter(variable) -> bool:
    return variable.name not in ("moving_mean", "moving_variance", "seed_generator_state")


def _macs(operation, inputs, output_shape) -> int:
    layers = keras.layers
    kernels = [
        math.prod(w.shape)
        for w in getattr(operation, "weights", ())
        if w.name in ("kernel", "recurrent_kernel", "pointwise_kernel", "depthwise_kernel")
    ]
    if not kernels:
        return 0
    if isinstance(operation, layers.RNN | layers.Bidirectional):
        return sum(kernels) * inputs[0].shape[1]  # steps
    return sum(kernels) * math.prod(output_shape[:-1])  # positions


def _field(operation, inputs, seen: list[Field], side: int) -> Field:
    layers = keras.layers
    if not isinstance(operation, layers.InputLayer) and len(operation.output.shape) == 2:
        return WHOLE  # an output without positions sees all
    if len(seen) > 1:  # the branch that sees most decides
        return max(seen, key=lambda field: field.size)
    if isinstance(operation, layers.InputLayer):
        return Field()
    field = seen[0]
    if isinstance(operation, layers.ZeroPadding2D):
        return field.window(1, 1, 1, operation.padding[side][0])
    if isinstance(
        operation, layers.Conv1D | layers.Conv2D | layers.DepthwiseConv2D | layers.SeparableConv2D
    ):
        kernel, dilation = operation.kernel_size, operation.dilation_rate
        return _windowed(operation, field, inputs[0], kernel, dilation, side)
    if isinstance(operation, layers.MaxPooling2D | layers.AveragePooling2D):
        return _windowed(operation, field, inputs[0], operation.pool_size, (1, 1), side)
    whole = (
        layers.GlobalAveragePooling2D,
        layers.GlobalMaxPooling2D,
        layers.RNN,
        layers.Bidirectional,
    )
    return WHOLE if isinstance(operation, whole) else field


def _windowed(operation, field: Field, tensor, kernel, dilation, side: int) -> Field:
    """Follow one side, 0 for height and 1 for width; a sequence has one only."""
    side = min(side, len(kernel) - 1)
    size, stride, step = kernel[side], operation.strides[side], dilation[side]
    padding = 0
    if operation.padding == "same":
        length = tensor.shape[1 + side]
        overhang = (math.ceil(length / stride) - 1) * stride + (size - 1) * step + 1 - length
        padding = max(overhang, 0) // 2
    elif operation.padding == "causal":
        padding = (size - 1) * step
    return field.window(size, stride, step, padding)
