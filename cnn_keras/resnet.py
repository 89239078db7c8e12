"""ResNet: residual learning, 18 to 152 layers for ImageNet.

He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016,
https://arxiv.org/abs/1512.03385, table 1 and section 3.3.
Layer names are those of keras.applications.ResNet50, which is `conv_bias=True`.

Differs from the paper: convolutions of stride 2 and the first pooling pad with zeros on all sides, as
the authors' Caffe models do but for that pooling; BatchNormalization adds 1.001e-5 to the variance, as
keras.applications does; kernels are drawn from a truncated normal distribution; inputs lose the mean
colour, not the mean picture.
"""

from functools import partial

from cnn_keras.lazy import keras, layers
from cnn_keras.registry import Published, Variant, register

# Table 1: blocks in each stage.
DEPTHS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
STAGES = (
    # channels of the 3x3 convolutions, stride of the first block; behind the stem, 56 x 56 x 64
    (64, 1),  # conv2: 56 x 56 x 64, with bottlenecks x 256
    (128, 2),  # conv3: 28 x 28 x 128, x 512
    (256, 2),  # conv4: 14 x 14 x 256, x 1024
    (512, 2),  # conv5: 7 x 7 x 512, x 2048
)
EPSILON = 1.001e-5


def resnet(
    input_shape=(224, 224, 3),
    num_classes=1000,
    *,
    depths=DEPTHS[50],
    bottleneck=True,
    shortcut="B",
    stride_in="1x1",
    conv_bias=False,
    zero_init_residual=False,
    output_stride=32,
    pooling="max",
    dropout=0.0,
    activation="relu",
    normalization="batch",
    bn_momentum=0.9,
    initializer="he_normal",
    torchvision=False,
    name="resnet50",
):
    """ResNet, the network of residual blocks.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        depths: Blocks in each of the four stages.
        bottleneck: Whether a block is 1x1, 3x3, 1x1 (50 layers and more) or 3x3, 3x3.
        shortcut: Where a block has more channels than its input, "A" pads with zeros and "B" projects;
            "C" projects in every block.
        stride_in: Layer of a bottleneck that strides: the first "1x1" (v1) or the "3x3" (v1.5).
        conv_bias: Give the convolutions biases, which BatchNormalization makes superfluous: for the
            weights of keras.applications.
        zero_init_residual: Start the last normalisation of each block at zero, so that every block
            starts as its shortcut (Goyal et al. 2017).
        output_stride: 32, 16 or 8: input pixels a step of the last feature map. Below 32 the last
            stages dilate instead of striding; the weights are the same.
        pooling: "max" or "average": the pooling behind the first convolution.
        dropout: Share of the pooled features dropped in training; the paper has none.
        activation: See `layers.Style`.
        normalization: See `layers.Style`.
        bn_momentum: See `layers.Style`.
        initializer: See `layers.Style`; the paper's is that of He et al. 2015.
        torchvision: Be the network of torchvision, for its weights: the 3x3 strides, whatever
            `stride_in` says, and BatchNormalization adds 1e-5.
        name: Name of the model.

    Returns:
        A model from `image`, float32 (batch, height, width, channels), mean 0, to logits.

    Raises:
        ValueError: If a switch has a value that is not listed.
    """
    layers.check_choice("output_stride", output_stride, (8, 16, 32))
    layers.check_choice("stride_in", stride_in, ("1x1", "3x3"))
    stride_in = "3x3" if torchvision else stride_in
    style = layers.Style(
        normalization=normalization,
        activation=activation,
        bn_momentum=bn_momentum,
        epsilon=1e-5 if torchvision else EPSILON,
        initializer=initializer,
        use_bias=conv_bias,
    )
    image = keras.Input(input_shape, name="image")
    x = style.conv(layers.pad(image, 3, "conv1_pad"), 64, 7, 2, padding="valid", name="conv1_conv")
    x = style.norm(x, "conv1_bn")
    x = style.act(x, "conv1_relu")  # 112 x 112 x 64
    x = layers.pool(layers.pad(x, 1, "pool1_pad"), pooling, 3, 2, "valid", name="pool1_pool")
    x = residual_stages(
        x,
        STAGES,
        depths,
        partial(bottleneck_block, stride_in=stride_in) if bottleneck else basic_block,
        layers.dilated([stride for _, stride in STAGES], output_stride, reached=4),
        shortcut=shortcut,
        zero_init=zero_init_residual,
        style=style,
    )
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    head = layers.head_initializer(initializer)
    x = layers.classifier(x, num_classes, dropout=dropout, initializer=head)
    return keras.Model(image, x, name=name)


def residual_stages(x, stages, depths, block, plan, **options):
    """Stack the blocks of all stages; `plan` comes from `layers.dilated`."""
    if len(depths) != len(stages):
        raise ValueError(f"depths must be {len(stages)} numbers of blocks, not {depths}.")
    layers.check_choice("shortcut", options["shortcut"], ("A", "B", "C"))
    if options["zero_init"] and options["style"].normalization == "none":
        raise ValueError("zero_init_residual needs a normalization: its factor is what starts at zero.")
    number = 2
    for (channels, _), blocks, (stride, before, dilation) in zip(stages, depths, plan, strict=True):
        for i in range(blocks):
            x = block(
                x,
                channels,
                stride if i == 0 else 1,
                # the layer that would stride still sees its input's sampling
                dilations=(before if i == 0 else dilation, dilation),
                prefix=f"conv{number}_block{i + 1}",
                **options,
            )
        number += 1
    return x


def basic_block(x, channels, stride, *, dilations, shortcut, zero_init, style, prefix):
    """Two 3x3 convolutions beside a shortcut (figure 5, left)."""
    beside = shortcut_of(x, channels, stride, kind=shortcut, style=style, prefix=prefix)
    x = conv3x3(x, channels, stride, dilations[0], style=style, name=prefix + "_1")
    x = style.norm(x, prefix + "_1_bn")
    x = style.act(x, prefix + "_1_relu")
    x = conv3x3(x, channels, 1, dilations[1], style=style, name=prefix + "_2")
    x = style.norm(x, prefix + "_2_bn", gamma="zeros" if zero_init else "ones")
    x = keras.layers.Add(name=prefix + "_add")([beside, x])
    return style.act(x, prefix + "_out")


def bottleneck_block(x, channels, stride, *, dilations, shortcut, stride_in, zero_init, style, prefix):
    """1x1, 3x3 and, four times as wide, 1x1 convolutions beside a shortcut (figure 5, right)."""
    early, late = (stride, 1) if stride_in == "1x1" else (1, stride)
    beside = shortcut_of(x, 4 * channels, stride, kind=shortcut, style=style, prefix=prefix)
    x = style.conv(x, channels, 1, early, name=prefix + "_1_conv")
    x = style.norm(x, prefix + "_1_bn")
    x = style.act(x, prefix + "_1_relu")
    dilation = dilations[1] if stride_in == "1x1" else dilations[0]
    x = conv3x3(x, channels, late, dilation, style=style, name=prefix + "_2")
    x = style.norm(x, prefix + "_2_bn")
    x = style.act(x, prefix + "_2_relu")
    x = style.conv(x, 4 * channels, 1, name=prefix + "_3_conv")
    x = style.norm(x, prefix + "_3_bn", gamma="zeros" if zero_init else "ones")
    x = keras.layers.Add(name=prefix + "_add")([beside, x])
    return style.act(x, prefix + "_out")


def conv3x3(x, channels, stride, dilation, *, style, name, **options):
    """Convolve by 3x3 with zeros on all sides, which "same" is not at stride 2 and even sizes."""
    if stride == 1:
        return style.conv(x, channels, 3, dilation_rate=dilation, name=name + "_conv", **options)
    x = layers.pad(x, 1, name + "_pad")
    return style.conv(x, channels, 3, stride, padding="valid", name=name + "_conv", **options)


def shortcut_of(x, channels, stride, *, kind, style, prefix, normalize=True):
    """Carry `x` past a block of that many channels by the options A, B and C of section 3.3."""
    if kind == "C" or (kind == "B" and x.shape[-1] != channels):
        x = style.conv(x, channels, 1, stride, name=prefix + "_0_conv")
        return style.norm(x, prefix + "_0_bn") if normalize else x
    if stride > 1:
        x = keras.layers.MaxPooling2D(1, stride, name=prefix + "_0_pool")(x)  # every second pixel
    if x.shape[-1] != channels:
        x = keras.ops.pad(x, [(0, 0), (0, 0), (0, 0), (0, channels - x.shape[-1])])
    return x


_COUNTS = {
    # trainable parameters, multiply-adds; with the stride in the 3x3; parameters with biases
    18: (11_689_512, 1_814_073_344),
    34: (21_797_672, 3_663_761_408),
    50: (25_557_032, 3_857_973_248, 4_089_184_256, 25_583_592),
    101: (44_549_160, 7_570_194_432, 7_801_405_440, 44_601_832),
    152: (60_192_808, 11_282_415_616, 11_513_626_624, 60_268_520),
}
_AUTHORS = "github.com/KaimingHe/deep-residual-networks, 1 crop"
_PAPER = "the paper, table 3, 10 crops"
_KERAS = "keras.io/api/applications"
_TORCHVISION = "timm results-imagenet.csv, torchvision's weights"
_BASIC = {
    18: (Published(top1=69.75, top5=89.08, source=_TORCHVISION),),
    34: (
        Published(top1=73.30, top5=91.42, source=_TORCHVISION),
        Published(
            knobs={"shortcut": "A"},
            params=21_623_848,
            macs=3_644_493_824,
            top1=74.97,
            top5=92.24,
            source=_PAPER,
        ),
        Published(top1=75.48, top5=92.54, source=_PAPER),
        Published(
            knobs={"shortcut": "C"},
            params=22_716_840,
            macs=3_830_747_136,
            top1=75.81,
            top5=92.60,
            source=_PAPER,
        ),
    ),
}
_BOTTLENECK = {
    # top-1 and top-5 of the authors, of keras.applications, of torchvision, and of the paper
    50: ((75.3, 92.2), (74.9, 92.1), (76.16, 92.87), (77.15, 93.29)),
    101: ((76.4, 92.9), (76.4, 92.8), (77.40, 93.55), (78.25, 93.95)),
    152: ((77.0, 93.3), (76.6, 93.1), (78.33, 94.05), (78.57, 94.29)),
}


def _published(depth):
    if depth in _BASIC:
        return _BASIC[depth]
    _, macs, macs_3x3, params_biased = _COUNTS[depth]
    authors, keras_, torchvision, paper = (
        {"top1": top1, "top5": top5} for top1, top5 in _BOTTLENECK[depth]
    )
    return (
        Published(**authors, source=_AUTHORS),
        Published(knobs={"conv_bias": True}, params=params_biased, macs=macs, **keras_, source=_KERAS),
        Published(knobs={"stride_in": "3x3"}, macs=macs_3x3, **torchvision, source=_TORCHVISION),
        Published(**paper, source=_PAPER),
    )


for _depth, (_params, _macs, *_) in _COUNTS.items():
    _deep = _depth >= 50
    register(
        Variant(
            name=f"resnet{_depth}",
            family="resnet",
            builder=resnet,
            knobs={"depths": DEPTHS[_depth], "bottleneck": _deep},
            paper="He et al., 2015, arXiv:1512.03385",
            year=2015,
            url="https://arxiv.org/abs/1512.03385",
            input_size=224,
            min_size=32,
            preprocessing="caffe" if _deep else "torch",
            params=_params,
            macs=_macs,
            published=_published(_depth),
            reference=f"keras.applications.ResNet{_depth}" if _deep else None,
            reference_knobs={"conv_bias": True} if _deep else {},
        )
    )
