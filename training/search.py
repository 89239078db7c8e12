"""`python -m training.search`: search the settings of fit, or draw what one of them does."""

import importlib.util
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import tyro

from training.runs import command, groups, settings
from training.runs.checks import check_name, positive
from training.runs.command import DONE, INTERRUPTED, InputError, log
from training.runs.durations import seconds
from training.runs.flags import Count, Debug
from training.runs.space import Dimension, apply, check, parse_space, size

DEFAULT_TRIALS = 20


@dataclass(frozen=True, kw_only=True)
class Space:
    """What is varied: settings of fit by the names of their flags; all others are given as to fit."""

    space: Annotated[
        tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=VALUES")
    ] = ()
    """A setting and its values: lr=1e-4..1e-1:log is a range (:log makes it even in its logarithm),
    lr=1e-4..1e-1:log:7 are seven values of it, optimizer=sgd,adamw are choices; knob.NAME=VALUES is a
    switch of the network. Repeatable."""
    sweep: Annotated[str | None, tyro.conf.arg(metavar="NAME=VALUES")] = None
    """Instead: try every value of one setting, and draw accuracy, time and loss against it."""
    seeds: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """With --sweep: train so many times at each value, with --seed and the numbers after it."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """How it is searched. Processes with the same --name and --study share the trials."""

    sampler: Literal["tpe", "random", "grid"] = "tpe"
    """tpe draws near what was good so far (Bergstra et al. 2011), random anywhere, grid takes every
    point once."""
    pruner: Literal["median", "halving", "none"] = "median"
    """End a trial that is worse than the median of the others at the same epoch (after 5 trials), or
    that is not in the best third at epochs 2, 6, 18, ... (successive halving). --sweep prunes none."""
    trials: Count = None
    """Trials of the study, all processes together; by default 20, or all points of a grid."""
    time: Annotated[str | None, tyro.conf.arg(metavar="30m")] = None
    """Begin no trial after so long: 90s, 30m, 1h30m."""
    metric: Literal["accuracy", "loss"] = "accuracy"
    """What is the best, of the validation pictures; of equal accuracies, the lowest loss."""
    study: Annotated[str | None, tyro.conf.arg(metavar="FILE|URL")] = None
    """Where the study is: a journal file, by default study.journal in the folder, or the URL of a
    database, e.g. sqlite:///study.db or postgresql://..., for processes on several machines."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """What is shown."""

    debug: Debug = False


@dataclass(frozen=True, kw_only=True)
class Search(
    groups.Main,
    Space,
    Study,
    groups.Network,
    groups.Pictures,
    groups.Training,
    groups.Optimization,
    Output,
):
    """Search the settings of fit for the best on the validation pictures; print its command.

    OUT/NAME has a page, a table, plots, and a folder with the settings and the history of each trial.
    The same command with the same --name goes on where it was interrupted, or helps where it still runs.
    """

    def __post_init__(self):
        positive(self, "trials", "seeds")
        if bool(self.space) == bool(self.sweep):
            raise InputError(
                "say what is varied: --space NAME=VALUES (repeatable), or --sweep NAME=VALUES for one "
                "setting. For instance --space lr=1e-4..1e-1:log --space optimizer=sgd,adamw."
            )
        if self.seeds > 1 and not self.sweep:
            raise InputError("--seeds is for --sweep: leave it out.")
        if self.time is not None:
            seconds(self.time, "--time")
        check_name(self.name)
        open_ended = [d.name for d in self.dimensions if d.choices is None]
        if open_ended and (self.sweep or self.sampler == "grid"):
            flag = "--sweep" if self.sweep else "--sampler grid"
            raise InputError(
                f"{flag} takes single values: give {open_ended[0]}=a,b,c or =LOW..HIGH:COUNT."
            )
        check(self._values(), self.dimensions, "--sweep" if self.sweep else "--space")

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """What is varied, without the seeds."""
        return parse_space((self.sweep,), "--sweep") if self.sweep else parse_space(self.space)

    @property
    def points(self) -> tuple[Dimension, ...]:
        """What is varied, with the seeds of a sweep."""
        seeds = (Dimension("seed", tuple(range(self.seed, self.seed + self.seeds))),)
        return self.dimensions + (seeds if self.sweep else ())

    @property
    def limit(self) -> int:
        """Number of trials of the whole study."""
        count = size(self.points)
        if self.sweep or self.sampler == "grid":
            return min(count, self.trials or count)
        return min(self.trials or DEFAULT_TRIALS, count or sys.maxsize)

    def fit(self, point: dict, name: str | None = None, out: Path | None = None) -> settings.Fit:
        """Return the settings of the fit of a point."""
        return settings.Fit(**apply(self._values(), point) | {"name": name, "out": out or self.out})

    def _values(self) -> dict:
        ours = {f.name: getattr(self, f.name) for f in fields(settings.Fit) if hasattr(self, f.name)}
        return ours | {"name": None}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return command.run(Search, search, argv)


def search(settings: Search) -> int:
    """Run trials, then sum up the study."""
    start = time.monotonic()
    if importlib.util.find_spec("optuna") is None:
        raise InputError("training.search needs Optuna: pip install -r requirements-search.txt")

    from training.data.sources import open_source

    source = open_source(settings.data, settings.data_dir, settings.seed)  # what is wrong shows at once

    from training.engine import device

    device.start(settings.seed, settings.precision)

    from training.engine import study, trials
    from training.engine.search import SharedStudy
    from training.report.search import conclude, summarise, write_report
    from training.runs.files import printable
    from training.runs.settings import as_json
    from training.runs.words import fit_command

    name = settings.name or study.default_name(settings, source, "sweep" if settings.sweep else "search")
    root = settings.out / name
    shared = SharedStudy(
        root,
        settings.study or str(root / "study.journal"),
        as_json(settings) | {"pictures": study.pictures(source)},
        metric=settings.metric,
        space=settings.points,
        sampler="grid" if settings.sweep else settings.sampler,
        pruner="none" if settings.sweep else settings.pruner,
        seed=settings.seed,
        limit=settings.limit,
    )
    log.info("study     %s, %d trial(s)", root, settings.limit)
    for notice in source.notices:
        log.warning("note: %s", printable(notice))
    until = None if settings.time is None else start + seconds(settings.time, "--time")
    status = DONE
    try:
        trials.work(
            shared, root, lambda point, name: settings.fit(point, name, root), settings.metric, until
        )
    except KeyboardInterrupt:
        status = INTERRUPTED
    summary = summarise(
        shared.rows(),
        [dimension.name for dimension in settings.dimensions],
        metric=settings.metric,
        sweep=bool(settings.sweep),
        limit=settings.limit,
        command_of=lambda point: fit_command(settings.fit(point)),
    )
    write_report(root, summary, shared.importances(), settings.arch, settings.data)
    conclude(root, summary)
    if status == INTERRUPTED or summary["left"]:
        log.info("the same command with --name %s goes on from here", name)
    return status


if __name__ == "__main__":
    sys.exit(main())
