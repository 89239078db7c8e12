"""GoogLeNet, the first Inception network.

Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, https://arxiv.org/abs/1409.4842.

Differs from the paper: it gives no constants of the local response normalisation, so they are those of
AlexNet (k = 2, n = 5, alpha = 1e-4, beta = 0.75); the padding of stride-2 layers, which it does not give
either, is TensorFlow's "same"; the pooling in front of the classifier spans the whole map instead of
7 x 7. On inputs that are not 224 x 224, the auxiliary classifiers' first dense layer has as many inputs
as their map has values.
"""

from cnn_keras import inception
from cnn_keras.lazy import keras, layers
from cnn_keras.registry import Published, Variant, register

# Table 1. Max pooling 3 x 3 / 2 between the stages.
STAGES = (
    (  # #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj
        ("3a", 64, 96, 128, 16, 32, 32),  # 28 x 28 x 256
        ("3b", 128, 128, 192, 32, 96, 64),  # 28 x 28 x 480
    ),
    (
        ("4a", 192, 96, 208, 16, 48, 64),  # 14 x 14 x 512
        ("4b", 160, 112, 224, 24, 64, 64),  # 14 x 14 x 512
        ("4c", 128, 128, 256, 24, 64, 64),  # 14 x 14 x 512
        ("4d", 112, 144, 288, 32, 64, 64),  # 14 x 14 x 528
        ("4e", 256, 160, 320, 32, 128, 128),  # 14 x 14 x 832
    ),
    (
        ("5a", 256, 160, 320, 32, 128, 128),  # 7 x 7 x  832
        ("5b", 384, 192, 384, 48, 128, 128),  # 7 x 7 x 1024
    ),
)
HEADS = {"4a": "aux1", "4d": "aux2"}  # section 5: on top of (4a) and (4d)


def googlenet(
    input_shape=(224, 224, 3),
    num_classes=1000,
    *,
    aux=False,
    lrn=True,
    large_kernel=5,
    pooling="max",
    dropout=0.4,
    aux_dropout=0.7,
    activation="relu",
    normalization="none",
    bn_momentum=0.9,
    initializer="glorot_uniform",
    torchvision=False,
    name="googlenet",
):
    """GoogLeNet (Inception v1), winner of ILSVRC 2014: 1x1, 3x3 and 5x5 side by side.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        aux: Whether the two auxiliary classifiers are there, which the paper weighs 0.3 in the loss.
            Then the model returns {"logits", "aux1", "aux2"}; see `inception.without_auxiliary`.
        lrn: Whether the stem has local response normalisation.
        large_kernel: Side of the modules' larger kernel: 5, or 3 as in torchvision.
        pooling: "max" or "average": kind of pooling between and within the modules.
        dropout: Share of the pooled features dropped in training.
        aux_dropout: The same for the auxiliary classifiers.
        activation: See `layers.Style`.
        normalization: See `layers.Style`; convolutions have a bias where it is "none", as in the paper.
        bn_momentum: See `layers.Style`.
        initializer: See `layers.Style`.
        torchvision: Be the network of torchvision, for its weights: the larger kernel is 3 and there is
            BatchNormalization instead of `lrn`, whatever those switches say; the first convolution pads
            on all sides, poolings at the end only, and the last of them is 2 x 2.
        name: Name of the model.

    Returns:
        A model from `image`, float32 (batch, height, width, channels), -1..1, to logits.

    Raises:
        ValueError: If `large_kernel` or `pooling` is unknown, or `aux` asked for without a fixed size.
    """
    if torchvision:
        large_kernel, normalization, lrn = 3, "batch", False
    if large_kernel not in (3, 5):
        raise ValueError(f"large_kernel must be 5 or 3, not {large_kernel}.")
    if aux and None in input_shape[:2]:
        raise ValueError("aux=True needs a fixed input size: its dense layers see the whole map.")
    style = layers.Style(
        normalization=normalization,
        activation=activation,
        bn_momentum=bn_momentum,
        initializer=initializer,
        use_bias=normalization == "none",
        torchvision=torchvision,
    )
    image = keras.Input(input_shape, name="image")
    x = inception.unit(image, 64, 7, 2, style=style, name="conv1")  # 112 x 112 x 64
    x = halve(x, pooling, 3, style=style, name="pool1")  # 56 x 56 x 64
    x = layers.LocalResponseNormalization(name="lrn1")(x) if lrn else x
    x = inception.unit(x, 64, 1, style=style, name="conv2_reduce")
    x = inception.unit(x, 192, 3, style=style, name="conv2")  # 56 x 56 x 192
    x = layers.LocalResponseNormalization(name="lrn2")(x) if lrn else x

    heads = {}
    for i, rows in enumerate(STAGES, 2):
        size = 2 if torchvision and i == 4 else 3
        x = halve(x, pooling, size, style=style, name=f"pool{i}")
        for label, *channels in rows:
            branches = module(*channels, large_kernel=large_kernel, pooling=pooling)
            x = inception.module(x, branches, style=style, name=f"inception_{label}")
            if aux and label in HEADS:
                head = HEADS[label]
                heads[head] = auxiliary(x, num_classes, dropout=aux_dropout, style=style, name=head)
    return inception.finish(image, x, num_classes, dropout=dropout, style=style, heads=heads, name=name)


def halve(x, kind, size, *, style, name):
    """Pool windows of side `size`, two pixels apart.

    torchvision lets the last window reach over the edge, at the end only; "same" pads both sides of an
    odd map.
    """
    if style.torchvision:
        # zeros do not count: the maximum is taken behind a ReLU
        x = layers.pad(x, ((0, 1), (0, 1)), f"{name}_pad")
        return layers.pool(x, kind, size, 2, padding="valid", name=name)
    return layers.pool(x, kind, size, 2, padding="same", name=name)


def module(ones, reduce3, threes, reduce5, fives, projection, *, large_kernel, pooling):
    """Return the branches of a row of table 1 (figure 2b)."""
    return (
        ((ones, 1),),
        ((reduce3, 1), (threes, 3)),
        ((reduce5, 1), (fives, large_kernel)),
        ((pooling, 3), (projection, 1)),
    )


def auxiliary(x, num_classes, *, dropout, style, name):
    """Classify an inner feature map `x` (section 5) to logits."""
    size = inception.reduced_size(x)
    x = layers.pool(x, "average", size, 3, padding="valid", name=f"{name}_pool")  # 4 x 4
    x = inception.unit(x, 128, 1, style=style, name=name)
    x = keras.layers.Flatten(name=f"{name}_flatten")(x)
    x = keras.layers.Dense(1024, kernel_initializer=style.initializer, name=f"{name}_fc")(x)
    x = style.act(x, f"{name}_fc_act")
    if dropout:
        x = keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)
    return inception.logits(x, num_classes, style=style, name=name)


register(
    Variant(
        name="googlenet",
        family="googlenet",
        builder=googlenet,
        paper="Szegedy et al., 2014, arXiv:1409.4842",
        year=2014,
        url="https://arxiv.org/abs/1409.4842",
        input_size=224,
        min_size=32,
        preprocessing="tf",
        params=6_998_552,
        macs=1_582_671_872,
        aux_weight=0.3,
        published=(
            Published(top1=68.7, top5=88.9, source="BVLC Caffe bvlc_googlenet"),
            Published(top5=89.93, source="the paper, table 3"),
            Published(
                knobs={"large_kernel": 3, "normalization": "batch", "lrn": False},
                params=6_624_904,
                macs=1_498_376_192,
                top1=69.778,
                top5=89.530,
                source="torchvision",
            ),
        ),
    )
)
