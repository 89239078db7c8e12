"""Every family becomes TFLite's builtin operators, our own layers too, and means the same there."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import cnn_keras


@pytest.mark.parametrize(
    ("name", "size", "knobs", "operator"),
    [
        ("lenet5", 32, {"sparse_c3": True}, "SQUARED_DIFFERENCE"),
        ("vgg11_lrn", 32, {"hidden": (24,)}, "LOCAL_RESPONSE_NORMALIZATION"),
        ("ar", 16, {}, "MEAN"),
        ("narx", 16, {}, "SOFTMAX"),  # of the outputs that come back
        pytest.param("alexnet", 67, {}, "LOCAL_RESPONSE_NORMALIZATION", marks=pytest.mark.slow),
    ],
)
def test_own_layers(name, size, knobs, operator, randomise, relative_difference):
    operators, difference = converted(name, size, knobs, randomise, relative_difference)
    assert operator in operators
    assert difference < 1e-5


@pytest.mark.parametrize(
    ("name", "size", "knobs"),
    [
        ("mlp", 32, {}),
        ("lenet", 32, {}),
        *(
            pytest.param(*words, marks=pytest.mark.slow)
            for words in [
                ("alexnet_owt", 63, {}),
                ("vgg11_bn", 32, {"hidden": (64, 64)}),
                ("vgg16_c", 32, {"fully_convolutional": True, "window": 1, "hidden": (64, 64)}),
                ("googlenet", 64, {}),
                ("inception_v2", 64, {}),
                ("inception_v3", 75, {}),
                ("inception_v4", 75, {}),
                ("resnet18", 64, {}),
                ("resnet50", 64, {"output_stride": 16}),
                ("resnet50_v2", 64, {}),
                ("resnet20", 32, {}),
                ("densenet121", 64, {}),
                ("densenet40_k12", 32, {}),
                ("mobilenet_v1", 64, {"alpha": 0.5}),
                ("mobilenet_v2", 64, {"alpha": 0.5}),
                ("mobilenet_v2", 64, {"alpha": 0.35, "normalization": "group"}),
            ]
        ),
    ],
)
def test_every_family(name, size, knobs, randomise, relative_difference):
    """The sequence classifiers are in tests/test_sequence.py."""
    operators, difference = converted(name, size, knobs, randomise, relative_difference)
    assert operators
    assert difference < 1e-4


def test_every_family_is_there():
    marks = [mark for mark in test_every_family.pytestmark if mark.name == "parametrize"]
    rows = [getattr(row, "values", row)[0] for row in marks[0].args[1]]
    families = {cnn_keras.get(name).family for name in rows} | {"sequence", "recurrent"}
    assert families == {cnn_keras.get(name).family for name in cnn_keras.names()}


def converted(name, size, knobs, randomise, relative_difference):
    """Return the operators of the TFLite file, and its difference from the Keras model."""
    shape = (size, size, cnn_keras.get(name).channels)
    model = cnn_keras.build(name, shape, 10, **knobs)
    randomise(model)
    network = tf.function(lambda image: model(image, training=False))
    concrete = network.get_concrete_function(tf.TensorSpec((1, *shape), name="image"))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    content = converter.convert()
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    operators = {op["op_name"] for op in interpreter._get_ops_details()}
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype("float32")
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return operators, relative_difference(output, model(image))
