"""MobileNet: depthwise separable convolutions.

Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
2017, https://arxiv.org/abs/1704.04861, table 1.
Layer names are those of keras.applications.MobileNet; its classifier `conv_preds`, a 1x1 convolution, is
the dense layer `predictions` here, and `cnn_keras.weights` turns the one into the other.

Differs from the paper, as the authors' code does: the activation is ReLU6; the last depthwise
convolution has stride 1, where table 1 prints 2 beside an unchanged size. Depthwise convolutions of
stride 2 pad behind the last pixel only, as those of keras.applications, whose weights these are; where a
map has an odd side, the authors' "same" would pad on both sides and give a larger map.
"""

from cnn_keras.lazy import keras, layers
from cnn_keras.registry import Published, Variant, register

# Table 1: each row a 3x3 depthwise and a 1x1 convolution; behind the stem, 112 x 112 x 32.
BLOCKS = (
    # channels, stride
    (64, 1),  # 112 x 112 x 64
    (128, 2),  # 56 x 56 x 128
    (128, 1),
    (256, 2),  # 28 x 28 x 256
    (256, 1),
    (512, 2),  # 14 x 14 x 512
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),  # 7 x 7 x 1024
    (1024, 1),
)
SHALLOW = range(7, 12)  # the blocks, counted from 1, that the shallow network of table 5 lacks


def mobilenet_v1(
    input_shape=(224, 224, 3),
    num_classes=1000,
    *,
    alpha=1.0,
    shallow=False,
    output_stride=32,
    dropout=0.0,
    activation="relu6",
    normalization="batch",
    bn_momentum=0.9,
    initializer="glorot_uniform",
    name="mobilenet_v1",
):
    """MobileNet, the network of depthwise separable convolutions for phones.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        alpha: Width multiplier: factor of every number of channels, which is rounded down, but to 8 at
            least.
        shallow: Leave out the five blocks of 14 x 14 x 512 (the ablation of table 5).
        output_stride: 32, 16 or 8: input pixels a step of the last feature map. Below 32 the last
            layers dilate instead of striding; the weights are the same.
        dropout: Share of the pooled features dropped in training.
        activation: See `layers.Style`.
        normalization: See `layers.Style`.
        bn_momentum: See `layers.Style`.
        initializer: See `layers.Style`.
        name: Name of the model.

    Returns:
        A model from `image`, float32 (batch, height, width, channels), -1..1, to logits.

    Raises:
        ValueError: If `alpha` or `output_stride` is out of range.
    """
    if not alpha > 0:
        raise ValueError(f"alpha must be positive, not {alpha}.")
    layers.check_choice("output_stride", output_stride, (8, 16, 32))
    style = layers.Style(
        normalization=normalization,
        activation=activation,
        bn_momentum=bn_momentum,
        initializer=initializer,
    )
    image = keras.Input(input_shape, name="image")
    x = style.conv(image, scaled(32, alpha), 3, 2, name="conv1")
    x = style.norm(x, "conv1_bn")
    x = style.act(x, "conv1_relu")
    plan = layers.dilated([stride for _, stride in BLOCKS], output_stride, reached=2)
    for number, ((channels, _), (stride, dilation, _)) in enumerate(
        zip(BLOCKS, plan, strict=True), start=1
    ):
        if not (shallow and number in SHALLOW):
            x = separable(x, scaled(channels, alpha), stride, dilation, style=style, number=number)
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.classifier(x, num_classes, dropout=dropout, initializer=initializer)
    return keras.Model(image, x, name=name)


def separable(x, channels, stride, dilation, *, style, number):
    """Filter `x` depthwise by 3x3, then mix its channels by 1x1 (figure 3, right)."""
    padding = "same"
    if stride > 1 and any(side is None or side % 2 for side in x.shape[1:3]):
        # "same" would put a zero in front of an odd side; at even ones it is this padding
        x, padding = layers.pad(x, ((0, 1), (0, 1)), f"conv_pad_{number}"), "valid"
    x = style.depthwise(x, 3, stride, dilation=dilation, padding=padding, name=f"conv_dw_{number}")
    x = style.norm(x, f"conv_dw_{number}_bn")
    x = style.act(x, f"conv_dw_{number}_relu")
    x = style.conv(x, channels, 1, name=f"conv_pw_{number}")
    x = style.norm(x, f"conv_pw_{number}_bn")
    return style.act(x, f"conv_pw_{number}_relu")


def scaled(channels, alpha):
    """Return the number of channels at width `alpha`, as the authors' code rounds it."""
    return max(8, int(channels * alpha))


_SLIM = "tf-models research/slim/nets/mobilenet_v1.md"
_POINTS = (
    # alpha, image size, trainable parameters, multiply-adds, top-1, top-5
    (1.0, 224, 4_231_976, 568_740_352, 70.9, 89.9),
    (1.0, 192, 4_231_976, 418_121_728, 70.0, 89.2),
    (1.0, 160, 4_231_976, 290_675_200, 68.0, 87.7),
    (1.0, 128, 4_231_976, 186_400_768, 65.2, 85.8),
    (0.75, 224, 2_585_560, 325_400_448, 68.4, 88.2),
    (0.75, 192, 2_585_560, 239_273_472, 67.2, 87.3),
    (0.75, 160, 2_585_560, 166_396_800, 65.3, 86.0),
    (0.75, 128, 2_585_560, 106_770_432, 62.1, 83.9),
    (0.5, 224, 1_331_592, 149_497_088, 63.3, 84.9),
    (0.5, 192, 1_331_592, 109_970_432, 61.7, 83.6),
    (0.5, 160, 1_331_592, 76_524_800, 59.1, 81.9),
    (0.5, 128, 1_331_592, 49_160_192, 56.3, 79.4),
    (0.25, 224, 470_072, 41_030_272, 49.8, 74.2),
    (0.25, 192, 470_072, 30_212_608, 47.7, 72.3),
    (0.25, 160, 470_072, 21_059_200, 45.5, 70.3),
    (0.25, 128, 470_072, 13_570_048, 41.5, 66.3),
)

register(
    Variant(
        name="mobilenet_v1",
        family="mobilenet_v1",
        builder=mobilenet_v1,
        paper="Howard et al., 2017, arXiv:1704.04861",
        year=2017,
        url="https://arxiv.org/abs/1704.04861",
        input_size=224,
        min_size=32,
        preprocessing="tf",
        params=4_231_976,
        macs=568_740_352,
        published=(
            Published(top1=70.4, top5=89.5, source="keras.io/api/applications"),
            *(
                Published(
                    knobs={"alpha": alpha},
                    image_size=size,
                    params=params,
                    macs=macs,
                    top1=top1,
                    top5=top5,
                    source=_SLIM,
                )
                for alpha, size, params, macs, top1, top5 in _POINTS
            ),
            Published(top1=70.6, source="the paper, table 4"),
            Published(
                knobs={"shallow": True},
                params=2_887_976,
                macs=307_323_392,
                top1=65.3,
                source="the paper, table 5",
            ),
        ),
        reference="keras.applications.MobileNet",
        aliases={"conv_preds": "predictions"},
    )
)
