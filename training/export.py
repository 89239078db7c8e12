"""`python -m training.export`: a run as SavedModel and TFLite files, proved to agree with it."""

import sys
from collections.abc import Sequence

from training.runs import command
from training.runs.command import GateError, log
from training.runs.settings import Export


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return command.run(Export, export, argv)


def export(settings: Export) -> None:
    """Write all files and compare each with the Keras model on held-out pictures."""
    from training.runs.folder import open_run

    run, card = open_run(settings.run)

    from training.engine import device

    device.start()

    from training.data.prepare import notes, prepare
    from training.data.sources import open_again
    from training.phone.export import export_run
    from training.phone.summary import summarise
    from training.runs.model import load_model

    model = load_model(run, card)
    source = open_again(card, settings.moved_to, settings.data_dir)
    data = prepare(source, card["image_size"], card["channels"])
    for note in notes(data, card):
        log.warning("note: %s", note)
    failed = export_run(
        run, card, model, data, min_agreement=settings.min_agreement, max_images=settings.max_images
    )
    log.info("\n%s\n\nexports   %s", summarise(run.export), run.export)
    if failed:
        raise GateError("\n".join(failed))


if __name__ == "__main__":
    sys.exit(main())
