"""Kinds of flags that several commands have."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

Run = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
DATA = "digits|FOLDER|FILE|tfds:NAME|MODULE:FUNCTION"
Pixels = Annotated[int | None, tyro.conf.arg(metavar="PIXELS")]
Count = Annotated[int | None, tyro.conf.arg(metavar="N")]
Number = Annotated[float | None, tyro.conf.arg(metavar="X")]
Text = Annotated[str | None, tyro.conf.arg(metavar="NAME")]
Augmentation = Literal[
    "auto",
    "none",
    "light",
    "digits",
    "standard",
    "strong",
    "trivial",
    "alexnet",
    "vgg",
    "inception",
    "cifar",
]
Alpha = Annotated[float | None, tyro.conf.arg(metavar="ALPHA")]
Debug = Annotated[bool, tyro.conf.arg(help="Show tracebacks of errors.")]
