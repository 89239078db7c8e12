"""MobileNetV2: inverted residuals and linear bottlenecks.

Sandler et al., CVPR 2018, https://arxiv.org/abs/1801.04381.
Layer names are those of keras.applications.MobileNetV2.

Differs from the paper: the padding of stride-2 layers is TensorFlow's "same", as in the authors' code;
the last convolution keeps its 1280 channels for alpha < 1, as the paper says, and grows for alpha > 1,
as the authors' code does.
"""

from cnn_keras.lazy import keras, layers
from cnn_keras.registry import Published, Variant, register

# Table 2.
STAGES = (
    # t, c, n, s       expansion, channels out, repeats, stride of the first
    (1, 16, 1, 1),  # 112 x 112 x  16
    (6, 24, 2, 2),  #  56 x  56 x  24
    (6, 32, 3, 2),  #  28 x  28 x  32
    (6, 64, 4, 2),  #  14 x  14 x  64
    (6, 96, 3, 1),  #  14 x  14 x  96
    (6, 160, 3, 2),  #  7 x   7 x 160
    (6, 320, 1, 1),  #  7 x   7 x 320
)


def mobilenet_v2(
    input_shape=(224, 224, 3),
    num_classes=1000,
    *,
    alpha=1.0,
    expansion=6,
    linear_bottleneck=True,
    residual=True,
    output_stride=32,
    dropout=0.0,
    activation="relu6",
    normalization="batch",
    bn_momentum=0.9,
    initializer="glorot_uniform",
    torchvision=False,
    name="mobilenet_v2",
):
    """MobileNetV2, the network of inverted residuals for phones.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        alpha: Width multiplier: factor of every number of channels.
        expansion: Factor t by which a block widens its input.
        linear_bottleneck: False puts an activation behind the projection (the ablation of figure 6a).
        residual: False leaves the shortcuts out (the ablation of figure 6b).
        output_stride: 32, 16 or 8: input pixels a step of the last feature map. Below 32 the last
            stages dilate instead of striding; the weights are the same.
        dropout: Share of the pooled features dropped in training.
        activation: See `layers.Style`.
        normalization: See `layers.Style`.
        bn_momentum: See `layers.Style`.
        initializer: See `layers.Style`.
        torchvision: Be the network of torchvision, for its weights: strided layers pad on all sides and
            BatchNormalization adds 1e-5.
        name: Name of the model.

    Returns:
        A model from `image`, float32 (batch, height, width, channels), -1..1, to logits.

    Raises:
        ValueError: If `alpha`, `expansion` or `output_stride` is out of range.
    """
    if not alpha > 0:
        raise ValueError(f"alpha must be positive, not {alpha}.")
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride must be 8, 16 or 32, not {output_stride}.")
    if not expansion >= 1:
        raise ValueError(f"expansion must be 1 or more, not {expansion}.")
    style = layers.Style(
        normalization=normalization,
        activation=activation,
        bn_momentum=bn_momentum,
        epsilon=1e-5 if torchvision else 1e-3,
        initializer=initializer,
        torchvision=torchvision,
    )
    image = keras.Input(input_shape, name="image")
    x = style.conv(image, make_divisible(32 * alpha), 3, 2, name="Conv1")
    x = style.norm(x, "bn_Conv1")
    x = style.act(x, "Conv1_relu")

    block = 0
    plan = layers.dilated([stride for *_, stride in STAGES], output_stride, reached=2)
    for (widening, channels, repeats, step), (stride, dilation, next_dilation) in zip(
        STAGES, plan, strict=True
    ):
        widening = 1 if widening == 1 else expansion
        for i in range(repeats):
            x = inverted_residual(
                x,
                make_divisible(int(channels * alpha)),
                stride if i == 0 else 1,
                # the first block of a stage that no longer strides still sees its input's sampling
                dilation=dilation if i == 0 else next_dilation,
                expansion=widening,
                expand=block > 0,
                linear=linear_bottleneck,
                residual=residual and (i > 0 or step == 1),
                style=style,
                prefix=f"block_{block}_" if block else "expanded_conv_",
            )
            block += 1

    x = style.conv(x, make_divisible(1280 * max(alpha, 1.0)), 1, name="Conv_1")
    x = style.norm(x, "Conv_1_bn")
    x = style.act(x, "out_relu")
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.classifier(x, num_classes, dropout=dropout, initializer=initializer)
    return keras.Model(image, x, name=name)


def inverted_residual(
    x, channels, stride, *, dilation, expansion, expand, linear, residual, style, prefix
):
    """Widen `x` by 1x1, filter it depthwise by 3x3, project it to `channels` (figure 3b, table 1)."""
    shortcut = x
    if expand:
        x = style.conv(x, round(expansion * x.shape[-1]), 1, name=prefix + "expand")
        x = style.norm(x, prefix + "expand_BN")
        x = style.act(x, prefix + "expand_relu")
    x = style.depthwise(x, 3, stride, dilation=dilation, name=prefix + "depthwise")
    x = style.norm(x, prefix + "depthwise_BN")
    x = style.act(x, prefix + "depthwise_relu")
    x = style.conv(x, channels, 1, name=prefix + "project")
    x = style.norm(x, prefix + "project_BN")
    if not linear:
        x = style.act(x, prefix + "project_relu")
    if residual and shortcut.shape[-1] == channels:
        x = keras.layers.Add(name=prefix + "add")([shortcut, x])
    return x


def make_divisible(channels: float, divisor: int = 8) -> int:
    """Round `channels` to a multiple of `divisor`, never down by more than 10 % (the authors' code)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


_KERAS, _SLIM = "keras.io/api/applications", "tf-models research/slim/nets/mobilenet"
_POINTS = (
    # alpha, image size, trainable parameters, multiply-adds, top-1
    (1.4, 224, 6_108_776, 582_195_824, 75.0),
    (1.3, 224, 5_386_792, 509_374_560, 74.4),
    (1.0, 224, 3_504_872, 300_774_272, 71.8),
    (1.0, 192, 3_504_872, 221_316_608, 70.7),
    (1.0, 160, 3_504_872, 154_083_200, 68.8),
    (1.0, 128, 3_504_872, 99_074_048, 65.3),
    (1.0, 96, 3_504_872, 56_289_152, 60.3),
    (0.75, 224, 2_636_424, 209_069_792, 69.8),
    (0.75, 192, 2_636_424, 153_941_888, 68.7),
    (0.75, 160, 2_636_424, 107_295_200, 66.4),
    (0.75, 128, 2_636_424, 69_129_728, 63.2),
    (0.75, 96, 2_636_424, 39_445_472, 58.8),
    (0.5, 224, 1_968_680, 97_131_840, 65.4),
    (0.5, 192, 1_968_680, 71_701_760, 63.9),
    (0.5, 160, 1_968_680, 50_184_000, 61.0),
    (0.5, 128, 1_968_680, 32_578_560, 57.7),
    (0.5, 96, 1_968_680, 18_885_440, 51.2),
    (0.35, 224, 1_677_128, 59_285_808, 60.3),
    (0.35, 192, 1_677_128, 43_896_512, 58.2),
    (0.35, 160, 1_677_128, 30_874_800, 55.7),
    (0.35, 128, 1_677_128, 20_220_672, 50.8),
    (0.35, 96, 1_677_128, 11_934_128, 45.5),
)

register(
    Variant(
        name="mobilenet_v2",
        family="mobilenet_v2",
        builder=mobilenet_v2,
        paper="Sandler et al., 2018, arXiv:1801.04381",
        year=2018,
        url="https://arxiv.org/abs/1801.04381",
        input_size=224,
        min_size=32,
        preprocessing="tf",
        params=3_504_872,
        macs=300_774_272,
        published=(
            Published(top1=71.3, top5=90.1, source=_KERAS),
            *(
                Published(
                    knobs={"alpha": alpha},
                    image_size=size,
                    params=params,
                    macs=macs,
                    top1=top1,
                    source=_SLIM,
                )
                for alpha, size, params, macs, top1 in _POINTS
            ),
        ),
        reference="keras.applications.MobileNetV2",
    )
)
