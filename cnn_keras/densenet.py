"""DenseNet: every layer sees the features of all layers before it.

Huang, Liu, van der Maaten and Weinberger, "Densely Connected Convolutional Networks", CVPR 2017,
https://arxiv.org/abs/1608.06993, table 1 and section 3.
Layer names are those of keras.applications.DenseNet121.

Differs from the paper, as the authors' code does: behind a transition's normalisation comes an
activation. BatchNormalization adds 1.001e-5 to the variance, as keras.applications does; kernels are
drawn from a truncated normal distribution.
"""

from cnn_keras.lazy import keras, layers
from cnn_keras.registry import Published, Variant, register

# Table 1: layers in each dense block, at 56 x 56, 28 x 28, 14 x 14 and 7 x 7.
DEPTHS = {
    121: (6, 12, 24, 16),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
    161: (6, 12, 36, 24),  # growth rate 48
}
EPSILON = 1.001e-5


def densenet(
    input_shape=(224, 224, 3),
    num_classes=1000,
    *,
    depths=DEPTHS[121],
    growth_rate=32,
    bottleneck=True,
    compression=0.5,
    pooling="average",
    layer_dropout=0.0,
    dropout=0.0,
    activation="relu",
    normalization="batch",
    bn_momentum=0.9,
    initializer="he_normal",
    torchvision=False,
    name="densenet121",
):
    """DenseNet, the network of densely connected layers.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        depths: Layers in each of the four dense blocks.
        growth_rate: Channels that a layer adds, the paper's k.
        bottleneck: Whether a layer first reduces what it sees to 4 k channels (DenseNet-B).
        compression: Share of the channels that a transition keeps, the paper's theta (DenseNet-C).
        pooling: "average" or "max": the poolings of the transitions; that of the stem is "max".
        layer_dropout: Share dropped in training behind every layer's convolution; the paper's 0.2 for
            data without augmentation.
        dropout: Share of the pooled features dropped in training; the paper has none.
        activation: See `layers.Style`.
        normalization: See `layers.Style`.
        bn_momentum: See `layers.Style`.
        initializer: See `layers.Style`; the paper's is that of He et al. 2015.
        torchvision: Be the network of torchvision, for its weights: BatchNormalization adds 1e-5.
        name: Name of the model.

    Returns:
        A model from `image`, float32 (batch, height, width, channels), of mean 0 and standard deviation
        1 in each colour, to logits.

    Raises:
        ValueError: If a switch is out of range.
    """
    style = layers.Style(
        normalization=normalization,
        activation=activation,
        bn_momentum=bn_momentum,
        epsilon=1e-5 if torchvision else EPSILON,
        initializer=initializer,
    )
    image = keras.Input(input_shape, name="image")
    x = layers.pad(image, 3, "conv1_pad")
    x = style.conv(x, 2 * growth_rate, 7, 2, padding="valid", name="conv1_conv")
    x = style.norm(x, "conv1_bn")
    x = style.act(x, "conv1_relu")  # 112 x 112 x 2 k
    x = layers.pool(layers.pad(x, 1, "pool1_pad"), "max", 3, 2, "valid", name="pool1")
    x = dense_blocks(
        x, depths, growth_rate, bottleneck, compression, pooling, layer_dropout, style=style
    )
    head = layers.head_initializer(initializer)
    x = layers.classifier(x, num_classes, dropout=dropout, initializer=head)
    return keras.Model(image, x, name=name)


def dense_blocks(x, depths, growth_rate, bottleneck, compression, pooling, layer_dropout, *, style):
    """Stack dense blocks with transitions between them, and pool what comes out globally."""
    if not 0 < compression <= 1:
        raise ValueError(f"compression must be above 0 and at most 1, not {compression}.")
    for number, repeats in enumerate(depths, start=2):
        if number > 2:
            x = transition(x, compression, pooling, style=style, prefix=f"pool{number - 1}")
        for i in range(repeats):
            x = dense_layer(
                x,
                growth_rate,
                bottleneck,
                layer_dropout,
                style=style,
                prefix=f"conv{number}_block{i + 1}",
            )
    x = style.norm(x, "bn")
    x = style.act(x, "relu")
    return keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)


def dense_layer(x, growth_rate, bottleneck, dropout, *, style, prefix):
    """Put `growth_rate` new channels, made of all in `x`, behind them (section 3, equation 2)."""
    new = style.norm(x, prefix + "_0_bn")
    new = style.act(new, prefix + "_0_relu")
    if bottleneck:
        new = style.conv(new, 4 * growth_rate, 1, name=prefix + "_1_conv")
        if dropout:
            new = keras.layers.Dropout(dropout, name=prefix + "_1_dropout")(new)
        new = style.norm(new, prefix + "_1_bn")
        new = style.act(new, prefix + "_1_relu")
    new = style.conv(new, growth_rate, 3, name=prefix + "_2_conv")
    if dropout:
        new = keras.layers.Dropout(dropout, name=prefix + "_2_dropout")(new)
    return keras.layers.Concatenate(name=prefix + "_concat")([x, new])


def transition(x, compression, pooling, *, style, prefix):
    """Mix the channels, keep a share of them and halve the map (section 3)."""
    x = style.norm(x, prefix + "_bn")
    x = style.act(x, prefix + "_relu")
    x = style.conv(x, max(1, int(compression * x.shape[-1])), 1, name=prefix + "_conv")
    return layers.pool(x, pooling, 2, 2, "valid", name=prefix + "_pool")


_AUTHORS = "github.com/liuzhuang13/DenseNet"
_TORCHVISION = "timm results-imagenet.csv, torchvision's weights"

for _depth, _params, _macs, _keras, _authors, _torchvision in (
    # trainable parameters, multiply-adds; accuracy of keras.applications, the authors and torchvision
    (121, 7_978_856, 2_834_161_664, (75.0, 92.3), 75.0, (74.75, 92.16)),
    (169, 14_149_480, 3_359_843_328, (76.2, 93.2), 76.4, (75.92, 92.98)),
    (201, 20_013_928, 4_291_365_888, (77.3, 93.6), 77.5, (77.28, 93.48)),
    (161, 28_681_000, 7_727_907_072, None, 77.8, (77.38, 93.66)),
):
    register(
        Variant(
            name=f"densenet{_depth}",
            family="densenet",
            builder=densenet,
            knobs={"depths": DEPTHS[_depth], "growth_rate": 48 if _depth == 161 else 32},
            paper="Huang et al., 2016, arXiv:1608.06993",
            year=2016,
            url="https://arxiv.org/abs/1608.06993",
            input_size=224,
            min_size=32,
            preprocessing="torch",
            params=_params,
            macs=_macs,
            published=tuple(
                Published(top1=top1, top5=top5, source=source)
                for (top1, top5), source in (
                    (_keras or (None, None), "keras.io/api/applications"),
                    ((_authors, None), f"{_AUTHORS}, 1 crop"),
                    (_torchvision, _TORCHVISION),
                )
                if top1 is not None
            ),
            reference=f"keras.applications.DenseNet{_depth}" if _keras else None,
        )
    )
