"""Operations that move pixels, against NumPy and Pillow."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from test_augment import both_ways

from training.data import geometry

SEED = [7, 3]


def picture(side=24, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (side, side, channels), np.uint8)


def many(operation, image, count, **arguments):
    """Run an operation for many seeds."""
    dataset = tf.data.Dataset.range(count).map(
        lambda i: operation(tf.constant(image), tf.stack([3, tf.cast(i, tf.int32)]), **arguments)
    )
    return np.stack(list(dataset.as_numpy_iterator()))


def test_transpose():
    image = picture()
    found = both_ways(geometry.transpose, image, SEED, probability=1.0)
    np.testing.assert_array_equal(found, image.transpose(1, 0, 2))
    same = both_ways(geometry.transpose, image, SEED, probability=0.0)
    np.testing.assert_array_equal(same, image)
    with pytest.raises(ValueError, match="square"):
        geometry.transpose(image[:5], SEED)


def test_pad_and_crop():
    image = picture(16)
    padded = np.pad(image, [(2, 2), (2, 2), (0, 0)])
    found = many(geometry.shift, image, 80, share=4 / 32, border="CONSTANT")
    cuts = {padded[y : y + 16, x : x + 16].tobytes() for y in range(5) for x in range(5)}
    assert {one.tobytes() for one in found} <= cuts
    assert len({one.tobytes() for one in found}) > 20


@pytest.mark.parametrize(
    ("operation", "nothing"),
    [
        (geometry.affine, {}),
        (geometry.translate, {"share": 0.0}),
        (geometry.rotate, {"degrees": 0.0}),
        (geometry.zoom, {"share": 0.0}),
        (geometry.shear, {"share": 0.0}),
        (geometry.shift, {"share": 0.0}),
        (geometry.flip, {"probability": 0.0}),
        (geometry.erase, {"probability": 0.0}),
    ],
    ids=lambda x: getattr(x, "__name__", None),
)
@pytest.mark.parametrize("channels", [1, 3])
def test_of_magnitude_or_probability_nothing_is_the_identity(operation, nothing, channels):
    image = picture(9, channels)
    np.testing.assert_array_equal(both_ways(operation, image, SEED, **nothing), image)


def test_matrix_by_hand():
    image = picture(5, 1)

    def warped(**arguments):
        return geometry.warp(tf.constant(image), geometry.matrix(5, 5, **arguments), 7).numpy()

    np.testing.assert_array_equal(warped(), image)
    np.testing.assert_array_equal(warped(degrees=90.0), np.rot90(image))
    right = np.pad(image, [(0, 0), (2, 0), (0, 0)], constant_values=7)[:, :5]
    np.testing.assert_array_equal(warped(shift_x=2.0), right)
    down = np.pad(image, [(1, 0), (0, 0), (0, 0)], constant_values=7)[:5]
    np.testing.assert_array_equal(warped(shift_y=1.0), down)
    leaning = warped(shear_x=1.0)
    assert leaning[0, :3, 0].tolist() == image[0, 2:, 0].tolist()  # two rows above the centre: left
    assert leaning[0, 3:, 0].tolist() == [7, 7]
    assert leaning[4, 2:, 0].tolist() == image[4, :3, 0].tolist()
    np.testing.assert_array_equal(leaning[2], image[2])
    np.testing.assert_array_equal(warped(shear_y=1.0), warped(shear_x=1.0) * 0 + by_columns(image))
    enlarged = warped(zoom=2.0)
    np.testing.assert_array_equal(enlarged[::2, ::2], image[1:4, 1:4])


def by_columns(image):
    """Lean a picture of 5 x 5 by a pixel a column."""
    found = np.full_like(image, 7)
    for x in range(5):
        for y in range(5):
            if 0 <= y - (x - 2) < 5:
                found[y, x] = image[y - (x - 2), x]
    return found


def test_affine_is_one_bilinear_resampling():
    """Against Pillow with the inverse of NumPy's product: zoom and shear, then rotate, then shift."""
    image, side = picture(32), 32
    limits = {"translate": 0.1, "degrees": 25.0, "zoom": 0.2, "shear": 0.15}
    found = both_ways(geometry.affine, image, SEED, **limits, border="CONSTANT")
    dx, dy, turn, zoom, kx, ky = tf.random.stateless_uniform((6,), SEED, -1.0, 1.0).numpy()
    angle = np.deg2rad(25 * turn)
    # y points down: a counterclockwise turn has its sine above the diagonal
    rotation = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    forward = np.eye(3)
    forward[:2, :2] = rotation @ np.array([[1, 0.15 * kx], [0.15 * ky, 1]]) * (1 + 0.2 * zoom)
    forward[:2, 2] = 0.1 * side * np.array([dx, dy])
    centre = np.array([[1, 0, side / 2], [0, 1, side / 2], [0, 0, 1]])  # Pillow's pixels start at edges
    back = np.linalg.inv(centre @ forward @ np.linalg.inv(centre))
    expected = Image.fromarray(image).transform(
        (side, side), Image.Transform.AFFINE, tuple(back[:2].ravel()), Image.Resampling.BILINEAR
    )
    y, x = np.mgrid[:side, :side] + 0.5
    sources = np.einsum("ij,jyx->iyx", back[:2], np.stack([x, y, np.ones_like(x)]))
    inside = ((sources > 1) & (sources < side - 1)).all(0)
    assert inside.mean() > 0.6
    difference = np.abs(found.astype(int) - np.asarray(expected).astype(int))
    assert difference[inside].max() <= 1
    outside = ((sources < -1) | (sources > side + 1)).any(0)
    assert not found[outside].any()


def test_random_crop_reaches_every_place():
    image = picture(8)
    cuts = {image[y : y + 5, x : x + 5].tobytes() for y in range(4) for x in range(4)}
    assert {one.tobytes() for one in many(geometry.random_crop, image, 200, size=5)} == cuts
    np.testing.assert_array_equal(both_ways(geometry.random_crop, image, SEED, size=8), image)
    with pytest.raises(ValueError, match="does not fit"):
        geometry.random_crop(image, SEED, 9)


def test_a_box_is_resized_as_pillow_does():
    image, (top, left, height, width) = picture(40), (3, 5, 17, 23)
    found = geometry.resized_box(tf.constant(image), tf.constant([top, left, height, width]), 32)
    box = (left, top, left + width, top + height)
    expected = Image.fromarray(image).crop(box).resize((32, 32), Image.Resampling.BILINEAR)
    # Pillow rounds between its two passes
    assert np.abs(found.numpy().astype(int) - np.asarray(expected).astype(int)).max() <= 1


def boxes(operation, side, size, **arguments):
    """Read the boxes of many crops off a picture whose pixels are their coordinates."""
    y, x = np.mgrid[:side, :side].astype(np.uint8)
    found = many(operation, np.stack([y, x, x], -1), 400, size=size, **arguments).astype(float)
    low, high = found[:, 2, 2, :2], found[:, -3, -3, :2]  # away from the border, which is repeated
    sides = (high - low) / (size - 5) * size
    starts = low - (2.5 / size * sides - 0.5)
    return sides, starts


def test_random_resized_crop_draws_area_shape_and_place():
    sides, starts = boxes(geometry.random_resized_crop, 200, 100)
    area = sides.prod(1) / 200**2
    aspect = sides[:, 1] / sides[:, 0]
    assert 0.07 < area.min() < 0.12
    assert 0.9 < area.max() < 1.02
    rng = np.random.default_rng(0)  # large boxes fit less often
    areas, shapes = rng.uniform(0.08, 1, 10**5), np.exp(rng.uniform(*np.log([3 / 4, 4 / 3]), 10**5))
    fits = np.maximum(areas * shapes, areas / shapes) <= 1
    assert area.mean() == pytest.approx(areas[fits].mean(), abs=0.03)
    assert 0.72 < aspect.min() < 0.78
    assert 1.28 < aspect.max() < 1.38
    assert np.log(aspect).mean() == pytest.approx(0, abs=0.04)
    assert starts.min() > -1.5
    assert (starts + sides).max() < 201.5
    small = (sides < 100).all(1)
    assert (starts[small].max(0) > 80).all()
    assert abs(np.corrcoef((starts / (200 - sides + 1e-9))[small].T)[0, 1]) < 0.4
    whole = both_ways(geometry.random_resized_crop, picture(), SEED, size=24, area=(1, 1), aspect=(1, 1))
    np.testing.assert_array_equal(whole, picture())


def test_scale_jitter_draws_the_side():
    sides, starts = boxes(geometry.scale_jitter, 192, 112, scale=(256 / 224, 512 / 224))
    assert np.abs(sides[:, 0] - sides[:, 1]).max() < 2
    scale = 192 / sides.mean(1)
    assert 256 / 224 * 0.98 < scale.min() < 256 / 224 * 1.05
    assert 512 / 224 * 0.95 < scale.max() < 512 / 224 * 1.03
    assert starts.min() > -1.5
    assert (starts + sides).max() < 193.5
    assert np.corrcoef(starts.T)[0, 1] < 0.9  # rows and columns on their own
    whole = both_ways(geometry.scale_jitter, picture(), SEED, size=24, scale=(1, 1))
    np.testing.assert_array_equal(whole, picture())


@pytest.mark.parametrize("channels", [1, 3])
def test_erasing_fills_one_rectangle_with_noise(channels):
    image = np.zeros((40, 40, channels), np.uint8)
    shares = []
    for one in many(geometry.erase, image, 150, probability=1.0, area=(0.05, 0.3)):
        changed = one.any(-1)
        y, x = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        inside = one[y[0] : y[-1] + 1, x[0] : x[-1] + 1]
        assert not np.delete(changed, y, 0).any()
        assert (inside > 0).mean() > 0.9  # noise is 0 once in 256 times
        shares.append(len(y) * len(x) / 1600)
    assert min(shares) > 0.03
    assert max(shares) < 0.33
    assert np.mean(shares) == pytest.approx(0.17, abs=0.03)
    erased = [one.any() for one in many(geometry.erase, image, 300, probability=0.25)]
    assert np.mean(erased) == pytest.approx(0.25, abs=0.1)
