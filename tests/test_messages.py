"""What goes wrong is said in one line that names the file and what to do."""

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnn_keras
import cnn_keras.__main__ as catalogue
from training import evaluate, export, predict
from training.data.sources import open_source
from training.engine.callbacks import BestWeights
from training.runs import command, files
from training.runs.command import InputError
from training.runs.folder import Run
from training.runs.settings import Fit

SHIPPED = Path(__file__).parents[1] / "saved_models" / "lenet5-digits"
Usage = namedtuple("Usage", "total used free")


def test_a_full_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    """HDF5 would take the process down with it."""
    network = cnn_keras.build("lenet5", num_classes=2)
    best = BestWeights(network, Run(tmp_path), pictures=100)
    best.offer(0.5, 1.0, 1)
    before = (tmp_path / "model.weights.h5").read_bytes()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9 - 10**5, 10**5))
    with pytest.raises(OSError, match=r"no space left: 0\.3 MB needed, 0\.1 MB free"):
        best.offer(0.9, 0.1, 2)
    assert (tmp_path / "model.weights.h5").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.weights.h5"]


def test_an_error_of_the_system_names_the_file_first(capsys):
    def work(_):
        files.check_space(Path("/"), 10**18)

    assert command.run(Fit, work, []) == 1
    assert capsys.readouterr().err.startswith("error: /: no space left: 1,000,000,000,000.0 MB needed")


@pytest.mark.parametrize("name", ["a\nb", "", "\t", "tab\tbed"])
def test_a_class_name_that_does_not_fit_into_labels_txt(tmp_path, name):
    names = np.array([name, "other"])
    pictures = np.zeros((20, 9, 9), np.uint8)
    np.savez(tmp_path / "data.npz", x=pictures, y=np.arange(20) % 2, class_names=names)
    with pytest.raises(InputError, match="cannot be the name of a class"):
        open_source(str(tmp_path / "data.npz"))


def test_the_name_of_a_folder_is_brought_into_one_line(tmp_path):
    for folder in ("a\nb", "other"):
        (tmp_path / folder).mkdir()
        for i in range(8):
            Image.fromarray(np.full((9, 9), i, np.uint8)).save(tmp_path / folder / f"{i}.png")
    assert open_source(str(tmp_path)).class_names == ("a\\nb", "other")


@pytest.mark.parametrize("module", [evaluate, export])
def test_a_run_that_cannot_be_written_to_is_told_at_once(module, monkeypatch, capsys):
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert module.main([str(SHIPPED)]) == 2
    assert f"{SHIPPED} cannot be written to" in capsys.readouterr().err


def test_a_damaged_saved_model_is_named(tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(SHIPPED, run)
    (run / "export" / "saved_model" / "1").mkdir(parents=True, exist_ok=True)
    (run / "export" / "saved_model" / "1" / "saved_model.pb").write_bytes(b"damaged")
    assert predict.main([str(run), str(SHIPPED / "example.png"), "--engine", "saved_model"]) == 2
    assert f"{run / 'export' / 'saved_model' / '1'} is damaged" in capsys.readouterr().err


def test_predict_sees_the_pictures_that_fit_sees(tmp_path, capsys):
    """Those below, none that is hidden; a link to nowhere is an error of its own."""
    (tmp_path / "below").mkdir()
    (tmp_path / ".hidden").mkdir()
    for place in ("a.png", "below/b.png", ".hidden/c.png", ".d.png"):
        shutil.copy(SHIPPED / "example.png", tmp_path / place)
    (tmp_path / "e.png").symlink_to("nowhere.png")
    assert predict.main([str(SHIPPED), str(tmp_path), "--json"]) == 1
    seen = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {Path(s["file"]).name for s in seen if "top" in s} == {"a.png", "b.png"}
    assert [Path(s["file"]).name for s in seen if "error" in s] == ["e.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="file names are not bytes elsewhere")
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_json_of_names_that_are_no_text(tmp_path, encoding):
    """One valid JSON object a line, from which the name comes back."""
    names = [os.fsencode(tmp_path) + b"/bad\xff.png", os.fsencode(tmp_path / "Ж😀.png")]
    for name in names:
        shutil.copy(SHIPPED / "example.png", name)
    answer = subprocess.run(
        [sys.executable, "-m", "training.predict", SHIPPED, tmp_path, "--json"],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
    )
    found = [json.loads(line)["file"] for line in answer.stdout.decode("utf-8").splitlines()]
    assert {os.fsencode(name) for name in found} == set(names)


def test_wrong_weights_are_refused_before_tensorflow_loads(tmp_path, capsys, monkeypatch):
    (tmp_path / "w.txt").touch()
    (tmp_path / "w.pth").touch()
    monkeypatch.setitem(sys.modules, "torch", None)
    for name, message in (("w.txt", "expected a .weights.h5, .h5, .keras"), ("w.pth", "needs PyTorch")):
        assert command.run(Fit, lambda _: 0, ["--weights", str(tmp_path / name)]) == 2
        assert message in capsys.readouterr().err


def test_the_catalogue_can_be_interrupted(monkeypatch, capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(catalogue, "show", interrupted)
    assert catalogue.main(["resnet152"]) == 130
    assert capsys.readouterr().err == "\ninterrupted\n"


@pytest.mark.parametrize(
    "words", [["resnet18", "--knob", "depths=5"], ["mobilenet_v2", "--knob", "alpha=1e400"]]
)
def test_impossible_switches_are_told_without_a_traceback(words, capsys):
    assert catalogue.main(words) == 2
    assert capsys.readouterr().err.startswith("error: ")
