"""VGG: stacks of 3 x 3 convolutions, 11 to 19 layers deep.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
ICLR 2015, https://arxiv.org/abs/1409.1556.
Layer names are those of keras.applications.VGG16 and VGG19.

Differs from the paper: all kernels are drawn by `initializer` (the paper starts the deep networks from
the trained shallow one, and names Glorot's initialisation as the alternative; from scratch on few
pictures, 16 and 19 layers hardly start with it, but do with initializer="he_normal"). The variants
`_bn` are not in the paper: BatchNormalization behind each convolution, which keeps its bias, as in
torchvision.
An input of another size than 224 x 224 changes the number of inputs of fc1; the paper keeps it, by
cropping in training and by fully_convolutional=True in testing.
"""

import math

from cnn_keras.lazy import keras, layers
from cnn_keras.registry import Published, Variant, register

# Table 1. The side halves behind each stage: 224, 112, 56, 28, 14, then 7 x 7 x 512 to fc1.
CHANNELS = (64, 128, 256, 512, 512)
DEPTHS = {
    "A": (1, 1, 2, 2, 2),  # 11 layers with weights
    "B": (2, 2, 2, 2, 2),  # 13
    "C": (2, 2, 3, 3, 3),  # 16, the third convolution of a stage is 1 x 1
    "D": (2, 2, 3, 3, 3),  # 16
    "E": (2, 2, 4, 4, 4),  # 19
}


def vgg(
    input_shape=(224, 224, 3),
    num_classes=1000,
    *,
    configuration="D",
    lrn=False,
    pooling="max",
    hidden=(4096, 4096),
    fully_convolutional=False,
    window=7,
    dropout=0.5,
    activation="relu",
    normalization="none",
    bn_momentum=0.9,
    initializer="glorot_uniform",
    torchvision=False,
    name="vgg16",
):
    """VGG, the network of nothing but small convolutions.

    Args:
        input_shape: (height, width, channels); height and width may be None if fully convolutional.
        num_classes: Number of classes.
        configuration: Column of table 1, "A" to "E".
        lrn: Whether the first convolution is followed by local response normalisation (A-LRN).
        pooling: "max" or "average".
        hidden: Units of fc1, fc2, ...; (512, 512) and () are usual for pictures of 32 x 32.
        fully_convolutional: True makes the fully connected layers convolutions (section 3.2): the layer
            `predictions` is a map of classes then, and the logits, of the last layer
            `predictions_average`, are its mean. `convolutionalize` brings the weights of a trained
            network.
        window: Side of the feature map that the trained network has seen: the side of the kernel of
            fc1 if fully convolutional. 7 is that of 224 x 224 pixels.
        dropout: Share of the last feature map's values, or of each hidden layer, dropped in training.
        activation: See `layers.Style`.
        normalization: See `layers.Style`.
        bn_momentum: See `layers.Style`.
        initializer: See `layers.Style`.
        torchvision: Be the network of torchvision, for its weights: BatchNormalization adds 1e-5.
        name: Name of the model.

    Returns:
        A model from `image`, float32 (batch, height, width, channels), to logits.

    Raises:
        ValueError: If `configuration` or `hidden` is out of range, or the input does not fit.
    """
    if configuration not in DEPTHS:
        raise ValueError(f"configuration must be one of {', '.join(DEPTHS)}, not {configuration!r}.")
    style = layers.Style(
        activation=activation,
        normalization=normalization,
        bn_momentum=bn_momentum,
        epsilon=1e-5 if torchvision else 1.001e-5,  # older releases of cuDNN take no less
        initializer=initializer,
        use_bias=True,
    )
    image = keras.Input(input_shape, name="image")
    x = image
    for stage, (channels, depth) in enumerate(
        zip(CHANNELS, DEPTHS[configuration], strict=True), start=1
    ):
        for i in range(1, depth + 1):
            kernel = 1 if configuration == "C" and i == 3 else 3
            x = unit(x, channels, kernel, style=style, name=f"block{stage}_conv{i}")
            if lrn and stage == i == 1:
                x = layers.LocalResponseNormalization(name="block1_norm1")(x)
        x = layers.pool(x, pooling, 2, name=f"block{stage}_pool")
    head = {"hidden": hidden, "dropout": dropout, "style": style}
    if fully_convolutional:
        x = convolutional_head(x, num_classes, window=window, **head)
    else:
        x = dense_head(x, num_classes, **head)
    return keras.Model(image, x, name=name)


def unit(x, channels, kernel, *, style, name):
    """Convolve, normalise, activate."""
    x = style.conv(x, channels, kernel, name=name)
    x = style.norm(x, f"{name}_bn")
    return style.act(x, f"{name}_act")


def dense_head(x, num_classes, *, hidden, dropout, style):
    """Classify the feature map `x` by fully connected layers."""
    x = layers.flatten(x)
    x = layers.hidden_layers(x, hidden, prefix="fc", style=style, dropout_rate=dropout)
    return layers.classifier(x, num_classes, dropout=dropout, initializer=style.initializer)


def convolutional_head(x, num_classes, *, window, hidden, dropout, style):
    """Classify each window of the feature map `x` and average: the same layers, as convolutions."""
    if any(side is not None and side < window for side in x.shape[1:3]):
        raise ValueError(
            f"fully_convolutional=True with window={window} needs an input of at least {32 * window} x "
            f"{32 * window} pixels. Give window the side of the trained network's last feature map."
        )
    layers.check_hidden(hidden)
    for i, units in enumerate(hidden, start=1):
        if i > 1:
            x = layers.dropout(x, dropout, name=f"fc{i - 1}_dropout")
        x = style.conv(x, units, window, padding="valid", name=f"fc{i}")
        x = style.act(x, f"fc{i}_act")
        window = 1
    x = layers.dropout(x, dropout, name="dropout")
    x = style.conv(x, num_classes, window, padding="valid", dtype="float32", name="predictions")
    return keras.layers.GlobalAveragePooling2D(dtype="float32", name="predictions_average")(x)


def convolutionalize(source, target):
    """Copy the weights of a trained network to its fully convolutional counterpart, exactly.

    >>> trained = cnn_keras.build("vgg16", (224, 224, 3), 5)
    >>> dense = cnn_keras.build("vgg16", (None, None, 3), 5, fully_convolutional=True)
    >>> vgg.convolutionalize(trained, dense)

    Args:
        source: A network of `vgg`.
        target: The same network built with fully_convolutional=True, and `window` the side of the last
            feature map of `source`.

    Raises:
        ValueError: If the two are not the same network.
    """
    ours = {layer.name: layer for layer in target.layers if layer.weights}
    theirs = {layer.name: layer for layer in source.layers if layer.weights}
    sizes = [
        {(name, i, math.prod(w.shape)) for name in side for i, w in enumerate(side[name].weights)}
        for side in (theirs, ours)
    ]
    differences = sorted({name for name, _, _ in sizes[0] ^ sizes[1]})
    if differences:
        raise ValueError(
            f"The networks differ in {', '.join(differences)}: build the target with the same switches "
            "and fully_convolutional=True, and with window the side of the source's last feature map."
        )
    for name, layer in ours.items():
        weights = zip(layer.weights, theirs[name].get_weights(), strict=True)
        # a dense kernel is (height * width * channels, units): a convolution's, laid out flat
        layer.set_weights([array.reshape(weight.shape) for weight, array in weights])


_KERAS, _TORCHVISION, _PAPER = "keras.io/api/applications", "torchvision", "the paper, table 3"
_PUBLISHED = {
    # top-1, top-5, source
    "vgg11": ((69.05, 88.63, _TORCHVISION), (70.4, 89.6, _PAPER)),
    "vgg11_bn": ((70.37, 89.80, _TORCHVISION),),
    "vgg11_lrn": ((70.3, 89.5, _PAPER),),
    "vgg13": ((69.95, 89.26, _TORCHVISION), (71.3, 90.1, _PAPER)),
    "vgg13_bn": ((71.56, 90.37, _TORCHVISION),),
    "vgg16_c": ((72.7, 91.2, _PAPER),),
    "vgg16": ((71.3, 90.1, _KERAS), (71.59, 90.40, _TORCHVISION), (74.4, 91.9, _PAPER)),
    "vgg16_bn": ((73.35, 91.49, _TORCHVISION),),
    "vgg19": ((71.3, 90.0, _KERAS), (72.40, 90.88, _TORCHVISION), (74.5, 92.0, _PAPER)),
    "vgg19_bn": ((74.23, 91.85, _TORCHVISION),),
}
_CIFAR = Published(
    knobs={"hidden": ()},
    image_size=32,
    num_classes=10,
    params=14_728_266,
    macs=313_201_664,
    top1=92.64,
    dataset="CIFAR-10",
    source="github.com/kuangliu/pytorch-cifar",
)
_REFERENCES = {
    "vgg16": "keras.applications.VGG16",
    "vgg19": "keras.applications.VGG19",
    "vgg16_c": None,
    "vgg16_c_bn": None,
    "vgg11_lrn": None,
}


def _register(name, params, macs, preprocessing="caffe", **knobs):
    published = tuple(
        Published(top1=top1, top5=top5, source=source) for top1, top5, source in _PUBLISHED.get(name, ())
    )
    register(
        Variant(
            name=name,
            family="vgg",
            builder=vgg,
            knobs=knobs,
            paper="Simonyan and Zisserman, 2014, arXiv:1409.1556",
            year=2014,
            url="https://arxiv.org/abs/1409.1556",
            input_size=224,
            min_size=32,
            preprocessing=preprocessing,
            params=params,
            macs=macs,
            published=(*published, _CIFAR) if name == "vgg16_bn" else published,
            reference=_REFERENCES.get(name, f"torchvision.models.{name}"),
        )
    )


for _name, _configuration, _params, _batchnorm, _macs in (
    # of table 1, parameters, those of BatchNormalization, MACs
    ("vgg11", "A", 132_863_336, 5_504, 7_609_090_048),
    ("vgg13", "B", 133_047_848, 5_888, 11_308_466_176),
    ("vgg16_c", "C", 133_638_952, 8_448, 11_770_888_192),
    ("vgg16", "D", 138_357_544, 8_448, 15_470_264_320),
    ("vgg19", "E", 143_667_240, 11_008, 19_632_062_464),
):
    _register(_name, _params, _macs, configuration=_configuration)
    _register(
        f"{_name}_bn",
        _params + _batchnorm,
        _macs,
        preprocessing="torch",
        configuration=_configuration,
        normalization="batch",
    )
    if _configuration == "A":
        _register("vgg11_lrn", _params, _macs, configuration="A", lrn=True)
