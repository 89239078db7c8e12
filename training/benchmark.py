"""`python -m training.benchmark`: how long a run's files take for one picture on this machine."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import tyro

from cnn_keras.tables import as_text
from training.phone.convert import KINDS
from training.phone.engines import Engine, saved_model_engine, tflite_engine
from training.runs import command
from training.runs.checks import positive
from training.runs.command import InputError, log
from training.runs.flags import Debug, Run
from training.runs.folder import open_run

WARM_UP = 5


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Measure how long a run's files take for one picture on this machine."""

    run: Run
    """Run folder."""
    seconds: Annotated[float, tyro.conf.arg(metavar="X")] = 3.0
    """Time to measure each file for."""
    threads: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """CPU threads for the TFLite files."""
    debug: Debug = False

    def __post_init__(self):
        positive(self, "seconds", "threads")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return command.run(Benchmark, benchmark, argv)


def benchmark(settings: Benchmark) -> None:
    """Time every exported file on one random picture at a time."""
    run, card = open_run(settings.run)
    size = card["image_size"]
    picture = np.random.default_rng(0).integers(0, 256, (1, size, size, card["channels"]), np.uint8)
    files = [run.tflite(kind) for kind in KINDS if run.tflite(kind).is_file()]
    engines = {file.name: lambda file=file: tflite_engine(file, settings.threads) for file in files}
    if run.saved_model.is_dir():
        engines["saved_model/1"] = lambda: saved_model_engine(run.saved_model)
    if not engines:
        raise InputError(
            f"{run.export} has no files. `python -m training.export {run.path}` writes them."
        )
    table = [("file", "median", "90 %", "fastest", "pictures/s")]
    for name, open_engine in engines.items():
        times_ms = latencies_ms(open_engine(), picture, settings.seconds)
        median = np.median(times_ms)
        cells = (median, np.percentile(times_ms, 90), times_ms.min())
        table.append((name, *(f"{ms:.3f} ms" for ms in cells), f"{1000 / median:,.0f}"))
    log.info(
        "one picture of %d x %d x %d pixels at a time, %d thread(s) for TFLite, %g s each\n\n%s",
        *(size, size, card["channels"], settings.threads, settings.seconds, as_text(table)),
    )


def latencies_ms(engine: Engine, picture: np.ndarray, seconds: float) -> np.ndarray:
    """Time an engine on one picture again and again, after a warm-up.

    Args:
        engine: What to time.
        picture: uint8 (1, height, width, channels).
        seconds: For how long.

    Returns:
        float64 (n,), milliseconds a call.
    """
    for _ in range(WARM_UP):
        engine(picture)
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        engine(picture)
        times.append(time.perf_counter() - start)
    return 1000 * np.array(times)


if __name__ == "__main__":
    sys.exit(main())
