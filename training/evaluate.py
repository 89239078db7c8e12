"""`python -m training.evaluate`: judge a run and write its report."""

import re
import sys
from collections.abc import Sequence

from training.runs import command
from training.runs.command import log
from training.runs.settings import Evaluate


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return command.run(Evaluate, evaluate, argv)


def evaluate(settings: Evaluate) -> None:
    """Judge a run on its own held-out pictures, or on all pictures of another set."""
    from training.runs.folder import open_run

    run, card = open_run(settings.run)

    from training.engine import device

    device.start()

    from training.data.prepare import notes, prepare
    from training.data.sources import open_again, open_as_test, same
    from training.engine.plan import conclude
    from training.report.evaluation import judge, write_report
    from training.runs.model import load_model

    model = load_model(run, card)
    others = settings.data is not None and not same(settings.data, card["data"]["source"])
    if not others:
        source = open_again(card, settings.moved_to, settings.data_dir)
        folder, title, history = run.path, run.path.name, run.history
    else:
        source = open_as_test(settings.data, settings.data_dir, tuple(card["class_names"]))
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", source.name)
        folder, title, history = (
            run.path / f"evaluation-{name}",
            f"{run.path.name} on {source.name}",
            None,
        )
    data = prepare(source, card["image_size"], card["channels"], parts=("val", "test"))
    for note in notes(data, None if others else card):
        log.warning("note: %s", note)
    judged = judge(model, data, settings.batch_size)
    write_report(folder, title, card, data, judged, history)
    conclude(folder, judged, None)


if __name__ == "__main__":
    sys.exit(main())
