"""What a search varies, as text, and the mistakes in it that are told at once."""

import subprocess
import sys
from dataclasses import fields

import pytest

from training.runs.command import InputError
from training.runs.durations import seconds
from training.runs.settings import Fit
from training.runs.space import Dimension, apply, as_words, check, parse_space, size

BASE = {f.name: f.default for f in fields(Fit)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr=1e-4..1e-1:log", Dimension("lr", None, 1e-4, 1e-1, True)),
        ("weight-decay=0..1", Dimension("weight_decay", None, 0.0, 1.0)),
        ("epochs=5..9", Dimension("epochs", None, 5, 9)),
        ("batch_size=16, 32,64", Dimension("batch_size", (16, 32, 64))),
        ("batch_size=16..128:log:4", Dimension("batch_size", (16, 32, 64, 128))),
        ("lr=1e-3..1:log:4", Dimension("lr", (0.001, 0.01, 0.1, 1.0))),
        ("l1=0..1:3", Dimension("l1", (0.0, 0.5, 1.0))),
        ("optimizer=sgd,adamw", Dimension("optimizer", ("sgd", "adamw"))),
        ("ema=none,0.9", Dimension("ema", (None, 0.9))),
        ("freeze=none,auto", Dimension("freeze", ("none", "auto"))),  # a choice of its own there
        ("stage_by_stage=true,false", Dimension("stage_by_stage", (True, False))),
        ("weights=none,../a.h5", Dimension("weights", (None, "../a.h5"))),  # no range
        ("knob.expansion=4,6", Dimension("knob.expansion", ("4", "6"))),
        ("knob.expansion=2..6", Dimension("knob.expansion", None, 2, 6)),
    ],
)
def test_texts(text, expected):
    (found,) = parse_space([text])
    assert found == expected
    assert found.integer == (text in ("epochs=5..9", "knob.expansion=2..6")) or found.choices


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bath_size=16,32", "Did you mean batch_size"),
        ("lr", "takes NAME="),
        ("lr=", "takes NAME="),
        ("lr=a,b", "expected a number, not 'a'"),
        ("batch_size=16,3.5", "expected a whole number, not '3.5'"),
        ("batch_size=1.5..3", "whole numbers are expected at both ends, not '1.5'"),
        ("optimizer=sgd,adamm", "expected one of auto, sgd"),
        ("lr=1..0.1", "the lower end comes first"),
        ("lr=0..1:log", "begins above 0"),
        ("lr=0..1:1", "at least 2"),
        ("lr=0.1,0.1", "twice"),
        ("seed=1,2", "seed cannot be varied"),
        ("data=digits", "data cannot be varied"),
        ("knob=alpha", "Expected knob.NAME"),
        ("stage_by_stage=maybe", "True or False"),
    ],
)
def test_mistakes(text, message):
    with pytest.raises(InputError, match=message):
        parse_space([text])


def test_points_that_fit_would_not_take():
    check(BASE, parse_space(["lr=1e-4..1:log", "batch_size=16,32"]))
    for texts, message in [
        (
            ["arch=lenet5,mobilenet_v2", "alpha=0.5,1"],
            "with arch=lenet5, alpha=0.5: .*switch 'alpha'",
        ),
        (["batch_size=0..4"], "with batch_size=0: --batch-size must be positive"),
        (["knob.expanson=4"], "Did you mean expansion"),
        (["lr=0.1,0.2", "epochs=0..5"], "--epochs must be positive"),
    ]:
        with pytest.raises(InputError, match=message):
            check(BASE, parse_space(texts))
    with pytest.raises(InputError, match="--lr is given, and --space varies it"):
        check(BASE | {"lr": 0.1}, parse_space(["lr=0.1,0.2"]))
    with pytest.raises(InputError, match="given twice"):
        parse_space(["lr=0.1", "lr=0.2"])


def test_a_bad_value_is_found_among_very_many_points():
    texts = [f"{name}=0..0.9:20" for name in ("l1", "l2", "label_smoothing")]
    check(BASE, parse_space(texts))
    with pytest.raises(InputError, match="below 1"):
        check(BASE, parse_space([*texts[:2], "label_smoothing=0..1:20"]))


def test_points_become_settings():
    values = apply(BASE | {"knob": ("residual=False",)}, {"lr": 0.1, "knob.expansion": "4"})
    assert Fit(**values).knobs == {"residual": False, "expansion": 4}
    assert values["lr"] == 0.1
    assert size(parse_space(["lr=1..2:3", "batch_size=1,2"])) == 6
    assert size(parse_space(["lr=1..2", "batch_size=1,2"])) is None
    assert as_words({"lr": 0.00123456, "ema": None}) == "lr=0.001235, ema=none"


def test_times():
    assert [seconds(t, "--time") for t in ("90s", "30m", "2h", "1h30m", "1h1m1s")] == [
        *(90, 1800, 7200, 5400, 3661)
    ]
    for wrong in ("", "5", "m", "0s", "-3m", "1d", "30m1h"):
        with pytest.raises(InputError, match="--time takes a time such as"):
            seconds(wrong, "--time")


def test_a_mistyped_name_is_told_before_tensorflow_loads():
    code = (
        "import sys\nfrom training.search import main\n"
        "assert main(['--space', 'bath_size=1,2']) == 2\n"
        "assert main(['--space', 'lr=1..2', '--sampler', 'grid']) == 2\n"
        "assert not {'tensorflow', 'keras', 'optuna', 'sklearn'} & set(sys.modules)\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "Did you mean batch_size" in answer.stderr
