"""The classic convolutional networks for Keras 3, each from its paper's table.

    >>> import cnn_keras
    >>> cnn_keras.names()
    >>> model = cnn_keras.build("mobilenet_v2", (96, 96, 3), num_classes=5, alpha=0.35)

Importing this package loads neither Keras nor TensorFlow: the catalogue is plain data.
"""

from cnn_keras import (
    alexnet,
    densenet,
    densenet_cifar,
    googlenet,
    inception_v2,
    inception_v3,
    inception_v4,
    lenet,
    mobilenet_v1,
    mobilenet_v2,
    perceptron,
    recurrent,
    resnet,
    resnet_cifar,
    resnet_v2,
    sequence,
    vgg,
)
from cnn_keras.inception import without_auxiliary
from cnn_keras.registry import Published, Variant, build, get, names, register
from cnn_keras.weights import copy_by_name, load_weights

__all__ = [
    "Published",
    "Variant",
    "build",
    "copy_by_name",
    "get",
    "load_weights",
    "names",
    "register",
    "without_auxiliary",
]
