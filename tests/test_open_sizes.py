"""Networks without a fixed size, other channels than the reference's, and ResNet v2's feature maps."""

import keras
import numpy as np
import pytest

import cnn_keras


def slow(*row):
    return pytest.param(*row, marks=pytest.mark.slow)


QUICK = [  # as small as the switches allow
    ("resnet18", 32, {"depths": (1, 1, 1, 1)}),
    ("resnet50_v2", 32, {"depths": (1, 1, 1, 1)}),
    ("resnet20", 32, {"depth": 8}),
    ("densenet121", 32, {"depths": (1, 1, 1, 1)}),
    ("densenet100_bc_k12", 8, {"depth": 10}),
    ("mobilenet_v1", 32, {"alpha": 0.25, "shallow": True}),
    ("mobilenet_v2", 32, {"alpha": 0.35}),
]
DEEP = [
    slow("googlenet", 32, {"normalization": "batch"}),
    slow("inception_v2", 32, {}),
    slow("inception_v3", 75, {}),
    slow("inception_v4", 75, {}),
]
WHOLE = [
    slow("googlenet", 32, {}),
    slow("resnet50", 32, {}),
    slow("resnet50_v2", 32, {}),
    slow("densenet121", 32, {}),
    slow("mobilenet_v1", 32, {}),
    slow("mobilenet_v2", 32, {}),
]
FIXED = [  # with fully connected layers on the feature map, or on the steps of a sequence
    ("linear", 16, {}),
    ("mlp", 16, {}),
    ("lenet5", 32, {}),
    ("lenet", 32, {}),
    ("tdnn", 16, {}),
    ("ar", 16, {}),
    ("narx", 16, {}),
    ("gru", 16, {}),
    ("vgg11", 32, {"hidden": (8,)}),
    slow("alexnet", 67, {}),
    slow("alexnet_owt", 63, {}),
]


@pytest.mark.parametrize(("name", "least", "knobs"), QUICK + DEEP + WHOLE)
def test_any_size(name, least, knobs, randomise, relative_difference):
    """An open network gives what the one of that size gives: smallest, odd and oblong pictures."""
    dense = cnn_keras.build(name, (None, None, 3), 5, **knobs)
    assert dense.input_shape == (None, None, None, 3)
    randomise(dense)
    rng = np.random.default_rng(0)
    for height, width in ((least, least), (least + 1, least + 14)):
        images = rng.normal(size=(2, height, width, 3)).astype("float32")
        fixed = cnn_keras.build(name, (height, width, 3), 5, initializer="zeros", **knobs)
        fixed.set_weights(dense.get_weights())
        expected = np.asarray(fixed(images))
        assert expected.shape == (2, 5)
        assert np.abs(expected[0] - expected[1]).max() > 1e-3, "the comparison would be vacuous"
        assert relative_difference(dense(images), expected) < 1e-5


def test_every_family_is_there():
    names = [getattr(row, "values", row)[0] for row in QUICK + DEEP + FIXED]
    families = {cnn_keras.get(name).family for name in names}
    assert families == {cnn_keras.get(name).family for name in cnn_keras.names()}


@pytest.mark.parametrize("channels", [slow(1), slow(3), 4])
@pytest.mark.parametrize(("name", "size", "knobs"), QUICK + DEEP + FIXED)
def test_every_channel_is_seen(name, size, knobs, channels, randomise):
    """Forward: a change of any one channel changes the logits."""
    model = cnn_keras.build(name, (size, size, channels), 5, initializer="zeros", **knobs)
    randomise(model)
    images = np.random.default_rng(0).normal(size=(1 + channels, size, size, channels))
    images[1:] = images[0]
    for i in range(channels):
        images[1 + i, ..., i] += np.random.default_rng(1).normal(size=(size, size))
    logits = np.asarray(model(images.astype("float32")))
    assert logits.shape == (1 + channels, 5)
    assert np.isfinite(logits).all()
    for i in range(channels):
        assert np.abs(logits[1 + i] - logits[0]).max() > 1e-4, f"channel {i} is not seen"


@pytest.mark.parametrize(
    ("name", "depths"),
    [
        ("resnet50_v2", (3, 4, 6, 3)),
        slow("resnet101_v2", (3, 4, 23, 3)),
        slow("resnet152_v2", (3, 8, 36, 3)),
    ],
)
def test_feature_maps_of_resnet_v2(name, depths):
    """He et al. 2015, table 1, of which v2 keeps the sizes: 56, 28, 14, 7 with 256 to 2048 channels.

    As keras.applications numbers and strides them: the last block of a stage halves its map, so that
    the stage's other blocks have the size of the table's.
    """
    model = cnn_keras.build(name, initializer="zeros")
    stride_last = [56, 28, 14, 7]
    for stage, (blocks, side) in enumerate(zip(depths, stride_last, strict=True)):
        prefix, channels = f"conv{stage + 2}_block", 256 * 2**stage
        assert f"{prefix}{blocks + 1}_out" not in {layer.name for layer in model.layers}
        for block in range(1, blocks + 1):
            end = side // 2 if block == blocks and stage < 3 else side
            shape = model.get_layer(f"{prefix}{block}_out").output.shape[1:]
            assert shape == (end, end, channels), (stage, block)
    assert model.get_layer("conv1_conv").output.shape[1:] == (112, 112, 64)
    assert model.get_layer("pool1_pool").output.shape[1:] == (56, 56, 64)
    assert model.get_layer("post_relu").output.shape[1:] == (7, 7, 2048)


@pytest.mark.slow
@pytest.mark.parametrize("name", cnn_keras.names("resnet*_v2"))
def test_feature_maps_are_those_of_the_reference(name):
    model = cnn_keras.build(name, initializer="zeros")
    theirs = cnn_keras.get(name).reference.rsplit(".", 1)[1]
    theirs = getattr(keras.applications, theirs)(weights=None)
    maps = [
        {layer.name: layer.output.shape for layer in m.layers if len(layer.output.shape) == 4}
        for m in (model, theirs)
    ]
    both = maps[0].keys() & maps[1].keys()
    rest = {n for n in maps[1].keys() - both if not n.startswith("input_layer")}
    # ours pad with "same" where they do not stride; theirs number the poolings of their shortcuts
    assert {n for n in rest if not n.endswith("_2_pad") and not n.startswith("max_pooling2d")} == set()
    assert {n: maps[0][n] for n in both} == {n: maps[1][n] for n in both}
