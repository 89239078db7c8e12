"""Where decoded pictures are kept: memory, disk or nowhere."""

import os
import re
import shutil
from pathlib import Path

import pytest

from training.data import cache
from training.runs.command import InputError


@pytest.mark.parametrize(
    ("wanted", "needed", "kind", "why"),
    [
        ("auto", 250, "memory", "in memory: .* a quarter of it"),
        ("auto", 251, "disk", "on disk: .*memory holds at most .*, a quarter of it"),
        ("auto", 2501, "none", "none: .*half of what is free"),
        ("disk", 5000, "disk", "as asked"),
        ("memory", 1000, "memory", "as asked"),
        ("none", 1, "none", "as asked"),
        ("disk", 5001, None, r"--cache disk: .* needed, .* free\. Make room there"),
        ("memory", 1001, None, "--cache memory: .*Take --cache disk"),
    ],
)
def test_auto_takes_what_has_room_and_says_why(monkeypatch, tmp_path, wanted, needed, kind, why):
    monkeypatch.setattr(cache, "memory_bytes", lambda: 1000)
    usage = shutil._ntuple_diskusage(10_000, 5000, 5000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    if kind is None:
        with pytest.raises(InputError, match=why):
            cache.choose(wanted, needed, needed, tmp_path / "not" / "there")
        return
    place = cache.choose(wanted, needed, needed, tmp_path / "not" / "there")
    assert place.kind == kind
    assert re.search(why, place.why)
    assert cache.choose("auto", 9999, 2500, tmp_path).kind == "disk"  # the rest is there already


def test_the_place_is_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.default_folder() == tmp_path / "cnn_keras"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.default_folder() == Path.home() / ".cache" / "cnn_keras"


def test_a_containers_share_of_the_memory_counts(monkeypatch, tmp_path):
    (tmp_path / "max").write_text("max\n")
    (tmp_path / "limit").write_text("123456\n")
    monkeypatch.setattr(cache, "_LIMITS", (str(tmp_path / "max"), str(tmp_path / "none")))
    whole = cache.memory_bytes()
    assert whole == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    monkeypatch.setattr(cache, "_LIMITS", (str(tmp_path / "limit"),))
    assert cache.memory_bytes() == 123456
