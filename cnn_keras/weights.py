"""Reading weights from files, safely: arrays by layer name, never code.

Reads `.weights.h5` and `.keras` of Keras 3 and the legacy `.h5` of Keras 1 and 2, whole models or
weights alone. Of a `.keras` only the arrays are read; its configuration is not deserialised.
"""

import io
import re
import zipfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnn_keras import registry, torchvision

if TYPE_CHECKING:
    import keras

HEAD = "predictions"  # the classifier of every network here: replaced when the classes are others
Arrays = dict[str, list[np.ndarray]]


def read(path: str | Path) -> Arrays:
    """Read the weights of every layer in a file.

    Args:
        path: A `.weights.h5`, `.h5` or `.keras` file.

    Returns:
        For each layer name, its arrays in Keras's order.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file holds no weights that can be read.
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file {path}.")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                source: object = io.BytesIO(archive.read("model.weights.h5"))
        else:
            source = path
        with h5py.File(source, "r") as file:
            arrays = _legacy(file) if "layer_names" in _root(file).attrs else _current(file)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is not a weights file that can be read ({error}). Expected a .weights.h5, .h5 or "
            ".keras file written by Keras."
        ) from error
    if not arrays:
        raise ValueError(f"{path} holds no weights of named layers.")
    return arrays


def _root(file):
    """Return the group of the weights: a whole legacy model keeps them one level down."""
    return _member(file, "model_weights") if "model_weights" in list(file) else file


def _member(group, path: str):
    """Return what this very file holds at `path`; a link on the way, at any level, is refused.

    Soft links are refused too: they may lead on to an external one.
    """
    import h5py

    for key in path.split("/"):
        link = group.get(key, getlink=True)
        if link is None:
            raise KeyError(f"there is no {group.name}/{key}")
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{group.name}/{key} is a link to elsewhere, which is not followed.")
        group = group[key]
    return group


def _array(group, path: str) -> np.ndarray:
    """Read one array stored in this very file; external and virtual data sets could read others."""
    import h5py

    dataset = _member(group, path)
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise ValueError(f"{group.name}/{path} is not an array stored in the file itself.")
    return dataset[()]


def _legacy(file) -> Arrays:
    root = _root(file)
    arrays = {}
    for name in (_text(n) for n in root.attrs["layer_names"]):
        group = _member(root, name)
        weights = [_text(w) for w in group.attrs["weight_names"]]
        if weights:
            arrays[name] = [_array(group, w) for w in weights]
    return arrays


def _current(file) -> Arrays:
    arrays: Arrays = {}
    layers = _member(file, "layers" if "layers" in list(file) else "_layer_checkpoint_dependencies")
    for key in layers:
        group = _member(layers, key)
        found = list(_variables(group))
        if not found:
            continue
        about = _member(group, "vars").attrs
        if "name" not in about:
            raise ValueError(
                f"The weights under {group.name} carry no layer name. Save them again with Keras 3.6 or "
                "later."
            )
        arrays[_text(about["name"])] = found
    return arrays


def _variables(group) -> Iterator[np.ndarray]:
    """Read the weights of one layer and of the cells that a recurrent layer has inside.

    The states of random generators, which are stored beside them, are no weights.
    """
    parts = list(group)
    if "vars" in parts:
        own = _member(group, "vars")
        yield from (_array(own, key) for key in sorted(own, key=int))
    for part in ("cell", "forward_layer", "backward_layer"):  # the order of Keras's weights
        if part in parts:
            yield from _variables(_member(group, part))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _with_our_names(arrays: Arrays, model: "keras.Model") -> Arrays:
    """Rename the layers that the network's reference names otherwise, as its record says.

    A 1x1 convolution of pooled features, as in the reference's head, becomes the dense layer that it is.
    """
    aliases = registry.get(model.name).aliases if model.name in registry.names() else {}
    arrays = dict(arrays)
    for theirs, ours in aliases.items():
        if theirs in arrays:
            arrays[ours] = [w[0, 0] if w.shape[:-2] == (1, 1) else w for w in arrays.pop(theirs)]
    return arrays


def _named(arrays: Arrays, units: Sequence[str]) -> Arrays:
    """Give layers that Keras numbered (conv2d_7, batch_normalization_7) the names of their units.

    The numbers count the layers in the order of creation, from anywhere. A file of another network, with
    another number of them, is left as it is.
    """
    names = {}
    for kind, suffix in (("conv2d", "conv"), ("batch_normalization", "bn")):
        numbers = {int(m[1] or 0): m[0] for n in arrays if (m := re.fullmatch(rf"{kind}(?:_(\d+))?", n))}
        if len(numbers) != len(units):
            return arrays
        for number, unit in zip(sorted(numbers), units, strict=True):
            names[numbers[number]] = f"{unit}_{suffix}"
    return {names.get(name, name): values for name, values in arrays.items()}


def load_weights(
    model: "keras.Model", source: str | Path, *, replace: Collection[str] = ()
) -> tuple[str, ...]:
    """Load weights from a file, or the official ones, into the layers of the same names.

    Where keras.applications leaves its layers' names to Keras (Inception v3), its files are matched by
    the order in which it creates them.

    Args:
        model: A model of `cnn_keras.build`.
        source: A file for `read`; "imagenet" for the official weights of keras.applications, which are
            downloaded (with other than 1000 classes, the head stays fresh); or a state dict of
            torchvision's network (.pth) for a network built with `torchvision=True`.
        replace: Layers that keep their fresh weights where the file lacks them or has other shapes,
            e.g. `(HEAD,)` for other classes.

    Returns:
        The names of the layers of `replace` that kept their fresh weights.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file does not fit; the message lists both sides.
        OSError: If the official weights cannot be downloaded.
    """
    units = registry.get(model.name).keras_units if model.name in registry.names() else ()
    if source == "imagenet":
        from cnn_keras import imagenet

        arrays, fresh = imagenet.arrays(model)
        replace = {*replace, *fresh}
        arrays = _with_our_names(_named(arrays, units), model)
    elif Path(source).suffix.lower() in torchvision.SUFFIXES:
        arrays = torchvision.arrays(torchvision.read(source), model)
    else:
        arrays = _with_our_names(_named(read(source), units), model)
    return _assign(model, arrays, source, replace)


def _assign(model: "keras.Model", arrays: Arrays, source: str | Path, replace: Collection[str]):
    """Give the layers of `model` their `arrays`, all or none; see `load_weights`."""
    wanted = {layer.name: layer for layer in model.layers if layer.weights}
    kept = tuple(
        name
        for name in replace
        if name in wanted and _shapes(arrays.get(name, ())) != _shapes(wanted[name].weights)
    )
    shared = [name for name in wanted if name in arrays and name not in kept]
    differences = {
        "only in the file": [name for name in arrays if name not in wanted and name not in replace],
        "only in the network": [name for name in wanted if name not in arrays and name not in kept],
        "shape differs": [
            f"{name}: {_shapes(arrays[name])} in the file, {_shapes(wanted[name].weights)} in the "
            "network"
            for name in shared
            if _shapes(arrays[name]) != _shapes(wanted[name].weights)
        ],
    }
    lines = [line for kind, found in differences.items() for line in _listed(kind, found)]
    if lines:
        raise ValueError(f"{source} does not fit the network '{model.name}':\n  " + "\n  ".join(lines))
    for name, layer in wanted.items():
        if name not in kept:
            layer.set_weights(arrays[name])
    return kept


def _listed(kind: str, found: Sequence[str], limit: int = 7) -> Iterator[str]:
    """Yield a line for each of what was `found`, up to a limit, and then how many there are."""
    yield from (f"{kind}: {each}" for each in found[:limit])
    if len(found) > limit:
        yield f"{kind}: ... and {len(found) - limit} more, {len(found)} in all"


def _shapes(weights) -> list[tuple[int, ...]]:
    return [tuple(w.shape) for w in weights]


def copy_by_name(source: "keras.Model", target: "keras.Model", *, skip: Collection[str] = ()) -> None:
    """Copy the weights of every weighted layer of `source` to its namesake in `target`.

    The namesake may be the one that the catalogue's record of `target` gives in `aliases`.

    Raises:
        ValueError: If a layer is missing on either side or a shape differs.
    """
    ours = {layer.name: layer for layer in target.layers if layer.weights and layer.name not in skip}
    theirs = {layer.name: layer.get_weights() for layer in source.layers if layer.weights}
    theirs = {n: w for n, w in _with_our_names(theirs, target).items() if n not in skip}
    differences = [f"only in the source: {name}" for name in theirs.keys() - ours.keys()]
    differences += [f"only in the target: {name}" for name in ours.keys() - theirs.keys()]
    differences += [
        f"shape differs: {name}: {_shapes(theirs[name])} and {_shapes(ours[name].weights)}"
        for name in ours.keys() & theirs.keys()
        if _shapes(theirs[name]) != _shapes(ours[name].weights)
    ]
    if differences:
        raise ValueError("The networks do not match:\n  " + "\n  ".join(sorted(differences)))
    for name, layer in ours.items():
        layer.set_weights(theirs[name])
