"""The two layers of LeNet-5 that nothing else has: the sparse convolution C3 and the output of codes."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable(package="cnn_keras")
class SparseConv2D(keras.layers.Conv2D):
    """A convolution in which each output map sees some of the input maps only.

    Its kernel has no weights for connections that are not there: (height, width, connections). They
    are in the order of the table, output map by output map.

    Args:
        table: For each output map, the numbers of the input maps that it sees.
        kernel_size: Side of the kernel.
        **options: See keras.layers.Conv2D.

    Raises:
        ValueError: If an output map sees no input map, or one twice.
    """

    def __init__(self, table: Sequence[Sequence[int]], kernel_size: Any, **options: Any):
        options.pop("filters", None)  # get_config has both
        super().__init__(len(table), kernel_size, **options)
        if not all(row and len(set(row)) == len(row) for row in table):
            raise ValueError("Each row of table must name one input map or more, none of them twice.")
        self.table = tuple(tuple(row) for row in table)

    def build(self, input_shape: tuple) -> None:
        """Create one small kernel a connection, and a bias a map."""
        maps = input_shape[-1]
        if not all(0 <= i < maps for row in self.table for i in row):
            raise ValueError(f"table names an input map that is not one of the {maps}.")
        pairs = [(i, j) for j, row in enumerate(self.table) for i in row]
        # 0-1 matrix (connections, input maps * output maps): puts each kernel in its place
        self._place = np.zeros((len(pairs), maps * self.filters), "float32")
        for connection, (i, j) in enumerate(pairs):
            self._place[connection, i * self.filters + j] = 1
        self._kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, len(pairs)),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.filters,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.built = True

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolve with the dense kernel, which is zero where there is no connection."""
        place = keras.ops.cast(self._place, kernel.dtype)
        dense = keras.ops.matmul(kernel, place)
        shape = (*self.kernel_size, inputs.shape[-1], self.filters)
        return super().convolution_op(inputs, keras.ops.reshape(dense, shape))

    def get_config(self) -> dict:
        """Return what makes the layer again."""
        return super().get_config() | {"table": self.table}


@keras.saving.register_keras_serializable(package="cnn_keras")
class EuclideanOutput(keras.layers.Layer):
    """Negative squared Euclidean distance to a fixed code of +1 and -1 for each class.

    A Gaussian radial basis function a class, as logits: nothing is trained. The codes are rows of the
    Hadamard matrix that Paley's construction makes, and of its negative: any two differ in half of
    their digits, or in all.

    Args:
        num_classes: Number of codes.
        **options: See keras.layers.Layer.
    """

    def __init__(self, num_classes: int, **options: Any):
        super().__init__(**options)
        self.num_classes = num_classes

    def build(self, input_shape: tuple) -> None:
        """Compute the codes."""
        self._codes = codes(self.num_classes, input_shape[-1])
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Map features, float (batch, features), to logits, float (batch, num_classes)."""
        difference = keras.ops.expand_dims(inputs, 1) - keras.ops.cast(self._codes, inputs.dtype)
        return -keras.ops.sum(keras.ops.square(difference), axis=-1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return (batch, num_classes)."""
        return (*input_shape[:-1], self.num_classes)

    def get_config(self) -> dict:
        """Return what makes the layer again."""
        return super().get_config() | {"num_classes": self.num_classes}


def codes(count: int, digits: int) -> np.ndarray:
    """Return `count` codes of +1 and -1, float32 (count, digits).

    Args:
        count: Number of codes, at most twice `digits`.
        digits: Length; one more than a prime that leaves 3 when divided by 4, such as 84.

    Raises:
        ValueError: If there are no such codes.
    """
    prime = digits - 1
    if prime % 4 != 3 or any(prime % i == 0 for i in range(2, prime)):
        raise ValueError(f"There is no Paley code of {digits} digits.")
    if count > 2 * digits:
        raise ValueError(f"There are {2 * digits} codes of {digits} digits, not {count}.")
    squares = {i * i % prime for i in range(1, prime)}
    matrix = np.ones((digits, digits), "float32")
    for i in range(prime):
        for j in range(prime):
            matrix[i + 1, j + 1] = 1 if (j - i) % prime in squares else -1
    # the first row is all ones: it comes last, classes are told apart by mixed codes first
    matrix = np.roll(matrix, -1, axis=0)
    return np.concatenate([matrix, -matrix])[:count]
