"""Recurrent networks: a picture read row by row, from the top, into a hidden state.

`rnn`: Elman, "Finding Structure in Time", Cognitive Science 14(2), 1990,
https://doi.org/10.1207/s15516709cog1402_1.
`lstm`: Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997,
https://doi.org/10.1162/neco.1997.9.8.1735.
`gru`: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine
Translation", EMNLP 2014, https://arxiv.org/abs/1406.1078.

Differs from the papers: none classifies pictures; sizes are ours; the state behind the last row is
classified, and gradients go back through all rows, where Elman's and those of Hochreiter and Schmidhuber
are truncated. `rnn` has two layers of tanh, not one of logistic units; `lstm` has the forget gate of
Gers, Schmidhuber and Cummins 2000; `gru` has biases. `bidirectional` is of Schuster and Paliwal 1997.
"""

from cnn_keras.lazy import keras
from cnn_keras.lazy import layers as shared
from cnn_keras.registry import Variant, register
from cnn_keras.sequence import check_numbers, rows

CELLS = ("rnn", "lstm", "gru")


def recurrent(
    input_shape=(32, 32, 1),
    num_classes=10,
    *,
    cell="rnn",
    units=64,
    layers=1,
    bidirectional=False,
    activation="tanh",
    dropout=0.0,
    initializer="glorot_uniform",
    name="rnn",
):
    """Recurrent network over the rows of a picture: what it remembers behind the last row decides.

    Loops are unrolled, so that TFLite files have plain operators: tall pictures make large graphs.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        cell: "rnn" (Elman's units), "lstm" or "gru".
        units: Units of each layer and direction.
        layers: Number of layers, one on the other.
        bidirectional: Whether each layer also reads from the bottom and hands on both.
        activation: Name of an activation that keras.activations knows.
        dropout: Share of each layer's output dropped in training; the papers have none.
        initializer: Initialiser of the kernels on the input; recurrent kernels start orthogonal.
        name: Name of the model.

    Returns:
        A model from `image`, float32 (batch, height, width, channels), 0..1, to logits.

    Raises:
        ValueError: If there is no such cell, a number is not positive, or height or width is open.
    """
    shared.check_choice("cell", cell, CELLS)
    check_numbers(units=units, layers=layers)
    image = keras.Input(input_shape, name="image")
    x = rows(image)
    for i in range(1, layers + 1):
        options = {
            "activation": activation,
            "kernel_initializer": initializer,
            "return_sequences": i < layers,
            "unroll": True,
            "name": f"{cell}{i}",
        }
        if cell == "rnn":
            layer = keras.layers.SimpleRNN(units, **options)
        elif cell == "lstm":
            layer = keras.layers.LSTM(units, **options)
        else:  # the paper resets the state before the product; Keras's default is cuDNN's
            layer = keras.layers.GRU(units, reset_after=False, **options)
        if bidirectional:
            layer = keras.layers.Bidirectional(layer, name=f"{cell}{i}")
        x = layer(x)
        if i < layers:
            x = shared.dropout(x, dropout, name=f"{cell}{i}_dropout")
    x = shared.classifier(x, num_classes, dropout=dropout, initializer=initializer)
    return keras.Model(image, x, name=name)


_DIGITS = {
    "family": "recurrent",
    "builder": recurrent,
    "input_size": 32,
    "min_size": 1,
    "channels": 1,
    "num_classes": 10,
    "preprocessing": "unit",
}

register(
    Variant(
        name="rnn",
        knobs={"cell": "rnn", "layers": 2},  # one layer learns the digits less surely
        paper="Elman, 1990, Cognitive Science 14(2)",
        year=1990,
        url="https://doi.org/10.1207/s15516709cog1402_1",
        params=15_114,  # (32 + 64 + 1) * 64 + (64 + 64 + 1) * 64 + (64 + 1) * 10
        macs=459_392,  # 32 steps
        **_DIGITS,
    )
)
register(
    Variant(
        name="lstm",
        knobs={"cell": "lstm"},
        paper="Hochreiter and Schmidhuber, 1997, Neural Computation 9(8)",
        year=1997,
        url="https://doi.org/10.1162/neco.1997.9.8.1735",
        params=25_482,  # 4 * (32 + 64 + 1) * 64 + (64 + 1) * 10
        macs=787_072,
        **_DIGITS,
    )
)
register(
    Variant(
        name="gru",
        knobs={"cell": "gru"},
        paper="Cho et al., 2014, arXiv:1406.1078",
        year=2014,
        url="https://arxiv.org/abs/1406.1078",
        params=19_274,  # 3 * (32 + 64 + 1) * 64 + (64 + 1) * 10
        macs=590_464,
        **_DIGITS,
    )
)
