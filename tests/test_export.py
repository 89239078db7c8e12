"""Exports behave as what was trained, or say that they do not."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnn_keras
from cnn_keras.preprocessing import assemble
from training.data.prepare import prepare
from training.data.sources import open_source
from training.phone import export, inspect
from training.phone.convert import KINDS
from training.phone.engines import keras_engine, tflite_engine
from training.runs.folder import Run, open_run
from training.runs.model import in_float32, load_model


def tflite_files(folder):
    return {kind: folder / Run(folder).tflite(kind).name for kind in KINDS}


@pytest.fixture(scope="module")
def loaded(digits_run):
    """The digits run's SavedModel."""
    return tf.saved_model.load(str(digits_run / "export" / "saved_model" / "1"))


@pytest.fixture
def model(digits_run):
    return load_model(*open_run(digits_run))


def test_saved_model_takes_any_batch_and_raw_pixels(loaded, model):
    signature = loaded.signatures["serving_default"]
    for n in (1, 2, 7):
        images = np.random.default_rng(n).integers(0, 256, (n, 32, 32, 1)).astype("float32")
        found = signature(image=tf.constant(images))["probabilities"]
        np.testing.assert_allclose(found, tf.nn.softmax(model(images)), atol=1e-6)
        np.testing.assert_allclose(tf.reduce_sum(found, 1), 1, atol=1e-5)


def test_saved_model_takes_bytes_too(loaded, model):
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 1), np.uint8)
    expected = tf.nn.softmax(model(images.astype("float32")))
    found = loaded.signatures["serve_uint8"](image=tf.constant(images))["probabilities"]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_serve_jpeg_gives_probabilities_and_names(loaded, model):
    from training.data import decode

    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((40, 60), (9, 8), (100, 31))]
    files = [tf.io.encode_jpeg(p).numpy() for p in pictures]
    files.append(tf.io.encode_png(pictures[0]).numpy())
    found = loaded.signatures["serve_jpeg"](encoded=tf.constant(files))
    assert found["class_names"].shape == (4, 10)
    assert [n.decode() for n in found["class_names"].numpy()[0]] == [str(i) for i in range(10)]
    pixels = np.stack([decode.read(file, 32, 1) for file in files]).astype("float32")
    np.testing.assert_allclose(found["probabilities"], tf.nn.softmax(model(pixels)), atol=1e-6)


def test_tflite_files(digits_run):
    report = json.loads((digits_run / "export" / "export.json").read_text())
    run = Run(digits_run)
    sizes = {}
    for kind in ("float32", "float16", "dynamic", "int8"):
        path = run.tflite(kind)
        entry = report[path.name]
        assert entry["bytes"] == path.stat().st_size
        assert entry["operators"] == inspect.operators(path)
        assert "CONV_2D" in entry["operators"]
        assert not [o for o in entry["operators"] if o.startswith("CUSTOM")]
        assert entry["top1_agreement"] >= entry["min_agreement"]
        assert entry["n"] == 359
        assert entry["problems"] == []
        sizes[kind] = entry["bytes"]
    assert report["model.tflite"]["max_difference"] < 1e-5
    assert sizes["float32"] > 1.8 * sizes["float16"] > 1.8 * sizes["int8"] * 0.9
    assert inspect.float_tensors(run.tflite("int8")) == []
    assert inspect.float_tensors(run.tflite("float32"))


def test_tflite_inputs_are_single_raw_pictures(digits_run):
    from ai_edge_litert.interpreter import Interpreter

    for kind, dtype in (("float32", np.float32), ("int8", np.uint8)):
        interpreter = Interpreter(str(Run(digits_run).tflite(kind)))
        (source,) = interpreter.get_input_details()
        assert source["shape"].tolist() == [1, 32, 32, 1]
        assert source["dtype"] == dtype
        (target,) = interpreter.get_output_details()
        assert target["shape"].tolist() == [1, 10]
        assert interpreter.get_signature_list()["serving_default"]["inputs"] == ["image"]


@pytest.mark.slow
def test_the_gate_exits_3_and_names_the_file(digits_run, cli, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(digits_run, copy)
    # weights that overflow 8 bits: one huge kernel makes the ranges of int8 useless
    model = load_model(*open_run(copy))
    network = cnn_keras.build("lenet5", (32, 32, 1), 10)
    network.set_weights(model.get_weights())
    kernel = network.get_layer("predictions").kernel
    values = kernel.numpy()
    values[0] += 300.0
    kernel.assign(values)
    network.save_weights(copy / "model.weights.h5")
    card = json.loads((copy / "card.json").read_text())
    from training.runs.folder import sha256

    card["weights_sha256"] = sha256(copy / "model.weights.h5")
    (copy / "card.json").write_text(json.dumps(card))
    process = cli("training.export", copy, "--max-images", 100)
    assert process.returncode == 3, process.stdout + process.stderr
    assert "model_int8.tflite" in process.stderr
    assert "model.tflite:" not in process.stderr
    report = json.loads((copy / "export" / "export.json").read_text())
    assert report["model_int8.tflite"]["problems"]
    assert report["model_int8.tflite"]["n"] == 100

    # the user's own limit decides instead
    process = cli("training.export", copy, "--max-images", 100, "--min-agreement", 0)
    assert process.returncode == 0, process.stderr
    report = json.loads((copy / "export" / "export.json").read_text())
    assert {entry["min_agreement"] for entry in report.values()} == {0}


@pytest.mark.parametrize(("kind", "limit"), [("float32", 0.99), ("dynamic", 0.99), ("int8", 0.97)])
def test_the_limits(digits_run, kind, limit):
    path = Run(digits_run).tflite(kind)
    entry = {"n": 100, "top1": 0.9, "keras_top1": 0.9, "operators": ["CONV_2D"], **inspect.ends(path)}
    for agreement, wrong in ((limit, 0), (limit - 0.001, 1), (1.0, 0), (float("nan"), 1)):
        found = export._problems(
            path, kind, {**entry, "top1_agreement": agreement, "min_agreement": limit}
        )
        assert len(found) == wrong
    assert export.MIN_AGREEMENT.get(kind, export.DEFAULT_MIN_AGREEMENT) == limit


@pytest.fixture
def mobilenet(randomise):
    network = cnn_keras.build("mobilenet_v2", (64, 64, 3), 7, alpha=0.35)
    randomise(network)
    return assemble(network, "tf")


@pytest.mark.slow
def test_mobilenet_v2_converts_to_builtin_operators(mobilenet, tmp_path):
    """With weights that carry the signal, float32 equals Keras and int8 is 8-bit throughout."""
    pictures = np.random.default_rng(0).integers(0, 256, (16, 64, 64, 3), np.uint8)
    export.write_tflite(mobilenet, pictures, tflite_files(tmp_path))
    expected = keras_engine(mobilenet)(pictures)
    assert expected.max() > 0.3, "the comparison would be vacuous"
    found = tflite_engine(tmp_path / "model.tflite")(pictures)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    operators = inspect.operators(tmp_path / "model.tflite")
    assert set(operators) <= {
        *("ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MEAN", "MUL", "SOFTMAX", "SUB"),
    }
    assert inspect.float_tensors(tmp_path / "model_int8.tflite") == []


@pytest.mark.slow
def test_mixed_precision_is_exported_in_float32(tmp_path, randomise):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = cnn_keras.build("mobilenet_v2", (32, 32, 3), 4, alpha=0.35)
    finally:
        keras.config.set_dtype_policy("float32")
    randomise(network)
    model = assemble(network, "tf")
    copy = in_float32(model)
    assert all(layer.compute_dtype == "float32" for layer in copy.layers)
    pictures = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    export.write_tflite(copy, pictures, tflite_files(tmp_path))
    found = tflite_engine(tmp_path / "model.tflite")(pictures)
    np.testing.assert_allclose(found, keras_engine(copy)(pictures), atol=1e-4)
    np.testing.assert_allclose(found, keras_engine(model)(pictures), atol=0.1)


def test_a_failed_export_leaves_the_old_one(digits_run, tmp_path, monkeypatch):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(digits_run, copy)
    before = sorted(p.name for p in (copy / "export").iterdir())

    def fail(*_):
        raise RuntimeError("conversion to TFLite failed")

    monkeypatch.setattr(export, "convert_in_children", fail)
    run, card = open_run(copy)
    data = prepare(open_source("digits"), 32, 1, quiet=True)
    with pytest.raises(RuntimeError, match="failed"):
        export.export_run(run, card, load_model(run, card), data, max_images=10)
    assert sorted(p.name for p in (copy / "export").iterdir()) == before
    assert not list(copy.glob(".tmp*"))


def test_a_child_that_fails_says_why(tmp_path):
    np.save(tmp_path / "c.npy", np.zeros((1, 8, 8, 1), np.uint8))
    with pytest.raises(RuntimeError, match="conversion to TFLite failed"):
        export.convert_in_children(tmp_path / "none", tmp_path / "c.npy", tmp_path)


def test_a_damaged_tflite_file_is_named(tmp_path):
    from training.runs.command import InputError

    (tmp_path / "bad.tflite").write_bytes(b"TFL3 nonsense")
    with pytest.raises(InputError, match=r"bad\.tflite"):
        tflite_engine(tmp_path / "bad.tflite")


def test_no_weight_is_written_twice(digits_run):
    """61,706 float32 weights take 247 kB; keras.export.ExportArchive writes them twice."""
    assert 1000 * 247 < (digits_run / "model.weights.h5").stat().st_size < 1000 * 330
    assert (digits_run / "model.keras").stat().st_size < 1000 * 350
    variables = digits_run / "export" / "saved_model" / "1" / "variables"
    assert 1000 * 246 < sum(f.stat().st_size for f in variables.iterdir()) < 1000 * 260


def test_int8_takes_pixels_as_they_are_even_of_dark_pictures(tmp_path, randomise):
    """Where no calibration picture is bright, the range of the input is 0..255 all the same."""
    network = cnn_keras.build("lenet5", (32, 32, 1), 3)
    randomise(network)
    model = assemble(network, "unit")
    dark = np.random.default_rng(0).integers(40, 120, (20, 32, 32, 1), np.uint8)
    files = tflite_files(tmp_path)
    (tmp_path / "export").mkdir()
    export.write_tflite(model, dark, files)
    ends = inspect.ends(files["int8"])
    assert ends["input"] == {"shape": [1, 32, 32, 1], "dtype": "uint8", "scale": 1.0, "zero_point": 0}
    assert ends["output"]["shape"] == [1, 3]
    assert ends["output"]["scale"] == 1 / 256
    assert "scale" not in inspect.ends(files["float32"])["input"]
    bright = np.random.default_rng(1).integers(0, 256, (8, 32, 32, 1), np.uint8)
    found, expected = tflite_engine(files["int8"])(bright), keras_engine(model)(bright)
    assert np.abs(expected - 1 / 3).max() > 0.05, "the comparison would be vacuous"
    assert np.abs(found - expected).max() < 0.1
