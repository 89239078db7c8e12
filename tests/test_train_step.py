"""The benchmark of a training step compares a network with its own counterpart."""

import importlib.util
import re
import subprocess
import sys

import pytest
from conftest import ROOT

import cnn_keras

SCRIPT = ROOT / "benchmarks" / "train_step.py"
COUNTERPARTS = {
    *("vgg16", "vgg19", "resnet50", "resnet101", "resnet152", "inception_v3"),
    *("resnet50_v2", "resnet101_v2", "resnet152_v2", "densenet121", "densenet169", "densenet201"),
    *("mobilenet_v1", "mobilenet_v2"),
}
QUICK = {"mobilenet_v1": {"alpha": 0.25}, "mobilenet_v2": {"alpha": 0.35}, "resnet50": {}}


@pytest.fixture(scope="module")
def train_step():
    spec = importlib.util.spec_from_file_location("train_step", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in sorted(COUNTERPARTS)
    ],
)
def test_both_sides_have_the_same_weights(train_step, name):
    size = 75 if name == "inception_v3" else 32
    pair = train_step.pair(name, (size, size, 3), QUICK.get(name, {}))
    assert pair["ours"].count_params() == pair["theirs"].count_params()


def test_a_network_without_counterpart_and_a_switch_without_one_are_named(train_step):
    for name in set(cnn_keras.names()) - COUNTERPARTS:
        with pytest.raises(ValueError, match=rf"keras\.applications has no {name} to compare with"):
            train_step.pair(name, (32, 32, 3), {})
    with pytest.raises(ValueError, match=r"ResNet50 has no switch alpha"):
        train_step.pair("resnet50", (32, 32, 3), {"alpha": 0.5})


@pytest.mark.slow
def test_the_command_prints_a_row_with_the_width():
    words = [sys.executable, "-m", "benchmarks.train_step", "mobilenet_v2:32:2:alpha=0.35"]
    words += ["--seconds", "0.1"]
    process = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT, timeout=200)
    assert process.returncode == 0, process.stderr
    row = process.stdout.splitlines()[-1]
    assert re.match(r"\| mobilenet_v2 alpha=0\.35 \| 32 \| 2 \| \d+ \(", row), row
