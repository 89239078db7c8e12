"""`python -m training.check_data`: find the trouble in a folder of pictures before the first epoch."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from training.runs import command
from training.runs.checks import not_negative
from training.runs.command import GateError, InputError
from training.runs.flags import Debug


@dataclass(frozen=True, kw_only=True)
class CheckData:
    """Decode every picture of a folder, or of a list, and tell what is wrong with it.

    Broken and odd files, copies within and across splits and classes, sizes of classes and pictures.
    Nothing in the folder is changed. The exit status is 3 where splits share pictures.
    """

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER|FILE.csv")]
    """Folder with one sub-folder a class, or with train/ val/ [test/] of them; or a list of pictures
    (path,label), in which each of several labels counts."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Where the page and the lists go; by default check_data-NAME under the current folder. What an
    earlier check wrote there is replaced."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """The --seed of the fit, which decides the split of a folder that is not split."""
    debug: Debug = False

    def __post_init__(self):
        is_list = self.folder.suffix.lower() == ".csv" and self.folder.is_file()
        if not self.folder.is_dir() and not is_list:
            what = "this is a file" if self.folder.exists() else "there is no such folder"
            raise InputError(
                f"{self.folder}: {what}. Expected a folder with one sub-folder a class, or with train/ "
                "val/ [test/] of them."
            )
        not_negative(self, "seed")

    @property
    def place(self) -> Path:
        """Where the page and the lists go."""
        whole = self.folder.resolve()
        name = whole.stem if whole.is_file() else whole.name
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "data"
        return self.out or Path(f"check_data-{name}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return command.run(CheckData, check_data, argv)


def check_data(settings: CheckData) -> None:
    """Check a folder of pictures, write what was found, say what to do."""
    from training.data.check import check
    from training.report import data_report

    data_report.check_place(settings.place, settings.folder)
    checked = check(settings.folder, settings.seed)
    data_report.write(checked, settings.place)
    data_report.announce(checked, settings.place)
    leaks = checked.findings.get("leak")
    if leaks:
        parts = ", ".join(f"{part}/" for part in dict.fromkeys(checked.parts))
        raise GateError(
            f"{len(leaks)} picture(s) are in more than one of {parts}: what is measured on the held-out "
            "ones is flattered. quarantine.csv lists the copies to take out."
        )
    if checked.refusal:
        raise InputError(f"fit would not take this folder: {checked.refusal}")


if __name__ == "__main__":
    sys.exit(main())
