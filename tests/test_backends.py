"""The networks give the same on Keras's other backends, where these are installed (jax is for CI)."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cnn_keras

QUICK = [
    ("lenet5", 32, {"sparse_c3": True}),
    ("ar", 16, {}),
]
REST = [
    ("googlenet", 32, {}),
    ("mobilenet_v2", 32, {"alpha": 0.35}),
    ("linear", 16, {}),
    ("mlp", 16, {}),
    ("alexnet", 67, {}),
    ("vgg11_lrn", 32, {"hidden": (32, 32)}),
    ("inception_v2", 32, {}),
    ("inception_v3", 75, {}),
    ("inception_v4", 75, {}),
    ("resnet18", 32, {"shortcut": "A"}),
    ("resnet20", 32, {}),
    ("resnet50_v2", 32, {}),
    ("densenet121", 32, {}),
    ("densenet40_k12", 32, {}),
    ("mobilenet_v1", 32, {"alpha": 0.25, "normalization": "group"}),
    ("tdnn", 16, {}),
    ("narx", 16, {}),
    ("rnn", 16, {}),
    ("lstm", 16, {"bidirectional": True}),
    ("gru", 16, {}),
]

ELSEWHERE = """
import json, os
import keras, numpy as np
import cnn_keras
assert keras.backend.backend() == os.environ["KERAS_BACKEND"]
for i, (name, shape, knobs) in enumerate(json.load(open("networks.json"))):
    network = cnn_keras.build(name, tuple(shape), 10, **knobs)
    given = np.load(f"{i}.npz")
    network.set_weights([given[f"arr_{n}"] for n in range(len(given) - 1)])
    np.save(f"{i}.npy", network.predict_on_batch(given["image"]))
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize(
    "networks", [pytest.param(QUICK, id="quick"), pytest.param(REST, id="rest", marks=pytest.mark.slow)]
)
def test_other_backends_give_the_same(backend, networks, randomise, relative_difference, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    rng, expected, words = np.random.default_rng(0), [], []
    for i, (name, size, knobs) in enumerate(networks):
        shape = (size, size, cnn_keras.get(name).channels)
        network = cnn_keras.build(name, shape, 10, **knobs)
        randomise(network)
        image = rng.normal(size=(2, *shape)).astype("float32")
        np.savez(tmp_path / f"{i}.npz", *network.get_weights(), image=image)
        expected.append(np.asarray(network(image)))
        words.append((name, shape, knobs))
    (tmp_path / "networks.json").write_text(json.dumps(words))
    root = Path(cnn_keras.__file__).parents[1]
    answer = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(root)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    for i, (name, _, _) in enumerate(networks):
        found = np.load(tmp_path / f"{i}.npy")
        assert np.abs(expected[i]).max() > 1e-3, "the comparison would be vacuous"
        assert relative_difference(found, expected[i]) < 1e-4, name


def test_every_family_is_there():
    families = {cnn_keras.get(name).family for name, *_ in QUICK + REST}
    assert families == {cnn_keras.get(name).family for name in cnn_keras.names()}
