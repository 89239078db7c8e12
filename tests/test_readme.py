"""The README says what is so."""

import re
import subprocess
import sys
from pathlib import Path

import cnn_keras
from cnn_keras.__main__ import catalogue
from cnn_keras.tables import as_markdown

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_networks_is_generated():
    start, end = "<!-- python -m cnn_keras --markdown -->\n", "\n<!-- end -->"
    shown = README.split(start)[1].split(end)[0]
    assert shown == as_markdown(catalogue())
    assert all(f"`{name}`" in shown for name in cnn_keras.names())


def test_ci_runs_the_readmes_two_commands():
    commands = [line for line in README.splitlines() if line.startswith("python3 -m venv")]
    assert [command.split()[-1] for command in commands] == ["mobilenet_v2", "pytest"]
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert set(commands) <= set(ci)


def test_the_shipped_run_predicts(cli):
    run = ROOT / "saved_models" / "lenet5-digits"
    assert sum(f.stat().st_size for f in run.rglob("*") if f.is_file()) < 2_000_000
    line = next(
        line
        for line in README.splitlines()
        if line.startswith("python -m training.predict saved_models/lenet5")
    )
    for engine in ("tflite", "saved_model", "keras"):
        process = cli(*line.split()[2:], "--engine", engine)
        assert process.returncode == 0, process.stderr
        assert process.stdout.splitlines()[2].split()[1] == "6"


def test_the_examples_in_python_run():
    printed = []
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        answer = subprocess.run(
            [sys.executable, "-c", block], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stderr
        printed.append(answer.stdout.split()[:1])
    assert printed == [["6"], ["6"], []]  # the example picture, twice; a network
