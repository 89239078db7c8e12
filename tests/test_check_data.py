"""check_data names every planted fault, touches nothing, and writes what all can read."""

import csv
import hashlib
import html.parser
import json
import os
import shutil

import pytest
from planted import (
    BROKEN,
    CLASSES,
    FILES,
    NEWLINE,
    NOT_UTF8,
    ONLY_IN_VAL,
    SCRIPT,
    plant,
    scene,
    write,
)

from training import check_data
from training.data.check import KINDS, check
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
