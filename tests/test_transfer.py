"""Transfer learning: what is frozen stays as it is, and heads train on features that are kept."""

import csv
import dataclasses
import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import run_command
from sklearn.linear_model import LogisticRegression

import cnn_keras
from cnn_keras.preprocessing import assemble
from training.data.augment import augment
from training.data.pipeline import evaluation_batches, picture_seed
from training.data.prepare import prepare
from training.data.sources import open_source
from training.engine import features, transfer
from training.runs.command import InputError
from training.runs.settings import Fit


@pytest.fixture(scope="module")
def digits():
    """The first 40 training and validation digits, 32 x 32 in colour."""
    data = prepare(open_source("digits"), 32, 3, parts=("train", "val"), quiet=True)
    few = {
        name: dataclasses.replace(
            split, labels=split.labels[:40], names=split.names[:40], pixels=split.pixels[:40]
        )
        for name, split in data.splits.items()
    }
    return dataclasses.replace(data, splits=few)


# --- the head alone -------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_head_is_as_good_as_a_logistic_regression():
    """On the 64 pixels of the digits, which are as many and as large as pooled features are."""
    data = prepare(open_source("digits"), 8, 1, quiet=True)
    found = {
        part: (split.pixels.reshape(-1, 64).astype("float32") / 255 * 6, split.labels)
        for part, split in data.splits.items()
    }
    how = transfer.HEAD_TRAINING
    (kernel, bias), rows = features.fit_linear(found["train"], found["val"], 10, Fit(), how)
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    x, y = found["test"]
    ours = ((x @ kernel + bias).argmax(1) == y).mean()
    theirs = LogisticRegression(max_iter=1000).fit(*found["train"]).score(x, y)
    assert ours > theirs - 0.02
    assert ours > 0.9


def test_a_head_trains_as_the_flags_say():
    """One epoch of one step of gradient descent from 0, with smoothed labels, by hand."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 5)).astype("float32"), rng.integers(0, 3, 12)
    shares = 0.9 * np.eye(3)[y] + 0.1 / 3
    how = transfer.HeadTraining("sgd", 0.5, 0.0, batch_size=12, epochs=1)
    (kernel, bias), rows = features.fit_linear((x, shares.astype("float32")), (x, y), 3, Fit(), how)
    slope = (1 / 3 - shares) / 12  # the softmax of zeros less the targets
    np.testing.assert_allclose(kernel, -0.5 * x.T @ slope, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(bias, -0.5 * slope.sum(0), rtol=1e-4, atol=1e-6)
    assert rows[0]["learning_rate"] == 0.5
    assert rows[0]["val_accuracy"] == pytest.approx(((x @ kernel + bias).argmax(1) == y).mean())


def head_training(**flags):
    return transfer.head_training(Fit(**flags), "focal", multi_label=False)


def test_flags_reach_a_head_that_is_all_that_learns(tmp_path):
    weights = tmp_path / "w.h5"
    weights.touch()
    flags = {"optimizer": "sgd", "lr": 0.3, "epochs": 7, "early_stop": 2, "schedule": "step"}
    flags |= {"weight_decay": 0.1, "warmup_epochs": 1.5, "clip_norm": 2.0, "batch_size": 16}
    how = head_training(weights=str(weights), freeze="backbone", **flags)
    flags["patience"] = flags.pop("early_stop")
    assert {name: getattr(how, name) for name in flags} == flags
    before_fine_tuning = head_training(weights=str(weights), lr=0.3, epochs=7)
    assert before_fine_tuning == dataclasses.replace(transfer.HEAD_TRAINING, loss="focal")
    smaller = head_training(weights=str(weights), freeze="backbone", batch_size=16)
    assert smaller.lr == pytest.approx(transfer.HEAD_TRAINING.lr / 2)  # of 64: a quarter's root


# --- features -------------------------------------------------------------------------------------


def test_features_are_what_the_head_sees(randomise, digits):
    network = cnn_keras.build("mobilenet_v2", (32, 32, 3), 10, alpha=0.35, dropout=0.5)
    randomise(network)
    val = digits.splits["val"]
    found, labels = features.features(network, "tf", evaluation_batches(val, 16), 40)
    assert transfer.head_input(network)[1] == 0.5
    kernel, bias = network.get_layer("predictions").get_weights()
    expected = assemble(network, "tf")(val.pixels.astype("float32"))
    np.testing.assert_allclose(found @ kernel + bias, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(labels, val.labels)


def test_cached_passes_are_what_a_fit_sees_in_its_first_epochs(randomise, digits, monkeypatch):
    network = cnn_keras.build("lenet5", (32, 32, 3), 10)
    randomise(network)
    seen = []
    original = features.fit_linear

    def fit_linear(train, *rest, **options):
        seen.append(train)
        return original(train, *rest, **options)

    monkeypatch.setattr(features, "fit_linear", fit_linear)
    how = transfer.HeadTraining(epochs=1, passes=2)
    features.train_head(network, "unit", digits, Fit(seed=3), how, "light")
    x, y = seen[0]
    assert len(x) == len(y) == 80
    train = digits.splits["train"]
    expected = [
        augment(tf.constant(train.pixels[i]), "light", picture_seed(3, epoch, i))
        for epoch in range(2)
        for i in range(40)
    ]
    below = keras.Model(network.input, network.get_layer("F6_act").output)
    expected = below(tf.stack(expected).numpy() / np.float32(255)).numpy()
    for part in (slice(0, 40), slice(40, 80)):  # each pass has every picture once, in its own order
        theirs, ours = expected[part], x[part]
        nearest = np.abs(ours[:, np.newaxis] - theirs).sum(-1).argmin(1)
        assert sorted(nearest) == list(range(40))
        np.testing.assert_allclose(ours, theirs[nearest], rtol=1e-3, atol=1e-4)
        np.testing.assert_array_equal(y[part], train.labels[nearest])
    assert not np.allclose(expected[:40], expected[40:], atol=1e-2)


def test_a_head_on_features_is_the_head_of_a_plain_fit_with_all_else_frozen(randomise, digits):
    """Three steps of all pictures: the order in a batch does not matter, so both end alike."""
    how = transfer.HeadTraining("momentum", 0.5, 0.01, batch_size=40, epochs=3)
    ends = []
    for keep in (True, False):
        network = cnn_keras.build("lenet5", (32, 32, 3), 10)
        randomise(network)
        below = network.get_layer("C1").get_weights()
        if keep:
            rows = features.train_head(network, "unit", digits, Fit(), how, "none")
            losses = [row["loss"] for row in rows]
        else:
            head = network.get_layer("predictions")
            head.set_weights([np.zeros(w.shape) for w in head.weights])
            for layer in network.layers:
                layer.trainable = layer is head
            model = assemble(network, "unit")
            optimizer = keras.optimizers.SGD(0.5, momentum=0.9, weight_decay=0.01)
            optimizer.exclude_from_weight_decay(var_names=["bias"])
            model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
            x, y = digits.splits["train"].pixels, digits.splits["train"].labels
            history = model.fit(x, y, batch_size=40, epochs=3, verbose=0).history
            assert losses == pytest.approx(history["loss"], rel=1e-4)
        assert all(map(np.array_equal, below, network.get_layer("C1").get_weights()))
        ends.append(network.get_layer("predictions").get_weights())
    # the cached way keeps the epoch of the lowest validation loss: here the last
    assert min(rows, key=lambda row: row["val_loss"])["epoch"] == 3
    for ours, theirs in zip(*ends, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_features_that_do_not_fit_are_refused_before_they_are_computed(digits, monkeypatch):
    network = cnn_keras.build("mobilenet_v2", (32, 32, 3), 10, alpha=0.35)
    monkeypatch.setattr(features, "memory_bytes", lambda: 4 * 3 * 40 * 1280 * 4)
    features.check_memory(network, digits, 2)  # two passes and the validation pictures
    with pytest.raises(InputError, match="at most 2 fit"):
        features.check_memory(network, digits, 3)
    monkeypatch.setattr(features, "memory_bytes", lambda: 4 * 40 * 1280 * 4)
    with pytest.raises(InputError, match="not even those of one pass"):
        features.check_memory(network, digits, 0)


# --- what is frozen -------------------------------------------------------------------------------


@pytest.mark.parametrize("frozen_blocks", [pytest.param(0, marks=pytest.mark.slow), 3])
def test_fine_tuning_keeps_batch_normalization_and_frozen_blocks(frozen_blocks, randomise):
    network = cnn_keras.build("mobilenet_v2", (32, 32, 3), 4, alpha=0.35)
    randomise(network)
    model = assemble(network, "tf")
    first = ("Conv1", "bn_Conv1", "expanded_conv_", "block_1_")  # the first three blocks of table 2
    frozen = transfer.frozen_layers(network, frozen_blocks, ()) if frozen_blocks else ()
    weighted = {layer.name for layer in network.layers if layer.weights}
    assert set(frozen) == {n for n in weighted if n.startswith(first) and frozen_blocks}
    transfer.freeze(model, frozen)
    model.compile(keras.optimizers.SGD(0.01), keras.losses.SparseCategoricalCrossentropy(True))
    images = np.random.default_rng(0).uniform(0, 255, (8, 32, 32, 3)).astype("float32")
    # in a training step, they normalise by their statistics and not by the batch's
    np.testing.assert_array_equal(model(images, training=True), model(images, training=False))
    before = {v.path: np.array(v) for v in network.variables}
    model.fit(images, np.arange(8) % 4, verbose=0)
    for variable in network.variables:
        changed = not np.array_equal(before[variable.path], variable)
        learns = "kernel" in variable.name or variable.name == "bias"
        assert changed == (learns and variable.path.split("/")[0] not in frozen), variable.path


def test_blocks_are_counted_from_the_picture():
    network = cnn_keras.build("lenet5", num_classes=10)
    assert transfer.block_names(network) == [["C1"], ["C3"], ["C5"], ["F6"], ["predictions"]]
    assert transfer.frozen_layers(network, 4, {"predictions"}) == ("C1", "C3", "C5", "F6")
    with pytest.raises(InputError, match=r"has 5 blocks, from C1 to predictions.*at most 4"):
        transfer.frozen_layers(network, 5, ())
    with pytest.raises(InputError, match="no weights for F6, and random ones are no use frozen"):
        transfer.frozen_layers(network, 4, {"F6", "predictions"})


@pytest.mark.slow
def test_every_network_has_blocks_from_the_picture_to_the_head():
    for name in ("resnet50_v2", "densenet40_k12", "googlenet", "inception_v3", "gru", "vgg11_bn"):
        variant = cnn_keras.get(name)
        size = max(variant.min_size, 32)
        knobs = {"hidden": (8, 8)} if name == "vgg11_bn" else {}
        network = cnn_keras.build(name, (size, size, variant.channels), 10, **knobs)
        blocks = transfer.block_names(network)
        assert blocks[-1] == ["predictions"]
        named = [name for block in blocks for name in block]
        assert sorted(named) == sorted(layer.name for layer in network.layers if layer.weights)


# --- the commands ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_other_weights_then_new_classes(cli, drawn_fit, digits_run, tmp_path):
    """Fine-tune a network of three classes on ten: the head is new, the rest is not."""
    words = ("--weights", drawn_fit[1] / "model.weights.h5", "--alpha", 0.35, "--image-size", 32)
    more = ("--epochs", 1, "--export", "none", "--out", tmp_path, "--name", "tuned")
    process = cli("training.fit", *words, *more)
    assert process.returncode == 0, process.stderr
    assert "training the head on frozen features" in process.stdout
    assert "head trained: val_loss" in process.stdout
    assert json.loads((tmp_path / "tuned" / "card.json").read_text())["class_names"] == list(
        "0123456789"
    )
    frozen = ("--freeze", "backbone", "--export", "none", "--out", tmp_path, "--name", "frozen")
    process = cli("training.fit", *words, *frozen)
    assert process.returncode == 0, process.stderr
    with (tmp_path / "frozen" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["val_loss"]) < float(rows[0]["val_loss"])
    assert (tmp_path / "frozen" / "plots" / "curves.png").is_file()
    from cnn_keras.weights import read

    source, target = (
        read(drawn_fit[1] / "model.weights.h5"),
        read(tmp_path / "frozen" / "model.weights.h5"),
    )
    assert source.keys() == target.keys()
    for name, arrays in source.items():
        if name != "predictions":
            assert all(np.array_equal(a, b) for a, b in zip(arrays, target[name], strict=True))


@pytest.mark.slow
def test_other_heads_on_other_weights_are_trained_exported_and_found_again(cli, drawn_fit, tmp_path):
    given = ("--weights", drawn_fit[1] / "model.weights.h5", "--alpha", 0.35, "--image-size", 32)
    for head in ("flatten", "conv1x1"):
        words = (*given, "--head", head, "--freeze", "backbone", "--augmented-passes", 2)
        process = cli("training.fit", *words, "--export", "all", "--out", tmp_path, "--name", head)
        assert process.returncode == 0, process.stderr
        assert "features of 2 augmented pass(es), digits" in process.stdout
        run = tmp_path / head
        assert json.loads((run / "card.json").read_text())["knobs"] == {"alpha": 0.35, "head": head}
        top1 = json.loads((run / "metrics.json").read_text())["test"]["top1"]
        exported = json.loads((run / "export" / "export.json").read_text())
        assert exported["model.tflite"]["top1_agreement"] == 1.0
        process = cli("training.evaluate", run)
        assert process.returncode == 0, process.stderr
        assert json.loads((run / "metrics.json").read_text())["test"]["top1"] == top1
        with (run / "history.csv").open() as file:
            losses = [float(row["val_loss"]) for row in csv.DictReader(file)]
        assert min(losses) < losses[0]


@pytest.mark.slow
def test_layer_wise_rates_and_thawing_in_a_fit(cli, drawn_fit, tmp_path):
    words = ("--weights", drawn_fit[1] / "model.weights.h5", "--alpha", 0.35, "--image-size", 32)
    words += ("--freeze", 4, "--unfreeze-epochs", 2, "--layer-decay", 0.8, "--epochs", 2)
    process = cli("training.fit", *words, "--export", "none", "--out", tmp_path, "--name", "run")
    assert process.returncode == 0, process.stderr
    assert "all blocks learn from epoch 2 on; frozen up to block_2_project_BN" in process.stdout
    resolved = json.loads((tmp_path / "run" / "settings.json").read_text())["resolved"]
    assert resolved["layer_decay"] == 0.8
    process = cli("training.fit", *words[:6], "--freeze", 20, "--out", tmp_path)
    assert process.returncode == 2
    assert "--freeze 20: mobilenet_v2 has 20 blocks, from Conv1 to predictions" in process.stderr


@pytest.mark.slow
def test_the_benchmark_trains_both_ways(drawn_pictures, drawn_fit):
    words = ["benchmarks.transfer", "sooner", "--data", drawn_pictures, "--alpha", 0.35]
    words += ["--weights", drawn_fit[1] / "model.weights.h5", "--image-size", 32, "--repeats", 1]
    process = run_command(*words)
    assert process.returncode == 0, process.stderr
    row = r"^\| 0 \| (?:features|plain) \| ([01]\.\d+) \| \d+ \| [\d.]+ \| [\d.]+ \|$"
    ours, theirs = (float(a) for a in re.findall(row, process.stdout, re.MULTILINE))
    assert ours == pytest.approx(theirs, abs=0.2)
    assert "ratio, whole: median" in process.stdout
