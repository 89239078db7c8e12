"""Memory: a folder of very many files needs no more than the list of their names."""

import os
import subprocess
import sys
import threading
import time

import pytest
from conftest import ROOT

from benchmarks import memory
from training.data.parallel import in_order


def test_a_list_of_files_takes_little_more_than_their_names(tmp_path):
    """The lists of a folder and of a CSV, split; a `Path` alone would be 400 bytes more."""
    count = 4000
    memory.make_folder(tmp_path / "pictures", count)
    files = sorted(map(str, (tmp_path / "pictures").glob("class*/*.jpg")))
    assert len(files) == count
    lines = [f"{file},{file.split('/')[-2]}" for file in files]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *lines]))
    names = sum(map(sys.getsizeof, files)) / count
    code = (
        "import sys, tracemalloc\nfrom training.data.sources import open_source\n"
        "open_source(sys.argv[1])\n"  # what is loaded once
        "tracemalloc.start()\nsource = open_source(sys.argv[1])\n"
        "print(*tracemalloc.get_traced_memory(), sum(map(len, source.splits.values())))\n"
    )
    for data in ("pictures", "list.csv"):  # in a process without other threads that allocate
        words = [sys.executable, "-c", code, str(tmp_path / data)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
        kept, peak, found = map(int, done.stdout.split())
        assert found == count
        assert kept / count < names + 100
        assert peak / count < 3 * names + 600


def test_work_is_done_in_order_and_not_far_ahead():
    started, lock, most = 0, threading.Lock(), 0

    def work(i):
        nonlocal started
        with lock:
            started += 1
        return i

    for i, result in enumerate(in_order(work, 10_000)):
        assert result == i
        if i % 1000 == 0:
            time.sleep(0.01)  # threads that could run ahead would
        most = max(most, started - i)
    assert i == 9999
    assert most <= 16 * (2 * os.cpu_count() + 2)
    assert list(in_order(work, 0)) == []


def test_an_error_ends_the_work():
    def work(i):
        if i == 100:
            raise ValueError(i)
        return i

    with pytest.raises(ValueError, match="100"):
        list(in_order(work, 100_000))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_pictures(tmp_path):
    """Whole fits, as the benchmark measures them: decoded, 12,000 pictures more would be 332 MB more."""
    highest = {}
    for count in (3000, 15_000):
        words = ["--pictures", str(count), "--image-size", "96", "--place", str(tmp_path)]
        words = [sys.executable, "-m", "benchmarks.memory", *words]
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        rows = [
            [cell.strip() for cell in line.split("|")[1:-1]]
            for line in done.stdout.splitlines()
            if line.startswith("| ")
        ][2:]
        assert [phase for phase, *_ in rows] == list(memory.PHASES.values())
        highest[count] = [float(row[4].replace(",", "")) for row in rows]
    for few, many in zip(*highest.values(), strict=True):
        assert many - few < 120, highest
