"""Flags: quick help, early errors, every one explained."""

import dataclasses
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from training import __main__ as cnn_keras_command
from training.runs import command, settings

COMMANDS = sorted(cnn_keras_command.COMMANDS.keys() - {"networks"})


def settings_of(name):
    """Return the settings of a command: a dataclass with the command's name."""
    return getattr(importlib.import_module(f"training.{name}"), name.title().replace("_", ""))


TYPES = tuple(settings_of(name) for name in COMMANDS)


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


GIVEN = ["--weights", "imagenet"]


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
        (["--knob", "alpha=abc"], "alpha must be a number, not 'abc'"),
        (["--knob", "bn_momentum=x"], "bn_momentum must be a number"),
        (["--knob", "residual=1"], "residual must be True or False"),
        (["--dropout", "x"], "--dropout"),
        (["--data", __file__], "this is a file"),
        (["--arch", "lenet5", "--alpha", "0.5"], "no switch 'alpha'"),
        (["--knob", "alfa=1"], "Did you mean alpha"),
        (["--knob", "alpha"], "NAME=VALUE"),
        (["--alpha", "0.5", "--knob", "alpha=0.75"], "disagree"),
        (["--dropout", "1"], "below 1"),
        (["--checkpoint-every", "0"], "--checkpoint-every must be positive"),
        (["--ema", "1"], "--ema must be between 0 and 1"),
        (["--label-smoothing", "1"], "--label-smoothing must be at least 0 and below 1"),
        (["--loss", "class-balanced", "--class-weight", "balanced"], "leave --class-weight out"),
        (["--clip-norm", "1", "--clip-value", "1"], "give one"),
        (["--optimizer", "adamm"], "adamw"),
        (["--channels", "2"], "1 or 3"),
        (["--data", "/no/such/folder"], "no such folder"),
        (["--weights", "/no/such/file.h5"], "no such file"),
        (["--freeze", "backbone"], "needs --weights"),
        (["--freeze", "0"], "a number from 1 on"),
        (["--freeze", "some"], "--freeze"),
        (["--unfreeze-epochs", "2"], "--unfreeze-epochs needs --weights"),
        (["--augmented-passes", "2"], "--augmented-passes needs --weights"),
        (["--layer-decay", "1.5"], "--layer-decay must be above 0 and at most 1"),
        (["--head", "dense"], "conv1x1"),
        ([*GIVEN, "--freeze", "none", "--augmented-passes", "2"], "leave --augmented-passes out"),
        ([*GIVEN, "--freeze", "backbone", "--layer-decay", "0.9"], "trains the head alone"),
        ([*GIVEN, "--freeze", "backbone", "--unfreeze-epochs", "2"], "trains the head alone"),
        ([*GIVEN, "--freeze", "backbone", "--ema", "0.9", "--mixup", "0.2"], "of whole pictures"),
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
    assert fit_status("--out", str(tmp_path), "--name", "run") == 2
    assert "already" in capsys.readouterr().err


@pytest.mark.parametrize("kind", TYPES)
def test_every_flag_is_explained(kind, capsys):
    with pytest.raises(SystemExit):
        command.run(kind, lambda _: 0, ["--help"])
    text = re.sub("[─│╭╮╰╯]", " ", capsys.readouterr().out)
    for field in dataclasses.fields(kind):
        name = field.name
        flag = {"run": "RUN", "folder": "FOLDER", "images": "IMAGE_OR_FOLDER"}.get(
            name, f"--{name.replace('_', '-')}"
        )
        explained = re.search(
            rf"^ *{flag}(?![\w-])(.*?)(?=^ *--|^ *$|\Z)", text, re.MULTILINE | re.DOTALL
        )
        assert explained, flag
        assert len(explained[1].split()) > 2, explained[0]


def test_the_flags_of_fit_come_in_groups_the_needed_ones_first(capsys):
    with pytest.raises(SystemExit):
        command.run(settings.Fit, lambda _: 0, ["--help"])
    text = capsys.readouterr().out
    places = [text.index(word) for word in ("--arch", "--alpha", "--augment", "--freeze", "--export")]
    groups = ("main", "network", "pictures", "training", "output")
    titles = [text.index(f"{name} options") for name in groups]
    assert sorted([*places, *titles]) == [p for pair in zip(titles, places, strict=True) for p in pair]


def test_knobs_join_flags_and_knob():
    found = settings.Fit(alpha=0.5, dropout=0.2, knob=("expansion=4",)).knobs
    assert found == {"alpha": 0.5, "dropout": 0.2, "expansion": 4}


def test_settings_survive_the_way_through_json(tmp_path):
    """Every flag of fit, none at its default."""
    (tmp_path / "w.h5").touch()
    given = settings.Fit(
        arch="mobilenet_v1",
        data=str(tmp_path),
        weights=str(tmp_path / "w.h5"),
        image_size=96,
        epochs=3,
        batch_size=8,
        lr=0.1,
        name="n",
        out=Path("o"),
        alpha=0.5,
        dropout=0.25,
        knob=("shallow=True",),
        augment="light",
        mixup=0.2,
        cutmix=1.0,
        channels=1,
        preprocessing="unit",
        data_dir="d",
        cache="none",
        cache_dir=Path("caches"),
        on_bad_image="fail",
        freeze=3,
        unfreeze_epochs=2,
        augmented_passes=4,
        layer_decay=0.9,
        head="flatten",
        optimizer="sgd",
        schedule="step",
        warmup_epochs=0.5,
        weight_decay=0.1,
        l1=0.1,
        l2=0.2,
        clip_norm=2.0,
        accumulate=2,
        ema=0.9,
        loss="focal",
        class_weight="balanced",
        label_smoothing=0.1,
        early_stop=3,
        seed=7,
        precision="float32",
        checkpoint_every=5.0,
        export="all",
    )
    default = settings.Fit()
    values = json.loads(json.dumps(settings.as_json(given)))
    at_default = {k for k, v in settings.as_json(default).items() if values[k] == v}
    # no MobileNet has auxiliary classifiers; gradients are clipped in one way
    assert at_default == {"stage_by_stage", "clip_value"}
    words = [w for k, v in values.items() for w in words_of(k, v)]
    parsed = []
    assert command.run(settings.Fit, lambda s: parsed.append(s), words) == 0
    assert parsed == [given]


def words_of(name, value):
    if isinstance(value, bool):
        return [f"--{name.replace('_', '-')}"] if value else []
    values = value if isinstance(value, list) else [value]
    return [word for v in values for word in (f"--{name.replace('_', '-')}", str(v))]


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
