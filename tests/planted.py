"""A folder in which every fault is planted, and what each file has."""

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

NEWLINE = "photo\nagain.jpg"
NOT_UTF8 = os.fsdecode(b"caf\xe9.png")
ONLY_IN_VAL = "bird\nof prey"
SCRIPT = "<script>alert(1)<"  # a class; no name holds a slash


def scene(seed, width=96, height=80):
    """A picture like no other: smooth noise in colour."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def plant(root: Path) -> Path:
    """Write train/ and val/ with every fault in them."""
    seeds = iter(range(10_000))

    def put(name, image, **options):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(image, bytes):
            path.write_bytes(image)
        else:
            image.save(path, **options)
        return path

    for label in ("cat", "dog", "Ärger und Öl", SCRIPT):
        for part, count in (("train", 6), ("val", 2)):
            for i in range(count):
                put(f"{part}/{label}/{i}.png", scene(next(seeds)))
    put("train/lonely/only.png", scene(next(seeds)))
    for i in range(2):
        put(f"val/{ONLY_IN_VAL}/{i}.png", scene(next(seeds)))

    jpeg = encoded(scene(next(seeds), 200, 160), format="JPEG", quality=90)
    put("train/cat/truncated.jpg", jpeg[: len(jpeg) // 2])
    put("train/cat/text.jpg", b"I am text")
    put("train/cat/empty.png", b"")
    frames = [scene(next(seeds)) for _ in range(20)]
    put("train/cat/moving.gif", frames[0], save_all=True, append_images=frames[1:])
    put("train/cat/print.jpg", scene(next(seeds)).convert("CMYK"), quality=95)
    deep = np.random.default_rng(next(seeds)).integers(0, 2**16, (40, 48)).astype(np.uint16)
    put("train/cat/deep.png", Image.fromarray(deep))
    exif = Image.Exif()
    exif[0x0112] = 6
    put("train/dog/turned.jpg", scene(next(seeds)), exif=exif, quality=95)
    put("train/dog/one pixel.png", Image.new("RGB", (1, 1), "red"))
    put("train/dog/black.png", Image.new("RGB", (64, 48)))
    put("train/dog/white.jpg", Image.new("RGB", (70, 50), "white"))
    put("train/dog/really a png.jpg", scene(next(seeds)), format="PNG")
    put("train/dog/phone.heic", b"\0\0\0\x18ftypheic")
    put("train/dog/scan.tif", scene(next(seeds)))

    shared = encoded(scene(next(seeds)), format="PNG")
    put("train/dog/shared.png", shared)
    put("val/dog/the same.png", shared)
    photo = scene(next(seeds), 300, 240)
    put("train/dog/photo.png", photo)
    put(f"val/dog/{NEWLINE}", photo, quality=60)
    photo = scene(next(seeds), 300, 240)
    put("train/cat/large.png", photo)
    put("train/cat/small.jpg", photo.resize((100, 80)), quality=85)
    photo = encoded(scene(next(seeds)), format="PNG")
    put("train/cat/pet.png", photo)
    put("train/dog/pet.png", photo)
    photo = encoded(scene(next(seeds)), format="PNG")
    put("val/cat/twice a.png", photo)
    put("val/cat/twice b.png", photo)
    put(f"train/cat/{NOT_UTF8}", b"no picture either")
    return root


BROKEN = {
    "train/cat/truncated.jpg",
    "train/cat/text.jpg",
    "train/cat/empty.png",
    f"train/cat/{NOT_UTF8}",
}
FILES = {  # kind of finding: its files, each case a set
    "leak": [
        {"train/dog/shared.png", "val/dog/the same.png"},
        {"train/dog/photo.png", f"val/dog/{NEWLINE}"},
    ],
    "two_classes": [{"train/cat/pet.png", "train/dog/pet.png"}],
    "broken": [{name} for name in BROKEN],
    "tiny": [{"train/dog/one pixel.png"}],
    "single_colour": [{"train/dog/one pixel.png"}, {"train/dog/black.png"}, {"train/dog/white.jpg"}],
    "exact_copies": [{"val/cat/twice a.png", "val/cat/twice b.png"}],
    "near_copies": [{"train/cat/large.png", "train/cat/small.jpg"}],
    "not_read": [{"train/dog/phone.heic"}, {"train/dog/scan.tif"}],
    "wrong_extension": [{"train/dog/really a png.jpg"}],
    "animated": [{"train/cat/moving.gif"}],
    "cmyk": [{"train/cat/print.jpg"}],
    "16_bit": [{"train/cat/deep.png"}],
    "exif_rotated": [{"train/dog/turned.jpg"}],
}
CLASSES = {  # kind of finding: the classes
    "not_in_train": [ONLY_IN_VAL],
    "one_picture": ["lonely"],
    "not_held_out": ["lonely"],
    "imbalance": ["dog"],
}


def write(path, image, **options):
    """Write a picture, or the bytes of one, making the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, bytes):
        path.write_bytes(image)
    else:
        image.save(path, **options)
