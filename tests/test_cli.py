"""The commands, one after the other, as a user types them."""

import contextlib
import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from training.runs.folder import sha256

CARD_KEYS = {
    "architecture",
    "knobs",
    "image_size",
    "channels",
    "class_names",
    "preprocessing",
    "weights_sha256",
    "data",
    "metrics",
    "versions",
    "commit",
    "command",
    "created",
    "format_version",
}


def test_fit_says_what_it_does_and_ends_with_a_table(digits_fit):
    process, run = digits_fit
    assert process.returncode == 0, process.stderr
    out = process.stdout
    for text in ("61,706 parameters", "0.4 M MACs", "1,258 train, 180 val, 359 test", "CPU", "float32"):
        assert text in out
    assert len(re.findall(r"^epoch \d+/8  loss .* val_accuracy", out, re.MULTILINE)) == 8
    assert re.search(r"^test +359 +\d\d\.\d\d %", out, re.MULTILINE)
    for path in (run, run / "report.html", run / "export"):
        assert str(path) in out
    assert process.stderr == ""


def test_the_run_folder_is_complete(digits_run):
    for name in (
        *("card.json", "settings.json", "model.weights.h5", "model.keras", "history.csv", "log.txt"),
        *(
            "metrics.json",
            "report.html",
            "plots/curves.png",
            "plots/confusion_matrix.png",
            "tensorboard",
        ),
        *("export/labels.txt", "export/export.json", "export/saved_model/1/saved_model.pb"),
        *("export/model.tflite", "export/model_float16.tflite", "export/model_dynamic.tflite"),
        "export/model_int8.tflite",
    ):
        assert (digits_run / name).exists(), name
    assert not list(digits_run.glob(".tmp*"))
    card = json.loads((digits_run / "card.json").read_text())
    assert card.keys() >= CARD_KEYS
    assert card["class_names"] == [str(i) for i in range(10)]
    assert card["channels"] == 1
    assert card["weights_sha256"] == sha256(digits_run / "model.weights.h5")
    assert "--arch lenet5" in card["command"]
    metrics = json.loads((digits_run / "metrics.json").read_text())
    assert metrics.keys() == {"test", "val"}
    assert card["metrics"]["test"]["top1"] == metrics["test"]["top1"] > 0.9
    assert (digits_run / "export" / "labels.txt").read_text().split() == card["class_names"]
    with (digits_run / "history.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == [str(i + 1) for i in range(8)]


def test_the_keras_file_opens_without_this_package(digits_run, cli, tmp_path):
    np.save(
        tmp_path / "x.npy", np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 1)).astype("float32")
    )
    code = (
        "import sys, numpy as np, keras\n"
        f"y = keras.models.load_model({str(digits_run / 'model.keras')!r})(np.load('x.npy'))\n"
        "assert 'cnn_keras' not in sys.modules\n"
        "np.save('y.npy', y)\n"
    )
    (tmp_path / "plain.py").write_text(code)
    subprocess.run([sys.executable, "plain.py"], check=True, cwd=tmp_path, capture_output=True)
    from training.runs.folder import open_run
    from training.runs.model import load_model

    model = load_model(*open_run(digits_run))
    np.testing.assert_allclose(
        model(np.load(tmp_path / "x.npy")), np.load(tmp_path / "y.npy"), atol=1e-5
    )


def test_the_bar_shows_images_a_second_and_the_time_left(tmp_path):
    """On a terminal."""
    import fcntl
    import pty
    import struct
    import termios

    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 40, 120, 0, 0))
    words = ("--arch", "linear", "--epochs", "3", "--export", "none", "--out", str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-m", "training.fit", *words],
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # the end, on Linux
        while piece := os.read(master, 1024):
            shown += piece
    os.close(master)
    assert process.wait() == 0
    assert re.search(rb"epoch 3/3: .*k? images/s", shown), shown[-2000:]
    assert re.search(rb"\[\d\d:\d\d<\d\d:\d\d, ", shown)  # elapsed < left


@pytest.mark.slow
def test_export_again_gives_the_same(digits_run, cli, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(digits_run, copy)
    before = json.loads((copy / "export" / "export.json").read_text())
    shutil.rmtree(copy / "export")
    process = cli("training.export", copy)
    assert process.returncode == 0, process.stderr
    after = json.loads((copy / "export" / "export.json").read_text())
    assert {k: v["top1_agreement"] for k, v in after.items()} == {
        k: v["top1_agreement"] for k, v in before.items()
    }
    for name in after:
        assert name in process.stdout


@pytest.mark.slow
def test_export_all_and_no_fine_tuning_of_the_head_alone(digits_run, cli, tmp_path):
    """`--export all` writes TFLite files for any network; `--freeze none` trains all at once."""
    words = ("--arch", "lenet5", "--weights", digits_run / "model.weights.h5", "--freeze", "none")
    more = ("--epochs", 1, "--export", "all", "--out", tmp_path, "--name", "run")
    process = cli("training.fit", *words, *more)
    assert process.returncode in (0, 3), process.stderr
    assert "head" not in process.stdout
    assert (tmp_path / "run" / "export" / "model_int8.tflite").is_file()


def test_a_broken_picture_can_stop_the_fit(drawn_pictures, cli, tmp_path):
    words = ("--data", drawn_pictures, "--arch", "linear", "--on-bad-image", "fail", "--out", tmp_path)
    process = cli("training.fit", *words)
    assert process.returncode == 2
    assert "broken.jpg" in process.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_typing_error_costs_no_time():
    """A mistyped network is answered without TensorFlow."""
    code = (
        "import sys\nfrom training import fit\n"
        "assert fit.main(['--arch', 'mobilnet_v2']) == 2\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "Did you mean mobilenet_v2" in answer.stderr


@pytest.mark.slow
def test_a_relative_folder_is_found_from_anywhere(drawn_pictures, tmp_path):
    """The card says where the pictures are, whatever folder the next command is typed in."""
    (tmp_path / "pics").symlink_to(drawn_pictures)
    words = ("--arch", "linear", "--epochs", "1", "--export", "none", "--data", "pics", "--name", "run")
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    fit = [sys.executable, "-m", "training.fit", *words]
    subprocess.run(fit, cwd=tmp_path, env=environment, check=True, capture_output=True)
    run = tmp_path / "saved_models" / "run"
    card = json.loads((run / "card.json").read_text())
    assert card["data"]["source"] == str(tmp_path / "pics")
    assert card["command"] == "python -m training.fit " + " ".join(words)
    evaluate = [sys.executable, "-m", "training.evaluate", str(run)]
    subprocess.run(evaluate, cwd=root, check=True, capture_output=True)


def test_evaluate_again_gives_the_same(digits_run, cli):
    before = (digits_run / "metrics.json").read_text()
    process = cli("training.evaluate", digits_run)
    assert process.returncode == 0, process.stderr
    assert (digits_run / "metrics.json").read_text() == before


def test_evaluate_on_other_pictures(digits_run, digit_files, cli, tmp_path):
    for file in digit_files.iterdir():
        folder = tmp_path / "others" / file.name[0]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file.name).write_bytes(file.read_bytes())
    process = cli("training.evaluate", digits_run, "--data", tmp_path / "others")
    assert process.returncode == 0, process.stderr
    metrics = json.loads((digits_run / "evaluation-others" / "metrics.json").read_text())
    assert metrics["test"]["n"] == 40
    assert metrics["test"]["top1"] > 0.85


@pytest.mark.slow
def test_moved_pictures_are_judged_by_the_splits_of_the_fit(drawn_pictures, cli, tmp_path):
    """Training pictures must not become test pictures because a folder has moved."""
    data = tmp_path / "before"
    shutil.copytree(drawn_pictures, data)
    words = ("--arch", "linear", "--epochs", 1, "--export", "none", "--out", tmp_path, "--name", "run")
    assert cli("training.fit", "--data", data, *words).returncode == 0
    run = tmp_path / "run"
    metrics = (run / "metrics.json").read_text()
    process = cli("training.evaluate", run, "--data", data)  # the very pictures of the fit
    assert process.returncode == 0, process.stderr
    assert (run / "metrics.json").read_text() == metrics
    moved = data.rename(tmp_path / "after")
    process = cli("training.evaluate", run)
    assert process.returncode == 2
    assert "--moved-to" in process.stderr
    process = cli("training.evaluate", run, "--moved-to", moved)
    assert process.returncode == 0, process.stderr
    assert (run / "metrics.json").read_text() == metrics
    assert "not those of the fit" not in process.stdout
    next((moved / "square").iterdir()).unlink()
    process = cli("training.export", run, "--moved-to", moved, "--max-images", 5)
    assert "pictures are not those of the fit" in process.stdout
    process = cli("training.evaluate", run, "--data", moved)
    assert "none of them should be one of the fit" in process.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("training.predict", "RUN", "/no/such/picture.png"), "no such picture"),
        (("training.predict", "/no/such/run", "x.png"), "no such run folder"),
        (("training.evaluate", "/tmp"), "no card.json"),
        (("training.export", "/no/such/run"), "no such run folder"),
        (("training.benchmark", "/no/such/run"), "no such run folder"),
    ],
)
def test_wrong_input(words, message, digits_run, cli):
    process = cli(*(digits_run if word == "RUN" else word for word in words))
    assert process.returncode == 2
    assert message in process.stderr
    assert "Traceback" not in process.stderr


def test_benchmark(digits_run, cli):
    process = cli("training.benchmark", digits_run, "--seconds", 0.2)
    assert process.returncode == 0, process.stderr
    for name in ("model.tflite", "model_int8.tflite", "saved_model/1"):
        assert re.search(rf"^{name} +\d+\.\d+ ms", process.stdout, re.MULTILINE)


@pytest.mark.slow
def test_own_pictures(drawn_fit, drawn_pictures, cli):
    """A folder with odd names, five formats and a broken file."""
    process, run = drawn_fit
    # three epochs of a small network: its exports may well miss their agreement, but not with float32
    assert process.returncode in (0, 3), process.stderr
    assert "1 broken picture(s) left out" in process.stdout
    with (run / "left_out.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["file"].endswith("broken.jpg")
    assert "not a picture" in row["reason"]
    assert (drawn_pictures / "disc" / "broken.jpg").exists()
    card = json.loads((run / "card.json").read_text())
    assert card["class_names"] == ["disc", "ring <i>", "square"]
    assert card["knobs"] == {"alpha": 0.35}
    report = json.loads((run / "export" / "export.json").read_text())
    assert report["model.tflite"]["top1_agreement"] == 1.0
    answer = cli("training.predict", run, drawn_pictures / "square", "--json")
    assert len(answer.stdout.splitlines()) == 24


@pytest.mark.slow
def test_the_report_is_self_contained_and_escapes(drawn_fit):
    page = (drawn_fit[1] / "report.html").read_text()
    assert "ring &lt;i&gt;" in page
    assert "<i>" not in page
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    assert "confusion" in page.lower()


def test_changed_weights_are_refused(digits_run, cli, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(digits_run, copy)
    content = bytearray((copy / "model.weights.h5").read_bytes())
    content[-1] ^= 1
    (copy / "model.weights.h5").write_bytes(content)
    process = cli("training.predict", copy, copy / "plots" / "curves.png", "--engine", "keras")
    assert process.returncode == 2
    assert "SHA-256 differs" in process.stderr


def test_weights_of_a_run_load_into_the_bare_network(digits_run):
    import cnn_keras

    network = cnn_keras.build("lenet5", (32, 32, 1), 10)
    network.load_weights(digits_run / "model.weights.h5")
    again = cnn_keras.build("lenet5", (32, 32, 1), 10)
    cnn_keras.load_weights(again, digits_run / "model.weights.h5")
    for a, b in zip(network.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert isinstance(network, keras.Model)
