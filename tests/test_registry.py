"""The catalogue: complete, consistent, helpful when asked for what it has not."""

import dataclasses
import subprocess
import sys

import pytest

import cnn_keras
from cnn_keras import knobs


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="registered already"):
        cnn_keras.register(cnn_keras.get("lenet5"))


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"'mobilnet_v2'. Did you mean mobilenet_v2"):
        cnn_keras.get("mobilnet_v2")
    with pytest.raises(ValueError, match="python -m cnn_keras"):
        cnn_keras.get("xyzzy")


def test_an_unknown_knob_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"no switch 'alpa'. Did you mean alpha"):
        cnn_keras.build("mobilenet_v2", alpa=0.5)


@pytest.mark.parametrize("name", cnn_keras.names())
def test_every_record_is_complete(name):
    variant = cnn_keras.get(name)
    for field in dataclasses.fields(variant):
        if field.name not in (
            *("reference", "reference_knobs", "aliases", "knobs", "published", "keras_units"),
            "aux_weight",
        ):
            assert getattr(variant, field.name), field.name
    assert variant.url.startswith("http")
    assert variant.min_size <= variant.input_size
    assert variant.summary
    variant.check_knobs(variant.reference_knobs)
    assert bool(variant.aux_weight) == ("aux" in variant.available_knobs)
    for point in variant.published:
        assert point.source
        variant.check_knobs(point.knobs)


def test_names_match_patterns():
    assert cnn_keras.names("mobile*v2") == ("mobilenet_v2",)
    assert cnn_keras.names("nothing*") == ()


def test_the_catalogue_loads_no_tensorflow():
    code = "import sys, cnn_keras; cnn_keras.names(); sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_knobs_are_parsed_as_what_they_look_like():
    assert knobs.parse(["alpha=0.5", "residual=false", "shortcut=A", "sizes=(3, 5)", "x = None"]) == {
        "alpha": 0.5,
        "residual": False,
        "shortcut": "A",
        "sizes": (3, 5),
        "x": None,
    }
    with pytest.raises(ValueError, match="NAME=VALUE"):
        knobs.parse(["alpha"])
    with pytest.raises(ValueError, match="twice"):
        knobs.parse(["alpha=1", "alpha=2"])
