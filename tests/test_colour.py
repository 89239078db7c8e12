"""Operations on values, against Pillow, NumPy, SciPy and the standard library."""

import colorsys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage
from test_augment import both_ways

from training.data import colour

SEED = [7, 3]
GREY = np.array([0.299, 0.587, 0.114])


def picture(channels=3, low=0, high=256, side=20):
    return np.random.default_rng(1).integers(low, high, (side, side, channels), np.uint8)


def difference(a, b):
    return np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int)).max()


def as_image(array):
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("factor", [0.1, 0.7, 1.0, 1.9])
@pytest.mark.parametrize(
    ("operation", "enhancer", "allowed"),
    [
        (colour.adjust_brightness, ImageEnhance.Brightness, 1),  # Pillow cuts off, ours rounds
        (colour.adjust_contrast, ImageEnhance.Contrast, 2),  # and its mean may be a level off
        (colour.adjust_saturation, ImageEnhance.Color, 2),  # and its grey
        (colour.adjust_sharpness, ImageEnhance.Sharpness, 2),  # and its smoothed picture
    ],
    ids=lambda x: getattr(x, "__name__", None),
)
def test_enhancements_are_pillows(operation, enhancer, allowed, factor, channels):
    image = picture(channels)
    found = operation(tf.constant(image), factor).numpy()
    expected = np.asarray(enhancer(as_image(image)).enhance(factor)).reshape(image.shape)
    assert difference(found, expected) <= allowed
    if factor == 1:
        np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("channels", [1, 3])
def test_operations_on_levels_are_pillows(channels):
    image = picture(channels, 40, 180)
    image[..., -1] = image[..., -1] // 3 + 20
    given, pillow = tf.constant(image), as_image(image)

    def same(found, expected, allowed=0):
        assert difference(found, np.asarray(expected).reshape(image.shape)) <= allowed

    same(colour.equalize(given), ImageOps.equalize(pillow))
    same(colour.autocontrast(given), ImageOps.autocontrast(pillow), 1)
    for bits in (1, 4, 8):
        same(colour.posterize(given, bits), ImageOps.posterize(pillow, bits))
    for threshold in (0, 100, 256):
        same(colour.solarize(given, threshold), ImageOps.solarize(pillow, threshold))
    flat = np.full((6, 6, channels), 90, np.uint8)
    np.testing.assert_array_equal(colour.equalize(tf.constant(flat)), flat)
    np.testing.assert_array_equal(colour.autocontrast(tf.constant(flat)), flat)


def test_equalize_of_a_large_picture_with_few_levels():
    image = np.repeat(np.array([3, 9, 200], np.uint8), 400).reshape(40, 30, 1)
    found = colour.equalize(tf.constant(image)).numpy()
    np.testing.assert_array_equal(found[..., 0], ImageOps.equalize(as_image(image)))


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_by_hand(channels):
    image = picture(channels)
    limits = {"brightness": 0.3, "contrast": 0.4, "saturation": 0.5}
    found = both_ways(colour.jitter, image, SEED, **limits)
    draws = tf.random.stateless_uniform((4,), SEED, -1.0, 1.0).numpy().astype(float)
    values = np.clip(image * (1 + 0.3 * draws[0]), 0, 255)
    mean = values.mean() if channels == 1 else (values.mean((0, 1)) * GREY).sum()
    values = np.clip(np.rint(mean) + (1 + 0.4 * draws[1]) * (values - np.rint(mean)), 0, 255)
    if channels == 3:
        grey = (values * GREY).sum(-1, keepdims=True)
        values = np.clip(grey + (1 + 0.5 * draws[2]) * (values - grey), 0, 255)
    assert difference(found, np.rint(values)) <= 1


def test_hue_by_the_standard_library():
    image = picture(side=8)
    found = both_ways(colour.jitter, image, SEED, hue=0.4)
    turn = 0.4 * tf.random.stateless_uniform((4,), SEED, -1.0, 1.0).numpy()[3]
    expected = [
        [
            colorsys.hsv_to_rgb((h + turn) % 1, s, v)
            for h, s, v in (colorsys.rgb_to_hsv(*pixel) for pixel in row / 255)
        ]
        for row in image
    ]
    assert difference(found, np.rint(np.array(expected) * 255)) <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_pca_colour_by_hand(channels):
    """Along the components that NumPy finds for the covariance that they describe."""
    image = picture(channels, 100, 140)
    found = both_ways(colour.pca_colour, image, SEED, deviation=0.1)
    alphas = 0.1 * tf.random.stateless_normal((3,), SEED).numpy().astype(float)
    axes, deviations = np.array(colour.PCA_AXES), np.array(colour.PCA_DEVIATIONS)
    change = 255 * sum(a * d * axis for a, d, axis in zip(alphas, deviations, axes.T, strict=True))
    change = change if channels == 3 else (change * GREY).sum()
    assert difference(found, np.rint(image + change)) <= 1
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-3)


def test_noise_has_its_deviation():
    image = np.full((60, 60, 3), 128, np.uint8)
    found = both_ways(colour.noise, image, SEED, deviation=9.0).astype(float) - 128
    assert found.std() == pytest.approx(9, rel=0.05)
    assert abs(found.mean()) < 0.5
    assert abs(np.corrcoef(found[..., 0].ravel(), found[..., 1].ravel())[0, 1]) < 0.08


@pytest.mark.parametrize("channels", [1, 3])
def test_blur_is_scipys(channels):
    image = picture(channels)
    found = both_ways(colour.blur, image, SEED, probability=1.0, sigma=(1.5, 1.5))
    expected = ndimage.gaussian_filter(
        image.astype(float), (1.5, 1.5, 0), mode="mirror", truncate=5 / 1.5
    )
    assert difference(found, np.rint(expected)) <= 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("operation", "nothing"),
    [
        (colour.jitter, {}),
        (colour.jitter, {"brightness": 1e-9, "contrast": 1e-9, "saturation": 1e-9, "hue": 1e-9}),
        (colour.pca_colour, {"deviation": 0.0}),
        (colour.noise, {"deviation": 0.0}),
        (colour.blur, {"probability": 0.0}),
    ],
)
def test_of_magnitude_or_probability_nothing_is_the_identity(operation, nothing, channels):
    image = picture(channels)
    np.testing.assert_array_equal(both_ways(operation, image, SEED, **nothing), image)


def test_saturation_and_hue_leave_grey_alone():
    image = picture(1)
    found = both_ways(colour.jitter, image, SEED, saturation=0.9, hue=0.5)
    np.testing.assert_array_equal(found, image)
    np.testing.assert_array_equal(colour.adjust_saturation(tf.constant(image), 0.1), image)
