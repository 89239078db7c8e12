"""A picture means what a person sees, and the SavedModel's graph sees the same."""

import io
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from training.data import decode
from training.phone import graph


def noise(mode="RGB", height=37, width=23, seed=0):
    """A picture of noise: every pixel counts."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)
    if mode == "P":
        return Image.fromarray(pixels[..., :3]).quantize(16)
    return Image.fromarray(pixels).convert(mode)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(image):
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("PNG", "RGB"),
        ("PNG", "L"),
        ("PNG", "P"),
        ("PNG", "1"),
        ("BMP", "RGB"),
        ("BMP", "P"),
        ("GIF", "P"),
    ],
)
def test_lossless_formats_come_back_as_they_were(kind, mode):
    image = noise(mode)
    np.testing.assert_array_equal(pixels(decode.open_picture(encoded(image, kind))), pixels(image))


def test_webp():
    image = noise()
    found = decode.open_picture(encoded(image, "WEBP", lossless=True))
    np.testing.assert_array_equal(pixels(found), pixels(image))


def test_transparency_is_laid_over_white():
    image = Image.new("RGBA", (2, 1))
    image.putdata([(10, 20, 30, 255), (10, 20, 30, 0)])
    assert pixels(decode.open_picture(encoded(image, "PNG"))).tolist() == [
        [[10, 20, 30], [255, 255, 255]]
    ]


def test_half_transparent_grey_over_white():
    found = decode.open_picture(encoded(Image.new("LA", (1, 1), (100, 51)), "PNG"))
    assert found.mode == "L"
    assert np.asarray(found)[0, 0] == round(100 * 0.2 + 255 * 0.8)


def test_transparent_palette_entry():
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    found = decode.open_picture(encoded(image, "GIF", transparency=0))
    assert pixels(found).tolist() == [[[255, 255, 255], [0, 0, 255]]]


def test_sixteen_bits_keep_the_high_eight():
    values = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    found = decode.open_picture(encoded(Image.fromarray(values), "PNG"))
    assert np.asarray(found).tolist() == [[0, 0, 1, 128, 255]]


def test_cmyk():
    found = decode.open_picture(
        encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    )
    red, green, blue = pixels(found)[4, 4].astype(int)
    assert red > 245
    assert max(green, blue) < 10


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "green", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert pixels(decode.open_picture(data))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_orientation(orientation, kind):
    image = noise()
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, kind, exif=exif)
    with Image.open(io.BytesIO(data)) as stored:
        expected = ImageOps.exif_transpose(stored)  # Pillow's own
    np.testing.assert_array_equal(pixels(decode.open_picture(data)), pixels(expected))


def test_orientation_six_is_turned_clockwise():
    image = Image.new("RGB", (2, 1))
    image.putdata([(255, 0, 0), (0, 0, 255)])  # red left, blue right
    exif = Image.Exif()
    exif[0x0112] = 6
    found = pixels(decode.open_picture(encoded(image, "PNG", exif=exif)))
    assert found.tolist() == [[[255, 0, 0]], [[0, 0, 255]]]  # red above


def test_broken_files_say_why():
    jpeg = encoded(noise(height=200, width=200), "JPEG")
    for data, reason in [
        (b"", "empty"),
        (b"hello, I am text", "not a picture"),
        (jpeg[: len(jpeg) // 2], "broken"),
        (encoded(noise(height=99, width=99), "PNG")[:200], "broken"),
        (b"\x89PNG\r\n\x1a\n", "not a picture"),
        (encoded(noise(), "TIFF"), "not a picture"),
    ]:
        with pytest.raises(decode.BadImageError, match=reason):
            decode.open_picture(data)


def test_grey_is_luma():
    colour = Image.new("RGB", (4, 4), (200, 100, 50))
    expected = round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    assert decode.resize(colour, 4, 1)[0, 0, 0] == expected


def test_resize_by_hand():
    """Halving with a triangle filter: (a + 3b + 3c + d) / 8, at the border normalised."""
    row = np.array([[0, 0, 80, 160]], np.uint8).repeat(2, axis=0)
    found = decode.resize(Image.fromarray(row), 2, 1)[0, :, 0]
    assert found.tolist() == [round((3 * 0 + 3 * 0 + 80) / 7), round((0 + 3 * 80 + 3 * 160) / 7)]


SIZES = [(37, 23), (23, 37), (500, 100), (100, 500), (240, 180), (224, 224), (8, 8), (1, 1), (301, 299)]


def colour_key(height, width):
    """A palette picture with one entry wholly and one half transparent."""
    data = io.BytesIO()
    noise("P", height, width).save(data, "PNG", transparency=bytes([0, 128, *[255] * 14]))
    return data.getvalue()


def animation(mode, height, width):
    frames = [noise(mode, height, width, seed) for seed in range(3)]
    options = {"save_all": True, "append_images": frames[1:], "lossless": True, "exact": True}
    return encoded(frames[0], "WEBP", **options)


def sixteen_bits(height, width):
    values = np.random.default_rng(0).integers(0, 2**16, (height, width), np.uint16)
    return encoded(Image.fromarray(values), "PNG")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("image_size", "channels"), [(224, 3), (32, 1), (96, 3)])
def test_the_graph_is_equal_to_the_bit(size, image_size, channels):
    height, width = size
    picture = tf.function(lambda data: graph.picture(data, image_size, channels))
    files = {
        f"{kind} {mode} {options}": encoded(noise(mode, height, width), kind, **options)
        for kind, mode, options in [
            ("JPEG", "RGB", {}),
            ("JPEG", "RGB", {"progressive": True}),
            ("JPEG", "L", {}),
            ("JPEG", "CMYK", {}),
            ("PNG", "RGB", {}),
            ("PNG", "RGBA", {}),
            ("PNG", "LA", {}),
            ("PNG", "L", {}),
            ("PNG", "1", {}),
            ("PNG", "P", {}),
            ("BMP", "RGB", {}),
            ("GIF", "P", {}),
            ("WEBP", "RGB", {}),
            ("WEBP", "RGBA", {}),
            ("WEBP", "RGB", {"lossless": True}),
            ("WEBP", "RGBA", {"lossless": True, "exact": True}),
        ]
    }
    files |= {
        "PNG, 16 bits": sixteen_bits(height, width),
        "PNG, transparent palette": colour_key(height, width),
        "WEBP, animated": animation("RGB", height, width),
        "WEBP, animated, transparent": animation("RGBA", height, width),
    }
    for name, data in files.items():
        expected = decode.read(data, image_size, channels)
        np.testing.assert_array_equal(picture(tf.constant(data)), expected, name)


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_graph_turns_a_jpeg_upright(orientation, order):
    """Other segments and tags may come first; 0 and 9 mean nothing."""
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F] = "a maker"
    exif[0x0112] = orientation
    assert exif.tobytes()[6:8] == {"<": b"II", ">": b"MM"}[order]
    comment = b"\xff\xfe\x00\x0ca comment!"
    data = encoded(noise(), "JPEG", exif=exif)
    for file in (data, data[:2] + comment + data[2:]):
        np.testing.assert_array_equal(graph.picture(tf.constant(file), 32, 3), decode.read(file, 32, 3))


@pytest.mark.parametrize("seed", range(8))
def test_the_graph_reads_past_broken_exif(seed):
    """Random bytes where the tags were: the picture is as it is stored, or turned; nothing fails."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = bytearray(encoded(noise(), "JPEG", exif=exif))
    start = data.index(b"Exif\0\0") + 6
    rng = np.random.default_rng(seed)
    data[start : start + 26] = rng.integers(0, 256, 26, np.uint8).tobytes()
    assert graph.picture(tf.constant(bytes(data)), 32, 3).shape == (32, 32, 3)


def test_the_graph_on_a_smooth_jpeg():
    """Real photographs are smooth, subsampled in colour and not square."""
    y, x = np.mgrid[0:333, 0:250]
    waves = np.stack([np.sin(x / 9), np.cos(y / 13), np.sin((x + y) / 17)], -1)
    data = encoded(Image.fromarray((127 + 120 * waves).astype(np.uint8)), "JPEG", quality=75)
    np.testing.assert_array_equal(graph.picture(tf.constant(data), 224, 3), decode.read(data, 224, 3))


def test_too_many_pixels_whatever_other_threads_do_to_warnings(monkeypatch):
    """Filters of warnings are one list for all threads: with it gone, Pillow alone would only warn."""
    monkeypatch.setattr(decode.warnings, "simplefilter", lambda *_: None)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 99)
    buffer = io.BytesIO()
    Image.new("RGB", (10, 10)).save(buffer, "PNG")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore")
        with pytest.raises(decode.BadImageError, match="more pixels"):
            decode.open_picture(buffer.getvalue())
