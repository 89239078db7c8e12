"""ResNet for CIFAR: 20 to 110 layers for pictures of 32 x 32.

He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016,
https://arxiv.org/abs/1512.03385, section 4.2.
Layers are named as in `resnet`.

Differs from the paper: kernels are drawn from a truncated normal distribution, and pixels are scaled to
-1..1, where the paper subtracts the mean picture. Zeros of shortcut A follow the channels of the input.
"""

from cnn_keras import resnet
from cnn_keras.lazy import keras, layers
from cnn_keras.registry import Published, Variant, register

# Section 4.2: channels, stride of the first of the n blocks in a network of 6n + 2 layers.
STAGES = (
    (16, 1),  # 32 x 32 x 16
    (32, 2),  # 16 x 16 x 32
    (64, 2),  # 8 x 8 x 64
)


def resnet_cifar(
    input_shape=(32, 32, 3),
    num_classes=10,
    *,
    depth=20,
    shortcut="A",
    conv_bias=False,
    zero_init_residual=False,
    output_stride=4,
    dropout=0.0,
    activation="relu",
    normalization="batch",
    bn_momentum=0.9,
    initializer="he_normal",
    name="resnet20",
):
    """ResNet for small pictures: three stages of 16, 32 and 64 channels.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        depth: Layers with weights, 6n + 2.
        shortcut: See `resnet.resnet`.
        conv_bias: See `resnet.resnet`.
        zero_init_residual: See `resnet.resnet`.
        output_stride: 4, 2 or 1: input pixels a step of the last feature map, as in `resnet.resnet`.
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
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"depth must be 6n + 2, e.g. 20, 32, 44, 56 or 110, not {depth}.")
    layers.check_choice("output_stride", output_stride, (1, 2, 4))
    style = layers.Style(
        normalization=normalization,
        activation=activation,
        bn_momentum=bn_momentum,
        epsilon=resnet.EPSILON,
        initializer=initializer,
        use_bias=conv_bias,
    )
    image = keras.Input(input_shape, name="image")
    x = style.conv(image, 16, 3, name="conv1_conv")
    x = style.norm(x, "conv1_bn")
    x = style.act(x, "conv1_relu")
    x = resnet.residual_stages(
        x,
        STAGES,
        ((depth - 2) // 6,) * 3,
        resnet.basic_block,
        layers.dilated([stride for _, stride in STAGES], output_stride),
        shortcut=shortcut,
        zero_init=zero_init_residual,
        style=style,
    )
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    head = layers.head_initializer(initializer)
    x = layers.classifier(x, num_classes, dropout=dropout, initializer=head)
    return keras.Model(image, x, name=name)


_RERUN = "github.com/akamaster/pytorch_resnet_cifar10"

for _depth, _params, _macs, _paper, _rerun in (
    # trainable parameters, multiply-adds, top-1 of the paper's table 6, top-1 of a later run
    (20, 269_722, 40_551_040, 91.25, 91.73),
    (32, 464_154, 68_862_592, 92.49, 92.63),
    (44, 658_586, 97_174_144, 92.83, 93.10),
    (56, 853_018, 125_485_696, 93.03, 93.39),
    (110, 1_727_962, 252_887_680, 93.57, 93.68),
):
    register(
        Variant(
            name=f"resnet{_depth}",
            family="resnet_cifar",
            builder=resnet_cifar,
            knobs={"depth": _depth},
            paper="He et al., 2015, arXiv:1512.03385",
            year=2015,
            url="https://arxiv.org/abs/1512.03385",
            input_size=32,
            min_size=4,
            num_classes=10,
            preprocessing="tf",
            params=_params,
            macs=_macs,
            published=(
                Published(top1=_paper, dataset="CIFAR-10", source="the paper, table 6"),
                Published(top1=_rerun, dataset="CIFAR-10", source=_RERUN),
            ),
        )
    )
