"""Inception v3: factorised convolutions and a grid reduced without a bottleneck.

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016,
https://arxiv.org/abs/1512.00567, table 1 and figures 5 to 8 and 10.

It is the network of keras.applications.InceptionV3. Keras numbers that network's layers by itself; UNITS
names ours in the same order.

Differs from the paper, as the authors' code does: behind its first pooling the stem has a 1x1 (80) and a
3x3 (192) convolution and pools again, where table 1 has three 3x3 (80, 192, 288) of which one strides;
the modules of 35 x 35 keep a 5x5 beside the two 3x3; BatchNormalization has no factor gamma
(`bn_scale`); the auxiliary classifier normalises a 5x5 convolution, not the dense layer behind it.
"""

from cnn_keras import inception
from cnn_keras.lazy import keras, layers
from cnn_keras.registry import Published, Variant, register

STEM = (
    (32, 3, 2, "valid"),  # 149 x 149 x 32
    (32, 3, 1, "valid"),  # 147 x 147 x 32
    (64, 3),  # 147 x 147 x 64
    ("max", 3, 2, "valid"),  # 73 x 73 x 64
    (80, 1),  # 73 x 73 x 80
    (192, 3, 1, "valid"),  # 71 x 71 x 192
    ("max", 3, 2, "valid"),  # 35 x 35 x 192
)


def _figure5(projection):
    return (
        ((64, 1),),
        ((48, 1), (64, 5)),
        ((64, 1), (96, 3), (96, 3)),
        (("average", 3), (projection, 1)),
    )


def _figure6(width):
    row, column = (1, 7), (7, 1)
    return (
        ((192, 1),),
        ((width, 1), (width, row), (192, column)),
        ((width, 1), (width, column), (width, row), (width, column), (192, row)),
        (("average", 3), (192, 1)),
    )


_ROW_AND_COLUMN = (((384, (1, 3)),), ((384, (3, 1)),))
_FIGURE7 = (
    ((320, 1),),
    ((384, 1), _ROW_AND_COLUMN),
    ((448, 1), (384, 3), _ROW_AND_COLUMN),
    (("average", 3), (192, 1)),
)
_FIGURE10_35 = (
    ((384, 3, 2, "valid"),),
    ((64, 1), (96, 3), (96, 3, 2, "valid")),
    (("max", 3, 2, "valid"),),
)
_FIGURE10_17 = (
    ((192, 1), (320, 3, 2, "valid")),
    ((192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2, "valid")),
    (("max", 3, 2, "valid"),),
)
MODULES = (
    ("mixed0", _figure5(32)),  # 35 x 35 x 256
    ("mixed1", _figure5(64)),  # 35 x 35 x 288
    ("mixed2", _figure5(64)),  # 35 x 35 x 288
    ("mixed3", _FIGURE10_35),  # 17 x 17 x 768
    ("mixed4", _figure6(128)),  # 17 x 17 x 768
    ("mixed5", _figure6(160)),  # 17 x 17 x 768
    ("mixed6", _figure6(160)),  # 17 x 17 x 768
    ("mixed7", _figure6(192)),  # 17 x 17 x 768
    ("mixed8", _FIGURE10_17),  # 8 x 8 x 1280
    ("mixed9", _FIGURE7),  # 8 x 8 x 2048
    ("mixed10", _FIGURE7),  # 8 x 8 x 2048
)
# keras.applications gives the first of the two forks of either figure 7 a name.
FORKS = {"mixed9_2_2": "mixed9_0", "mixed10_2_2": "mixed9_1"}
HEAD = "mixed7"  # the auxiliary classifier's place: the last map of 17 x 17

# Names of the convolutional units in the order in which keras.applications creates its own.
UNITS = tuple(
    name
    for label, branches in (("stem", (STEM,)), *MODULES)
    for name in inception.units(label, branches)
)


def inception_v3(
    input_shape=(299, 299, 3),
    num_classes=1000,
    *,
    aux=False,
    pooling="average",
    bn_scale=False,
    dropout=0.0,
    activation="relu",
    normalization="batch",
    bn_momentum=0.9,
    initializer="glorot_uniform",
    torchvision=False,
    name="inception_v3",
):
    """Inception v3: 5x5 as two 3x3, 7x7 as 1x7 and 7x1.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        aux: Whether the auxiliary classifier is there, which the authors' code weighs 0.4 in the loss.
            Then the model returns {"logits", "aux1"}; see `inception.without_auxiliary`.
        pooling: "average" or "max": kind of pooling within the modules of stride 1.
        bn_scale: Whether BatchNormalization has a factor gamma, as in torchvision.
        dropout: Share of the pooled features dropped in training.
        activation: See `layers.Style`.
        normalization: See `layers.Style`; convolutions have a bias where it is "none".
        bn_momentum: See `layers.Style`.
        initializer: See `layers.Style`.
        torchvision: Be the network of torchvision, for its weights: BatchNormalization has a factor
            gamma, whatever `bn_scale` says, and average poolings count the zeros around the map.
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
        scale=bn_scale or torchvision,
        initializer=initializer,
        use_bias=normalization == "none",
        torchvision=torchvision,
    )
    image = keras.Input(input_shape, name="image")
    x = inception.branch(image, STEM, style=style, name="stem_1")
    heads = {}
    for label, branches in MODULES:
        x = inception.module(x, branches, style=style, name=label, pooling=pooling, forks=FORKS)
        if aux and label == HEAD:
            heads["aux1"] = inception.auxiliary(x, num_classes, style=style, name="aux1")
    return inception.finish(image, x, num_classes, dropout=dropout, style=style, heads=heads, name=name)


register(
    Variant(
        name="inception_v3",
        family="inception_v3",
        builder=inception_v3,
        paper="Szegedy et al., 2015, arXiv:1512.00567",
        year=2015,
        url="https://arxiv.org/abs/1512.00567",
        input_size=299,
        min_size=75,
        preprocessing="tf",
        params=23_817_352,
        macs=5_713_216_096,
        aux_weight=0.4,
        published=(
            Published(top1=77.9, top5=93.7, source="keras.io/api/applications"),
            Published(top1=78.8, top5=94.4, source="the paper, table 3"),
            Published(
                knobs={"bn_scale": True},
                params=23_834_568,
                top1=77.47,
                top5=93.47,
                source="torchvision's weights in timm results-imagenet.csv",
            ),
        ),
        reference="keras.applications.InceptionV3",
        keras_units=UNITS,
    )
)
