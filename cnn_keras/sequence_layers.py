"""What Keras lacks for the sequence classifiers: prediction errors and tapped outputs."""

import math
from collections.abc import Sequence
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="cnn_keras")
class PredictionError(keras.layers.Layer):
    """Negative mean squared error of one prediction of the rows a class, times a trained factor.

    The factor is the precision of a Gaussian with the same variance for every class, which makes
    log-likelihoods of the errors: it decides how sure the softmax is, never which class wins.

    Args:
        precision: What the factor starts at.
        **options: See keras.layers.Layer.
    """

    def __init__(self, precision: float = 10.0, **options: Any):
        super().__init__(**options)
        self.precision = precision

    def build(self, input_shape: Sequence[tuple]) -> None:
        """Create the factor, as a logarithm: it must stay positive."""
        self.log_precision = self.add_weight(
            name="log_precision",
            shape=(),
            initializer=keras.initializers.Constant(math.log(self.precision)),
        )
        self.built = True

    def call(self, inputs: Sequence[Any]) -> Any:
        """Compare predictions with what came.

        Args:
            inputs: Predictions, float (batch, steps, classes * features), class by class; and the rows,
                float (batch, rows, features), of which the last `steps` were predicted.

        Returns:
            Logits, float (batch, classes).
        """
        predicted, rows = (keras.ops.cast(tensor, self.compute_dtype) for tensor in inputs)
        steps, features = predicted.shape[1], rows.shape[2]
        predicted = keras.ops.reshape(predicted, (-1, steps, predicted.shape[2] // features, features))
        error = keras.ops.expand_dims(rows[:, -steps:], 2) - predicted
        # factor and sign before the mean: TFLite gives the mean int8 ranges that are too wide otherwise
        factor = keras.ops.exp(self.log_precision / 2)
        return keras.ops.mean((error * factor) * (error * -factor), axis=(1, 3))

    def compute_output_shape(self, input_shape: Sequence[tuple]) -> tuple:
        """Return (batch, classes)."""
        (batch, _, predicted), (_, _, features) = input_shape
        return (batch, predicted // features)

    def get_config(self) -> dict:
        """Return what makes the layer again."""
        return super().get_config() | {"precision": self.precision}


@keras.saving.register_keras_serializable(package="cnn_keras")
class TappedOutputCell(keras.layers.Layer):
    """One step of a NARX network behind the taps of its inputs: a perceptron that sees its own outputs.

    h(t) = activation(inputs(t) + U1 p(t-1) + U2 p(t-2) + ...), y(t) = V h(t) + b, p = softmax(y): the
    outputs that come back are class probabilities, all zero before the first step. For keras.layers.RNN.

    Args:
        num_classes: Outputs of a step.
        delays: Earlier outputs that a step sees.
        activation: Name of the activation of the hidden units.
        initializer: Initialiser of the kernels.
        **options: See keras.layers.Layer.
    """

    def __init__(
        self,
        num_classes: int,
        delays: int,
        activation: str = "tanh",
        initializer: str = "glorot_uniform",
        **options: Any,
    ):
        super().__init__(**options)
        self.num_classes, self.delays = num_classes, delays
        self.activation = keras.activations.get(activation)
        self.initializer = keras.initializers.get(initializer)
        self.state_size = [num_classes] * delays
        self.output_size = num_classes

    def build(self, input_shape: tuple) -> None:
        """Create the kernels U (delays, classes, hidden) and V (hidden, classes)."""
        hidden = input_shape[-1]
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(self.delays, self.num_classes, hidden),
            initializer=self.initializer,
        )
        self.kernel = self.add_weight(
            name="kernel", shape=(hidden, self.num_classes), initializer=self.initializer
        )
        self.bias = self.add_weight(name="bias", shape=(self.num_classes,), initializer="zeros")
        self.built = True

    def call(self, inputs: Any, states: Sequence[Any], training: bool | None = None) -> tuple:
        """Take one step.

        Args:
            inputs: What the taps of the inputs add up to, float (batch, hidden).
            states: Earlier outputs, the newest first, each float (batch, classes).
            training: Not used.

        Returns:
            Logits of this step, float (batch, classes), and the states of the next.
        """
        for delay, probabilities in enumerate(states):
            inputs = inputs + keras.ops.matmul(probabilities, self.recurrent_kernel[delay])
        hidden = self.activation(inputs)
        output = keras.ops.matmul(hidden, self.kernel) + self.bias
        return output, [keras.ops.softmax(output), *states[:-1]]

    def get_config(self) -> dict:
        """Return what makes the cell again."""
        return super().get_config() | {
            "num_classes": self.num_classes,
            "delays": self.delays,
            "activation": keras.activations.serialize(self.activation),
            "initializer": keras.initializers.serialize(self.initializer),
        }
