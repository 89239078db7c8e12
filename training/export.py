"""`python -m training.export`: a run as SavedModel and TFLite files, proved to agree with it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from cnn_keras.tables import as_text
from training.runs import command
from training.runs.checks import check_data_name, positive
from training.runs.command import GateError, InputError, log
from training.runs.flags import Count, Debug, Run


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a run as SavedModel and TFLite files, and prove that they behave as what was trained."""

    run: Run
    """Run folder."""
    min_agreement: Annotated[float | None, tyro.conf.arg(metavar="X")] = None
    """Share of pictures on which each file must choose the Keras model's class, else exit status 3; by
    default 0.99, and 0.97 for int8."""
    max_images: Count = None
    """Compare on at most so many of the test pictures, spread evenly over the classes; by default on
    all."""
    moved_to: Annotated[str | None, tyro.conf.arg(metavar="FOLDER|FILE")] = None
    """Where the pictures of the fit are now, if they were moved."""
    data_dir: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """The same for what TensorFlow Datasets keeps."""
    debug: Debug = False

    def __post_init__(self):
        check_data_name(self.moved_to, "--moved-to")
        positive(self, "max_images")
        if self.min_agreement is not None and not 0 <= self.min_agreement <= 1:
            raise InputError(f"--min-agreement must be between 0 and 1, not {self.min_agreement}.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return command.run(Export, export, argv)


def export(settings: Export) -> None:
    """Write all files and compare each with the Keras model on held-out pictures."""
    from training.runs.folder import open_run

    run, card = open_run(settings.run, write=True)

    from training.data.sources import open_again

    source = open_again(card, settings.moved_to, settings.data_dir)

    from training.engine import device

    device.start()

    from training.data.prepare import notes, prepare
    from training.phone.export import export_run
    from training.phone.summary import summarise
    from training.runs.model import load_model

    model = load_model(run, card)
    data = prepare(source, card["image_size"], card["channels"])
    for note in notes(data, card):
        log.warning("note: %s", note)
    failed = export_run(
        run, card, model, data, min_agreement=settings.min_agreement, max_images=settings.max_images
    )
    log.info("\n%s\n\nexports   %s", as_text(summarise(run.export)), run.export)
    if failed:
        raise GateError("\n".join(failed))


if __name__ == "__main__":
    sys.exit(main())
