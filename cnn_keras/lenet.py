"""LeNet-5, the convolutional network that read the cheques, and the LeNet that courses teach today.

LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition",
Proc. IEEE 86(11), 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf, section II.B, figure 2.

`lenet5` differs from the paper: C3 sees all six maps of S2 (61,706 parameters), not the subsets of
table I; S2 and S4 average without a trainable factor, bias and squashing; the output is a linear layer,
not Euclidean radial basis functions with fixed centres; the activation is tanh, not 1.7159 tanh(2a/3);
pixels are scaled to 0..1, not -0.1..1.175.

`lenet5` with sparse_c3=True has the paper's C3, S2, S4 and output: 60,000 trainable parameters. What
still differs: S2 and S4 take the mean of four inputs where the paper takes their sum, so that their
factor is four times the paper's, and the factor starts at 1; the codes of the classes come from a
Hadamard matrix (the paper draws the characters as 7 x 12 bitmaps, and names error-correcting codes as
the alternative); the outputs are the negative distances, so that softmax and cross-entropy are the
paper's maximum a posteriori criterion (equation 9) without its constant for rubbish; activation and
pixels are as above.

`lenet` is nobody's paper: 16 and 32 filters, ReLU, max-pooling and a linear output, the usual first
network of tutorials.
"""

from cnn_keras.lazy import LazyModule, keras, layers
from cnn_keras.registry import Published, Variant, register

lenet_layers = LazyModule("cnn_keras.lenet_layers")

# Table I: the maps of S2 (0..5) that each of the 16 maps of C3 sees; 60 connections.
C3_TABLE = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),  # three neighbours
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),  # four
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),  # four that are no neighbours
    (0, 1, 2, 3, 4, 5),
)


def lenet5(
    input_shape=(32, 32, 1),
    num_classes=10,
    *,
    sparse_c3=False,
    pooling="average",
    activation="tanh",
    dropout=0.0,
    initializer="glorot_uniform",
    name="lenet5",
):
    """LeNet-5 of 1998: tanh, sub-sampling by averages, three fully connected layers.

    Args:
        input_shape: (height, width, channels); the paper pads 28 x 28 digits to 32 x 32.
        num_classes: Number of classes; at most 168 with `sparse_c3`.
        sparse_c3: True gives the paper's connection table of C3, its trainable sub-sampling and its
            output of fixed codes.
        pooling: "average" or "max": how S2 and S4 sub-sample.
        activation: See `layers.Style`.
        dropout: Share of the 84 features of F6 dropped in training; the paper has none.
        initializer: Initialiser of the kernels.
        name: Name of the model.

    Returns:
        A model from `image`, float32 (batch, height, width, channels), 0..1, to logits.

    Raises:
        ValueError: If height or width is open, or there are too many classes.
    """
    style = layers.Style(activation=activation, initializer=initializer, use_bias=True)
    image = keras.Input(input_shape, name="image")
    x = style.conv(image, 6, 5, padding="valid", name="C1")  # 28 x 28 x 6
    x = style.act(x, "C1_act")
    x = subsample(x, pooling, trainable=sparse_c3, style=style, name="S2")  # 14 x 14 x 6
    if sparse_c3:
        x = lenet_layers.SparseConv2D(C3_TABLE, 5, kernel_initializer=initializer, name="C3")(x)
    else:
        x = style.conv(x, 16, 5, padding="valid", name="C3")  # 10 x 10 x 16
    x = style.act(x, "C3_act")
    x = subsample(x, pooling, trainable=sparse_c3, style=style, name="S4")  # 5 x 5 x 16
    x = layers.flatten(x)
    x = style.dense(x, 120, name="C5")
    x = style.act(x, "C5_act")
    x = style.dense(x, 84, name="F6")
    x = style.act(x, "F6_act")
    if sparse_c3:
        x = layers.dropout(x, dropout, name="dropout")
        x = lenet_layers.EuclideanOutput(num_classes, dtype="float32", name="predictions")(x)
    else:
        x = layers.classifier(x, num_classes, dropout=dropout, initializer=initializer)
    return keras.Model(image, x, name=name)


def lenet(
    input_shape=(32, 32, 1),
    num_classes=10,
    *,
    pooling="max",
    activation="relu",
    dropout=0.0,
    initializer="glorot_uniform",
    name="lenet",
):
    """LeNet as taught today: 16 and 32 filters of 5 x 5, ReLU, max-pooling, 120 and 84 units.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        pooling: "max" or "average".
        activation: See `layers.Style`.
        dropout: Share of the last 84 features dropped in training.
        initializer: Initialiser of the kernels.
        name: Name of the model.

    Returns:
        A model from `image`, float32 (batch, height, width, channels), 0..1, to logits.

    Raises:
        ValueError: If height or width is open.
    """
    style = layers.Style(activation=activation, initializer=initializer, use_bias=True)
    image = keras.Input(input_shape, name="image")
    x = style.conv(image, 16, 5, padding="valid", name="conv1")  # 28 x 28 x 16
    x = style.act(x, "conv1_act")
    x = layers.pool(x, pooling, 2, name="pool1")  # 14 x 14 x 16
    x = style.conv(x, 32, 5, padding="valid", name="conv2")  # 10 x 10 x 32
    x = style.act(x, "conv2_act")
    x = layers.pool(x, pooling, 2, name="pool2")  # 5 x 5 x 32
    x = layers.flatten(x)
    x = layers.hidden_layers(x, (120, 84), prefix="fc", style=style, dropout_rate=0.0)
    x = layers.classifier(x, num_classes, dropout=dropout, initializer=initializer)
    return keras.Model(image, x, name=name)


def subsample(x, pooling, *, trainable, style, name):
    """Halve the maps of `x`; `trainable` adds a factor and a bias a map and the squashing function."""
    x = layers.pool(x, pooling, 2, name=f"{name}_pool" if trainable else name)
    if not trainable:
        return x
    x = keras.layers.DepthwiseConv2D(1, depthwise_initializer="ones", name=name)(x)
    return style.act(x, f"{name}_act")


_PAPER = {
    "family": "lenet",
    "paper": "LeCun et al., 1998, Proc. IEEE 86(11)",
    "year": 1998,
    "url": "http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf",
    "input_size": 32,
    "min_size": 16,  # 16 -> 12 -> 6 -> 2 -> 1
    "channels": 1,
    "num_classes": 10,
    "preprocessing": "unit",
}

register(
    Variant(
        name="lenet5",
        builder=lenet5,
        params=61_706,
        macs=416_520,
        published=(
            Published(
                knobs={"sparse_c3": True},
                params=60_000,
                macs=327_256,
                top1=99.05,
                dataset="MNIST",
                source="the paper, figure 9",
            ),
        ),
        **_PAPER,
    )
)
register(Variant(name="lenet", builder=lenet, params=120_382, macs=1_700_520, **_PAPER))
