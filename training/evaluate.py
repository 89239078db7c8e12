"""`python -m training.evaluate`: judge a run and write its report."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from training.runs import command
from training.runs.checks import check_data_name, positive
from training.runs.command import InputError, log
from training.runs.flags import DATA, Debug, Run
from training.runs.task import is_multi_label, threshold_of


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Judge a run on its test and validation pictures, or on others, and write its report."""

    run: Run
    """Run folder."""
    data: Annotated[str | None, tyro.conf.arg(metavar=DATA)] = None
    """Other pictures to judge it on, given as to fit: all of a folder of class sub-folders, or the test/
    (else val/) of one that is split. The report then goes to a folder evaluation-NAME in the run."""
    moved_to: Annotated[str | None, tyro.conf.arg(metavar="FOLDER|FILE")] = None
    """Where the pictures of the fit are now, if they were moved."""
    data_dir: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Where TensorFlow Datasets keeps its files; by default as at the fit."""
    batch_size: Annotated[int, tyro.conf.arg(metavar="N")] = 64
    """Pictures a step."""
    tta: Literal["none", "flip", "ten-crop", "multi-scale"] = "none"
    """Test-time augmentation, the mean of the probabilities of several views: the picture and its mirror
    image; four corners and the centre and their mirror images; the centre at three scales. The report
    then goes to a folder evaluation-... in the run."""
    debug: Debug = False

    def __post_init__(self):
        check_data_name(self.data)
        check_data_name(self.moved_to, "--moved-to")
        if self.data and self.moved_to:
            raise InputError("--moved-to is for the pictures of the fit, --data for others: give one.")
        positive(self, "batch_size")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return command.run(Evaluate, evaluate, argv)


def evaluate(settings: Evaluate) -> None:
    """Judge a run on its own held-out pictures, or on all pictures of another set."""
    from training.runs.folder import open_run

    run, card = open_run(settings.run, write=True)

    from training.data.sources import open_again, open_as_test, same

    others = settings.data is not None and not same(settings.data, card["data"]["source"])
    if not others:
        source = open_again(card, settings.moved_to, settings.data_dir)
        folder, title, history = run.path, run.path.name, run.history
    else:
        names, multi_label = tuple(card["class_names"]), is_multi_label(card)
        source = open_as_test(settings.data, settings.data_dir, names, multi_label)
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", source.name)
        folder, title, history = (
            run.path / f"evaluation-{name}",
            f"{run.path.name} on {source.name}",
            None,
        )

    from training.engine import device

    device.start()

    from training.data.prepare import notes, prepare
    from training.engine.announce import conclude
    from training.report import tta
    from training.report.evaluation import judge, write_report
    from training.runs.model import load_model

    model = load_model(run, card)
    data = prepare(source, card["image_size"], card["channels"], parts=("val", "test"))
    for note in notes(data, None if others else card):
        log.warning("note: %s", note)
    if settings.tta == "none":
        judged = judge(model, data, settings.batch_size, threshold_of(card))
    else:
        judged = tta.judge(model, data, settings.tta, settings.batch_size, threshold=threshold_of(card))
        folder = run.path / "-".join(["evaluation", *([name] if others else []), settings.tta])
        title, history = f"{title}, {settings.tta}: mean of {tta.count(settings.tta)} views", None
    write_report(folder, title, card, data, judged, history)
    conclude(folder, judged, None)


if __name__ == "__main__":
    sys.exit(main())
