"""All numbers of a network, BatchNormalization's statistics included: what keras.io prints.

Trainable and total are tied by a second way: a total has two moving statistics more for each channel
that is normalised.
"""

import math

import keras
import pytest

import cnn_keras


def slow(*row):
    return pytest.param(*row, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("name", "knobs", "size", "trainable", "total"),
    [
        slow("vgg11_bn", {}, 224, 132_868_840, 132_874_344),
        slow("vgg13_bn", {}, 224, 133_053_736, 133_059_624),
        slow("vgg16_bn", {}, 224, 138_365_992, 138_374_440),
        slow("vgg19_bn", {}, 224, 143_678_248, 143_689_256),
        ("mobilenet_v2", {"alpha": 1.4}, 224, 6_108_776, 6_156_712),
        ("mobilenet_v2", {"alpha": 1.3}, 224, 5_386_792, 5_431_048),
        ("mobilenet_v2", {}, 224, 3_504_872, 3_538_984),
        ("mobilenet_v2", {"alpha": 0.75}, 224, 2_636_424, 2_663_064),
        ("mobilenet_v2", {"alpha": 0.5}, 224, 1_968_680, 1_987_224),
        ("mobilenet_v2", {"alpha": 0.35}, 224, 1_677_128, 1_691_208),
        slow("mobilenet_v2", {}, 192, 3_504_872, 3_538_984),
        slow("mobilenet_v2", {}, 160, 3_504_872, 3_538_984),
        slow("mobilenet_v2", {}, 128, 3_504_872, 3_538_984),
        slow("mobilenet_v2", {}, 96, 3_504_872, 3_538_984),
        slow("inception_v3", {}, 299, 23_817_352, 23_851_784),
    ],
)
def test_totals(name, knobs, size, trainable, total):
    model = cnn_keras.build(name, (size, size, 3), initializer="zeros", **knobs)
    assert sum(math.prod(w.shape) for w in model.trainable_weights) == trainable
    assert model.count_params() == total
    normalised = sum(
        layer.output.shape[-1]
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    )
    assert total == trainable + 2 * normalised
