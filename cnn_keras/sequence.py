"""Sequence classifiers without hidden state: a picture read row by row, from the top.

`tdnn`: Waibel, Hanazawa, Hinton, Shikano and Lang, "Phoneme Recognition Using Time-Delay Neural
Networks", IEEE Trans. ASSP 37(3), 1989, https://doi.org/10.1109/29.21701.
`ar`: Yule, "On a Method of Investigating Periodicities in Disturbed Series", Phil. Trans. R. Soc. A 226,
1927, https://doi.org/10.1098/rsta.1927.0007; as a classifier, Itakura, "Minimum Prediction Residual
Principle Applied to Speech Recognition", IEEE Trans. ASSP 23(1), 1975,
https://doi.org/10.1109/TASSP.1975.1162641.
`narx`: Lin, Horne, Tino and Giles, "Learning Long-Term Dependencies in NARX Recurrent Neural Networks",
IEEE Trans. Neural Networks 7(6), 1996, https://doi.org/10.1109/72.548162.

Differs from the papers: none classifies pictures; sizes are ours.
`tdnn`: delays are spread by dilation (as in Peddinti, Povey and Khudanpur 2015), the paper's are
adjacent; a linear layer reads the mean over time, where the paper's outputs are sums over time; ReLU.
`ar`: predicts a vector, the row, not a number; the coefficients are trained to tell the classes apart,
not fitted to each class by least squares.
`narx`: one output a class, of which the probabilities come back; the paper has a single output.
"""

from collections.abc import Sequence

from cnn_keras.lazy import LazyModule, keras, layers
from cnn_keras.registry import Variant, register

sequence_layers = LazyModule("cnn_keras.sequence_layers")


def tdnn(
    input_shape=(32, 32, 1),
    num_classes=10,
    *,
    units=64,
    kernel=3,
    dilations=(1, 2, 4),
    normalization="none",
    bn_momentum=0.9,
    activation="relu",
    dropout=0.0,
    initializer="glorot_uniform",
    name="tdnn",
):
    """Time-delay network: units that see a window of rows, the same at every row, and their mean.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        units: Units of each hidden layer.
        kernel: Delays that a unit sees, its own row included.
        dilations: Rows between the delays of each hidden layer, first to last.
        normalization: See `layers.Style`; the paper has none.
        bn_momentum: See `layers.Style`.
        activation: See `layers.Style`; the paper's is the logistic sigmoid.
        dropout: Share of the mean features dropped in training.
        initializer: Initialiser of the kernels.
        name: Name of the model.

    Returns:
        A model from `image`, float32 (batch, height, width, channels), 0..1, to logits.

    Raises:
        ValueError: If a switch is out of range, height or width is open, or the picture has fewer rows
            than the last layer sees.
    """
    check_numbers(units=units, kernel=kernel)
    if not isinstance(dilations, Sequence):
        raise ValueError(
            f"dilations must be a tuple of rows a layer, e.g. (1, 2, 4), not {dilations!r}."
        )
    check_numbers(**{f"dilations[{i}]": dilation for i, dilation in enumerate(dilations)})
    style = layers.Style(normalization=normalization, activation=activation, bn_momentum=bn_momentum)
    image = keras.Input(input_shape, name="image")
    x = rows(image)
    seen = 1 + (kernel - 1) * sum(dilations)
    if seen > x.shape[1]:
        raise ValueError(f"kernel and dilations see {seen} rows; the picture has {x.shape[1]}.")
    for i, dilation in enumerate(dilations, start=1):
        x = keras.layers.Conv1D(
            units, kernel, dilation_rate=dilation, kernel_initializer=initializer, name=f"conv{i}"
        )(x)
        x = style.norm(x, f"conv{i}_bn")
        x = style.act(x, f"conv{i}_act")
    x = keras.layers.GlobalAveragePooling1D(name="avg_pool")(x)
    x = layers.classifier(x, num_classes, dropout=dropout, initializer=initializer)
    return keras.Model(image, x, name=name)


def ar(
    input_shape=(32, 32, 1),
    num_classes=10,
    *,
    order=8,
    dropout=0.0,
    initializer="glorot_uniform",
    name="ar",
):
    """Autoregression: a linear predictor of the next row a class; the smallest error wins.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        order: Rows that a prediction sees.
        dropout: Share of the pixels that predictors see dropped in training.
        initializer: Initialiser of the coefficients.
        name: Name of the model.

    Returns:
        A model from `image`, float32 (batch, height, width, channels), 0..1, to logits.

    Raises:
        ValueError: If `order` is not positive or leaves no row, or height or width is open.
    """
    check_numbers(order=order)
    image = keras.Input(input_shape, name="image")
    x = rows(image)
    height, features = x.shape[1:]
    if order >= height:
        raise ValueError(f"order must be below the picture's {height} rows, not {order}.")
    past = keras.layers.Cropping1D((0, 1), name="past")(x)  # the last row is only predicted
    past = layers.dropout(past, dropout, name="dropout")
    predicted = keras.layers.Conv1D(
        num_classes * features, order, kernel_initializer=initializer, name="predictors"
    )(past)
    x = sequence_layers.PredictionError(dtype="float32", name="predictions")([predicted, x])
    return keras.Model(image, x, name=name)


def narx(
    input_shape=(32, 32, 1),
    num_classes=10,
    *,
    units=128,
    input_delays=7,
    output_delays=3,
    activation="tanh",
    dropout=0.0,
    initializer="glorot_uniform",
    name="narx",
):
    """NARX network: a perceptron on tapped delays of the rows and of its own outputs.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        units: Hidden units.
        input_delays: Earlier rows that a step sees beside its own.
        output_delays: Earlier outputs that a step sees.
        activation: Name of an activation that keras.activations knows.
        dropout: Share of the pixels dropped in training.
        initializer: Initialiser of the kernels.
        name: Name of the model.

    Returns:
        A model from `image`, float32 (batch, height, width, channels), 0..1, to logits.

    Raises:
        ValueError: If a number is not positive, or height or width is open.
    """
    check_numbers(units=units, output_delays=output_delays)
    check_numbers(input_delays=input_delays, least=0)
    image = keras.Input(input_shape, name="image")
    x = layers.dropout(rows(image), dropout, name="dropout")
    # the taps of the inputs need no loop: all steps at once, zeros before the first row
    x = keras.layers.Conv1D(
        units, input_delays + 1, padding="causal", kernel_initializer=initializer, name="taps"
    )(x)
    cell = sequence_layers.TappedOutputCell(
        num_classes, output_delays, activation, initializer, dtype="float32"
    )
    x = keras.layers.RNN(cell, unroll=True, dtype="float32", name="predictions")(x)
    return keras.Model(image, x, name=name)


def rows(image):
    """Make each row of `image`, float (batch, height, width, channels), one step of a sequence."""
    height, width, channels = image.shape[1:]
    if height is None or width is None:
        raise ValueError("This network reads rows and needs a fixed height and width in input_shape.")
    return keras.layers.Reshape((height, width * channels), name="rows")(image)


def check_numbers(least=1, **numbers):
    """Raise a ValueError that names the first of `numbers` that is no whole number from `least` on."""
    for switch, value in numbers.items():
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{switch} must be a whole number, {least} or more, not {value!r}.")


_DIGITS = {
    "family": "sequence",
    "input_size": 32,
    "channels": 1,
    "num_classes": 10,
    "preprocessing": "unit",
}

register(
    Variant(
        name="tdnn",
        builder=tdnn,
        paper="Waibel et al., 1989, IEEE Trans. ASSP 37(3)",
        year=1989,
        url="https://doi.org/10.1109/29.21701",
        min_size=15,  # rows that the last layer sees: 1 + 2 * (1 + 2 + 4)
        params=31_562,  # (3 * 32 + 1) * 64 + 2 * (3 * 64 + 1) * 64 + (64 + 1) * 10
        macs=725_632,  # on 30, 26 and 18 rows
        **_DIGITS,
    )
)
register(
    Variant(
        name="ar",
        builder=ar,
        paper="Yule, 1927, Phil. Trans. R. Soc. A 226",
        year=1927,
        url="https://doi.org/10.1098/rsta.1927.0007",
        min_size=9,  # the order, and one row to predict
        params=82_241,  # (8 * 32 + 1) * 32 * 10 + 1
        macs=1_966_080,  # 24 rows
        **_DIGITS,
    )
)
register(
    Variant(
        name="narx",
        builder=narx,
        paper="Lin et al., 1996, IEEE Trans. Neural Networks 7(6)",
        year=1996,
        url="https://doi.org/10.1109/72.548162",
        min_size=1,
        params=38_026,  # (8 * 32 + 1) * 128 + 3 * 10 * 128 + (128 + 1) * 10
        macs=1_212_416,  # 32 rows
        **_DIGITS,
    )
)
