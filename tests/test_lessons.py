"""What the courses teach: the numbers against arithmetic by hand."""

import keras
import pytest

import cnn_keras
from cnn_keras import lessons
from cnn_keras.__main__ import main


def test_three_stacked_3x3_of_vgg():
    """VGG, section 2.3: 3 * 9 C^2 weights against 49 C^2, at 14 x 14 with 512 channels."""
    found = lessons.stacks(cnn_keras.build("vgg16"))
    assert [len(stack.layers) for stack in found] == [2, 2, 3, 3, 3]
    last = found[-1]
    assert last.layers == ("block5_conv1", "block5_conv2", "block5_conv3")
    assert "7x7" in last.instead
    assert last.cost == lessons.Cost(27 * 512 * 512, 27 * 512 * 512 * 14 * 14)
    assert last.other == lessons.Cost(49 * 512 * 512, 49 * 512 * 512 * 14 * 14)


def test_a_stack_with_different_channels():
    """16 -> 24 -> 8: 9 * (16 * 24 + 24 * 8) = 5,184 weights against 25 * 16 * 8 = 3,200, on 10 x 10."""
    image = keras.Input((10, 10, 16))
    x = keras.layers.Conv2D(24, 3, padding="same", use_bias=False)(image)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Conv2D(8, 3, padding="same")(x)
    x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Conv2D(8, 3, padding="same")(x)  # behind a pooling: in no stack
    (stack,) = lessons.stacks(keras.Model(image, x))
    assert stack.cost == lessons.Cost(5_184, 518_400)
    assert stack.other == lessons.Cost(3_200, 320_000)


def test_a_stack_ends_where_a_shortcut_leaves():
    """ResNet-20: the stem's output also goes past the first block; nine blocks of two convolutions."""
    found = lessons.stacks(cnn_keras.build("resnet20", (32, 32, 3), 10))
    assert {len(stack.layers) for stack in found} == {2}
    assert found[0].layers == ("conv2_block1_1_conv", "conv2_block1_2_conv")
    (text,) = lessons.of(cnn_keras.build("resnet20", (32, 32, 3), 10))
    assert f"{18 * 64 * 64:,} weights against {25 * 64 * 64:,}: 1.39 times" in text


def test_separable_convolutions_of_mobilenet_v1():
    """Table 4 of the paper: 4866 million MACs with standard convolutions, 569 with separable ones."""
    found = lessons.separable(cnn_keras.build("mobilenet_v1"))
    assert len(found) == 13
    first = found[0]
    assert first.layers == ("conv_dw_1", "conv_pw_1")
    assert first.cost.weights == 9 * 32 + 32 * 64
    assert first.other.weights == 9 * 32 * 64
    variant = cnn_keras.get("mobilenet_v1")
    saved = sum(pair.other.macs - pair.cost.macs for pair in found)
    assert (variant.macs + saved) / 1e6 == pytest.approx(4866, abs=2)
    more = sum(pair.other.weights - pair.cost.weights for pair in found)
    assert round((variant.params + more) / 1e6, 1) == 29.3  # the same table


def test_separable_convolutions_of_mobilenet_v2_follow_a_stride():
    """block_1: 3x3 depthwise on 96 channels to 56 x 56, then 96 to 24."""
    pairs = {pair.layers: pair for pair in lessons.separable(cnn_keras.build("mobilenet_v2"))}
    pair = pairs["block_1_depthwise", "block_1_project"]
    assert pair.cost == lessons.Cost(9 * 96 + 96 * 24, (9 * 96 + 96 * 24) * 56 * 56)
    assert pair.other == lessons.Cost(9 * 96 * 24, 9 * 96 * 24 * 56 * 56)


def test_reductions_of_googlenet():
    """GoogLeNet, table 1, row 3a: 192 to 16 to 32 by 5x5 at 28 x 28."""
    found = {pair.layers: pair for pair in lessons.reductions(cnn_keras.build("googlenet"))}
    assert len(found) == 18  # two in each of nine modules
    pair = found["inception_3a_3_1_conv", "inception_3a_3_2_conv"]
    assert pair.cost == lessons.Cost(192 * 16 + 25 * 16 * 32, (192 * 16 + 25 * 16 * 32) * 28 * 28)
    assert pair.other == lessons.Cost(25 * 192 * 32, 25 * 192 * 32 * 28 * 28)


def test_reductions_of_residual_and_dense_blocks():
    found = {pair.layers[1]: pair for pair in lessons.reductions(cnn_keras.build("resnet50"))}
    assert len(found) == 15  # conv2_block1 reads 64 channels and keeps them
    assert found["conv4_block3_2_conv"].cost.weights == 1024 * 256 + 9 * 256 * 256
    assert found["conv4_block3_2_conv"].other.weights == 9 * 1024 * 256
    image = keras.Input((8, 8, 256))
    x = keras.layers.Conv2D(128, 1)(image)
    y = [
        keras.layers.Conv2D(32, (1, 3), padding="same")(x),
        keras.layers.Conv2D(32, 3, padding="same")(x),
    ]
    first, second = lessons.reductions(keras.Model(image, keras.layers.Concatenate()(y)))
    both = 256 * 128 + 3 * 128 * 32 + 9 * 128 * 32  # the reduction is paid for once
    assert first.cost.weights + second.cost.weights == both


def test_networks_without_a_lesson_say_nothing(capsys):
    assert lessons.of(cnn_keras.build("lenet5", (32, 32, 1), 10)) == []
    assert main(["lenet5"]) == 0
    assert "against" not in capsys.readouterr().out


def test_the_lesson_ends_the_layers(capsys):
    assert main(["vgg16"]) == 0
    end = capsys.readouterr().out.split("sum ")[1]
    assert "block5_conv1 to block5_conv3" in end
    assert "7,077,888 weights against 12,845,056: 1.81 times" in end
    assert "1,387,266,048 MACs against 2,517,630,976: 1.81 times" in end
