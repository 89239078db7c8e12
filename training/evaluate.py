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

    from training.data.prepare import prepare
    from training.data.sources import open_again, open_as_test
    from training.engine.plan import conclude
    from training.report.evaluation import judge, write_report
    from training.runs.model import load_model

    model = load_model(run, card)
    if settings.data is None:
        source = open_again(card, data_dir=settings.data_dir)
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
    for notice in data.source.notices:
        log.warning("note: %s", notice)
    if data.left_out:
        log.warning(
            "note: %d broken picture(s) left out, e.g. %s", len(data.left_out), data.left_out[0].name
        )
    if settings.data is None:
        for part, split in data.splits.items():
            if split.fingerprint != card["data"]["fingerprint"].get(part):
                log.warning(
                    "note: the %s pictures are not those that the fit saw: they changed since", part
                )
    judged = judge(model, data, settings.batch_size)
    write_report(folder, title, card, data, judged, history)
    conclude(folder, judged, None)


if __name__ == "__main__":
    sys.exit(main())
