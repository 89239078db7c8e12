"""`python -m training.lr_find`: find a learning rate by the range test."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated

import tyro

from training.runs import command, groups, settings
from training.runs.checks import positive
from training.runs.command import GateError, InputError, log
from training.runs.flags import Debug


@dataclass(frozen=True, kw_only=True)
class Range:
    """The rates that are tried."""

    min_lr: Annotated[float, tyro.conf.arg(metavar="X")] = 1e-7
    """Rate of the first step."""
    max_lr: Annotated[float, tyro.conf.arg(metavar="X")] = 10.0
    """Rate of the last step; the test ends before where the loss grows."""
    steps: Annotated[int, tyro.conf.arg(metavar="N")] = 200
    """Training steps; the rate grows by the same factor in each."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """What is shown."""

    debug: Debug = False


@dataclass(frozen=True, kw_only=True)
class LrFind(
    groups.Main,
    Range,
    groups.Network,
    groups.Pictures,
    groups.Training,
    groups.Optimization,
    Output,
):
    """Train a few steps at ever larger learning rates, draw the loss, suggest a rate for fit.

    The flags are those of fit, and what is suggested is for the same flags. A folder OUT/NAME gets the
    plot and the figures; the weights are thrown away.
    """

    def __post_init__(self):
        positive(self, "min_lr", "max_lr")
        if self.steps < 20:
            raise InputError(f"--steps must be at least 20, not {self.steps}.")
        if self.max_lr < 10 * self.min_lr:
            raise InputError(
                f"--max-lr {self.max_lr:g} must be at least ten times --min-lr {self.min_lr:g}."
            )
        if self.lr is not None:
            raise InputError("--lr is what is looked for: leave it out.")
        if self.freeze == "backbone":
            raise InputError("--freeze backbone trains the head at a rate of its own: leave it out.")
        self.fit()  # checks the rest

    def fit(self, **values) -> settings.Fit:
        """Return the settings of a fit with the same flags, some of them changed."""
        ours = {f.name: getattr(self, f.name) for f in fields(settings.Fit) if hasattr(self, f.name)}
        return settings.Fit(**ours | values)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return command.run(LrFind, lr_find, argv)


def lr_find(settings: LrFind) -> None:
    """Do the range test, draw it, say what to do with it."""
    from training.data.sources import open_source

    source = open_source(settings.data, settings.data_dir, settings.seed)  # what is wrong shows at once

    from training.engine import device

    device.start(settings.seed, settings.precision)

    from training.engine import range_test
    from training.report.range_test import write_report
    from training.runs import folder
    from training.runs.settings import as_json
    from training.runs.words import fit_command

    tested = range_test.sweep(settings.fit(), source, settings.min_lr, settings.max_lr, settings.steps)
    smoothed = range_test.smooth(tested.losses, settings.steps)
    rate = range_test.suggest(tested.rates, smoothed)
    run = folder.create(settings.out, settings.name, settings.arch, f"{source.name}-lr_find")
    todo = None if rate is None else fit_command(settings.fit(name=None, lr=rate))
    facts = {
        "suggested": rate,
        "rule": range_test.RULE,
        "lowest_loss_at": float(f"{tested.rates[smoothed.argmin()]:.1e}"),
        "default": tested.choices.lr,
        "diverged": tested.diverged,
        "fit_command": todo,
        "command": command.line(),
        "settings": as_json(settings) | {"resolved": tested.choices.as_json()},
    }
    title = (
        f"{settings.arch} on {source.name}, {tested.choices.optimizer}, batches of {settings.batch_size}"
    )
    write_report(run.path, facts, tested.rates, tested.losses, smoothed, title)
    log.info("%d steps, %g to %g", len(tested.rates), tested.rates[0], tested.rates[-1])
    log.info("plot      %s\nfigures   %s", run.path / "lr_find.png", run.path / "lr_find.csv")
    if rate is None:
        raise GateError(
            "no rate is suggested: the loss did not fall at any. Look at the plot; try a lower "
            "--min-lr, more --steps or larger batches."
        )
    log.info("\nsuggested %g: %s", rate, range_test.RULE)
    log.info("the smoothed loss is lowest at %g, and grows above", facts["lowest_loss_at"])
    log.info("fit would take %g by itself\n\n%s", tested.choices.lr, todo)


if __name__ == "__main__":
    sys.exit(main())
