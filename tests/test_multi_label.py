"""Losses, metrics and files of networks that tell several labels, by hand and by scikit-learn."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from drawn_shapes import draw, write_list
from sklearn import metrics as theirs

from training.data.mixing import Mixing
from training.data.targets import LabelTargets, label_weights
from training.engine import plan, regime
from training.engine.auxiliary import stages
from training.engine.features import fit_linear
from training.engine.losses import MULTI_LABEL_LOSSES, Loss, exact_match, f1
from training.engine.transfer import HeadTraining
from training.phone.agreement import compare_labels
from training.phone.engines import keras_engine
from training.report.multi_label import measure, worst
from training.runs.command import InputError
from training.runs.settings import Fit

NAMES = ("a", "b", "c", "d", "e")
CHOICES = plan.Choices(
    *(4, 1, "unit", "none", False, 1, False, "sgd", 0.0, 0.0, None, "float32"),
    loss="binary",
    multi_label=True,
)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, "float64")))


@pytest.fixture
def judged():
    """Labels, int (40, 5), and logits, float32 (40, 5)."""
    rng = np.random.default_rng(0)
    labels = (rng.random((40, 5)) < 0.3).astype("int32")
    labels[:3] = 0  # pictures without labels
    logits = (4 * labels - 2 + 3 * rng.normal(size=(40, 5))).astype("float32")
    logits[0] = -1  # and none told
    return labels, logits


def by_hand(name, answers, logits):
    p = sigmoid(logits)
    yes, no = -np.log(p), -np.log(1 - p)
    if name == "focal":
        yes, no = (1 - p) ** 2 * yes, p**2 * no
    return answers * yes + (1 - answers) * no


@pytest.mark.parametrize("name", MULTI_LABEL_LOSSES)
def test_losses_by_hand(name, judged):
    labels, logits = judged
    expected = by_hand(name, labels, logits).mean()
    assert float(Loss(name, multi_label=True)(labels, logits)) == pytest.approx(expected, rel=1e-5)
    if name == "binary":
        assert expected == pytest.approx(theirs.log_loss(labels.ravel(), sigmoid(logits).ravel()))


def test_smoothing_is_keras(judged):
    labels, logits = judged
    _, targets = LabelTargets(0.2)(tf.zeros(40), tf.constant(labels))
    keras_loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.2)
    expected = float(keras_loss(labels.astype("float32"), logits))
    assert float(Loss("binary", True)(targets, logits)) == pytest.approx(expected, rel=1e-5)


def test_what_is_measured_each_epoch_is_scikit_learns(judged):
    labels, logits = judged
    told = logits >= 0
    expected = theirs.f1_score(labels, told, average="samples", zero_division=1)
    assert float(np.mean(f1(labels, logits))) == pytest.approx(expected, rel=1e-6)
    right = np.mean(exact_match(labels, logits))
    assert float(right) == pytest.approx(theirs.accuracy_score(labels, told))


@pytest.mark.parametrize("loss", MULTI_LABEL_LOSSES)
@pytest.mark.parametrize("heads", [("logits",), ("logits", "aux1")])
def test_everything_at_once_is_in_force_in_a_fit(loss, heads, judged):
    """Smoothing, class weights and the loss, of auxiliary heads too; validation on the labels alone."""
    labels, _ = judged
    x = np.random.default_rng(1).normal(size=(40, 3)).astype("float32")
    keras.utils.set_random_seed(0)
    image = keras.Input((3,))
    outputs = {name: keras.layers.Dense(5, name=name)(image) for name in heads}
    given = keras.Model(image, outputs if len(heads) > 1 else outputs["logits"])
    ((_, model),) = stages(given, 0.3, stage_by_stage=False)
    choices = dataclasses.replace(CHOICES, loss=loss)
    regime.compile_model(model, Fit(), choices, steps=10, steps_an_epoch=1)
    weights = label_weights(labels)
    batches = tf.data.Dataset.from_tensors((x, labels)).map(LabelTargets(0.1, weights))
    found = model.fit(batches, validation_data=(x, labels), shuffle=False, verbose=0).history
    outputs = given(x) if len(heads) > 1 else {"logits": given(x)}
    no, yes = np.array(weights).T
    own = np.where(labels == 1, yes, no)

    def weighed(logits):
        return (own * by_hand(loss, 0.9 * labels + 0.05, logits)).mean()

    expected = weighed(outputs["logits"]) + sum(0.3 * weighed(outputs[h]) for h in heads[1:])
    assert found["loss"][0] == pytest.approx(expected, rel=1e-4)
    logits = np.asarray(outputs["logits"])
    assert found["val_loss"][0] == pytest.approx(by_hand(loss, labels, logits).mean(), rel=1e-4)
    right = theirs.accuracy_score(labels, logits >= 0)
    assert found["val_exact_match"][0] == pytest.approx(right)


def test_losses_of_classes_that_exclude_each_other_are_refused():
    assert plan.choose_loss("auto", True) == "binary"
    assert plan.choose_loss("auto", False) == "cross-entropy"
    assert plan.choose_loss("focal", True) == "focal"
    for name in ("cross-entropy", "hinge"):
        with pytest.raises(InputError, match=f"--loss {name} is for.*Give --loss binary or focal"):
            plan.choose_loss(name, True)
    with pytest.raises(InputError, match="Give --class-weight balanced"):
        plan.choose_loss("class-balanced", True)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_labels_are_mixed_as_the_pictures_are(kind):
    """White and black pictures, with and without the label: the mean of the pixels is the target."""
    labels = tf.constant([[1, 0], [0, 1], [1, 1], [0, 0]] * 4)
    pixels = 255 * labels[:, tf.newaxis, tf.newaxis, :1] * tf.ones((1, 20, 20, 1), tf.int32)
    mixing = Mixing(**{"mixup": None, "cutmix": None, kind: 1.0}, num_classes=2)
    images, targets = mixing(tf.cast(pixels, tf.uint8), labels, tf.constant([0, 1]))
    mean = tf.reduce_mean(tf.cast(images, tf.float32), (1, 2, 3)) / 255
    np.testing.assert_allclose(mean, targets[:, 0], atol=1 / 255)
    assert ((targets > 0.05) & (targets < 0.95)).numpy().any()


def test_metrics_by_hand():
    """Three pictures: all right; one label missed; one told too many, and no label in truth."""
    labels = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0]])
    p = np.array([[0.9, 0.5, 0.1], [0.4, 0.2, 0.3], [0.6, 0.1, 0.2]])
    found = measure(labels, p, ("a", "b", "never"), 0.5)
    assert found["exact_match"] == pytest.approx(1 / 3)
    assert found["hamming_loss"] == pytest.approx(2 / 9)
    assert (found["micro_precision"], found["micro_recall"]) == pytest.approx((2 / 3, 2 / 3))
    a, b, never = found["classes"]
    assert (a["precision"], a["recall"], a["f1"], a["support"], a["told"]) == (0.5, 0.5, 0.5, 2, 2)
    assert (b["precision"], b["recall"], b["average_precision"]) == (1, 1, 1)
    assert a["average_precision"] == pytest.approx((1 / 1 + 2 / 3) / 2)  # ranks 1 and 3 of three
    assert never["average_precision"] is None
    assert found["mean_average_precision"] == pytest.approx((5 / 6 + 1) / 2)
    assert found["macro_f1"] == pytest.approx(0.75)  # of the two classes that have pictures
    assert found["pictures_f1"] == pytest.approx((1 + 0 + 0) / 3)
    truth = np.where(labels == 1, p, 1 - p)
    assert found["loss"] == pytest.approx(-np.log(truth).mean())
    assert (found["labels_per_picture"], found["told_per_picture"]) == (1.0, 1.0)
    json.dumps(found)


def test_metrics_are_scikit_learns(judged):
    labels, logits = judged
    p = sigmoid(logits)
    found = measure(labels, p, NAMES, 0.3)
    told = p >= 0.3
    for average in ("micro", "macro"):
        assert found[f"{average}_f1"] == pytest.approx(theirs.f1_score(labels, told, average=average))
    assert found["mean_average_precision"] == pytest.approx(theirs.average_precision_score(labels, p))
    assert found["exact_match"] == pytest.approx(theirs.accuracy_score(labels, told))
    assert found["hamming_loss"] == pytest.approx((labels != told).mean())


def test_without_any_label_there_is_still_a_measure():
    found = measure(np.zeros((2, 2), int), np.full((2, 2), 0.2), ("a", "b"), 0.5)
    assert found["exact_match"] == 1
    assert found["mean_average_precision"] is None
    json.dumps(found)


def test_the_worst_pictures_come_first():
    labels = np.array([[1, 0], [1, 1], [0, 0]])
    p = np.array([[0.4, 0.1], [0.9, 0.8], [0.99, 0.6]])
    first, second = worst(labels, p, ("a", "b"), 0.5, most=5)
    assert (first["index"], first["told"], first["true"]) == (2, "a, b", "none")
    assert [w["missed"] for w in first["wrong"]] == [False, False]
    assert second["wrong"] == [{"name": "a", "missed": True, "probability": 0.4}]
    assert len(worst(labels, p, ("a", "b"), 0.5, most=1)) == 1


def test_agreement_is_of_all_labels():
    expected = np.array([[0.9, 0.6], [0.1, 0.1], [0.6, 0.2], [0.5, 0.4]])
    found = np.array([[0.8, 0.4], [0.2, 0.1], [0.7, 0.2], [0.5, 0.4]])
    labels = np.array([[1, 0], [0, 0], [1, 1], [1, 0]])
    entry = compare_labels(found, expected, labels, 0.5)
    assert entry["label_agreement"] == 0.75  # the first picture has another second label
    assert (entry["exact_match"], entry["keras_exact_match"]) == (0.75, 0.5)
    assert entry["max_difference"] == pytest.approx(0.2)
    assert (entry["task"], entry["threshold"]) == ("multi_label", 0.5)


def test_probabilities_are_sigmoids():
    image = keras.Input((2, 2, 1))
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(image)))
    pictures = np.random.default_rng(0).integers(0, 9, (4, 2, 2, 1), np.uint8)
    logits = np.asarray(model(pictures.astype("float32")))
    np.testing.assert_allclose(keras_engine(model, True)(pictures), sigmoid(logits), atol=1e-6)


def test_a_head_learns_several_labels_on_features():
    how = HeadTraining(lr=0.05, epochs=20, loss="binary", multi_label=True)
    x = np.random.default_rng(0).normal(size=(200, 4)).astype("float32")
    y = (x[:, :3] > 0).astype("int32")
    weights, rows = fit_linear((x[:150], y[:150]), (x[150:], y[150:]), 3, Fit(), how)
    assert theirs.accuracy_score(y[150:], x[150:] @ weights[0] + weights[1] > 0) > 0.7
    names = {"loss", "exact_match", "f1"}
    assert set(rows[0]) == {"epoch", "learning_rate", *names, *(f"val_{name}" for name in names)}


@pytest.fixture(scope="module")
def shapes_run(tmp_path_factory, cli):
    """A finished fit of lenet on 320 pictures of circles and squares: its process and its run folder."""
    place = tmp_path_factory.mktemp("shapes")
    data = write_list(place / "pictures", 320, names=("circle", "square"), side=32)
    words = ("--arch", "lenet", "--channels", 3, "--epochs", 60, "--out", place, "--name", "run")
    return cli("training.fit", "--data", data, *words), place / "run"


@pytest.mark.slow
def test_a_fit_tells_both_shapes_from_the_command(shapes_run, cli, tmp_path):
    process, run = shapes_run
    assert process.returncode == 0, process.stderr
    rng = np.random.default_rng(99)
    for i in range(20):
        draw(("circle", "square")[: i % 3], rng, 32).save(tmp_path / f"{i:02}.png")
    lines = cli("training.predict", run, tmp_path, "--json").stdout.splitlines()
    told = [{one["class"] for one in json.loads(line)["labels"]} for line in lines]
    expected = [set(("circle", "square")[: i % 3]) for i in range(20)]
    assert np.mean([a == b for a, b in zip(told, expected, strict=True)]) >= 0.8
    table = cli("training.predict", run, tmp_path / "02.png").stdout
    assert "circle" in table
    assert "square" in table
    everything = json.loads(
        cli("training.predict", run, tmp_path / "00.png", "--json", "--threshold", 0).stdout
    )
    assert len(everything["labels"]) == 2
    assert "--threshold" in cli("training.predict", run, tmp_path, "--top", 1).stderr


@pytest.mark.slow
def test_a_run_states_its_task_and_is_judged_again(shapes_run, cli, tmp_path):
    _, run = shapes_run
    card = json.loads((run / "card.json").read_text(encoding="utf-8"))
    assert (card["task"], card["threshold"]) == ("multi_label", 0.5)
    before = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert before["test"]["exact_match"] > 0.7
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "mean average precision" in page
    assert "Precision and recall" in page
    assert (run / "plots" / "precision_recall.png").is_file()
    assert json.loads((run / "settings.json").read_text())["resolved"]["loss"] == "binary"
    export = json.loads((run / "export" / "export.json").read_text(encoding="utf-8"))
    assert export["model.tflite"]["label_agreement"] == 1
    again = cli("training.evaluate", run)
    assert again.returncode == 0, again.stderr
    after = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert after["test"]["loss"] == pytest.approx(before["test"]["loss"], rel=1e-5)
    others = write_list(tmp_path / "others", 40, seed=5, names=("circle", "square"), side=32)
    judged = cli("training.evaluate", run, "--data", others, "--tta", "flip")
    assert judged.returncode == 0, judged.stderr
    numbers = json.loads((run / "evaluation-list-flip" / "metrics.json").read_text(encoding="utf-8"))
    assert numbers["test"]["n"] == 40
    assert numbers["test"]["exact_match"] > 0.6
