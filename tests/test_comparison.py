"""Two networks side by side, and what the command line refuses."""

import pytest

import cnn_keras
from cnn_keras import analysis
from cnn_keras.__main__ import main
from cnn_keras.comparison import Measured, stages, totals


@pytest.fixture(scope="module")
def pair():
    def measured(name, **knobs):
        variant = cnn_keras.get(name)
        model = cnn_keras.build(name, num_classes=variant.num_classes, **knobs)
        return Measured.of(model, variant.published_for(knobs, variant.input_size))

    return measured("vgg16"), measured("mobilenet_v1", alpha=0.5)


def test_totals(pair):
    table = {row[0]: row[1:] for row in totals(*pair)}
    assert table[""] == ("vgg16", "mobilenet_v1", "second : first")
    assert table["parameters"] == ("138,357,544", "1,331,592", "0.01")
    assert table["MACs"] == ("15,470,264,320", "149,497,088", "0.01")
    # VGG's conv1_1: 224 * 224 * 64 numbers of 4 bytes; conv_pw_1 of MobileNet: 112 * 112 * 32
    assert table["largest output (kB)"][:2] == ("12,845.1", "1,605.6")
    assert table["layers with kernels, one behind the other"] == ("16", "28", "1.75")
    assert table["receptive field of the last map (px)"] == ("212", "315", "1.49")
    assert table["last map"][:2] == ("7 x 7 x 512", "7 x 7 x 512")
    assert table["published top-1"][1].startswith("63.3 % ImageNet")


def test_stages(pair):
    """VGG's conv2 runs at stride 2: 9 * (64 * 128 + 128 * 128) weights, 256 biases, 112 x 112 places."""
    table = {row[0]: row[1:] for row in stages(*pair)}
    assert list(table) == ["stride", "1", "2", "4", "8", "16", "32", "head"]
    assert table["2"][:4] == ("112 x 112 x 128", "2", "221,440", "2,774.5")
    assert table["head"][4:] == ("1000", "1", "513,000", "0.5")
    for column, name, knobs in ((2, "vgg16", {}), (6, "mobilenet_v1", {"alpha": 0.5})):
        total = sum(int(row[column].replace(",", "")) for key, row in table.items() if key != "stride")
        assert total == analysis.count_params(cnn_keras.build(name, **knobs))


@pytest.mark.parametrize(
    ("name", "depth"),
    [("lenet5", 5), ("alexnet", 8), ("resnet18", 18), ("googlenet", 22), ("mobilenet_v1", 28)],
)
def test_depth_is_the_papers(name, depth):
    """Their names and titles: LeNet-5, 8 learned layers, ResNet-18, "22 layers deep", 28 layers."""
    assert analysis.depth(cnn_keras.build(name)) == depth


def test_published_accuracy_is_that_of_the_very_network():
    variant = cnn_keras.get("mobilenet_v2")
    assert variant.published_for({}, 224).top1 == 71.3
    assert variant.published_for({"alpha": 0.5}, 160).top1 == 61.0
    assert variant.published_for({"alpha": 0.6}, 160) is None
    assert variant.published_for({}, 100) is None
    assert variant.published_for({"residual": False}, 224) is None


def test_on_the_command_line(capsys):
    words = ["mobilenet_v2", "--compare", "mobilenet_v2", "--knob", "alpha=0.35", "--image-size", "96"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "mobilenet_v2 (2)" in out
    assert "45.5 % ImageNet" in out
    assert "60.3 % ImageNet" in out
    assert main(["lenet5", "--compare", "lenet", "--num-classes", "7"]) == 0
    assert "MNIST" not in capsys.readouterr().out  # nothing is published of seven classes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lenet5", "--image-size", "0"], "--image-size must be 1 or more, not 0"),
        (["lenet5", "--image-size", "-3"], "--image-size must be 1 or more, not -3"),
        (
            ["vgg16", "--image-size", "20"],
            "--image-size 20 is too small for vgg16, which needs at least 32",
        ),
        (["lenet5", "--compare", "vgg16", "--image-size", "30"], "too small for"),
        (["lenet5", "--num-classes", "0"], "--num-classes must be 1 or more, not 0"),
        (["lenet5", "--channels", "0"], "--channels must be 1, 3 or 4, not 0"),
        (["lenet5", "--compare", "lenet6"], "Unknown network 'lenet6'. Did you mean lenet"),
        (["--compare", "lenet5"], "--compare needs the NAME of a network"),
        (["--image-size", "96"], "--image-size needs the NAME"),
        (["--plot", "x.svg"], "--plot needs the NAME"),
        (["lenet5", "--markdown"], "--markdown prints the table of all networks"),
    ],
)
def test_wrong_input_names_the_flag_before_anything_is_built(words, message, capsys, monkeypatch):
    monkeypatch.setattr("cnn_keras.build", lambda *_, **__: pytest.fail("too late"))
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
