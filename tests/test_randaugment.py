"""RandAugment and TrivialAugment: the operations against Pillow, the draws one by one."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps
from test_augment import both_ways

from training.data.randaugment import OPERATIONS, RAND, TRIVIAL, apply, rand_augment, trivial_augment

SIDE = 24
IMAGE = np.random.default_rng(2).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
SAME_AT_NOTHING = set(OPERATIONS) - {"autocontrast", "equalize"}


def applied(name, amount, image=IMAGE, limits=RAND):
    return apply(
        tf.constant(image), tf.constant(OPERATIONS.index(name)), tf.constant(amount), limits
    ).numpy()


def transformed(image, **entries):
    """Move a picture by Pillow: output to input coordinates about the centre, over grey 128."""
    a, b, c, d = (entries.get(k, v) for k, v in zip("abcd", (1, 0, 0, 1), strict=True))
    half = SIDE / 2
    x = half - (a + b) * half - entries.get("dx", 0)
    y = half - (c + d) * half - entries.get("dy", 0)
    return image.transform(
        image.size, Image.Transform.AFFINE, (a, b, x, c, d, y), fillcolor=(128, 128, 128)
    )


def by_pillow(name, amount):
    image = Image.fromarray(IMAGE)
    factor = 1 + 0.9 * amount
    shift = amount * 150 / 331 * SIDE
    return {
        "identity": lambda: image,
        "autocontrast": lambda: ImageOps.autocontrast(image),
        "equalize": lambda: ImageOps.equalize(image),
        "solarize": lambda: ImageOps.solarize(image, 256 * (1 - abs(amount))),
        "posterize": lambda: ImageOps.posterize(image, 8 - round(4 * abs(amount))),
        "saturation": lambda: ImageEnhance.Color(image).enhance(factor),
        "contrast": lambda: ImageEnhance.Contrast(image).enhance(factor),
        "brightness": lambda: ImageEnhance.Brightness(image).enhance(factor),
        "sharpness": lambda: ImageEnhance.Sharpness(image).enhance(factor),
        "rotate": lambda: image.rotate(30 * amount, fillcolor=(128, 128, 128)),
        "shear_x": lambda: transformed(image, b=-0.3 * amount),
        "shear_y": lambda: transformed(image, c=-0.3 * amount),
        "translate_x": lambda: transformed(image, dx=shift),
        "translate_y": lambda: transformed(image, dy=shift),
    }[name]()


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_pillows(name):
    for amount in (-1.0, -0.3, 0.0, 0.7):
        expected = np.asarray(by_pillow(name, amount)).astype(int)
        different = np.abs(applied(name, amount).astype(int) - expected).max(-1)
        if name in OPERATIONS[-5:]:  # where two pixels are as near, either may be taken
            assert (different > 0).mean() < 0.03, amount
        else:
            assert different.max() <= 2, amount
        if amount == 0 and name in SAME_AT_NOTHING:
            np.testing.assert_array_equal(applied(name, amount), IMAGE)


@pytest.mark.parametrize("name", OPERATIONS)
def test_grey_pictures(name):
    grey = IMAGE[..., :1]
    found = applied(name, 0.7, grey)
    assert found.shape == grey.shape
    assert found.dtype == np.uint8
    assert np.array_equal(found, grey) == (name in ("identity", "saturation"))
    if name not in ("saturation", "contrast"):  # the mean of a grey picture in colour is rounded
        np.testing.assert_array_equal(
            applied(name, 0.7, np.repeat(grey, 3, -1)), np.repeat(found, 3, -1)
        )


def draws(operation, pictures, **arguments):
    """Augment copies of one picture; return for each the operations that would give the same."""
    dataset = tf.data.Dataset.range(pictures).map(
        lambda i: operation(tf.constant(IMAGE), tf.stack([0, tf.cast(i, tf.int32)]), **arguments),
        num_parallel_calls=2,
    )
    return list(dataset.as_numpy_iterator())


def test_each_picture_draws_its_own_operation_all_with_equal_chances():
    made = {
        applied(name, amount).tobytes(): (name, amount) for name in OPERATIONS for amount in (-0.3, 0.3)
    }
    found = [made[one.tobytes()] for one in draws(rand_augment, 700, count=1, magnitude=0.3)]
    counts = np.array([sum(name == other for other, _ in found) for name in OPERATIONS])
    expected = 700 / len(OPERATIONS)
    assert ((counts - expected) ** 2 / expected).sum() < 34.5  # 0.1 % of chi-squared with 13 degrees
    directions = [amount > 0 for name, amount in found if name == "rotate"]
    assert 0.25 < np.mean(directions) < 0.75
    neighbours = [a == b for (a, _), (b, _) in itertools.pairwise(found)]
    assert np.mean(neighbours) < 0.13  # 1 in 14 when independent


def test_two_operations_one_after_the_other():
    first = {name: applied(name, amount) for name in OPERATIONS for amount in (-0.3, 0.3)}
    singles = {image.tobytes() for image in first.values()}
    found = draws(rand_augment, 100)
    assert np.mean([one.tobytes() in singles for one in found]) < 0.5
    assert len({one.tobytes() for one in found}) > 60


def test_trivial_augment_draws_operation_and_magnitude():
    found = draws(trivial_augment, 200)
    assert len({one.tobytes() for one in found}) > 110  # three operations have no magnitude
    one = both_ways(trivial_augment, IMAGE, [0, 5])
    choice, size = tf.random.stateless_uniform((2,), [0, 5]).numpy()
    name = OPERATIONS[int(choice * len(OPERATIONS))]
    np.testing.assert_array_equal(one, applied(name, np.float32(2 * size - 1), limits=TRIVIAL))


def test_eager_and_in_a_dataset():
    both_ways(rand_augment, IMAGE, [1, 2])
