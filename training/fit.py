"""`python -m training.fit`: train a network on pictures."""

import sys
from collections.abc import Sequence

from training.runs import command
from training.runs.command import log
from training.runs.folder import Run
from training.runs.settings import Fit


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return command.run(Fit, fit, argv)


def fit(settings: Fit) -> int:
    """Train, report, export: the whole way from pictures to files for servers and phones."""
    if settings.resume:
        from training.runs import checkpoints, resume

        settings = resume.begun(settings.resume)
        run = Run(settings.resume)
        status = checkpoints.finished(run)
        if status is not None:
            log.info("%s is finished already: there is nothing to resume", run.path)
            return status

    from training.data.sources import open_source

    source = open_source(settings.data, settings.data_dir, settings.seed)  # what is wrong shows at once

    from training.engine import device

    on_device = device.start(settings.seed, settings.precision)

    from training.engine.recipe import train

    return train(settings, source, on_device)


if __name__ == "__main__":
    sys.exit(main())
