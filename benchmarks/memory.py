"""Resident memory of a fit over a folder of very many pictures, sampled while it runs.

    python -m benchmarks.memory --pictures 1000000

Links to few real pictures are spread over class folders, and `python -m training.fit` runs on them as a
user would run it. Prints a Markdown table of each phase: its time and the memory in it. With
--epoch-seconds the fit is interrupted after so much of the epoch, and there is no report.
"""

import argparse
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

from training.runs.command import INTERRUPTED

REAL, CLASSES, SIDE = 400, 100, 32
ROOT = Path(__file__).parents[1]
PHASES = {  # how a line of fit begins that ends a phase
    "network": "list, read and decode every picture",
    "epoch ": "one epoch and its validation",
    "report": "judging and report",
}


def make_folder(folder: Path, count: int) -> None:
    """Make a folder of `count` hard links to `REAL` pictures, spread over `CLASSES` folders."""
    rng = np.random.default_rng(0)
    (folder / ".real").mkdir(parents=True)
    for i in range(REAL):
        small = rng.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(small).resize((SIDE, SIDE)).save(folder / ".real" / f"{i}.jpg")
    for i in range(count):
        place = folder / f"class {i % CLASSES:03}"
        if i < CLASSES:
            place.mkdir()
        os.link(folder / ".real" / f"{i % REAL}.jpg", place / f"picture-{i:08}.jpg")


def resident(pid: int) -> tuple[int, int]:
    """Return bytes of a process's own memory, and of all that is resident, mapped files included."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0, 0
    found = {
        name: int(rest.split()[0]) * 1024
        for name, _, rest in (x.partition(":") for x in lines)
        if name in ("VmRSS", "RssAnon", "RssShmem")
    }
    return found.get("RssAnon", 0) + found.get("RssShmem", 0), found.get("VmRSS", 0)


def measure(words: list[str], epoch_seconds: float | None) -> tuple[dict[str, list], int]:
    """Run a fit and sample its memory five times a second.

    Args:
        words: Its command line.
        epoch_seconds: How much of the epoch to let run; None for all of it.

    Returns:
        Of each phase the samples (time, own bytes, resident bytes); the highest residence, bytes.
    """
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    samples: list[tuple[float, int, int]] = []
    over = threading.Event()

    def sample() -> None:
        while not over.wait(0.2):
            sampled = time.perf_counter(), *resident(process.pid)
            if sampled[1]:  # it has not ended
                samples.append(sampled)

    sampler = threading.Thread(target=sample)
    sampler.start()
    ends = {}
    for line in process.stdout:
        print(line, end="", file=sys.stderr, flush=True)
        for begin, phase in PHASES.items():
            if line.startswith(begin):
                ends[phase] = time.perf_counter()
        if epoch_seconds and line.startswith("network"):
            threading.Timer(epoch_seconds, process.send_signal, [signal.SIGINT]).start()
    process.wait()
    if epoch_seconds:
        ends["a part of the epoch"] = time.perf_counter()
    over.set()
    sampler.join()
    if process.returncode != (INTERRUPTED if epoch_seconds else 0):
        raise SystemExit(f"fit ended with {process.returncode}")
    phases, start = {}, 0.0
    for phase, end in ends.items():
        phases[phase] = [s for s in samples if start < s[0] <= end]
        start = end
    return phases, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def growth(samples: list[tuple[float, int, int]]) -> float:
    """Return by how much own memory grew: mean of the last fifth less that of the second, bytes."""
    own = np.array([own for _, own, _ in samples], float)
    second, last = np.array_split(own, 5)[1], np.array_split(own, 5)[4]
    return float(last.mean() - second.mean())


def main() -> None:
    """Make the folder, run the fit, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1_000_000)
    parser.add_argument("--arch", default="linear")
    parser.add_argument("--cache", default="none", choices=("auto", "memory", "disk", "none"))
    parser.add_argument("--image-size", type=int, default=SIDE)
    parser.add_argument("--epoch-seconds", type=float)
    parser.add_argument("--place", type=Path, default=Path(tempfile.gettempdir()))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.place) as place:
        folder = Path(place, "pictures")
        make_folder(folder, given.pictures)
        fit = ["--arch", given.arch, "--image-size", given.image_size, "--data", folder, "--epochs", 1]
        fit += ["--batch-size", 256, "--export", "none", "--out", Path(place, "runs")]
        fit += ["--cache", given.cache, "--cache-dir", Path(place, "cache")]
        phases, peak = measure(
            [sys.executable, "-m", "training.fit", *map(str, fit)], given.epoch_seconds
        )
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}; {given.pictures:,} pictures, {given.arch}, "
        f"--cache {given.cache}\n"
    )
    print("| phase | s | own memory, MB: at its start | at its end | highest | growth |")
    print("| --- | --- | --- | --- | --- | --- |")
    for phase, samples in phases.items():
        times, own, _ = (np.array(column) for column in zip(*samples, strict=True))
        cells = [f"{x / 1e6:,.0f}" for x in (own[0], own[-1], own.max(), growth(samples))]
        print(f"| {phase} | {times[-1] - times[0]:,.0f} | " + " | ".join(cells) + " |")
    print(f"\nHighest residence, mapped files and libraries included: {peak / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
