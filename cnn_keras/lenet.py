"""LeNet-5: the convolutional network that read the cheques.

LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition",
Proc. IEEE 86(11), 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf, section II.B, figure 2.

Differs from the paper: C3 sees all six maps of S2 (61,706 parameters), not the subsets of table I; S2
and S4 average without a trainable factor and bias; the activation is tanh, not 1.7159 tanh(2a/3); the
output is a linear layer trained with softmax and cross-entropy, not Euclidean radial basis functions
with fixed centres; pixels are scaled to 0..1, not -0.1..1.175.
"""

from cnn_keras.lazy import keras, layers
from cnn_keras.registry import Published, Variant, register


def lenet5(
    input_shape=(32, 32, 1),
    num_classes=10,
    *,
    activation="tanh",
    dropout=0.0,
    initializer="glorot_uniform",
    name="lenet5",
):
    """LeNet-5 of 1998: tanh, sub-sampling by averages, three fully connected layers.

    Args:
        input_shape: (height, width, channels); the paper pads 28 x 28 digits to 32 x 32.
        num_classes: Number of classes.
        activation: See `layers.Style`.
        dropout: Share of the 84 features of F6 dropped in training; the paper has none.
        initializer: Initialiser of the kernels.
        name: Name of the model.

    Returns:
        A model from `image`, float32 (batch, height, width, channels), 0..1, to logits.
    """
    style = layers.Style(activation=activation, initializer=initializer, use_bias=True)
    image = keras.Input(input_shape, name="image")
    x = style.conv(image, 6, 5, padding="valid", name="C1")  # 28 x 28 x 6
    x = style.act(x, "C1_act")
    x = keras.layers.AveragePooling2D(2, name="S2")(x)  # 14 x 14 x 6
    x = style.conv(x, 16, 5, padding="valid", name="C3")  # 10 x 10 x 16
    x = style.act(x, "C3_act")
    x = keras.layers.AveragePooling2D(2, name="S4")(x)  # 5 x 5 x 16
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(120, kernel_initializer=initializer, name="C5")(x)
    x = style.act(x, "C5_act")
    x = keras.layers.Dense(84, kernel_initializer=initializer, name="F6")(x)
    x = style.act(x, "F6_act")
    x = layers.classifier(x, num_classes, dropout=dropout, initializer=initializer)
    return keras.Model(image, x, name=name)


register(
    Variant(
        name="lenet5",
        family="lenet",
        builder=lenet5,
        paper="LeCun et al., 1998, Proc. IEEE 86(11)",
        year=1998,
        url="http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf",
        input_size=32,
        min_size=16,
        channels=1,
        num_classes=10,
        preprocessing="unit",
        params=61_706,
        macs=416_520,
        published=(Published(top1=99.05, dataset="MNIST", source="the paper, figure 9"),),
    )
)
