"""Each augmentation against a value made by hand, eagerly and inside tf.data."""

import numpy as np
import tensorflow as tf

from training.data import augment
from training.runs.settings import Fit


def both_ways(operation, image, seed, **arguments):
    """Run an operation eagerly and inside tf.data; they must agree."""
    eager = operation(tf.constant(image), tf.constant(seed), **arguments).numpy()
    dataset = tf.data.Dataset.from_tensors(image).map(
        lambda x: operation(tf.ensure_shape(x, image.shape), tf.constant(seed), **arguments)
    )
    np.testing.assert_array_equal(next(dataset.as_numpy_iterator()), eager)
    assert eager.dtype == np.uint8
    assert eager.shape == image.shape
    return eager


IMAGE = np.arange(2 * 3 * 1, dtype=np.uint8).reshape(2, 3, 1)


def test_flip():
    np.testing.assert_array_equal(
        both_ways(augment.flip, IMAGE, [0, 1], probability=1.0), IMAGE[:, ::-1]
    )
    np.testing.assert_array_equal(both_ways(augment.flip, IMAGE, [0, 1], probability=0.0), IMAGE)
    flipped = [bool((np.asarray(augment.flip(IMAGE, [0, i])) != IMAGE).any()) for i in range(400)]
    assert 0.4 < np.mean(flipped) < 0.6


def test_shift_moves_whole_pixels_and_mirrors_the_border():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    padded = np.pad(image, [(4, 4), (4, 4), (0, 0)], "reflect")
    corners = set()
    for i in range(60):
        found = both_ways(augment.shift, image, [3, i], share=0.25)
        places = [
            (y, x)
            for y in range(9)
            for x in range(9)
            if np.array_equal(padded[y : y + 16, x : x + 16], found)
        ]
        assert len(places) == 1
        corners.add(places[0])
    assert {y for y, _ in corners} == {x for _, x in corners} == set(range(9))


def test_shift_rotate_by_nothing_is_the_identity():
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 1), np.uint8)
    np.testing.assert_array_equal(
        both_ways(augment.shift_rotate, image, [0, 1], share=0.0, degrees=0.0), image
    )


def test_shift_rotate_turns_about_the_centre(monkeypatch):
    """A quarter turn, drawn by hand: the random numbers are dx, dy, turn in -1..1."""
    monkeypatch.setattr(tf.random, "stateless_uniform", lambda *_: tf.constant([0.0, 0.0, 1.0]))
    image = np.random.default_rng(0).integers(0, 256, (5, 5, 1), np.uint8)
    found = augment.shift_rotate(tf.constant(image), tf.constant([0, 0]), share=0.0, degrees=90.0)
    np.testing.assert_array_equal(found.numpy(), np.rot90(image))


def test_shift_rotate_shifts_in_what_is_black(monkeypatch):
    monkeypatch.setattr(tf.random, "stateless_uniform", lambda *_: tf.constant([1.0, 0.0, 0.0]))
    image = np.full((4, 4, 1), 200, np.uint8)
    found = augment.shift_rotate(tf.constant(image), tf.constant([0, 0]), share=0.25, degrees=0.0)
    assert found.numpy()[..., 0].tolist() == [[200, 200, 200, 0]] * 4


def test_the_flag_knows_every_policy():
    (flag,) = (f for f in Fit.__dataclass_fields__.values() if f.name == "augment")
    assert set(flag.type.__args__) == {"auto", *augment.POLICIES}
