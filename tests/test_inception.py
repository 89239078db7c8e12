"""The Inception networks: counts derived from the papers, auxiliary classifiers, Keras's weights."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnn_keras
from cnn_keras import analysis, layers, weights
from cnn_keras.preprocessing import assemble

V2 = pytest.param("inception_v2", marks=pytest.mark.slow)
V3 = pytest.param("inception_v3", marks=pytest.mark.slow)
V4 = pytest.param("inception_v4", marks=pytest.mark.slow)
AUX = [
    ("googlenet", 32, ("aux1", "aux2")),
    ("inception_v3", 75, ("aux1",)),
    pytest.param("inception_v4", 75, ("aux1",), marks=pytest.mark.slow),
]


def pictures(model, count=2, seed=1):
    shape = (count, *model.input_shape[1:])
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype("float32")


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


# --- Inception v3 and keras.applications ----------------------------------------------------------


def keras_inception_v3(size, classes=1000):
    return keras.applications.InceptionV3(
        input_shape=(size, size, 3), weights=None, classes=classes, classifier_activation=None
    )


@pytest.mark.parametrize("size", [75, 150])
def test_inception_v3_equals_keras_applications(size, randomise, relative_difference):
    """Weights by position: the layers are in the same order."""
    theirs = keras_inception_v3(size)
    randomise(theirs)
    ours = cnn_keras.build("inception_v3", (size, size, 3))
    ours.set_weights(theirs.get_weights())
    expected = theirs(pictures(theirs))
    assert np.abs(expected).max() > 0.1, "the comparison would be vacuous"
    assert relative_difference(ours(pictures(theirs)), expected) < 1e-5


@pytest.mark.parametrize(
    ("suffix", "aux"),
    [
        (".weights.h5", False),
        pytest.param(".weights.h5", True, marks=pytest.mark.slow),
        pytest.param(".h5", False, marks=pytest.mark.slow),
        pytest.param(".keras", False, marks=pytest.mark.slow),
    ],
)
def test_weights_of_keras_applications(tmp_path, suffix, aux, randomise, relative_difference):
    """Its files name the layers conv2d_94 and batch_normalization_94, counted from anywhere."""
    keras.layers.Conv2D(1, 1)  # takes the name "conv2d"
    theirs = keras_inception_v3(75, classes=3)
    randomise(theirs)
    path = tmp_path / f"theirs{suffix}"
    theirs.save_weights(path) if suffix == ".weights.h5" else theirs.save(path)
    assert "conv2d_94" in weights.read(path)
    assert "conv2d" not in weights.read(path)
    ours = cnn_keras.build("inception_v3", (75, 75, 3), 3, aux=aux)
    heads = [layer.name for layer in ours.layers if layer.name.startswith("aux1") and layer.weights]
    kept = cnn_keras.load_weights(ours, path, replace=heads)
    assert len(kept) == (5 if aux else 0)
    logits = cnn_keras.without_auxiliary(ours)(pictures(ours))
    assert relative_difference(logits, theirs(pictures(ours))) < 1e-5


def test_a_file_without_the_classifier_keeps_a_fresh_one(tmp_path):
    source = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=(75, 75, 3))
    source.save_weights(tmp_path / "notop.weights.h5")
    ours = cnn_keras.build("inception_v3", (75, 75, 3), 3)
    kept = cnn_keras.load_weights(ours, tmp_path / "notop.weights.h5", replace=(weights.HEAD,))
    assert kept == ("predictions",)
    for a, b in zip(source.get_weights(), ours.get_weights(), strict=False):
        np.testing.assert_array_equal(a, b)


def test_numbered_layers_of_another_network_are_a_mismatch(tmp_path):
    path = tmp_path / "other.weights.h5"
    image = keras.Input((75, 75, 3))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 3)(image))
    keras.Model(image, x).save_weights(path)
    with pytest.raises(ValueError, match=r"only in the file: conv2d\n"):
        cnn_keras.load_weights(cnn_keras.build("inception_v3", (75, 75, 3)), path)


def test_our_own_weights_of_inception_v3(tmp_path, randomise):
    source = cnn_keras.build("inception_v3", (75, 75, 3), 3)
    randomise(source)
    source.save_weights(tmp_path / "ours.weights.h5")
    target = cnn_keras.build("inception_v3", (75, 75, 3), 3)
    cnn_keras.load_weights(target, tmp_path / "ours.weights.h5")
    assert all(
        np.array_equal(a, b) for a, b in zip(source.get_weights(), target.get_weights(), strict=True)
    )


# --- auxiliary classifiers ------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "size", "heads"), AUX)
def test_auxiliary_classifiers_come_and_go(name, size, heads, randomise):
    model = cnn_keras.build(name, (size, size, 3), 5, aux=True)
    randomise(model)
    outputs = model(pictures(model))
    assert list(outputs) == ["logits", *heads]
    assert all(logits.shape == (2, 5) and logits.dtype == "float32" for logits in outputs.values())
    main = cnn_keras.without_auxiliary(model)
    plain = cnn_keras.build(name, (size, size, 3), 5)
    assert [layer.name for layer in main.layers] == [layer.name for layer in plain.layers]
    assert analysis.count_params(main) == analysis.count_params(plain) < analysis.count_params(model)
    assert main.name == name
    np.testing.assert_array_equal(main(pictures(model)), outputs["logits"])
    assert cnn_keras.without_auxiliary(plain) is plain


@pytest.mark.parametrize(("name", "size", "heads"), AUX)
def test_auxiliary_losses_reach_their_part_of_the_network_only(name, size, heads):
    """The loss of aux1 alone trains what is below it; together they train everything."""
    model = cnn_keras.build(name, (size, size, 3), 3, aux=True)
    with tf.GradientTape(persistent=True) as tape:
        outputs = model(pictures(model, 4), training=True)
        losses = {
            head: tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits([0, 1, 2, 0], logits))
            for head, logits in outputs.items()
        }
        losses["all"] = sum(losses.values())
    values = [variable.value for variable in model.trainable_variables]
    reached = {
        head: {
            variable.path
            for variable, gradient in zip(
                model.trainable_variables, tape.gradient(loss, values), strict=True
            )
            if gradient is not None and np.abs(gradient).max() > 0
        }
        for head, loss in losses.items()
    }
    assert reached["all"] == {variable.path for variable in model.trainable_variables}
    assert not any(path.startswith("aux") for path in reached["logits"])
    for head in heads:
        own = {path for path in reached["all"] if path.startswith(head)}
        assert own <= reached[head]
        assert "predictions/kernel" not in reached[head]
    if name == "googlenet":
        assert not any("4b" in path for path in reached["aux1"])
        assert any("4b" in path for path in reached["aux2"])
        assert not any("4e" in path for path in reached["aux2"])


def test_scaling_and_stock_layers_keep_the_named_outputs(randomise):
    network = cnn_keras.build("googlenet", (32, 32, 3), 3, aux=True, normalization="batch", lrn=False)
    randomise(network)
    model = layers.to_stock(assemble(network, "tf"))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    expected = network(pixels / 127.5 - 1)
    for head, logits in model(pixels).items():
        np.testing.assert_allclose(logits, expected[head], rtol=1e-4, atol=1e-5)
    main = cnn_keras.without_auxiliary(model)
    np.testing.assert_array_equal(main(pixels), model(pixels)["logits"])


def test_training_weighs_the_named_losses():
    model = cnn_keras.build("googlenet", (32, 32, 3), 3, aux=True, aux_dropout=0.0, dropout=0.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    shares = {"logits": 1.0, "aux1": 0.3, "aux2": 0.3}
    model.compile("sgd", loss=dict.fromkeys(shares, loss), loss_weights=shares)
    images, labels = pictures(model, 4), np.array([0, 1, 2, 0])
    expected = sum(share * loss(labels, model(images)[head]) for head, share in shares.items())
    total = model.evaluate(images, dict.fromkeys(shares, labels), verbose=0, return_dict=True)["loss"]
    assert total == pytest.approx(float(expected), rel=1e-5)


def test_auxiliary_classifiers_and_input_sizes():
    with pytest.raises(ValueError, match="aux=True needs a fixed input size"):
        cnn_keras.build("googlenet", (None, None, 3), aux=True)
    model = cnn_keras.build("inception_v3", (None, None, 3), 3, aux=True)
    assert model(np.zeros((1, 299, 299, 3), "float32"))["aux1"].shape == (1, 3)
    assert analysis.count_params(model) == 27_143_152 - 2 * 997 * 2048 - 2 * 997 + 997 * (2048 - 768)


# --- switches -------------------------------------------------------------------------------------


def kinds(model):
    return {layer.name: type(layer).__name__ for layer in model.layers}


@pytest.mark.parametrize("name", ["googlenet", "inception_v2", "inception_v3", V4])
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_pooling(name, pooling):
    size = cnn_keras.get(name).min_size
    model = cnn_keras.build(name, (size, size, 3), 3, pooling=pooling)
    pools = [layer for layer in model.layers if "Pooling2D" in type(layer).__name__]
    inner = {type(layer).__name__ for layer in pools if getattr(layer, "strides", None) == (1, 1)}
    assert inner == {{"max": "MaxPooling2D", "average": "AveragePooling2D"}[pooling]}
    with pytest.raises(ValueError, match="pooling must be max or average, not 'mean'"):
        cnn_keras.build(name, (size, size, 3), 3, pooling="mean")


def test_pooling_of_figure_5():
    """Averages, but for the last module and the two of stride 2."""
    names = {
        name: kind for name, kind in kinds(cnn_keras.build("inception_v2")).items() if "_pool" in name
    }
    maxima = {name for name, kind in names.items() if kind == "MaxPooling2D"}
    assert maxima == {"inception_3c_3_1_pool", "inception_4e_3_1_pool", "inception_5b_4_1_pool"}
    assert len(names) == 10 + 1  # and avg_pool


def test_local_response_normalization_of_googlenet():
    def count(**knobs):
        model = cnn_keras.build("googlenet", (32, 32, 3), 3, **knobs)
        return list(kinds(model).values()).count("LocalResponseNormalization")

    assert (count(), count(lrn=False)) == (2, 0)


@pytest.mark.parametrize("normalization", ["batch", "layer", "group", "none"])
@pytest.mark.parametrize("name", ["googlenet", "inception_v2"])
def test_a_bias_only_where_nothing_normalises(name, normalization):
    size = cnn_keras.get(name).min_size
    model = cnn_keras.build(name, (size, size, 3), 3, normalization=normalization, activation="prelu")
    convolutions = [layer for layer in model.layers if "Conv2D" in type(layer).__name__]
    assert {layer.use_bias for layer in convolutions} == {normalization == "none"}


def test_prelu_behind_the_dense_layer_of_an_auxiliary_classifier():
    model = cnn_keras.build("googlenet", (32, 32, 3), 3, aux=True, activation="prelu")
    assert model.get_layer("aux1_fc_act").alpha.shape == (1024,)
    assert model.get_layer("conv1_act").alpha.shape == (1, 1, 64)


def test_bn_momentum_and_dropout_reach_the_layers():
    model = cnn_keras.build("inception_v3", (75, 75, 3), 3, bn_momentum=0.7, dropout=0.25)
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    assert len(norms) == 94
    assert {(layer.momentum, layer.epsilon, layer.scale) for layer in norms} == {(0.7, 1e-3, False)}
    assert model.get_layer("dropout").rate == 0.25
    assert cnn_keras.build("googlenet", (32, 32, 3), 3).get_layer("dropout").rate == 0.4
    assert cnn_keras.get("inception_v4").available_knobs["dropout"] == 0.2


def test_wrong_switches_say_what_is_right():
    with pytest.raises(ValueError, match="large_kernel must be 5 or 3, not 7"):
        cnn_keras.build("googlenet", large_kernel=7)


# --- elsewhere ------------------------------------------------------------------------------------


def test_keras_file_round_trip(tmp_path, randomise):
    """With the package's own layers in it: local response and batch normalisation."""
    model = cnn_keras.build("googlenet", (32, 32, 3), 3, normalization="batch")
    randomise(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(pictures(model)), model(pictures(model)))


@pytest.mark.parametrize("name", ["googlenet", V2, V3, V4])
@pytest.mark.filterwarnings("ignore:.*tf\\.lite\\.Interpreter is deprecated:UserWarning")
def test_tflite_of_builtin_operators(name, randomise, relative_difference):
    size = cnn_keras.get(name).min_size
    model = cnn_keras.build(name, (size, size, 3), 3)
    randomise(model)
    function = tf.function(lambda image: model(image, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec((1, size, size, 3), tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])  # freezes the weights
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    image = pictures(model, 1)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    logits = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert relative_difference(logits, model(image)) < 1e-4
