"""Auxiliary classifiers: their part in the loss, the stages, and that nothing of them is left."""

import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnn_keras
from training.engine.auxiliary import stages
from training.runs import command, settings


@pytest.fixture
def small():
    """A network to logits, aux1 and aux2, small enough to compute by hand."""
    image = keras.Input((4,), name="image")
    a = keras.layers.Dense(5, activation="tanh", name="a")(image)
    b = keras.layers.Dense(5, activation="tanh", name="b")(a)
    heads = {n: keras.layers.Dense(3, name=n)(x) for n, x in (("aux1", a), ("aux2", b), ("logits", b))}
    return keras.Model(image, heads)


def cross_entropy(logits, labels):
    logits = np.asarray(logits, "float64")
    logits -= logits.max(1, keepdims=True)
    return np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels])


def test_auxiliary_losses_are_weighed_in_training_and_left_out_of_validation(small):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 4)).astype("float32"), rng.integers(0, 3, 12)
    ((_, model),) = stages(small, 0.3, stage_by_stage=False)
    model.compile(
        keras.optimizers.SGD(0.0), keras.losses.SparseCategoricalCrossentropy(True), metrics=["accuracy"]
    )
    losses = {name: cross_entropy(logits, y) for name, logits in small(x).items()}
    trained = model.fit(x, y, batch_size=12, verbose=0).history
    judged = model.evaluate(x, y, verbose=0, return_dict=True)
    assert judged["loss"] == pytest.approx(losses["logits"], rel=1e-5)
    expected = losses["logits"] + 0.3 * (losses["aux1"] + losses["aux2"])
    assert trained["loss"][0] == pytest.approx(expected, rel=1e-5)
    accuracy = (np.asarray(small(x)["logits"]).argmax(1) == y).mean()
    assert trained["accuracy"][0] == pytest.approx(accuracy)
    assert judged["accuracy"] == pytest.approx(accuracy)


def test_each_stage_trains_what_lies_below_its_classifier(small):
    learning = []
    for _, model in stages(small, 0.3, stage_by_stage=True):
        model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(True))
        before = {v.path: np.array(v) for v in small.trainable_variables}
        model.fit(np.ones((4, 4), "float32"), np.zeros(4, int), verbose=0)
        moved = {p.split("/")[0] for p, v in before.items() if not np.array_equal(v, variable(small, p))}
        learning.append(moved)
    assert learning == [{"a", "aux1"}, {"a", "b", "aux2"}, {"a", "b", "logits"}]


def variable(model, path):
    return next(v for v in model.trainable_variables if v.path == path)


@pytest.mark.parametrize(("name", "weight"), [("googlenet", 0.3), ("inception_v3", 0.4)])
def test_weights_of_the_papers(name, weight):
    assert cnn_keras.get(name).aux_weight == weight


def test_stages_need_auxiliary_classifiers(capsys):
    assert command.run(settings.Fit, lambda _: 0, ["--stage-by-stage"]) == 2
    assert "--knob aux=True" in capsys.readouterr().err


def exported_without_them(folder):
    """Check that neither the SavedModel nor a TFLite file has an auxiliary output."""
    from ai_edge_litert.interpreter import Interpreter

    model = tf.saved_model.load(str(folder / "saved_model" / "1"))
    outputs = {name: set(s.structured_outputs) for name, s in model.signatures.items()}
    assert outputs["serving_default"] == {"probabilities"}
    for name, signature in model.signatures.items():
        assert outputs[name] <= {"probabilities", "class_names"}
        assert not [op.name for op in signature.graph.get_operations() if "aux" in op.name]
    files = sorted(folder.glob("*.tflite"))
    assert files
    for path in files:
        details = Interpreter(str(path)).get_output_details()
        assert [tuple(output["shape"][1:]) for output in details] == [(10,)], path.name


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        (),
        ("--stage-by-stage",),
        ("--class-weight", "balanced", "--mixup", 0.2, "--label-smoothing", 0.1),
    ],
)
def test_a_fit_leaves_nothing_of_them(cli, tmp_path, more):
    words = ("--arch", "googlenet", "--image-size", 32, "--knob", "aux=True", "--epochs", 3)
    options = ("--knob", "normalization=batch", "--batch-size", 64, "--out", tmp_path, "--name", "run")
    process = cli("training.fit", *words, *options, *more, timeout=900)
    # the plain fit learns digits well enough for every export to agree; 3 says that one does not
    assert process.returncode in ((0, 3) if more else (0,)), process.stderr
    run = tmp_path / "run"
    assert json.loads((run / "card.json").read_text())["knobs"] == {"normalization": "batch"}
    from cnn_keras.weights import read

    assert not [name for name in read(run / "model.weights.h5") if "aux" in name]
    assert read(run / "model.weights.h5").keys() == read(run / "model.keras").keys()
    found = re.findall(r"^epoch (\d)/3(?: \((.*?)\))?  loss", process.stdout, re.MULTILINE)
    names = ("up to aux1", "up to aux2", "to the end") if "--stage-by-stage" in more else ("", "", "")
    assert found == list(zip("123", names, strict=True))
    assert cli("training.evaluate", run).returncode == 0
    # 3: float tensors are left in GoogLeNet's int8 file
    assert cli("training.export", run, "--max-images", 20).returncode in (0, 3)
    exported_without_them(run / "export")
