"""The layers that are not Keras's own become TFLite's builtin operators, and mean the same there."""

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
def test_builtin_operators(name, size, knobs, operator, randomise, relative_difference):
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
    assert operator in {op["op_name"] for op in interpreter._get_ops_details()}
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype("float32")
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert relative_difference(output, model(image)) < 1e-5
