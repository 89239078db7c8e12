"""ResNet v2: residual blocks that normalise before they convolve.

He, Zhang, Ren and Sun, "Identity Mappings in Deep Residual Networks", ECCV 2016,
https://arxiv.org/abs/1603.05027, figures 1 (b) and 4 (e).
Layer names are those of keras.applications.ResNet50V2, which is `conv_bias=True`.

Differs from the paper, as the networks of TF-slim and keras.applications that all published weights are
for: the last block of a stage strides, in its 3x3 convolution, not the first (`stride_in="1x1"`); the
first convolution has no normalisation of its own. BatchNormalization adds 1.001e-5 to the variance.
"""

from cnn_keras import resnet
from cnn_keras.lazy import keras, layers
from cnn_keras.registry import Published, Variant, register

CHANNELS = (64, 128, 256, 512)  # of the 3x3 convolutions, as in `resnet`
STRIDES = {
    # of the stages, by the place of the stride in each
    "last": (2, 2, 2, 1),  # behind the stages: 28, 14, 7, 7
    "1x1": (1, 2, 2, 2),  # 56, 28, 14, 7
    "3x3": (1, 2, 2, 2),
}


def resnet_v2(
    input_shape=(224, 224, 3),
    num_classes=1000,
    *,
    depths=resnet.DEPTHS[50],
    shortcut="B",
    stride_in="last",
    conv_bias=False,
    zero_init_residual=False,
    output_stride=32,
    pooling="max",
    dropout=0.0,
    activation="relu",
    normalization="batch",
    bn_momentum=0.9,
    initializer="he_normal",
    name="resnet50_v2",
):
    """ResNet v2, the network of residual blocks with pre-activation.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        depths: Blocks in each of the four stages.
        shortcut: Where a block has more channels than its input, "A" pads with zeros and "B" projects;
            "C" projects in every block.
        stride_in: Layer that strides: in the "last" block of a stage the 3x3, in its first block the
            "1x1" or the "3x3". The weights are the same, but their meaning is not.
        conv_bias: Give a bias to the convolutions that no normalisation follows: the first one, the
            projections and the last of each block. For the weights of keras.applications.
        zero_init_residual: Start the last convolution of each block at zero, so that every block starts
            as its shortcut.
        output_stride: 32, 16 or 8: input pixels a step of the last feature map. Below 32 the last
            stages dilate instead of striding; the weights are the same.
        pooling: "max" or "average": the pooling behind the first convolution.
        dropout: Share of the pooled features dropped in training; the paper has none.
        activation: See `layers.Style`.
        normalization: See `layers.Style`.
        bn_momentum: See `layers.Style`.
        initializer: See `layers.Style`.
        name: Name of the model.

    Returns:
        A model from `image`, float32 (batch, height, width, channels), -1..1, to logits.

    Raises:
        ValueError: If a switch has a value that is not listed.
    """
    layers.check_choice("output_stride", output_stride, (8, 16, 32))
    layers.check_choice("shortcut", shortcut, ("A", "B", "C"))
    layers.check_choice("stride_in", stride_in, tuple(STRIDES))
    if len(depths) != len(CHANNELS):
        raise ValueError(f"depths must be {len(CHANNELS)} numbers of blocks, not {depths}.")
    style = layers.Style(
        normalization=normalization,
        activation=activation,
        bn_momentum=bn_momentum,
        epsilon=resnet.EPSILON,
        initializer=initializer,
        use_bias=conv_bias,
    )
    image = keras.Input(input_shape, name="image")
    x = style.conv(layers.pad(image, 3, "conv1_pad"), 64, 7, 2, padding="valid", name="conv1_conv")
    x = layers.pool(layers.pad(x, 1, "pool1_pad"), pooling, 3, 2, "valid", name="pool1_pool")
    plan = layers.dilated(STRIDES[stride_in], output_stride, reached=4)
    for stage, (channels, blocks, (stride, before, after)) in enumerate(
        zip(CHANNELS, depths, plan, strict=True)
    ):
        strided = blocks - 1 if stride_in == "last" else 0
        for i in range(blocks):
            early = i < strided or (i == strided and stride_in != "1x1")
            x = preactivation_block(
                x,
                channels,
                stride if i == strided else 1,
                dilation=before if early else after,
                shortcut=shortcut,
                stride_in=stride_in,
                zero_init=zero_init_residual,
                style=style,
                prefix=f"conv{stage + 2}_block{i + 1}",
            )
    x = style.norm(x, "post_bn")
    x = style.act(x, "post_relu")
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    head = layers.head_initializer(initializer)
    x = layers.classifier(x, num_classes, dropout=dropout, initializer=head)
    return keras.Model(image, x, name=name)


def preactivation_block(x, channels, stride, *, dilation, shortcut, stride_in, zero_init, style, prefix):
    """1x1, 3x3 and 1x1 convolutions, each behind its normalisation and activation (figure 4 (e))."""
    preact = style.norm(x, prefix + "_preact_bn")
    preact = style.act(preact, prefix + "_preact_relu")
    projects = shortcut == "C" or (shortcut == "B" and x.shape[-1] != 4 * channels)
    beside = resnet.shortcut_of(
        preact if projects else x,
        4 * channels,
        stride,
        kind=shortcut,
        style=style,
        prefix=prefix,
        normalize=False,
    )
    early, late = (stride, 1) if stride_in == "1x1" else (1, stride)
    x = style.conv(preact, channels, 1, early, use_bias=False, name=prefix + "_1_conv")
    x = style.norm(x, prefix + "_1_bn")
    x = style.act(x, prefix + "_1_relu")
    x = resnet.conv3x3(x, channels, late, dilation, style=style, use_bias=False, name=prefix + "_2")
    x = style.norm(x, prefix + "_2_bn")
    x = style.act(x, prefix + "_2_relu")
    start = {"kernel_initializer": "zeros"} if zero_init else {}
    x = style.conv(x, 4 * channels, 1, name=prefix + "_3_conv", **start)
    return keras.layers.Add(name=prefix + "_out")([beside, x])


for _depth, _params, _macs, _biased, _top1, _top5 in (
    # trainable parameters, multiply-adds, parameters with biases, accuracy of keras.applications
    (50, 25_549_352, 3_482_255_360, 25_568_360, 76.0, 93.0),
    (101, 44_541_480, 7_194_476_544, 44_577_896, 77.2, 93.8),
    (152, 60_185_128, 10_906_697_728, 60_236_904, 78.0, 94.2),
):
    register(
        Variant(
            name=f"resnet{_depth}_v2",
            family="resnet_v2",
            builder=resnet_v2,
            knobs={"depths": resnet.DEPTHS[_depth]},
            paper="He et al., 2016, arXiv:1603.05027",
            year=2016,
            url="https://arxiv.org/abs/1603.05027",
            input_size=224,
            min_size=32,
            preprocessing="tf",
            params=_params,
            macs=_macs,
            published=(
                Published(
                    knobs={"conv_bias": True},
                    params=_biased,
                    macs=_macs,
                    top1=_top1,
                    top5=_top5,
                    source="keras.io/api/applications",
                ),
            ),
            reference=f"keras.applications.ResNet{_depth}V2",
            reference_knobs={"conv_bias": True},
        )
    )
