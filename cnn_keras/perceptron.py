"""The classifiers before convolution: softmax regression and the multi-layer perceptron.

`linear`: Bridle, "Probabilistic Interpretation of Feedforward Classification Network Outputs", in
Neurocomputing (NATO ASI Series F68), 1990, https://doi.org/10.1007/978-3-642-76153-9_28.
`mlp`: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors",
Nature 323, 1986, https://doi.org/10.1038/323533a0.

Differs from the papers: neither describes a network for pictures of digits; input size and hidden
sizes are those that courses use. The perceptron's outputs are linear, for softmax and cross-entropy;
in 1986 they were logistic units trained on the squared error.
"""

from cnn_keras.lazy import keras, layers
from cnn_keras.registry import Variant, register


def linear(
    input_shape=(32, 32, 1),
    num_classes=10,
    *,
    dropout=0.0,
    initializer="glorot_uniform",
    name="linear",
):
    """Softmax regression: one weight a pixel and class, and nothing else.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        dropout: Share of the pixels dropped in training.
        initializer: See `layers.Style`.
        name: Name of the model.

    Returns:
        A model from `image`, float32 (batch, height, width, channels), 0..1, to logits.

    Raises:
        ValueError: If height or width is open.
    """
    image = keras.Input(input_shape, name="image")
    x = layers.flatten(image)
    x = layers.classifier(x, num_classes, dropout=dropout, initializer=initializer)
    return keras.Model(image, x, name=name)


def mlp(
    input_shape=(32, 32, 1),
    num_classes=10,
    *,
    hidden=(300, 100),
    dropout=0.0,
    activation="sigmoid",
    initializer="glorot_uniform",
    name="mlp",
):
    """Multi-layer perceptron: fully connected hidden layers of units that saturate.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        hidden: Units of each hidden layer, first to last.
        dropout: Share of each hidden layer dropped in training; the paper has none.
        activation: See `layers.Style`; the paper's is the logistic sigmoid.
        initializer: See `layers.Style`.
        name: Name of the model.

    Returns:
        A model from `image`, float32 (batch, height, width, channels), 0..1, to logits.

    Raises:
        ValueError: If `hidden` is no sequence of positive numbers, or height or width is open.
    """
    image = keras.Input(input_shape, name="image")
    x = layers.flatten(image)
    style = layers.Style(activation=activation, initializer=initializer)
    x = layers.hidden_layers(x, hidden, prefix="hidden", style=style, dropout_rate=dropout)
    x = layers.classifier(x, num_classes, dropout=dropout, initializer=initializer)
    return keras.Model(image, x, name=name)


register(
    Variant(
        name="linear",
        family="perceptron",
        builder=linear,
        paper="Bridle, 1990, Neurocomputing",
        year=1990,
        url="https://doi.org/10.1007/978-3-642-76153-9_28",
        input_size=32,
        min_size=1,
        channels=1,
        num_classes=10,
        preprocessing="unit",
        params=10_250,  # 32 * 32 * 10 + 10
        macs=10_240,
    )
)
register(
    Variant(
        name="mlp",
        family="perceptron",
        builder=mlp,
        paper="Rumelhart et al., 1986, Nature 323",
        year=1986,
        url="https://doi.org/10.1038/323533a0",
        input_size=32,
        min_size=1,
        channels=1,
        num_classes=10,
        preprocessing="unit",
        params=338_610,  # (1024 + 1) * 300 + (300 + 1) * 100 + (100 + 1) * 10
        macs=338_200,
    )
)
