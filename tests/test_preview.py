"""The table of originals and augmented pictures."""

import numpy as np
import pytest
from PIL import Image

from training import preview
from training.data.augment import stored_size
from training.data.examples import augmented, examples
from training.data.mixing import Mixing
from training.data.pipeline import training_batches
from training.data.prepare import prepare
from training.data.sources import open_source
from training.report.grid import grid


def test_what_is_drawn_is_what_a_fit_sees():
    source, size, policy = open_source("digits"), 16, "alexnet"
    shown = examples(source, 4, size, policy)
    rows = augmented(shown, policy, size, 2, seed=3)
    data = prepare(source, size, 1, parts=("train",), train_size=stored_size(policy, size), quiet=True)
    dataset, steps = training_batches(
        data.to_augment, len(data.to_augment), 2, policy=policy, seed=3, image_size=size
    )
    assert steps == 1
    epochs = [{x.tobytes() for x in images} for images, _ in dataset.as_numpy_iterator()]
    for row in rows:
        for epoch, picture in zip(epochs, row, strict=True):
            assert picture.tobytes() in epoch
    assert [example.label for example in shown] == sorted(example.label for example in shown)
    mixed = augmented(shown, policy, size, 2, seed=3, mixing=Mixing(1.0, None, 10))
    assert not np.array_equal(mixed, rows)


def test_the_grid():
    a, b = np.full((20, 20, 1), 50, np.uint8), np.full((20, 20, 1), 200, np.uint8)
    page = np.asarray(grid([("one", [a, b]), ("a name that is much too long " * 9, [b, a])], ["x", "y"]))
    assert page.shape[1] < 120 + 2 * 104 + 20
    values, counts = np.unique(page[..., 0], return_counts=True)
    found = dict(zip(values.tolist(), counts.tolist(), strict=True))
    assert found[50] >= 2 * 100**2  # enlarged to 100 x 100 pixels each; letters may be as grey
    assert found[200] >= 2 * 100**2


def test_the_command(drawn_pictures, tmp_path, capsys):
    out = tmp_path / "new" / "shown.png"
    words = ("--data", str(drawn_pictures), "--policy", "strong", "--image-size", "32")
    assert preview.main([*words, "--pictures", "3", "--epochs", "2", "--out", str(out)]) == 0
    assert "policy strong, 32 x 32 pixels" in capsys.readouterr().out
    with Image.open(out) as image:
        assert image.height == 22 + 3 * 100
        assert image.width > 3 * 100


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "x.jpg"], "ends in .png"),
        (["--image-size", "7"], "at least 8"),
        (["--seed", "99999999999"], "--seed must be below"),
        (["--pictures", "0"], "--pictures must be positive"),
        (["--mixup", "1", "--pictures", "1"], "over 1"),
        (["--data", "/no/such/folder"], "no such folder"),
    ],
)
def test_wrong_flags(words, message, capsys):
    assert preview.main(words) == 2
    assert message in capsys.readouterr().err
