"""Writes tests/data/torchvision.npz: logits of torchvision's networks, with weights drawn by name.

Only needed again if a network is added. Needs torch and torchvision:
`python tests/make_torchvision_fixture.py`.
The weights themselves are not stored: `draw` makes them again from the names and shapes.
"""

import json
import math
import zlib
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "data" / "torchvision.npz"
NETWORKS = {  # our name: side of the image, pixels; odd where the network allows, to tell paddings apart
    "resnet18": 65,
    "resnet50": 65,
    "resnet101": 65,
    "mobilenet_v2": 96,
    "densenet121": 64,
    "densenet161": 64,
    "googlenet": 95,
    "inception_v3": 107,
    "vgg11": 224,
    "vgg11_bn": 224,
    "alexnet_owt": 224,
}
CLASSES = 10


def draw(name, shape):
    """Weights that carry the signal: He et al.'s kernels, statistics far from 0 and 1.

    >>> draw("fc.bias", (10,)).shape
    (10,)
    """
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, "float32")
    if len(shape) > 1:
        scale = np.float32(math.sqrt(2 / math.prod(shape[1:])))
        return rng.standard_normal(shape, "float32") * scale
    if name.endswith((".weight", ".running_var")):
        return rng.random(shape, "float32") + np.float32(0.5)
    return rng.standard_normal(shape, "float32") * np.float32(0.1)


def image(side):
    """One image, float32 (1, side, side, 3), of mean 0."""
    return np.random.default_rng(side).standard_normal((1, side, side, 3), "float32")


def theirs(name, classes=CLASSES):
    """torchvision's network of our name, with the weights of `draw`."""
    import torch
    import torchvision

    # as in the published files, with auxiliary classifiers where there are some
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    builder = getattr(torchvision.models, "alexnet" if name == "alexnet_owt" else name)
    network = builder(weights=None, num_classes=classes, **options).eval()
    state = network.state_dict()
    drawn = {n: torch.from_numpy(draw(n, tuple(v.shape))).to(v.dtype) for n, v in state.items()}
    network.load_state_dict(drawn)
    return network


def logits(network, pictures):
    """What torch's `network` says of `pictures`, float32 (batch, height, width, 3).

    Computed in float64: in float32, torch's MobileNetV2 is 1.7e-5 of the largest logit off itself.
    """
    import torch

    x = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).double()
    with torch.no_grad():
        return network.double()(x).numpy()


def main():
    """Write the file."""
    stored = {}
    for name, side in NETWORKS.items():
        network = theirs(name)
        shapes = {n: list(v.shape) for n, v in network.state_dict().items()}
        stored[f"{name}/shapes"] = np.frombuffer(json.dumps(shapes).encode(), "uint8")
        stored[f"{name}/logits"] = logits(network, image(side))
    DATA.parent.mkdir(exist_ok=True)
    np.savez_compressed(DATA, **stored)


if __name__ == "__main__":
    main()
