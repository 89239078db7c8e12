"""Files are there whole or not at all; run folders are never overwritten."""

import json
import os
from pathlib import Path

import pytest

from training.runs import files, folder
from training.runs.command import InputError, log


@pytest.fixture(autouse=True)
def _close_logs():
    yield
    for handler in log.handlers[:]:
        log.removeHandler(handler)
        handler.close()


def test_replaced_writes_a_file(tmp_path):
    files.write_json(tmp_path / "deep" / "a.json", {"ä": 1})
    assert json.loads((tmp_path / "deep" / "a.json").read_text("utf-8")) == {"ä": 1}
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_write_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def interrupted():
        with files.replaced(path) as temporary:
            temporary.write_text("half of the n")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_replaced_replaces_a_folder_as_a_whole(tmp_path):
    path = tmp_path / "export"
    path.mkdir()
    (path / "old").touch()
    with files.replaced(path) as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
    assert [p.name for p in path.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["export"]


def test_a_folder_that_cannot_be_swapped_comes_back(tmp_path, monkeypatch):
    """Interrupted between the two renames: the old folder is there again."""
    path = tmp_path / "export"
    path.mkdir()
    (path / "old").touch()

    def interrupted(*_):
        raise KeyboardInterrupt

    def swap():
        with files.replaced(path) as temporary:
            temporary.mkdir()
            monkeypatch.setattr(Path, "replace", interrupted)

    with pytest.raises(KeyboardInterrupt):
        swap()
    assert [p.name for p in path.iterdir()] == ["old"]
    assert [p.name for p in tmp_path.iterdir()] == ["export"]


def test_a_run_is_never_overwritten(tmp_path):
    run = folder.create(tmp_path, "a", "lenet5", "digits")
    assert run.path == tmp_path / "a"
    with pytest.raises(InputError, match="there already"):
        folder.create(tmp_path, "a", "lenet5", "digits")


@pytest.mark.parametrize(
    "change", [{"image_size": "x"}, {"class_names": None}, {"channels": 1.0}, {"knobs": []}, {"data": 3}]
)
def test_a_card_edited_by_hand_is_told(tmp_path, change):
    shipped = Path(__file__).parents[1] / "saved_models" / "lenet5-digits" / "card.json"
    card = json.loads(shipped.read_text())
    files.write_json(tmp_path / "card.json", card)
    assert folder.open_run(tmp_path)[1] == card
    files.write_json(tmp_path / "card.json", card | change)
    with pytest.raises(InputError, match=f"is damaged: '{next(iter(change))}' must be a"):
        folder.open_run(tmp_path)


def test_the_default_name_has_network_data_and_time(tmp_path):
    run = folder.create(tmp_path, None, "lenet5", "my pictures/ü")
    assert run.path.name.startswith("lenet5-my-pictures-2")


def test_a_run_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="--out"):
        folder.create(tmp_path / "file", "a", "lenet5", "digits")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no card.json"),
        ("{", "damaged"),
        ("[]", "format_version"),
        ('{"format_version": 99}', "format_version 99"),
    ],
)
def test_what_is_no_run_says_so(tmp_path, content, message):
    if content is not None:
        (tmp_path / "card.json").write_text(content)
    with pytest.raises(InputError, match=message):
        folder.open_run(tmp_path)
    with pytest.raises(InputError, match="no such run folder"):
        folder.open_run(tmp_path / "missing")


def test_names_of_any_bytes_survive(tmp_path):
    """Bytes that are no UTF-8: escaped in text and JSON, as they are in a table."""
    name = os.fsdecode(b'two\nlines \xe9 \xc3\xa9,"')
    files.write_json(tmp_path / "a.json", {"name": name})
    assert json.loads((tmp_path / "a.json").read_bytes())["name"] == name
    files.write_table(tmp_path / "a.csv", [["name"], [name]])
    assert os.fsencode(name).replace(b'"', b'""') in (tmp_path / "a.csv").read_bytes()
    files.write_text(tmp_path / "a.txt", name)
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == 'two\nlines \\udce9 é,"'


def test_printable_names_stay_in_their_line():
    names = {
        "a b.png": "a b.png",
        "é ü 猫\u3000\xa0": "é ü 猫\u3000\xa0",
        "a\nb\t\x1b[31m": "a\\nb\\t\\x1b[31m",
    }
    names |= {"क्\u200dष": "क्\u200dष", "\u2028": "\\u2028"}
    names |= {os.fsdecode(b"\xff"): "\\udcff", "\u202egpj.exe": "\\u202egpj.exe"}  # read backwards
    assert {name: files.printable(name) for name in names} == names
