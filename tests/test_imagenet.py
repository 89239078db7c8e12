"""Official ImageNet weights: the very files of keras.applications, and what they give."""

import h5py
import keras
import numpy as np
import pytest
from keras.src.utils import file_utils

import cnn_keras
from cnn_keras import imagenet, imagenet_files
from training.runs import command, settings

slow = pytest.mark.slow
COUNTERPARTS = {
    name: cnn_keras.get(name).reference.rpartition(".")[2]
    for name in cnn_keras.names()
    if (cnn_keras.get(name).reference or "").startswith("keras.applications.")
}


def test_every_counterpart_has_official_weights():
    assert set(imagenet_files.names()) == set(COUNTERPARTS)
    assert len(COUNTERPARTS) == 14


def asked_by_keras(monkeypatch, name, **options):
    """Return the address and the hash that keras.applications asks for."""
    asked = []

    def record(file, url, file_hash=None, **_):
        asked.append((url, file_hash))
        raise ConnectionError

    monkeypatch.setattr(file_utils, "get_file", record)
    with pytest.raises(ConnectionError):
        getattr(keras.applications, COUNTERPARTS[name])(weights="imagenet", **options)
    return asked[0]


QUICK = ("vgg16", "inception_v3", "densenet121", "resnet50_v2")


@pytest.mark.parametrize("top", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=slow)
        for name in COUNTERPARTS
        if not name.startswith("mobilenet")
    ],
)
def test_files_and_hashes_are_those_of_keras(monkeypatch, name, top):
    shape = {} if top else {"input_shape": (96, 96, 3)}
    url, known = asked_by_keras(monkeypatch, name, include_top=top, **shape)
    knobs = cnn_keras.get(name).reference_knobs
    path, ours = imagenet_files.file_of(name, 224, knobs, top=top)
    assert (url, known) == (imagenet._BASE + path, ours)
    assert known


@pytest.mark.parametrize("top", [False, True])
@pytest.mark.parametrize(
    ("name", "alphas", "sizes"),
    [
        ("mobilenet_v1", (0.25, 0.5, 0.75, 1.0), (128, 160, 192, 224)),
        ("mobilenet_v2", (0.35, 0.5, 0.75, 1.0), (96, 160, 224)),
        ("mobilenet_v2", (1.3, 1.4), (224,)),
    ],
)
def test_files_of_the_mobilenets(monkeypatch, name, alphas, sizes, top):
    for alpha in alphas:
        for size in sizes:
            options = {"include_top": top, "alpha": alpha, "input_shape": (size, size, 3)}
            url, _ = asked_by_keras(monkeypatch, name, **options)
            path, known = imagenet_files.file_of(name, size, {"alpha": alpha}, top=top)
            assert url == imagenet._BASE + path
            assert name == "mobilenet_v2" or len(known) == 64


def write_official(model, path, *, rename):
    """Write weights as Keras 1 did: layers in their order, perhaps by the names of older versions."""
    with h5py.File(path, "w") as file:
        names = [f"old{i}" if rename else layer.name for i, layer in enumerate(model.layers)]
        file.attrs["layer_names"] = [name.encode() for name in names]
        for name, layer in zip(names, model.layers, strict=True):
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}_{i}:0".encode() for i in range(len(layer.weights))]
            for i, values in enumerate(layer.get_weights()):
                group[f"{name}_{i}:0"] = values


@pytest.fixture
def official(monkeypatch, tmp_path, randomise):
    """Pretend that a randomised network of keras.applications was downloaded; return it."""

    def pretend(name, size, *, top, rename=True, **options):
        make = getattr(keras.applications, COUNTERPARTS[name])
        head = {"classifier_activation": None} if top else {"pooling": "avg"}
        theirs = make(weights=None, include_top=top, input_shape=(size, size, 3), **head, **options)
        randomise(theirs)
        file = tmp_path / "official.h5"
        write_official(theirs, file, rename=rename)
        monkeypatch.setattr(keras.utils, "get_file", lambda *_, **__: str(file))
        return theirs

    return pretend


def without_head(network):
    return keras.Model(network.input, network.get_layer("predictions").input)


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("mobilenet_v1", 64, {"alpha": 0.25}),
        ("mobilenet_v2", 64, {"alpha": 0.35}),
        ("resnet50", 64, {}),
        pytest.param("resnet50_v2", 64, {}, marks=slow),
        pytest.param("densenet121", 64, {}, marks=slow),
        pytest.param("inception_v3", 75, {}, marks=slow),
        pytest.param("resnet101", 64, {}, marks=slow),
    ],
)
def test_new_classes_replace_the_head_only(official, relative_difference, name, size, options):
    theirs = official(name, size, top=False, **options)
    knobs = {**cnn_keras.get(name).reference_knobs, **options}
    ours = cnn_keras.build(name, (size, size, 3), 7, **knobs)
    head = ours.get_layer("predictions").get_weights()
    assert cnn_keras.load_weights(ours, "imagenet") == ("predictions",)
    images = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype("float32")
    assert relative_difference(without_head(ours)(images), theirs(images)) < 1e-5
    for before, after in zip(head, ours.get_layer("predictions").get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_thousand_classes_keep_the_head(official, relative_difference):
    theirs = official("mobilenet_v2", 96, top=True, alpha=0.35)
    ours = cnn_keras.build("mobilenet_v2", (96, 96, 3), 1000, alpha=0.35)
    assert cnn_keras.load_weights(ours, "imagenet") == ()
    images = np.random.default_rng(0).normal(size=(2, 96, 96, 3)).astype("float32")
    assert relative_difference(ours(images), theirs(images)) < 1e-5


@pytest.mark.parametrize("heads", [True, False])
def test_auxiliary_classifiers_stay_fresh(official, relative_difference, heads):
    theirs = official("inception_v3", 107, top=False)
    network = cnn_keras.build("inception_v3", (107, 107, 3), 5, aux=True)
    main = cnn_keras.without_auxiliary(network)  # what fit loads them into
    fresh = cnn_keras.load_weights(network if heads else main, "imagenet")
    assert {name.split("_")[0] for name in fresh} == (
        {"aux1", "predictions"} if heads else {"predictions"}
    )
    images = np.random.default_rng(0).normal(size=(2, 107, 107, 3)).astype("float32")
    assert relative_difference(without_head(main)(images), theirs(images)) < 1e-5


@slow
def test_vgg_keeps_its_dense_layers_where_they_fit(official, relative_difference):
    theirs = official("vgg16", 224, top=True)
    ours = cnn_keras.build("vgg16", (224, 224, 3), 7)
    assert cnn_keras.load_weights(ours, "imagenet") == ("predictions",)
    images = np.random.default_rng(0).normal(size=(1, 224, 224, 3)).astype("float32")
    expected = keras.Model(theirs.input, theirs.get_layer("fc2").output)(images)
    assert (
        relative_difference(keras.Model(ours.input, ours.get_layer("fc2").output)(images), expected)
        < 1e-5
    )


def test_vgg_of_another_size_starts_them_afresh(official):
    theirs = official("vgg16", 64, top=False)
    ours = cnn_keras.build("vgg16", (64, 64, 3), 7)
    assert set(cnn_keras.load_weights(ours, "imagenet")) == {"fc1", "fc2", "predictions"}
    for name in ("block1_conv1", "block5_conv3"):
        for a, b in zip(ours.get_layer(name).weights, theirs.get_layer(name).weights, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--arch", "lenet5"], "no official ImageNet weights for lenet5. There are for vgg16"),
        (["--alpha", "0.4"], "with alpha=0.4; there are for alpha 0.35, 0.5"),
        (["--arch", "resnet50", "--knob", "conv_bias=False"], "there are for conv_bias=True"),
        (["--knob", "expansion=4"], "with expansion=4; there are for expansion=6"),
        (["--channels", "1"], "colour pictures"),
    ],
)
def test_what_has_no_official_weights_is_an_early_error(words, message, capsys):
    assert command.run(settings.Fit, lambda _: 0, ["--weights", "imagenet", *words]) == 2
    assert message in capsys.readouterr().err


def test_the_switches_of_the_reference_come_with_its_weights():
    assert settings.Fit(arch="resnet50", weights="imagenet").knobs == {"conv_bias": True}
    assert settings.Fit(arch="resnet50").knobs == {}


def test_a_model_from_elsewhere_is_refused():
    model = keras.applications.MobileNetV2((96, 96, 3), 0.35, weights=None)
    with pytest.raises(ValueError, match=r"not made by cnn_keras\.build"):
        cnn_keras.load_weights(model, "imagenet")


def test_without_a_network_it_says_what_to_do(monkeypatch, tmp_path):
    def no_network(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(keras.utils, "get_file", no_network)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(OSError, match=r"(?s)no network.*_0\.35_224_no_top\.h5") as error:
        imagenet.download("mobilenet_v2", 224, {"alpha": 0.35})
    assert str(tmp_path / "models") in str(error.value)


def test_the_sum_of_a_file_without_a_known_one_is_told(monkeypatch, tmp_path, capsys):
    file = tmp_path / "weights.h5"
    file.write_bytes(b"abc")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(keras.utils, "get_file", lambda *_, **__: str(file))
    imagenet.download("mobilenet_v2", 96, {"alpha": 0.35})
    # FIPS 180-2, appendix B.1
    assert "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" in capsys.readouterr().err
    imagenet.download("vgg16", 224, {})
    assert capsys.readouterr().err == ""
