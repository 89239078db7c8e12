"""Weights from files: the right ones, all of them, and nothing but arrays."""

import h5py
import keras
import numpy as np
import pytest

import cnn_keras
from cnn_keras import weights


def network(num_classes=5, **knobs):
    return cnn_keras.build("mobilenet_v2", (32, 32, 3), num_classes, alpha=0.35, **knobs)


def equal(a, b, but=()):
    return all(
        np.array_equal(x, y)
        for layer in a.layers
        if layer.weights and layer.name not in but
        for x, y in zip(layer.get_weights(), b.get_layer(layer.name).get_weights(), strict=True)
    )


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".keras"])
def test_formats(tmp_path, suffix, randomise):
    """Current weights, legacy whole model, .keras; as keras.applications writes them."""
    theirs = keras.applications.MobileNetV2((32, 32, 3), 0.35, weights=None, classes=5)
    randomise(theirs)
    path = tmp_path / f"theirs{suffix}"
    if suffix == ".weights.h5":
        theirs.save_weights(path)
    else:
        theirs.save(path)
    ours = network()
    assert cnn_keras.load_weights(ours, path) == ()
    assert equal(theirs, ours)


def test_other_classes_keep_a_fresh_head(tmp_path):
    source, target = network(9), network(4)
    source.save_weights(tmp_path / "source.weights.h5")
    fresh = target.get_layer("predictions").get_weights()
    kept = cnn_keras.load_weights(target, tmp_path / "source.weights.h5", replace=(weights.HEAD,))
    assert kept == ("predictions",)
    assert equal(source, target, but=("predictions",))
    np.testing.assert_array_equal(fresh[0], target.get_layer("predictions").get_weights()[0])


def test_a_mismatch_lists_both_sides(tmp_path):
    source = cnn_keras.build("lenet5", (32, 32, 1), 10)
    source.save_weights(tmp_path / "lenet.weights.h5")
    with pytest.raises(ValueError, match="does not fit") as error:
        cnn_keras.load_weights(network(), tmp_path / "lenet.weights.h5")
    text = str(error.value)
    assert "only in the file: C1" in text
    assert "only in the network: Conv1" in text
    with pytest.raises(
        ValueError, match=r"shape differs: predictions: \[\(84, 10\), \(10,\)\] in the file"
    ):
        cnn_keras.load_weights(cnn_keras.build("lenet5", num_classes=3), tmp_path / "lenet.weights.h5")


def chain(names, filters=1):
    """Return a network of 1x1 convolutions of those names, one behind the other."""
    image = x = keras.Input((1, 1, 1))
    for name in names:
        x = keras.layers.Conv2D(filters, 1, use_bias=False, name=name)(x)
    return keras.Model(image, x)


def test_a_long_list_of_one_kind_hides_no_other(tmp_path):
    theirs, ours, both = ([f"{side}{i:02}" for i in range(25)] for side in ("theirs", "ours", "both"))
    chain(theirs + both, filters=2).save_weights(tmp_path / "file.weights.h5")
    with pytest.raises(ValueError, match="does not fit") as error:
        cnn_keras.load_weights(chain(ours + both, filters=1), tmp_path / "file.weights.h5")
    _, *lines = (line.strip() for line in str(error.value).splitlines())
    shapes = ": [(1, 1, 2, 2)] in the file, [(1, 1, 1, 1)] in the network"
    for kind, names, what in (
        ("only in the file", theirs, ""),
        ("only in the network", ours, ""),
        ("shape differs", both, shapes),
    ):
        *named, rest = (line for line in lines if line.startswith(kind))
        assert len(set(named)) == len(named) >= 5
        assert set(named) < {f"{kind}: {name}{what}" for name in names}
        assert rest == f"{kind}: ... and {25 - len(named)} more, 25 in all"
    assert len(lines) <= 24


def test_a_mismatch_loads_nothing(tmp_path):
    source, target = network(9), network(4)
    source.save_weights(tmp_path / "source.weights.h5")
    before = target.get_weights()
    with pytest.raises(ValueError, match="shape differs"):
        cnn_keras.load_weights(target, tmp_path / "source.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(before, target.get_weights(), strict=True))


@pytest.mark.parametrize("content", [b"", b"not a file of weights", b"PK\x03\x04garbage"])
def test_a_wrong_file_is_named(tmp_path, content):
    path = tmp_path / "wrong.h5"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"wrong\.h5"):
        weights.read(path)
    with pytest.raises(FileNotFoundError, match=r"missing\.h5"):
        weights.read(tmp_path / "missing.h5")


def test_links_to_other_files_are_not_followed(tmp_path):
    """A weights file must not be able to read the rest of the disk."""
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["secret"] = np.ones(3)
    path = tmp_path / "evil.weights.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("layers/dense/vars")
        group.attrs["name"] = "predictions"
        group["0"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "secret")
    with pytest.raises(ValueError, match="link"):
        weights.read(path)
