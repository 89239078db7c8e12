"""Inception v2, also BN-Inception: batch normalisation, and two 3x3 for each 5x5.

Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
Covariate Shift", ICML 2015, https://arxiv.org/abs/1502.03167, figure 5.

Differs from the paper: figure 5 contradicts itself in (4c) and (4d), whose columns add up to 608
channels where it gives an output of 576; here they project the pooled map to 96 channels instead of 128,
as the authors' code does, which gives 576 there and the 1024 of (4e). The text speaks of 13.6 million
parameters; the figure has 11.2. The pooling in front of the classifier spans the whole map.
"""

from cnn_keras import inception
from cnn_keras.lazy import keras, layers
from cnn_keras.registry import Published, Variant, register

# Figure 5. Modules without 1x1 and projection have stride 2; the pooled map passes through.
MODULES = (
    # #1x1, #3x3 reduce, #3x3, double #3x3 reduce, double #3x3, pooling, projection
    ("3a", 64, 64, 64, 64, 96, "average", 32),  # 28 x 28 x 256
    ("3b", 64, 64, 96, 64, 96, "average", 64),  # 28 x 28 x 320
    ("3c", 0, 128, 160, 64, 96, "max", 0),  # 14 x 14 x 576
    ("4a", 224, 64, 96, 96, 128, "average", 128),  # 14 x 14 x 576
    ("4b", 192, 96, 128, 96, 128, "average", 128),  # 14 x 14 x 576
    ("4c", 160, 128, 160, 128, 160, "average", 96),  # 14 x 14 x 576
    ("4d", 96, 128, 192, 160, 192, "average", 96),  # 14 x 14 x 576
    ("4e", 0, 128, 192, 192, 256, "max", 0),  # 7 x 7 x 1024
    ("5a", 352, 192, 320, 160, 224, "average", 128),  # 7 x 7 x 1024
    ("5b", 352, 192, 320, 192, 224, "max", 128),  # 7 x 7 x 1024
)


def inception_v2(
    input_shape=(224, 224, 3),
    num_classes=1000,
    *,
    separable_stem=True,
    pooling=None,
    dropout=0.0,
    activation="relu",
    normalization="batch",
    bn_momentum=0.9,
    initializer="glorot_uniform",
    name="inception_v2",
):
    """Inception v2 (BN-Inception), the network that introduced batch normalisation.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        separable_stem: Whether the first convolution is depthwise separable with 8 filters a channel, as
            in the paper; False makes it an ordinary one.
        pooling: "max" or "average" within all modules of stride 1; None mixes both, as in the paper.
        dropout: Share of the pooled features dropped in training; the paper does without.
        activation: See `layers.Style`.
        normalization: See `layers.Style`; convolutions have a bias where it is "none".
        bn_momentum: See `layers.Style`.
        initializer: See `layers.Style`.
        name: Name of the model.

    Returns:
        A model from `image`, float32 (batch, height, width, channels), -1..1, to logits.

    Raises:
        ValueError: If `pooling` is unknown.
    """
    style = layers.Style(
        normalization=normalization,
        activation=activation,
        bn_momentum=bn_momentum,
        initializer=initializer,
        use_bias=normalization == "none",
    )
    image = keras.Input(input_shape, name="image")
    if separable_stem:
        x = separable_unit(image, 64, 7, 2, multiplier=8, style=style, name="conv1")
    else:
        x = inception.unit(image, 64, 7, 2, style=style, name="conv1")  # 112 x 112 x 64
    x = layers.pool(x, "max", 3, 2, padding="same", name="pool1")  # 56 x 56 x 64
    x = inception.unit(x, 64, 1, style=style, name="conv2_reduce")
    x = inception.unit(x, 192, 3, style=style, name="conv2")  # 56 x 56 x 192
    x = layers.pool(x, "max", 3, 2, padding="same", name="pool2")  # 28 x 28 x 192
    for label, *row in MODULES:
        x = inception.module(x, module(*row), style=style, name=f"inception_{label}", pooling=pooling)
    return inception.finish(image, x, num_classes, dropout=dropout, style=style, heads={}, name=name)


def separable_unit(x, filters, kernel, stride, *, multiplier, style, name):
    """Filter each channel by itself, mix the channels, normalise and activate."""
    x = keras.layers.SeparableConv2D(
        filters,
        kernel,
        stride,
        "same",
        depth_multiplier=multiplier,
        use_bias=style.use_bias,
        depthwise_initializer=style.initializer,
        pointwise_initializer=style.initializer,
        name=f"{name}_conv",
    )(x)
    x = style.norm(x, f"{name}_bn")
    return style.act(x, f"{name}_act")


def module(ones, reduce, threes, double_reduce, double, pooling, projection):
    """Return the branches of a row of figure 5."""
    stride = 1 if projection else 2
    branches = (
        ((reduce, 1), (threes, 3, stride)),
        ((double_reduce, 1), (double, 3), (double, 3, stride)),
    )
    if not projection:
        return (*branches, ((pooling, 3, stride),))
    return (((ones, 1),), *branches, ((pooling, 3), (projection, 1)))


register(
    Variant(
        name="inception_v2",
        family="inception_v2",
        builder=inception_v2,
        paper="Ioffe and Szegedy, 2015, arXiv:1502.03167",
        year=2015,
        url="https://arxiv.org/abs/1502.03167",
        input_size=224,
        min_size=32,
        preprocessing="tf",
        params=11_188_288,
        macs=1_934_857_216,
        published=(
            Published(top1=73.9, top5=91.8, source="tf-models research/slim"),
            Published(top1=74.8, top5=92.18, source="the paper, figure 4"),
        ),
    )
)
