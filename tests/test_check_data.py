"""check_data names every planted fault, touches nothing, and writes what all can read."""

import csv
import hashlib
import html.parser
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from planted import BROKEN, CLASSES, FILES, NEWLINE, NOT_UTF8, ONLY_IN_VAL, SCRIPT, encoded, plant, scene

from training import check_data
from training.data.check import KINDS, check
from training.data.examine import examine
from training.data.prepare import notes, prepare
from training.data.sources import open_source
from training.runs.files import printable


def tree(folder):
    """Every file with its bytes and its time of change."""
    return {
        path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def write(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, bytes):
        path.write_bytes(image)
    else:
        image.save(path, **options)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return plant(tmp_path_factory.mktemp("planted") / "pictures")


@pytest.fixture(scope="module")
def checked(planted, tmp_path_factory):
    """The planted folder as the command sees it: exit status, output, and where the files went."""
    import contextlib
    import io

    before = tree(planted)
    out, said = tmp_path_factory.mktemp("out") / "found", io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = check_data.main([str(planted), "--out", str(out)])
    assert tree(planted) == before
    return status, said.getvalue(), out


@pytest.fixture(scope="module")
def facts(checked):
    return json.loads((checked[2] / "check_data.json").read_bytes())


def test_the_leak_sets_the_exit_status(checked, facts):
    status, said, _ = checked
    assert status == facts["exit_status"] == 3
    assert "error: 2 picture(s) are in more than one of train/, val/" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("kind", FILES)
def test_every_planted_file_is_named_and_no_other(facts, kind):
    cases = [frozenset(entry["files"]) for entry in facts["findings"][kind]["entries"]]
    assert set(cases) == {frozenset(case) for case in FILES[kind]}
    assert len(cases) == len(FILES[kind]) == facts["findings"][kind]["count"]


def test_every_planted_class_is_named(facts):
    for kind, names in CLASSES.items():
        details = [entry["detail"] for entry in facts["findings"][kind]["entries"]]
        assert all(any(f"'{printable(name)}'" in detail for detail in details) for name in names)
        assert len(details) == len(names)
    assert set(facts["findings"]) == {*FILES, *CLASSES}


def test_details_say_what_was_found(facts):
    details = {
        (kind, entry["files"][0]): entry["detail"]
        for kind, finding in facts["findings"].items()
        for entry in finding["entries"]
        if entry["files"]
    }
    assert details["animated", "train/cat/moving.gif"] == "20 frames"
    assert details["wrong_extension", "train/dog/really a png.jpg"] == "it is a PNG"
    assert details["exif_rotated", "train/dog/turned.jpg"] == "orientation 6"
    assert details["tiny", "train/dog/one pixel.png"] == "1 x 1 pixels"
    assert "truncated" in details["broken", "train/cat/truncated.jpg"]
    assert "empty" in details["broken", "train/cat/empty.png"]
    assert "not a picture" in details["broken", "train/cat/text.jpg"]
    assert details["leak", "train/dog/shared.png"] == "exact copies, in train and val"
    kind = "re-encoded, resized, brighter or darker"
    assert details["leak", "train/dog/photo.png"] == f"{kind}, in train and val"


def test_json_tells_names_to_the_byte(facts, planted):
    names = [name for entry in facts["findings"]["broken"]["entries"] for name in entry["files"]]
    assert f"train/cat/{NOT_UTF8}" in names
    for name in names:
        assert (planted / name).exists()
    there = [name for row in facts["quarantine"] for name in (row["file"], row["copy_kept"]) if name]
    assert all((planted / name).exists() for name in there)


def test_counts_of_classes(facts, planted):
    for part in ("train", "val"):
        for folder in (planted / part).iterdir():
            count = facts["classes"][part][printable(folder.name)]
            found = sum(p.suffix in (".png", ".jpg", ".gif") for p in folder.iterdir())
            assert count["pictures"] == found
            broken = sum(name.startswith(f"{part}/{folder.name}/") for name in BROKEN)
            assert count["readable"] == found - broken
    assert facts["pictures"] == sum(c["pictures"] for p in facts["classes"].values() for c in p.values())


def test_the_quarantine_list_keeps_one_of_each_and_the_held_out_one(checked, facts):
    with (checked[2] / "quarantine.csv").open(
        encoding="utf-8", errors="surrogateescape", newline=""
    ) as f:
        rows = list(csv.DictReader(f))
    listed = {row["file"]: (row["reason"], row["copy_kept"]) for row in rows}
    assert listed == {r["file"]: (r["reason"], r["copy_kept"] or "") for r in facts["quarantine"]}
    assert set(listed) >= BROKEN
    assert listed["train/dog/shared.png"] == ("copy", "val/dog/the same.png")
    assert listed["train/dog/photo.png"] == ("copy", f"val/dog/{NEWLINE}")
    assert listed["train/cat/small.jpg"] == ("copy", "train/cat/large.png")  # the larger one stays
    assert {"train/cat/pet.png", "train/dog/pet.png"} <= set(listed)  # one label is wrong: which?
    copies = {row["copy_kept"] for row in rows} - {""}
    assert not copies & set(listed)
    harmless = {"moving.gif", "print.jpg", "deep.png", "turned.jpg", "really a png.jpg"}
    assert not harmless & {name.rpartition("/")[2] for name in listed}


def test_without_the_quarantined_files_nothing_leaks(facts, planted, tmp_path):
    """The list is what to do: a copy of the folder without these files passes."""
    clean = tmp_path / "clean"
    shutil.copytree(planted, clean)
    for row in facts["quarantine"]:
        (clean / row["file"]).unlink()
    left = check(clean, quiet=True).findings.keys()
    cured = {"leak", "two_classes", "broken", "exact_copies", "near_copies", "single_colour", "tiny"}
    assert not cured & left


def test_the_terminal_shows_every_name_in_one_line(checked):
    _, said, _ = checked
    assert set(said) - {"\n"} == {c for c in said if c.isprintable()}
    for kind in (*FILES, *CLASSES):
        assert KINDS[kind][0] in said
    assert "train/cat/caf\\udce9.png: it is not a picture" in said
    assert "train/dog/photo.png = val/dog/photo\\nagain.jpg" in said
    assert "bird\\nof prey" in said


def test_more_than_three_cases_are_counted_not_shown(checked):
    lines = checked[1].splitlines()
    start = next(i for i, line in enumerate(lines) if line.split() == ["4", "broken"])
    assert lines[start + 4].strip() == "..."
    assert lines[start + 5].strip().startswith("->")


class Page(html.parser.HTMLParser):
    """What a browser takes for elements, and for text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.addresses, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href")]

    def handle_data(self, data):
        self.text += data


def test_the_page_is_whole_and_escapes_names(checked):
    page = Page((checked[2] / "check_data.html").read_text(encoding="utf-8"))
    assert "script" not in page.elements
    assert SCRIPT in page.text
    assert all(a.startswith(("data:image/", "#")) for a in page.addresses)  # nothing is fetched
    for cases in FILES.values():
        for name in set().union(*cases):
            shown = name.replace(NOT_UTF8, "caf\\udce9.png").replace("\n", "\\n")
            assert shown in page.text, name


def test_fit_takes_the_good_ones_and_lists_the_rest(planted):
    source = open_source(str(planted))
    data = prepare(source, 32, 3, quiet=True)
    assert {os.path.relpath(bad.name, planted) for bad in data.left_out} == BROKEN
    assert all(note.isprintable() for note in notes(data))
    in_classes_of_train = [p for p in planted.rglob("*.*") if p.parent.name != ONLY_IN_VAL]
    pictures = [p for p in in_classes_of_train if p.suffix in (".png", ".jpg", ".gif")]
    assert sum(map(len, data.splits.values())) == len(pictures) - len(BROKEN)


@pytest.mark.slow
def test_a_real_fit_on_the_planted_folder(planted, cli, tmp_path):
    """And with a class whose name has a newline and bytes that are no UTF-8."""
    folder = tmp_path / "pictures"
    shutil.copytree(planted, folder)
    for part in ("train", "val"):
        for i in range(3):
            write(folder / part / os.fsdecode(b"two\nlines \xe9") / f"{i}.png", scene(9000 + i))
    words = ("--arch", "lenet5", "--image-size", 32, "--epochs", 1, "--export", "none")
    process = cli("training.fit", *words, "--data", folder, "--out", tmp_path, "--name", "run")
    assert process.returncode == 0, process.stderr
    assert "Traceback" not in process.stderr
    assert "two\\nlines \\udce9" in process.stdout
    table = tmp_path / "run" / "left_out.csv"
    with table.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        listed = {os.path.relpath(row["file"], folder) for row in csv.DictReader(file)}
    assert listed == BROKEN
    assert "two\\nlines" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


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


@pytest.fixture
def two_classes(tmp_path):
    for i in range(8):
        write(tmp_path / "p" / "ab"[i % 2] / f"{i}.png", scene(i))
    return tmp_path / "p"


def test_by_default_the_page_goes_to_the_current_folder(two_classes, tmp_path, monkeypatch, capsys):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert check_data.main([str(two_classes)]) == 0
    place = tmp_path / "here" / "check_data-p"
    assert {p.name for p in place.iterdir()} == {"check_data.html", "check_data.json", "quarantine.csv"}
    said = capsys.readouterr().out
    assert "nothing is wrong" in said
    assert "check_data-p/check_data.html" in said
    shutil.copy(two_classes / "a" / "0.png", two_classes / "a" / "copy.png")
    assert check_data.main([str(two_classes)]) == 0  # again, into the same place
    assert "copy.png" in (place / "quarantine.csv").read_text()


def test_it_never_writes_among_the_pictures(two_classes, tmp_path, monkeypatch, capsys):
    before = tree(two_classes)
    monkeypatch.chdir(two_classes)
    assert check_data.main(["."]) == 2
    assert check_data.main([str(two_classes), "--out", str(two_classes / "a")]) == 2
    assert "--out" in capsys.readouterr().err
    assert tree(two_classes) == before
    assert check_data.main([".", "--out", str(tmp_path / "out")]) == 0


def test_it_never_writes_over_other_files(two_classes, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "quarantine.csv").write_text("mine")
    assert check_data.main([str(two_classes), "--out", str(tmp_path / "mine")]) == 2
    assert "holds other files" in capsys.readouterr().err
    assert (tmp_path / "mine" / "quarantine.csv").read_text() == "mine"


def test_a_folder_that_fit_refuses_is_checked_all_the_same(tmp_path, capsys):
    write(tmp_path / "p" / "alone" / "a.png", scene(0))
    write(tmp_path / "p" / "alone" / "b.png", b"")
    assert check_data.main([str(tmp_path / "p"), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr()
    assert "the file is empty" in told.out
    assert "fewer than two classes" in told.err
    facts = json.loads((tmp_path / "out" / "check_data.json").read_text())
    assert facts["exit_status"] == 2
    assert "fewer than two classes" in facts["fit_refuses"]


@pytest.mark.parametrize("name", ["nothing", "missing", "file"])
def test_what_is_no_folder_of_pictures(tmp_path, name, capsys):
    (tmp_path / "nothing").mkdir()
    (tmp_path / "file").touch()
    assert check_data.main([str(tmp_path / name), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "out").exists()


def test_a_class_whose_pictures_are_all_broken(two_classes):
    write(two_classes / "c" / "x.png", b"")
    found = check(two_classes, quiet=True).findings
    assert [e.detail for e in found["all_broken"]] == ["'c'"]


def test_a_terminal_that_knows_ascii_only(two_classes, cli, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    write(two_classes / "a" / "Ärger.png", b"")
    process = cli("training.check_data", two_classes, "--out", tmp_path / "out")
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    assert "\\xc4rger.png" in process.stdout


def test_interrupted_it_leaves_nothing(two_classes, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("training.data.examine.examine", interrupted)
    assert check_data.main([str(two_classes), "--out", str(tmp_path / "out")]) == 130
    assert not (tmp_path / "out").exists()
