"""torchvision's weights: the same outputs as there, and one error for what does not fit.

Of the largest logit, against torch in float64: at most 5e-6 in float32, but for MobileNetV2, 1.4e-5.
That is rounding: torch's own float32 is 1.7e-5 off there, and ours in float64 7e-7. Hence float64 here.
"""

import importlib.util
import json
import sys

import keras
import numpy as np
import pytest
from make_torchvision_fixture import CLASSES, DATA, NETWORKS, draw, image, logits, theirs

import cnn_keras
from cnn_keras import torchvision, weights
from cnn_keras.preprocessing import scale
from training.data.sources import digits
from training.engine import plan
from training.runs.settings import Fit

TOLERANCE = 1e-5
# large, or long to build
SLOW = {"vgg11", "vgg11_bn", "alexnet_owt", "resnet101", "densenet121", "densenet161", "inception_v3"}


def network(name, side=None, classes=CLASSES, **knobs):
    if name != "alexnet_owt":
        knobs = {"torchvision": True} | knobs
    return cnn_keras.build(name, (side, side, 3) if side else None, classes, **knobs)


def precise(name, *arguments, **options):
    """`network`, in float64 where float32 does not reach the tolerance; the last layer is float32."""
    usual = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64" if name == "mobilenet_v2" else usual)
    try:
        return network(name, *arguments, **options)
    finally:
        keras.config.set_dtype_policy(usual)


def slow(name):
    return pytest.param(name, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def stored():
    with np.load(DATA) as file:
        return dict(file)


def state_dict(stored, name):
    shapes = json.loads(stored[f"{name}/shapes"].tobytes())
    return {n: draw(n, tuple(shape)) for n, shape in shapes.items()}


@pytest.fixture
def load(monkeypatch):
    """A function that loads a state dict of NumPy arrays, as if it came from a file."""

    def load(model, state, **options):
        monkeypatch.setattr(torchvision, "read", lambda path: state)
        return cnn_keras.load_weights(model, "theirs.pth", **options)

    return load


@pytest.mark.parametrize("name", [slow(name) if name in SLOW else name for name in NETWORKS])
def test_outputs_are_torchvisions(name, stored, load, relative_difference):
    """With auxiliary classifiers in the file, as in the published ones, and none in the network."""
    model = precise(name, NETWORKS[name])
    assert load(model, state_dict(stored, name)) == ()
    ours = model(image(NETWORKS[name]), training=False)
    assert relative_difference(ours, stored[f"{name}/logits"]) < TOLERANCE


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "googlenet", slow("inception_v3")])
def test_a_network_that_pads_otherwise_is_refused(name, load):
    with pytest.raises(ValueError, match="torchvision=True"):
        load(network(name, 96, torchvision=False), {})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_classifiers_are_loaded_where_there_are_some(name, stored, load):
    """GoogLeNet's sees 4 x 4 x 128 values, which torch flattens channel by channel."""
    state, model = state_dict(stored, name), network(name, aux=True)
    load(model, state)
    if name == "googlenet":
        kernel = model.get_layer("aux2_fc").get_weights()[0].reshape(4, 4, 128, 1024)
        np.testing.assert_array_equal(kernel[1, 2, 3], state["aux2.fc1.weight"][:, 3 * 16 + 1 * 4 + 2])
    else:
        kernel = model.get_layer("aux1_2_conv").get_weights()[0]
        np.testing.assert_array_equal(kernel[1, 2, 3], state["AuxLogits.conv1.conv.weight"][:, 3, 1, 2])


@pytest.mark.parametrize(
    ("name", "knobs", "scaling"),
    [
        ("resnet50", {"torchvision": True}, "torch"),
        ("alexnet_owt", {}, "torch"),
        ("googlenet", {"torchvision": True}, "tf"),
        ("inception_v3", {"torchvision": True}, "tf"),
    ],
)
def test_fit_chooses_what_belongs_to_the_file(name, knobs, scaling, tmp_path, monkeypatch):
    """torchvision's own: `transform_input` of the two brings the usual scaling back to -1..1."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)  # PyTorch may not be here
    file = tmp_path / "theirs.pth"
    file.touch()
    given = Fit(arch=name, weights=str(file))
    assert given.knobs == knobs
    assert plan.choose(given, digits(seed=0)).scaling == scaling
    with_flags = Fit(arch=name, weights=str(file), preprocessing="unit", knob=("dropout=0.1",))
    assert with_flags.knobs == knobs | {"dropout": 0.1}
    assert plan.choose(with_flags, digits(seed=0)).scaling == "unit"
    if knobs:
        told = Fit(arch=name, weights=str(file), knob=("torchvision=False",))
        assert told.knobs == {"torchvision": False}


def test_scaling_of_the_networks_that_came_from_tensorflow():
    """The same pixel by torchvision's two steps (its transform, then `transform_input`) and by ours."""
    pixel = np.array([[[[10.0, 100.0, 250.0]]]], "float32")
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    usual = (pixel / 255 - mean) / std
    theirs_then = usual * (std / 0.5) + (mean - 0.5) / 0.5
    ours = scale(pixel, torchvision.preprocessing("googlenet"))
    np.testing.assert_allclose(theirs_then, ours, atol=1e-6)


def test_other_classes_keep_a_fresh_head(stored, load):
    state, model = state_dict(stored, "resnet18"), network("resnet18", 64, classes=3)
    fresh = model.get_layer("predictions").get_weights()[0]
    with pytest.raises(ValueError, match=r"shape differs: predictions: \[\(512, 10\), \(10,\)\] in the"):
        load(model, state)
    assert load(model, state, replace=(weights.HEAD,)) == ("predictions",)
    np.testing.assert_array_equal(fresh, model.get_layer("predictions").get_weights()[0])
    stem = model.get_layer("conv1_conv").get_weights()[0]
    np.testing.assert_array_equal(stem[2, 3, 1], state["conv1.weight"][:, 1, 2, 3])


def test_a_mismatch_lists_both_sides(stored, load):
    state = state_dict(stored, "resnet18")
    state["layer9.0.conv1.extra.weight"] = np.zeros((1, 1, 1, 1), "float32")
    state["bn1.weight"] = state["bn1.weight"][:5]
    state = {n: v for n, v in state.items() if not n.startswith("layer2.1.conv2")}
    with pytest.raises(ValueError, match="does not fit") as error:
        load(network("resnet18", 64), state)
    lines = [line.strip() for line in str(error.value).splitlines()[1:]]
    assert len(lines) == 3
    assert lines[0] == "only in the file: layer9.0.conv1.extra"
    assert lines[1] == "only in the network: conv3_block2_2_conv"
    assert lines[2].startswith("shape differs: conv1_bn: [(5,), (64,), (64,), (64,)] in the file")


def test_a_deeper_file_does_not_fit_a_shallower_network(load):
    """Where layers are matched by their order, those beyond the network's are told, not dropped."""
    model = network("vgg11", 32, hidden=())
    state = {f"features.{i}.weight": np.zeros((1, 1, 3, 3), "float32") for i in range(9)}
    with pytest.raises(ValueError, match=r"only in the file: features\.8\n"):
        load(model, state)


def test_older_names_of_densenet():
    """The published files are older than torchvision's present names."""
    model = network("densenet121", 32, depths=(1, 1, 1, 1))
    old = torchvision.arrays({"features.denseblock2.denselayer1.norm.2.weight": np.ones(3)}, model)
    new = torchvision.arrays({"features.denseblock2.denselayer1.norm2.weight": np.ones(3)}, model)
    assert list(old) == list(new) == ["conv3_block1_1_bn"]


def test_networks_that_torchvision_lacks_are_refused(load):
    with pytest.raises(ValueError, match=r"'lenet5' takes no weights of torchvision; .*resnet152"):
        load(cnn_keras.build("lenet5"), {})
    with pytest.raises(ValueError, match="'vgg11_lrn' takes no weights"):  # though VGG-11's would fit
        load(cnn_keras.build("vgg11_lrn", (32, 32, 3), hidden=(8,)), {})


def test_without_torch_the_error_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "theirs.pth").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ValueError, match="pip install torch"):
        torchvision.read(tmp_path / "theirs.pth")
    with pytest.raises(FileNotFoundError, match=r"missing\.pth"):
        torchvision.read(tmp_path / "missing.pth")


def test_a_file_of_torch_is_read_safely(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"fc.bias": torch.ones(3, dtype=torch.float16)}, tmp_path / "good.pth")
    np.testing.assert_array_equal(torchvision.read(tmp_path / "good.pth")["fc.bias"], np.ones(3))
    torch.save({"fc.bias": print}, tmp_path / "code.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "garbage.pth").write_bytes(b"garbage")
    for name in ("code", "list", "garbage"):
        with pytest.raises(ValueError, match=rf"{name}\.pth is not a state dict"):
            torchvision.read(tmp_path / f"{name}.pth")


@pytest.mark.slow
@pytest.mark.parametrize("name", torchvision.networks())
def test_every_network_against_torchvision(name, tmp_path, relative_difference):
    """A file of torch and the network itself, where both are installed."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchvision")
    original = theirs(name, 7)
    torch.save(original.state_dict(), tmp_path / "theirs.pth")
    side = 224 if name.startswith(("vgg", "alexnet")) else 107 if name == "inception_v3" else 97
    model = precise(name, side, classes=7)
    assert cnn_keras.load_weights(model, tmp_path / "theirs.pth") == ()
    ours = model(image(side), training=False)
    assert relative_difference(ours, logits(original, image(side))) < TOLERANCE
