"""Inception v4: the Inception modules made uniform, and more of them.

Szegedy, Ioffe, Vanhoucke and Alemi, "Inception-v4, Inception-ResNet and the Impact of Residual
Connections on Learning", AAAI 2017, https://arxiv.org/abs/1602.07261, figures 3 to 9.

Differs from the paper: it names no auxiliary classifier; the one of `aux=True` is the authors' code's,
which is that of Inception v3 on the last map of 17 x 17.
"""

from cnn_keras import inception
from cnn_keras.lazy import keras, layers
from cnn_keras.registry import Published, Variant, register

_ROW, _COLUMN = (1, 7), (7, 1)

# Figure 3.
STEM = (
    (32, 3, 2, "valid"),  # 149 x 149 x 32
    (32, 3, 1, "valid"),  # 147 x 147 x 32
    (64, 3),  # 147 x 147 x 64
    (  # 73 x 73 x 160
        (("max", 3, 2, "valid"),),
        ((96, 3, 2, "valid"),),
    ),
    (  # 71 x 71 x 192
        ((64, 1), (96, 3, 1, "valid")),
        ((64, 1), (64, _COLUMN), (64, _ROW), (96, 3, 1, "valid")),
    ),
    (  # 35 x 35 x 384
        ((192, 3, 2, "valid"),),
        (("max", 3, 2, "valid"),),
    ),
)
# Figure 4: 35 x 35 x 384.
_INCEPTION_A = (
    ((96, 1),),
    ((64, 1), (96, 3)),
    ((64, 1), (96, 3), (96, 3)),
    (("average", 3), (96, 1)),
)
# Figure 7 with k, l, m, n of table 1: 17 x 17 x 1024.
_REDUCTION_A = (
    ((384, 3, 2, "valid"),),
    ((192, 1), (224, 3), (256, 3, 2, "valid")),
    (("max", 3, 2, "valid"),),
)
# Figure 5: 17 x 17 x 1024.
_INCEPTION_B = (
    ((384, 1),),
    ((192, 1), (224, _ROW), (256, _COLUMN)),
    ((192, 1), (192, _ROW), (224, _COLUMN), (224, _ROW), (256, _COLUMN)),
    (("average", 3), (128, 1)),
)
# Figure 8: 8 x 8 x 1536.
_REDUCTION_B = (
    ((192, 1), (192, 3, 2, "valid")),
    ((256, 1), (256, _ROW), (320, _COLUMN), (320, 3, 2, "valid")),
    (("max", 3, 2, "valid"),),
)
# Figure 6: 8 x 8 x 1536.
_ROW_AND_COLUMN = (((256, (1, 3)),), ((256, (3, 1)),))
_INCEPTION_C = (
    ((256, 1),),
    ((384, 1), _ROW_AND_COLUMN),
    ((384, 1), (448, (1, 3)), (512, (3, 1)), _ROW_AND_COLUMN),
    (("average", 3), (256, 1)),
)
# Figure 9.
MODULES = (
    *((f"inception_a{i}", _INCEPTION_A) for i in range(1, 5)),
    ("reduction_a", _REDUCTION_A),
    *((f"inception_b{i}", _INCEPTION_B) for i in range(1, 8)),
    ("reduction_b", _REDUCTION_B),
    *((f"inception_c{i}", _INCEPTION_C) for i in range(1, 4)),
)
HEAD = "inception_b7"  # the auxiliary classifier's place: the last map of 17 x 17


def inception_v4(
    input_shape=(299, 299, 3),
    num_classes=1000,
    *,
    aux=False,
    pooling="average",
    dropout=0.2,
    activation="relu",
    normalization="batch",
    bn_momentum=0.9,
    initializer="glorot_uniform",
    name="inception_v4",
):
    """Inception v4, the deepest Inception network without shortcuts.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        aux: Whether the auxiliary classifier is there. Then the model returns {"logits", "aux1"}; see
            `inception.without_auxiliary`.
        pooling: "average" or "max": kind of pooling within the modules of stride 1.
        dropout: Share of the pooled features dropped in training.
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
    x = inception.branch(image, STEM, style=style, name="stem_1")
    heads = {}
    for label, branches in MODULES:
        x = inception.module(x, branches, style=style, name=label, pooling=pooling)
        if aux and label == HEAD:
            heads["aux1"] = inception.auxiliary(x, num_classes, style=style, name="aux1")
    return inception.finish(image, x, num_classes, dropout=dropout, style=style, heads=heads, name=name)


register(
    Variant(
        name="inception_v4",
        family="inception_v4",
        builder=inception_v4,
        paper="Szegedy et al., 2016, arXiv:1602.07261",
        year=2016,
        url="https://arxiv.org/abs/1602.07261",
        input_size=299,
        min_size=75,
        preprocessing="tf",
        params=42_679_816,
        macs=12_253_974_624,
        aux_weight=0.4,
        published=(
            Published(top1=80.2, top5=95.2, source="tf-models research/slim"),
            Published(top1=80.0, top5=95.0, source="the paper, table 2"),
        ),
    )
)
