"""`python -m training.fit`: train a network on pictures."""

import sys
from collections.abc import Sequence

from training.runs import command
from training.runs.settings import Fit


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return command.run(Fit, fit, argv)


def fit(settings: Fit) -> int:
    """Train, report, export: the whole way from pictures to files for servers and phones."""
    from training.data.sources import open_source

    source = open_source(settings.data, settings.data_dir, settings.seed)  # what is wrong shows at once

    from training.engine import device

    on_device = device.start(settings.seed, settings.precision)

    from training.engine.recipe import train

    return train(settings, source, on_device)


if __name__ == "__main__":
    sys.exit(main())
