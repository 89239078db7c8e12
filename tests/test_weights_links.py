"""A weights file is read alone: no link or stored-elsewhere array in it is followed, at any level."""

import h5py
import numpy as np
import pytest

from cnn_keras import weights

LEVELS = {
    "current": ("layers", "layers/dense", "layers/dense/vars", "layers/dense/vars/0"),
    "legacy": (
        "model_weights",
        "model_weights/dense",
        "model_weights/dense/sub",
        "model_weights/dense/sub/k",
    ),
}


def write(path, form):
    array = np.arange(6.0, dtype="float32").reshape(2, 3)
    with h5py.File(path, "w") as file:
        file[LEVELS[form][-1]] = array
        if form == "current":
            file["layers/dense/vars"].attrs["name"] = "dense"
        else:
            file["model_weights"].attrs["layer_names"] = [b"dense"]
            file["model_weights/dense"].attrs["weight_names"] = [b"sub/k"]
    return array


@pytest.mark.parametrize("form", LEVELS)
def test_the_plain_file_is_read(tmp_path, form):
    array = write(tmp_path / "w.h5", form)
    np.testing.assert_array_equal(weights.read(tmp_path / "w.h5")["dense"][0], array)


@pytest.mark.parametrize("kind", ["external", "soft"])
@pytest.mark.parametrize(("form", "level"), [(f, p) for f in LEVELS for p in LEVELS[f]])
def test_a_link_is_refused_at_every_level(tmp_path, form, level, kind):
    write(tmp_path / "other.h5", form)
    write(tmp_path / "w.h5", form)
    with h5py.File(tmp_path / "w.h5", "a") as file:
        file.move(level, "moved")
        external = h5py.ExternalLink(str(tmp_path / "other.h5"), level)
        file[level] = external if kind == "external" else h5py.SoftLink("/moved")
    with pytest.raises(ValueError, match="is a link to elsewhere"):
        weights.read(tmp_path / "w.h5")


@pytest.mark.parametrize("form", LEVELS)
@pytest.mark.parametrize("kind", ["external", "virtual"])
def test_an_array_stored_elsewhere_is_refused(tmp_path, form, kind):
    write(tmp_path / "w.h5", form)
    write(tmp_path / "other.h5", form)
    (tmp_path / "raw").write_bytes(bytes(24))
    key = LEVELS[form][-1]
    with h5py.File(tmp_path / "w.h5", "a") as file:
        del file[key]
        if kind == "external":
            file.create_dataset(key, (2, 3), "f4", external=[(str(tmp_path / "raw"), 0, 24)])
        else:
            layout = h5py.VirtualLayout((2, 3), "f4")
            layout[...] = h5py.VirtualSource(str(tmp_path / "other.h5"), key, shape=(2, 3))
            file.create_virtual_dataset(key, layout)
    with pytest.raises(ValueError, match="not an array stored in the file itself"):
        weights.read(tmp_path / "w.h5")
