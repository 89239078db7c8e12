"""DenseNet for CIFAR: three dense blocks for pictures of 32 x 32.

Huang, Liu, van der Maaten and Weinberger, "Densely Connected Convolutional Networks", CVPR 2017,
https://arxiv.org/abs/1608.06993, sections 3 and 4.2.
Layers are named as in `densenet`.

Differs from the paper as `densenet` does; and pixels are scaled to -1..1, where the paper normalises
each colour.
"""

from cnn_keras import densenet
from cnn_keras.lazy import keras, layers
from cnn_keras.registry import Published, Variant, register


def densenet_cifar(
    input_shape=(32, 32, 3),
    num_classes=10,
    *,
    depth=40,
    growth_rate=12,
    bottleneck=False,
    compression=1.0,
    pooling="average",
    layer_dropout=0.0,
    dropout=0.0,
    activation="relu",
    normalization="batch",
    bn_momentum=0.9,
    initializer="he_normal",
    name="densenet40_k12",
):
    """DenseNet for small pictures: three dense blocks, at 32 x 32, 16 x 16 and 8 x 8.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of classes.
        depth: Layers with weights, the paper's L: 3n + 4 with n layers a block, 6n + 4 with bottlenecks.
        growth_rate: See `densenet.densenet`.
        bottleneck: See `densenet.densenet`.
        compression: See `densenet.densenet`.
        pooling: See `densenet.densenet`.
        layer_dropout: See `densenet.densenet`.
        dropout: See `densenet.densenet`.
        activation: See `layers.Style`.
        normalization: See `layers.Style`.
        bn_momentum: See `layers.Style`.
        initializer: See `layers.Style`.
        name: Name of the model.

    Returns:
        A model from `image`, float32 (batch, height, width, channels), -1..1, to logits.

    Raises:
        ValueError: If a switch is out of range.
    """
    step = 6 if bottleneck else 3
    if depth < step + 4 or (depth - 4) % step:
        raise ValueError(f"depth must be {step}n + 4 with bottleneck={bottleneck}, not {depth}.")
    style = layers.Style(
        normalization=normalization,
        activation=activation,
        bn_momentum=bn_momentum,
        epsilon=densenet.EPSILON,
        initializer=initializer,
    )
    image = keras.Input(input_shape, name="image")
    first = 2 * growth_rate if bottleneck and compression < 1 else 16
    x = style.conv(image, first, 3, name="conv1_conv")
    x = densenet.dense_blocks(
        x,
        ((depth - 4) // step,) * 3,
        growth_rate,
        bottleneck,
        compression,
        pooling,
        layer_dropout,
        style=style,
    )
    head = layers.head_initializer(initializer)
    x = layers.classifier(x, num_classes, dropout=dropout, initializer=head)
    return keras.Model(image, x, name=name)


def _published(errors, **point):
    """Return the points of table 2 with standard augmentation, from the errors on CIFAR-10 and -100."""
    source = "github.com/liuzhuang13/DenseNet"
    c10, c100 = (round(100 - error, 2) for error in errors)
    return (
        Published(top1=c10, dataset="CIFAR-10", source=source, **point),
        Published(top1=c100, dataset="CIFAR-100", source=source, **point),
    )


_BC = {"bottleneck": True, "compression": 0.5}

for _name, _knobs, _params, _macs, _points in (
    (
        "densenet40_k12",
        {"depth": 40, "growth_rate": 12},
        1_019_722,
        264_812_928,
        (
            *_published((5.24, 24.42)),
            *_published((4.10, 20.20), knobs={"depth": 100}, params=6_979_642, macs=1_769_516_448),
            *_published(
                (3.74, 19.25),
                knobs={"depth": 100, "growth_rate": 24},
                params=27_249_082,
                macs=6_889_347_744,
            ),
        ),
    ),
    (
        "densenet100_bc_k12",
        {"depth": 100, "growth_rate": 12, **_BC},
        769_162,
        287_929_692,
        (
            *_published((4.51, 22.27)),
            *_published(
                (3.62, 17.60),
                knobs={"depth": 250, "growth_rate": 24},
                params=15_324_406,
                macs=5_418_785_724,
            ),
        ),
    ),
    (
        "densenet190_bc_k40",
        {"depth": 190, "growth_rate": 40, **_BC},
        25_624_430,
        9_301_945_740,
        _published((3.46, 17.18)),
    ),
):
    register(
        Variant(
            name=_name,
            family="densenet_cifar",
            builder=densenet_cifar,
            knobs=_knobs,
            paper="Huang et al., 2016, arXiv:1608.06993",
            year=2016,
            url="https://arxiv.org/abs/1608.06993",
            input_size=32,
            min_size=4,
            num_classes=10,
            preprocessing="tf",
            params=_params,
            macs=_macs,
            published=_points,
        )
    )
