"""Flags: quick help, early errors, every one explained."""

import dataclasses
import subprocess
import sys

import pytest

from training import __main__ as cnn_keras_command
from training.runs import command, settings

COMMANDS = ("fit", "evaluate", "export", "predict", "benchmark")
TYPES = (settings.Fit, settings.Evaluate, settings.Export, settings.Predict, settings.Benchmark)


@pytest.mark.parametrize("name", [*COMMANDS, "__main__"])
def test_help_loads_no_tensorflow(name):
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['x', '--help']\n"
        f"try: runpy.run_module('training.{name}', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "usage" in answer.stdout


def fit_status(*words):
    """Run the flags through the parser; the work itself is not done."""
    return command.run(settings.Fit, lambda _: 0, list(words))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--arch", "mobilnet_v2"], "Did you mean mobilenet_v2"),
        (["--epoch", "3"], "--epochs"),
        (["--epochs", "0"], "--epochs must be positive"),
        (["--batch-size", "-3"], "--batch-size must be positive"),
        (["--lr", "nan"], "--lr must be positive"),
        (["--image-size", "8"], "at least 32 x 32"),
        (["--alpha", "-1"], "--alpha must be positive"),
        (["--arch", "lenet5", "--alpha", "0.5"], "no switch 'alpha'"),
        (["--knob", "alfa=1"], "Did you mean alpha"),
        (["--knob", "alpha"], "NAME=VALUE"),
        (["--alpha", "0.5", "--knob", "alpha=0.75"], "disagree"),
        (["--dropout", "1"], "below 1"),
        (["--channels", "2"], "1 or 3"),
        (["--data", "/no/such/folder"], "no such folder"),
        (["--weights", "/no/such/file.h5"], "no such file"),
        (["--freeze", "backbone"], "needs --weights"),
        (["--name", "a/b"], "without slashes"),
        (["--name", ".."], "without slashes"),
        (["--precision", "float64"], "float64"),
        (["--seed", "-1"], "0 or more"),
        (["--seed", "99999999999"], "below"),
    ],
)
def test_a_wrong_flag_is_an_early_short_error(words, message, capsys):
    try:
        status = fit_status(*words)
    except SystemExit as end:
        status = end.code
    assert status == 2
    text = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert message in text
    assert "Traceback" not in text


def test_an_existing_name_is_refused(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    with pytest.raises(SystemExit) as end:
        fit_status("--out", str(tmp_path), "--name", "run")
    assert end.value.code == 2
    assert "already" in capsys.readouterr().err


@pytest.mark.parametrize("kind", TYPES)
def test_every_flag_is_explained(kind, capsys):
    with pytest.raises(SystemExit):
        command.run(kind, lambda _: 0, ["--help"])
    text = capsys.readouterr().out
    for field in dataclasses.fields(kind):
        name = field.name
        assert f"--{name.replace('_', '-')}" in text or name.upper() in text or "IMAGE_OR" in text


def test_knobs_join_flags_and_knob():
    found = settings.Fit(alpha=0.5, dropout=0.2, knob=("expansion=4",)).knobs
    assert found == {"alpha": 0.5, "dropout": 0.2, "expansion": 4}


def test_settings_become_plain_values():
    values = settings.as_json(settings.Fit(knob=("expansion=4",)))
    assert values["out"] == "saved_models"
    assert values["knob"] == ["expansion=4"]
    assert "debug" not in values


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (command.InputError("x"), 2),
        (ValueError("x"), 1),
        (command.GateError("x"), 3),
        (KeyboardInterrupt(), 130),
        (RuntimeError("x"), 1),
        (None, 0),
    ],
)
def test_exit_status(error, status, capsys):
    def work(_):
        if error is not None:
            raise error

    assert command.run(settings.Fit, work, []) == status
    assert "Traceback" not in capsys.readouterr().err


def test_a_missing_package_is_named(capsys):
    def work(_):
        import no_such_package  # noqa: F401

    assert command.run(settings.Fit, work, []) == 1
    assert "'no_such_package' is not installed" in capsys.readouterr().err


def test_debug_shows_tracebacks(capsys):
    def work(_):
        raise RuntimeError("deep")

    assert command.run(settings.Fit, work, ["--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_the_console_command(capsys):
    assert cnn_keras_command.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in (*COMMANDS, "networks"))
    assert cnn_keras_command.main(["no-such"]) == 2
    assert cnn_keras_command.main([]) == 2
    assert cnn_keras_command.main(["networks"]) == 0
    assert "lenet5" in capsys.readouterr().out
