"""The Inception networks against their papers' tables: counts and feature maps."""

import re

import cnn_keras
from cnn_keras import analysis


def maps(name, suffix=None):
    """Feature maps behind each pooling and module of the reference network."""
    return {layer.name: layer.output.shape[1:] for layer in cnn_keras.build(name).layers}


# --- counts -------------------------------------------------------------------------------------


def test_auxiliary_classifiers_of_googlenet_hold_6379728_parameters():
    """Section 5: 1x1 to 128 on 4 x 4, dense 1024 and 1000; on the 512 channels of 4a and 528 of 4d."""
    model = cnn_keras.build("googlenet", aux=True)
    heads = sum(c * 128 + 128 + 16 * 128 * 1024 + 1024 + 1024 * 1000 + 1000 for c in (512, 528))
    assert heads == 6_379_728
    assert analysis.count_params(model) == 13_378_280 == 6_998_552 + heads
    assert round(analysis.count_macs(model) / 1e6, 2) == 1591.04


def test_counts_of_torchvision():
    """With auxiliary classifiers; its Inception v3 has gammas, its GoogLeNet 3x3 for 5x5."""
    model = cnn_keras.build("inception_v3", aux=True, bn_scale=True)
    assert analysis.count_params(model) == 27_161_264
    knobs = cnn_keras.get("googlenet").published[-1].knobs
    assert analysis.count_params(cnn_keras.build("googlenet", aux=True, **knobs)) == 13_004_888


# Figure 5 of Ioffe and Szegedy as printed: side of the input map, #1x1, #3x3 reduce, #3x3,
# double #3x3 reduce, double #3x3, projection; 0 and 0 in 3c and 4e, which halve the map.
FIGURE_5 = {
    "3a": (28, 64, 64, 64, 64, 96, 32),
    "3b": (28, 64, 64, 96, 64, 96, 64),
    "3c": (28, 0, 128, 160, 64, 96, 0),
    "4a": (14, 224, 64, 96, 96, 128, 128),
    "4b": (14, 192, 96, 128, 96, 128, 128),
    "4c": (14, 160, 128, 160, 128, 160, 128),
    "4d": (14, 96, 128, 192, 160, 192, 128),
    "4e": (14, 0, 128, 192, 192, 256, 0),
    "5a": (7, 352, 192, 320, 160, 224, 128),
    "5b": (7, 352, 192, 320, 192, 224, 128),
}


def bn_inception(figure, separable=True, bias=False):
    """Add up figure 5: trainable parameters, multiply-adds and normalised channels, layer by layer."""
    # (kernel weights, output channels, output positions)
    first = [(49 * 3 * 8 + 24 * 64 if separable else 49 * 3 * 64, 64, 112**2)]
    convolutions = [*first, (64 * 64, 64, 56**2), (9 * 64 * 192, 192, 56**2)]
    channels = 192
    for side, ones, reduce, threes, double_reduce, double, projection in figure.values():
        inner, outer = side**2, (side if projection else side // 2) ** 2
        convolutions += [
            (channels * reduce, reduce, inner),
            (9 * reduce * threes, threes, outer),
            (channels * double_reduce, double_reduce, inner),
            (9 * double_reduce * double, double, inner),
            (9 * double * double, double, outer),
            (channels * ones, ones, inner),
            (channels * projection, projection, inner),
        ]
        channels = ones + threes + double + (projection or channels)
    assert channels == 1024
    kernels = sum(kernel for kernel, _, _ in convolutions)
    normalised = sum(c for _, c, _ in convolutions)
    params = (
        kernels + (3 if bias else 2) * normalised + 1024 * 1000 + 1000
    )  # gamma, beta; the classifier
    macs = sum(kernel * positions for kernel, _, positions in convolutions) + 1024 * 1000
    return params, macs, normalised


def test_counts_of_inception_v2_are_those_of_figure_5():
    """The derivation, checked on two other readings of the figure whose counts are published."""
    printed = FIGURE_5
    consistent = {**printed, "4c": (*printed["4c"][:-1], 96), "4d": (*printed["4d"][:-1], 96)}
    # The Caffe network takes the columns of 4c and 4d as printed, an ordinary stem, and biases.
    params, _, _ = bn_inception(printed, separable=False, bias=True)
    assert params == 11_295_240
    # This network.
    params, macs, normalised = bn_inception(consistent)
    assert (params, macs) == (11_188_288, 1_934_857_216)
    # The authors' code counts 10,173,112 without classifier and gammas, but with moving statistics; its
    # first convolution has a bias instead of these.
    assert params - 1_025_000 + normalised - 2 * 64 == 10_173_112
    variant = cnn_keras.get("inception_v2")
    assert (variant.params, variant.macs) == (params, macs)
    params, macs, _ = bn_inception(consistent, separable=False)
    model = cnn_keras.build("inception_v2", separable_stem=False)
    assert (analysis.count_params(model), analysis.count_macs(model)) == (params, macs)


def test_counts_of_inception_v4_are_those_of_the_figures():
    """Figures 3 to 9 of Szegedy et al. 2016: (kernel area, channels in, channels out, output's side)."""
    stem = [
        (9, 3, 32, 149),
        (9, 32, 32, 147),
        (9, 32, 64, 147),
        (9, 64, 96, 73),  # beside the pooled 64: 160
        *((1, 160, 64, 73), (9, 64, 96, 71)),
        *((1, 160, 64, 73), (7, 64, 64, 73), (7, 64, 64, 73), (9, 64, 96, 71)),  # 192
        (9, 192, 192, 35),  # beside the pooled 192: 384
    ]
    a = [
        *((1, 384, 96, 35), (1, 384, 96, 35)),
        *((1, 384, 64, 35), (9, 64, 96, 35)),
        *((1, 384, 64, 35), (9, 64, 96, 35), (9, 96, 96, 35)),
    ]
    k, l, m, n = 192, 224, 256, 384  # table 1  # noqa: E741
    reduction_a = [(9, 384, n, 17), (1, 384, k, 35), (9, k, l, 35), (9, l, m, 17)]  # + 384: 1024
    b = [
        *((1, 1024, 128, 17), (1, 1024, 384, 17)),
        *((1, 1024, 192, 17), (7, 192, 224, 17), (7, 224, 256, 17)),
        (1, 1024, 192, 17),
        *((7, 192, 192, 17), (7, 192, 224, 17), (7, 224, 224, 17), (7, 224, 256, 17)),
    ]
    reduction_b = [  # + 1024: 1536
        *((1, 1024, 192, 17), (9, 192, 192, 8)),
        *((1, 1024, 256, 17), (7, 256, 256, 17), (7, 256, 320, 17), (9, 320, 320, 8)),
    ]
    c = [
        *((1, 1536, 256, 8), (1, 1536, 256, 8)),
        *((1, 1536, 384, 8), (3, 384, 256, 8), (3, 384, 256, 8)),
        *((1, 1536, 384, 8), (3, 384, 448, 8), (3, 448, 512, 8), (3, 512, 256, 8), (3, 512, 256, 8)),
    ]
    network = stem + 4 * a + reduction_a + 7 * b + reduction_b + 3 * c
    params = sum(area * i * o + 2 * o for area, i, o, _ in network) + 1536 * 1000 + 1000
    macs = sum(area * i * o * side**2 for area, i, o, side in network) + 1536 * 1000
    assert params == 42_679_816  # as published for its PyTorch port
    variant = cnn_keras.get("inception_v4")
    assert (variant.params, variant.macs) == (params, macs)


# --- feature maps -------------------------------------------------------------------------------


def test_feature_maps_of_googlenet():
    """Table 1 of Szegedy et al. 2014."""
    shapes = maps("googlenet")
    assert shapes["conv1_conv"] == (112, 112, 64)
    assert shapes["pool1"] == (56, 56, 64)
    assert shapes["conv2_conv"] == (56, 56, 192)
    assert shapes["pool2"] == (28, 28, 192)
    modules = [shape for name, shape in shapes.items() if re.fullmatch(r"inception_..", name)]
    assert modules == [
        *((28, 28, 256), (28, 28, 480)),
        *((14, 14, 512), (14, 14, 512), (14, 14, 512), (14, 14, 528), (14, 14, 832)),
        *((7, 7, 832), (7, 7, 1024)),
    ]


def test_feature_maps_of_inception_v2():
    """Figure 5 of Ioffe and Szegedy; where it halves the map, it gives the side before."""
    shapes = maps("inception_v2")
    assert shapes["conv1_conv"] == (112, 112, 64)
    assert shapes["pool1"] == (56, 56, 64)
    assert shapes["pool2"] == (28, 28, 192)
    modules = [shape for name, shape in shapes.items() if re.fullmatch(r"inception_..", name)]
    assert modules == [
        *((28, 28, 256), (28, 28, 320), (14, 14, 576)),
        *((14, 14, 576), (14, 14, 576), (14, 14, 576), (14, 14, 576), (7, 7, 1024)),
        *((7, 7, 1024), (7, 7, 1024)),
    ]


def test_feature_maps_of_inception_v3():
    """Table 1 of Szegedy et al. 2015: 149, 147, 147, 73, 71, 35, 17, 8."""
    shapes = maps("inception_v3")
    stem = ["stem_1_1_conv", "stem_1_2_conv", "stem_1_3_conv", "stem_1_4_pool", "stem_1_6_conv"]
    assert [shapes[name] for name in stem] == [
        *((149, 149, 32), (147, 147, 32), (147, 147, 64)),
        *((73, 73, 64), (71, 71, 192)),
    ]
    assert shapes["mixed2"] == (35, 35, 288)
    assert shapes["mixed7"] == (17, 17, 768)
    assert shapes["mixed8"] == (8, 8, 1280)
    assert shapes["mixed10"] == (8, 8, 2048)


def test_feature_maps_of_inception_v4():
    """Figures 3 and 9 of Szegedy et al. 2016."""
    shapes = maps("inception_v4")
    assert [shapes[f"stem_1_{i}"] for i in (4, 5, 6)] == [(73, 73, 160), (71, 71, 192), (35, 35, 384)]
    assert shapes["inception_a4"] == (35, 35, 384)
    assert shapes["reduction_a"] == shapes["inception_b7"] == (17, 17, 1024)
    assert shapes["reduction_b"] == shapes["inception_c3"] == (8, 8, 1536)
    assert shapes["avg_pool"] == (1536,)
