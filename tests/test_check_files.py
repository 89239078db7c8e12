"""check_data on small folders: copies, how files are stored, sizes."""

import hashlib
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from planted import encoded, scene, write

from training import check_data
from training.data.check import check
from training.data.examine import examine
from training.data.sources import open_source


def test_pictures_that_are_not_split(tmp_path):
    """Copies do not fail the check, but that a split could leak is said, and whether fit's would."""
    folder = tmp_path / "pics"
    for label in ("a", "b"):
        for i in range(20):
            write(folder / label / f"{i}.png", scene(100 * ord(label) + i))
    for i in range(6):
        shutil.copy(folder / "a" / f"{i}.png", folder / "a" / f"copy {i}.png")
    seeds = {}
    for seed in range(3):
        found = check(folder, seed, quiet=True)
        assert not found.is_split
        assert "leak" not in found.findings
        assert "random split" in found.advice("exact_copies")
        parts = {n: p for p, e in open_source(str(folder), seed=seed).splits.items() for n in e.names}
        apart = {
            i
            for i in range(6)
            if parts[str(folder / "a" / f"{i}.png")] != parts[str(folder / "a" / f"copy {i}.png")]
        }
        named = {int(e.names[0][2:-4]) for e in found.findings.get("split_leak", ())}
        assert named == apart
        seeds[seed] = apart
    assert any(seeds.values())
    assert check_data.main([str(folder), "--out", str(tmp_path / "out")]) == 0


def test_val_and_test_that_share_pictures_leak_too(tmp_path):
    for k, part in enumerate(("train", "val", "test")):
        for label in ("a", "b"):
            for i in range(3):
                write(tmp_path / "set" / part / label / f"{i}.png", scene(100 * k + 10 * ord(label) + i))
    shutil.copy(tmp_path / "set" / "val" / "a" / "0.png", tmp_path / "set" / "test" / "a" / "x.png")
    found = check(tmp_path / "set", quiet=True)
    assert [set(e.names) for e in found.findings["leak"]] == [{"val/a/0.png", "test/a/x.png"}]
    assert found.set_aside == [("val/a/0.png", "copy", "test/a/x.png")]


def test_pictures_of_one_colour_are_no_copies_of_each_other(tmp_path):
    for i in range(30):
        write(tmp_path / "p" / "ab"[i % 2] / f"{i}.png", Image.new("RGB", (40, 30), (i, i, i)))
        write(tmp_path / "p" / "ab"[i % 2] / f"s{i}.png", scene(i))
    write(tmp_path / "p" / "a" / "again.png", (tmp_path / "p" / "a" / "0.png").read_bytes())
    found = check(tmp_path / "p", quiet=True).findings
    assert len(found["single_colour"]) == 31
    assert [set(e.names) for e in found["exact_copies"]] == [{"a/0.png", "a/again.png"}]  # to the byte
    assert not {"near_copies", "two_classes", "leak"} & found.keys()


def test_no_false_alarm_on_scanned_digits(tmp_path):
    """1,797 pictures of 8 x 8 pixels that look alike, and are all different."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    for i, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        pixels = np.rint(image * (255 / 16)).astype(np.uint8)
        write(tmp_path / "p" / str(label) / f"{i}.bmp", Image.fromarray(pixels))
    assert check(tmp_path / "p", quiet=True).findings == {}


@pytest.mark.parametrize(
    ("data", "kinds"),
    [
        (encoded(scene(1), format="JPEG"), set()),
        (encoded(scene(1), format="WEBP"), {"wrong_extension"}),
        (encoded(scene(1).convert("L"), format="JPEG"), set()),
        (encoded(scene(1).convert("RGBA"), format="PNG"), {"wrong_extension"}),
        (encoded(scene(1), format="MPO", save_all=True, append_images=[scene(2)]), set()),  # phones do
        (
            encoded(scene(1), format="PNG", save_all=True, append_images=[scene(2)]),
            {"wrong_extension", "animated"},
        ),
        (encoded(Image.new("L", (9, 9), 7), format="JPEG"), {"single_colour"}),
    ],
)
def test_how_a_file_is_stored(tmp_path, data, kinds):
    write(tmp_path / "a.jpg", data)
    picture, small = examine(tmp_path / "a.jpg")
    assert picture.broken is None
    assert set(picture.traits) == kinds
    assert small.shape == (32, 32)
    assert picture.digest == hashlib.sha256(data).digest()


def test_sixteen_bits_in_colour(tmp_path):
    """Pillow hands such a PNG out as RGB of 8 bits; the header tells."""
    import struct
    import zlib

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = np.random.default_rng(0).integers(0, 256, (8, 1 + 8 * 6)).astype(np.uint8)
    rows[:, 0] = 0  # no filter
    head = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b"")
    write(tmp_path / "a.png", b"\x89PNG\r\n\x1a\n" + body)
    assert set(examine(tmp_path / "a.png")[0].traits) == {"16_bit"}


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    assert "no regular file" in examine(tmp_path / "pipe.jpg")[0].broken
    assert "no such file" in examine(tmp_path / "gone.jpg")[0].broken


def test_the_sizes_of_pictures(tmp_path):
    for i, size in enumerate([(40, 30), (40, 30), (60, 90), (300, 200)]):
        write(tmp_path / "p" / "ab"[i % 2] / f"{i}.png", scene(i, *size))
    check_data.main([str(tmp_path / "p"), "--out", str(tmp_path / "out")])
    sizes = json.loads((tmp_path / "out" / "check_data.json").read_text())["sizes"]
    assert sizes["width"] == {"min": 40, "median": 50, "max": 300}
    assert sizes["height"] == {"min": 30, "median": 60, "max": 200}
    assert sizes["shorter_side"] == {"min": 30, "median": 45, "max": 200}
    assert sum(sizes["shorter_side_histogram"]["counts"]) == 4
    assert sizes["most_common"][0] == {"width": 40, "height": 30, "pictures": 2}


def test_a_list_whose_first_split_has_no_label(tmp_path):
    """Only the training pictures have labels: there is still a table of classes."""
    for i in range(8):
        write(tmp_path / f"{i}.png", scene(i))
    lines = ["path,label,split", "0.png,,val", *(f"{i}.png,a|b,train" for i in range(1, 5))]
    lines += [f"{i}.png,a,train" for i in range(5, 8)]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    assert check_data.main([str(tmp_path / "list.csv"), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "check_data.html").is_file()
