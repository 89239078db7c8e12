"""Weights of torchvision's classification networks: state dicts, read and renamed by rule.

The network that takes them is built with `torchvision=True` where its family has that switch. torch is
imported to read a file and nowhere else; a state dict of NumPy arrays needs none.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnn_keras import registry

if TYPE_CHECKING:
    import keras

SUFFIXES = (".pth", ".pt")
StateDict = Mapping[str, np.ndarray]


def read(path: str | Path) -> StateDict:
    """Read a state dict; nothing but tensors is unpickled.

    Args:
        path: A file of `torch.save(network.state_dict(), path)`.

    Returns:
        The arrays by torch's names.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If torch is not installed or the file holds no state dict.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no weights file {path}.")
    try:
        import torch
    except ImportError as error:
        raise ValueError(
            f"Reading {path} needs PyTorch: `pip install torch`, or this package with the extra [torch]."
        ) from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a different one for each way in which a file is broken
        reason = str(error).split("\n", 1)[0]
        raise ValueError(f"{path} is not a state dict that can be read safely ({reason}).") from error
    if not isinstance(state, Mapping) or not state or not all(map(torch.is_tensor, state.values())):
        raise ValueError(f"{path} is not a state dict. Save `network.state_dict()` alone.")
    return {name: value.float().numpy() for name, value in state.items()}


def arrays(state: StateDict, model: "keras.Model") -> dict[str, list[np.ndarray]]:
    """Turn a state dict into the weights of `model`'s layers, by their names, in Keras's order.

    What has no counterpart keeps torch's name. Auxiliary classifiers are left out unless
    `model` has some.

    Raises:
        ValueError: If torchvision has no such network, or `model` is built otherwise than torchvision's.
    """
    family = registry.get(model.name).family if model.name in registry.names() else model.name
    if model.name not in networks():
        raise ValueError(
            f"'{model.name}' takes no weights of torchvision; these do: {', '.join(networks())}."
        )
    if not _is_torchvisions(model, family):
        raise ValueError(
            f"This {model.name} pads, strides or normalises otherwise than torchvision's: build it with "
            "torchvision=True (--knob torchvision=True)."
        )
    groups: dict[str, dict[str, np.ndarray]] = {}
    for name, array in state.items():
        module, _, what = name.rpartition(".")
        if what != "num_batches_tracked":
            groups.setdefault(module, {})[what] = np.asarray(array)
    layers = {layer.name: layer for layer in model.layers}
    if not any(name.startswith("aux1") for name in layers):
        groups = {m: g for m, g in groups.items() if not m.lower().startswith("aux")}
    rename = _RULES[family](groups, model)
    flattened = _flattened(model)
    found = {}
    for module, group in groups.items():
        name = rename(module)
        name = name if name not in found else module
        found[name] = _in_keras_order(group, layers.get(name), flattened.get(name))
    return found


def networks() -> tuple[str, ...]:
    """Return the networks that take weights of torchvision."""
    theirs = (
        r"alexnet_owt|vgg(11|13|16|19)(_bn)?|googlenet|resnet\d+|densenet\d+|mobilenet_v2|inception_v3"
    )
    return tuple(
        name
        for name in registry.names()
        if re.fullmatch(theirs, name) and registry.get(name).family in _RULES
    )


def is_state_dict(path: str | Path) -> bool:
    """Tell from its name whether a file holds weights of torchvision."""
    return str(path).lower().endswith(SUFFIXES)


def switches(name: str) -> dict[str, bool]:
    """Return the switches that make the network `name` torchvision's."""
    return {"torchvision": True} if "torchvision" in registry.get(name).available_knobs else {}


def preprocessing(name: str) -> registry.Preprocessing:
    """Return the scaling that the published weights of `name` were trained with.

    GoogLeNet's and Inception v3's came from TensorFlow: torchvision turns its usual scaling into -1..1
    for them (`transform_input`).
    """
    return "tf" if registry.get(name).family in ("googlenet", "inception_v3") else "torch"


def _is_torchvisions(model, family: str) -> bool:
    """Tell whether `torchvision=True` built the model: the shapes of its weights cannot."""
    names = {layer.name for layer in model.layers}
    if family == "googlenet":
        return "pool2_pad" in names
    if family == "inception_v3":
        return "mixed0_4_1_pad" in names
    epsilons = {e for layer in model.layers if (e := getattr(layer, "epsilon", None)) is not None}
    return epsilons <= {1e-5}


def _in_keras_order(group: dict, layer, flattened) -> list[np.ndarray]:
    """Return the arrays of one layer in Keras's order and layout."""
    if "running_mean" in group:
        order = ("weight", "bias", "running_mean", "running_var")
        return [group[what] for what in order if what in group]
    order = ("weight", *(what for what in group if what != "weight"))
    kernel, *others = (group[what] for what in order if what in group)
    return [_kernel(kernel, layer, flattened), *others]


def _kernel(kernel: np.ndarray, layer, flattened) -> np.ndarray:
    """Lay a kernel out as Keras does: torch's begins with the channels that it makes."""
    wanted = layer.kernel.shape if hasattr(layer, "kernel") else ()
    if kernel.ndim == 4:
        # a depthwise kernel has one input channel in torch, and one output channel in Keras
        depthwise = type(layer).__name__ == "DepthwiseConv2D"
        return kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
    if kernel.ndim == 2 and len(wanted) == 4:  # vgg's head as convolutions
        height, width, channels, _ = wanted
        if kernel.shape[1] == height * width * channels:
            return kernel.reshape(-1, channels, height, width).transpose(2, 3, 1, 0)
    if kernel.ndim == 2 and flattened:
        height, width, channels = flattened
        if kernel.shape[1] == height * width * channels:  # torch flattens channel by channel
            kernel = kernel.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
            kernel = kernel.reshape(len(kernel), -1)
    return kernel.T


def _flattened(model) -> dict[str, tuple[int, ...]]:
    """Return the map, (height, width, channels), that each dense layer behind a Flatten sees."""
    maps = {}
    for flatten in (layer for layer in model.layers if type(layer).__name__ == "Flatten"):
        head = flatten.name.removesuffix("flatten")  # "aux1_" of an auxiliary classifier
        dense = [
            layer.name
            for layer in model.layers
            if type(layer).__name__ == "Dense"
            and layer.name.startswith(head)
            and (head or not layer.name.startswith("aux"))
        ]
        maps[dense[0]] = tuple(flatten.input.shape[1:])
    return maps


def _by_pattern(*rules: tuple[str, str | Callable[[re.Match], str]]) -> Callable:
    """Return a rule that renames by the first pattern that a whole name matches."""

    def rename(module: str) -> str:
        for pattern, replacement in rules:
            if match := re.fullmatch(pattern, module):
                return match.expand(replacement) if isinstance(replacement, str) else replacement(match)
        return module

    return lambda groups, model: rename


def _by_order(theirs: Iterable[str], ours: Iterable[str]) -> dict[str, str]:
    return dict(zip(theirs, ours, strict=False))  # what is left over is a difference, told by its name


def _plain(groups: dict, model) -> Callable[[str], str]:
    """VGG and AlexNet: convolutions, each perhaps with its BatchNormalization, then dense layers."""
    convs = [m for m, g in groups.items() if m.startswith("features.") and "running_mean" not in g]
    bns = [m for m, g in groups.items() if m.startswith("features.") and "running_mean" in g]
    dense = [m for m in groups if m.startswith("classifier.")]
    weighted = [layer.name for layer in model.layers if layer.weights]
    units = [n for n in weighted if "conv" in n and not n.endswith("_bn")]
    names = _by_order(convs, units) | _by_order(bns, (f"{n}_bn" for n in units))
    names |= _by_order(dense, (n for n in weighted if re.fullmatch(r"fc\d+|predictions", n)))
    return lambda module: names.get(module, module)


def _next_stage(match: re.Match) -> str:
    """Number the stages as the papers do, which count the stem as the first; blocks from 1."""
    stage, block, layer = match.groups()
    unit = {"downsample.0": "0_conv", "downsample.1": "0_bn"}.get(layer, f"{layer[-1]}_{layer[:-1]}")
    return f"conv{int(stage) + 1}_block{int(block) + 1}_{unit}"


def _inverted_residual(match: re.Match) -> str:
    """Name the layers of a block of MobileNetV2, whose first one does not expand."""
    block, unit, part = match.groups()
    prefix, kinds = f"block_{int(block) - 1}_", ("expand", "depthwise")
    if block == "1":
        prefix, kinds = "expanded_conv_", ("depthwise",)
    if part is None:  # the projection stands in the block itself, not in a unit
        kind, part = "project", str(int(unit) - len(kinds))
    else:
        kind = kinds[int(unit)]
    return prefix + kind + ("_BN" if part == "1" else "")


def _dense_layer(match: re.Match) -> str:
    """Name the layers of a dense layer: ours number the first normalisation 0."""
    block, layer, kind, number = match.groups()
    unit = f"{int(number) - 1}_bn" if kind == "norm" else f"{number}_conv"
    return f"conv{int(block) + 1}_block{layer}_{unit}"


def _transition(match: re.Match) -> str:
    return f"pool{int(match[1]) + 1}_{'bn' if match[2] == 'norm' else 'conv'}"


def _branch(match: re.Match) -> str:
    """Name a unit of a module of GoogLeNet; in the fourth branch, a pooling is first."""
    module, branch, unit, part = match.groups()
    return f"inception_{module}_{branch}_{int(unit or 0) + 1}_{part}"


def _inception_v3(groups: dict, model) -> Callable[[str], str]:
    """Match units by order: both create them branch by branch."""
    units = registry.get("inception_v3").keras_units
    theirs = dict.fromkeys(m.rpartition(".")[0] for m in groups if re.search(r"^(Conv|Mixed).*\.", m))
    names = _by_order(theirs, units)

    def rename(module: str) -> str:
        unit, _, part = module.rpartition(".")
        if unit in names and part in ("conv", "bn"):
            return f"{names[unit]}_{part}"
        if aux := re.fullmatch(r"AuxLogits\.conv([01])\.(conv|bn)", module):
            return f"aux1_{int(aux[1]) + 1}_{aux[2]}"
        return {"AuxLogits.fc": "aux1_predictions", "fc": "predictions"}.get(module, module)

    return rename


_RULES = {
    "alexnet": _plain,
    "vgg": _plain,
    "resnet": _by_pattern(
        (r"(conv|bn)1", r"conv1_\1"),
        (r"layer(\d)\.(\d+)\.((?:conv|bn)\d|downsample\.[01])", _next_stage),
        ("fc", "predictions"),
    ),
    "mobilenet_v2": _by_pattern(
        (r"features\.0\.0", "Conv1"),
        (r"features\.0\.1", "bn_Conv1"),
        (r"features\.18\.0", "Conv_1"),
        (r"features\.18\.1", "Conv_1_bn"),
        (r"features\.(\d+)\.conv\.([0-3])(?:\.([01]))?", _inverted_residual),
        (r"classifier\.1", "predictions"),
    ),
    "densenet": _by_pattern(
        (r"features\.conv0", "conv1_conv"),
        (r"features\.norm0", "conv1_bn"),
        # the published files are older than torchvision's names and have a dot: norm.1
        (r"features\.denseblock(\d)\.denselayer(\d+)\.(norm|conv)\.?([12])", _dense_layer),
        (r"features\.transition(\d)\.(norm|conv)", _transition),
        (r"features\.norm5", "bn"),
        ("classifier", "predictions"),
    ),
    "googlenet": _by_pattern(
        (r"conv1\.(conv|bn)", r"conv1_\1"),
        (r"conv2\.(conv|bn)", r"conv2_reduce_\1"),
        (r"conv3\.(conv|bn)", r"conv2_\1"),
        (r"inception(\d\w)\.branch(\d)\.(?:(\d)\.)?(conv|bn)", _branch),
        (r"(aux\d)\.conv\.(conv|bn)", r"\1_\2"),
        (r"(aux\d)\.fc1", r"\1_fc"),
        (r"(aux\d)\.fc2", r"\1_predictions"),
        ("fc", "predictions"),
    ),
    "inception_v3": _inception_v3,
}
