"""AlexNet: the network of 2012, and its one-tower successor of "One weird trick".

`alexnet`: Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural
Networks", NIPS 2012, https://papers.nips.cc/paper/4824, sections 3 and 4, figure 2.
`alexnet_owt`: Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014,
https://arxiv.org/abs/1404.5997.

`alexnet` differs from the paper: the input is 227 x 227, because the first feature map is 55 x 55 only
then (the paper says 224 x 224); the two towers are grouped convolutions of one network; kernels are
drawn by `initializer` and biases start at 0 (the paper: normal with deviation 0.01, biases of conv2,
conv4, conv5, fc6 and fc7 at 1).

`alexnet_owt` differs from the paper: conv4 has 256 filters, as in the author's code and in torchvision
(the paper: 384); dropout is in front of fc6 and fc7, not behind them, as in torchvision. A feature map
that is not 6 x 6, because the input is not about 224 x 224, reaches fc6 as it is; torchvision resamples
it to 6 x 6 first.
"""

from cnn_keras.lazy import keras, layers
from cnn_keras.registry import Published, Variant, register


def alexnet(
    input_shape=(227, 227, 3),
    num_classes=1000,
    *,
    groups=2,
    lrn=True,
    overlapping=True,
    pooling="max",
    dropout=0.5,
    activation="relu",
    initializer="glorot_uniform",
    name="alexnet",
):
    """AlexNet, the network of two towers that won ImageNet in 2012.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        groups: 2 for the two towers of the paper, which meet at conv3 only; 1 for one wide tower.
        lrn: Whether conv1 and conv2 are followed by local response normalisation (section 3.3).
        overlapping: Whether pooling windows overlap, 3 x 3 with stride 2 (section 3.4), or are 2 x 2.
        pooling: "max" or "average".
        dropout: Share of fc6 and of fc7 dropped in training.
        activation: See `layers.Style`.
        initializer: See `layers.Style`.
        name: Name of the model.

    Returns:
        A model from `image`, float32 (batch, height, width, channels), BGR minus mean, to logits.

    Raises:
        ValueError: If `groups` is neither 1 nor 2, or height or width is open.
    """
    if groups not in (1, 2):
        raise ValueError(f"groups must be 1 or 2, not {groups}.")
    style = layers.Style(activation=activation, initializer=initializer, use_bias=True)
    window = 3 if overlapping else 2
    image = keras.Input(input_shape, name="image")
    x = style.conv(image, 96, 11, 4, padding="valid", name="conv1")  # 55 x 55 x 96
    x = style.act(x, "conv1_act")
    if lrn:
        x = layers.LocalResponseNormalization(name="norm1")(x)
    x = layers.pool(x, pooling, window, 2, name="pool1")  # 27 x 27 x 96
    x = style.conv(x, 256, 5, groups=groups, name="conv2")  # 27 x 27 x 256
    x = style.act(x, "conv2_act")
    if lrn:
        x = layers.LocalResponseNormalization(name="norm2")(x)
    x = layers.pool(x, pooling, window, 2, name="pool2")  # 13 x 13 x 256
    x = style.conv(x, 384, 3, name="conv3")  # 13 x 13 x 384
    x = style.act(x, "conv3_act")
    x = style.conv(x, 384, 3, groups=groups, name="conv4")  # 13 x 13 x 384
    x = style.act(x, "conv4_act")
    x = style.conv(x, 256, 3, groups=groups, name="conv5")  # 13 x 13 x 256
    x = style.act(x, "conv5_act")
    x = layers.pool(x, pooling, window, 2, name="pool5")  # 6 x 6 x 256
    x = layers.flatten(x)
    x = style.dense(x, 4096, name="fc6")
    x = style.act(x, "fc6_act")
    x = layers.dropout(x, dropout, name="fc6_dropout")
    x = style.dense(x, 4096, name="fc7")
    x = style.act(x, "fc7_act")
    x = layers.classifier(x, num_classes, dropout=dropout, initializer=initializer)
    return keras.Model(image, x, name=name)


def alexnet_owt(
    input_shape=(224, 224, 3),
    num_classes=1000,
    *,
    pooling="max",
    dropout=0.5,
    activation="relu",
    initializer="glorot_uniform",
    name="alexnet_owt",
):
    """AlexNet in one tower, without normalisation: what most libraries call AlexNet.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        pooling: "max" or "average".
        dropout: Share of the inputs of fc6 and of fc7 dropped in training.
        activation: See `layers.Style`.
        initializer: See `layers.Style`.
        name: Name of the model.

    Returns:
        A model from `image`, float32 (batch, height, width, channels), scaled as "torch", to logits.

    Raises:
        ValueError: If height or width is open.
    """
    style = layers.Style(activation=activation, initializer=initializer, use_bias=True)
    image = keras.Input(input_shape, name="image")
    # padding="same" would pad (3, 4) at 224 for a map of 56 x 56
    x = keras.layers.ZeroPadding2D(2, name="conv1_pad")(image)
    x = style.conv(x, 64, 11, 4, padding="valid", name="conv1")  # 55 x 55 x 64
    x = style.act(x, "conv1_act")
    x = layers.pool(x, pooling, 3, 2, name="pool1")  # 27 x 27 x 64
    x = style.conv(x, 192, 5, name="conv2")  # 27 x 27 x 192
    x = style.act(x, "conv2_act")
    x = layers.pool(x, pooling, 3, 2, name="pool2")  # 13 x 13 x 192
    x = style.conv(x, 384, 3, name="conv3")  # 13 x 13 x 384
    x = style.act(x, "conv3_act")
    x = style.conv(x, 256, 3, name="conv4")  # 13 x 13 x 256
    x = style.act(x, "conv4_act")
    x = style.conv(x, 256, 3, name="conv5")  # 13 x 13 x 256
    x = style.act(x, "conv5_act")
    x = layers.pool(x, pooling, 3, 2, name="pool5")  # 6 x 6 x 256
    x = layers.flatten(x)
    x = layers.dropout(x, dropout, name="fc6_dropout")
    x = style.dense(x, 4096, name="fc6")
    x = style.act(x, "fc6_act")
    x = layers.dropout(x, dropout, name="fc7_dropout")
    x = style.dense(x, 4096, name="fc7")
    x = style.act(x, "fc7_act")
    return keras.Model(image, layers.classifier(x, num_classes, initializer=initializer), name=name)


register(
    Variant(
        name="alexnet",
        family="alexnet",
        builder=alexnet,
        paper="Krizhevsky et al., 2012, NIPS 25",
        year=2012,
        url="https://papers.nips.cc/paper/4824",
        input_size=227,
        min_size=67,  # 67 -> 15 -> 7 -> 3 -> 1
        preprocessing="caffe",
        params=60_965_224,
        macs=724_406_816,
        published=(
            Published(top1=59.3, top5=81.8, source="the paper, table 2"),
            Published(knobs={"groups": 1}, params=62_378_344, macs=1_135_256_096, source="computed"),
        ),
    )
)
register(
    Variant(
        name="alexnet_owt",
        family="alexnet",
        builder=alexnet_owt,
        paper="Krizhevsky, 2014, arXiv:1404.5997",
        year=2014,
        url="https://arxiv.org/abs/1404.5997",
        input_size=224,
        min_size=63,  # 63 -> 15 -> 7 -> 3 -> 1
        preprocessing="torch",
        params=61_100_840,
        macs=714_188_480,
        published=(Published(top1=56.522, top5=79.066, source="torchvision"),),
        reference="torchvision.models.alexnet",
    )
)
