"""The benchmark of the pipeline runs as its documentation says."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(80):
        path = tmp_path / ("val" if i < 8 else "train") / f"class{i % 2}" / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 52, 3), np.uint8)).save(path)
    return tmp_path


@pytest.mark.slow
def test_every_side_is_counted(pictures):
    words = ["light", "--data", pictures, "--image-size", "16", "--rounds", "2"]
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.augment", *words, "--warm", "0", "--seconds", "0.1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split("|")[1:-1] for line in found.stdout.splitlines() if line.startswith("| light")]
    assert [row[1].strip() for row in rows] == [
        "ours, cached / theirs, cached",
        "ours, cached / theirs, JPEG",
        "ours, JPEG / theirs, JPEG",
    ]
    for _, _, ours, theirs, ratio, _ in rows:
        rates = [float(cell.split("(")[0].replace(",", "")) for cell in (ours, theirs)]
        assert float(ratio) == pytest.approx(rates[0] / rates[1], abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["light", "standard", "alexnet"])
def test_the_torch_side_counts_its_turns(pictures, policy):
    pytest.importorskip("torch")
    script = ROOT / "benchmarks" / "torch_loader.py"
    words = [sys.executable, script, pictures / "train", policy, "16", "20"]
    found = subprocess.run(
        words, input="0 0.1\n0.1 0.2\n", capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert found[0].startswith("torch ")
    for line, least in zip(found[1:], (0.1, 0.2), strict=True):
        count, seconds = map(float, line.split())
        assert count % 32 == 0 < count
        assert seconds >= least
