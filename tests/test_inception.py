"""The Inception networks: auxiliary classifiers, switches, conversion."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnn_keras
from cnn_keras import analysis, layers
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


@pytest.mark.parametrize("name", ["inception_v3", V4])
def test_an_open_size_with_auxiliary_classifier_names_its_minimum(name, tmp_path):
    """299 pixels, where the record's minimum is 75: the pooled map must hold a 5x5 convolution."""
    model = cnn_keras.build(name, (None, None, 3), 3, aux=True)
    model.save(tmp_path / "model.keras")
    for network in (model, keras.models.load_model(tmp_path / "model.keras")):
        for height, width in ((91, 103), (298, 299), (299, 298)):
            with pytest.raises(ValueError, match="needs at least 299 x 299 pixels"):
                network(np.zeros((1, height, width, 3), "float32"))
    least = np.zeros((1, 299, 299, 3), "float32")
    assert model(least)["aux1"].shape == (1, 3)
    small = np.zeros((1, 91, 103, 3), "float32")
    assert cnn_keras.without_auxiliary(model)(small).shape == (1, 3)
    assert cnn_keras.build(name, (91, 103, 3), 3, aux=True)(small)["aux1"].shape == (1, 3)


def test_one_open_side_with_auxiliary_classifier():
    """The fixed side's windows shrink; those of the open side need what they need."""
    model = cnn_keras.build("inception_v3", (None, 103, 3), 3, aux=True)
    with pytest.raises(ValueError, match="needs at least 283 x any pixels"):
        model(np.zeros((1, 282, 103, 3), "float32"))
    assert model(np.zeros((1, 283, 103, 3), "float32"))["aux1"].shape == (1, 3)


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
