"""`python -m training.crossval`: train on every fold and sum up how good a network is."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import tyro

from training.runs import command, groups, settings
from training.runs.checks import check_name, positive
from training.runs.command import DONE, INTERRUPTED, GateError, InputError, log
from training.runs.flags import Count

DEFAULT_FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class Folds:
    """How the pictures are divided. Each fold, or sample, becomes a run of its own."""

    folds: Count = None
    """Cross-validation: each picture is tested in one of so many folds (default 5), stratified by
    class; with a CSV column 'group', groups stay whole."""
    repeats: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Divide into folds so many times, each with another seed: --seed and the numbers after it."""
    bootstrap: Count = None
    """Instead of folds: train on so many bootstrap samples, each tested on the pictures not drawn."""


@dataclass(frozen=True, kw_only=True)
class Output(groups.Output):
    """What happens after each training."""

    export: Literal["auto", "all", "none"] = "none"
    """Exports of every fold: auto writes a SavedModel and, for MobileNets and networks under 20 MB,
    TFLite files."""


@dataclass(frozen=True, kw_only=True)
class Crossval(
    groups.Main,
    Folds,
    groups.Network,
    groups.Pictures,
    groups.Training,
    groups.Optimization,
    Output,
):
    """Train a network on every fold of the pictures; report each, their mean and its interval.

    The runs are in OUT/NAME. The same command with the same --name goes on where it was interrupted.
    """

    def __post_init__(self):
        positive(self, "folds", "repeats", "bootstrap")
        if self.folds == 1:
            raise InputError("--folds must be at least 2.")
        if self.bootstrap and (self.folds or self.repeats > 1):
            raise InputError("--bootstrap takes the place of --folds and --repeats: give one.")
        check_name(self.name)
        self.fit(self.out, None, self.seed)  # checks the rest

    def fit(self, out: Path, name: str | None, seed: int, resume: Path | None = None) -> settings.Fit:
        """Return the settings of one fold's fit."""
        values = {f.name: getattr(self, f.name) for f in fields(settings.Fit) if hasattr(self, f.name)}
        return settings.Fit(**values | {"out": out, "name": name, "seed": seed, "resume": resume})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return command.run(Crossval, crossval, argv)


def crossval(settings: Crossval) -> int:
    """Train every fold that is not finished yet, then sum all of them up."""
    from training.engine import device

    device.start(settings.seed, settings.precision)

    import keras

    from training.data.folds import in_fold, names_and_folds, notices
    from training.data.sources import open_source
    from training.engine import study
    from training.engine.recipe import train
    from training.report.folds import conclude, summarise, write_report

    source = open_source(settings.data, settings.data_dir, settings.seed)
    count = settings.folds or DEFAULT_FOLDS
    plan = names_and_folds(count, settings.repeats, settings.bootstrap, settings.seed)
    first = next(iter(plan.values()))
    in_fold(source, first)  # what cannot be divided shows before anything is written
    for notice in notices(source, first):
        log.warning("note: %s", notice)
    root = study.start(settings, source)
    for n, (name, fold) in enumerate(plan.items(), 1):
        if study.finished(root / name, fold, settings.export):
            log.info("%s is finished already", root / name)
            continue
        resume = study.begun(root / name, fold)
        if resume is None:
            study.set_aside(root / name)
        log.info("\n%s, %d of %d", name, n, len(plan))
        keras.backend.clear_session()
        on_device = device.start(fold.seed, settings.precision)
        try:
            status = train(settings.fit(root, name, fold.seed, resume), in_fold(source, fold), on_device)
        except KeyboardInterrupt:
            status = INTERRUPTED
        if status == INTERRUPTED:
            log.info("the same command with --name %s goes on from here", root.name)
            return INTERRUPTED
    rows = [study.read(root / name, fold) for name, fold in plan.items()]
    summary = summarise(rows, first.method)
    write_report(root, summary, settings.arch, settings.data, notices(source, first))
    conclude(root, summary)
    failed = [problem for name in plan for problem in study.problems(root / name)]
    if failed:
        raise GateError("\n".join(failed))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
