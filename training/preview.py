"""`python -m training.preview`: see what an augmentation policy makes of pictures."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from training.runs import command
from training.runs.checks import check_data_name, not_negative, positive
from training.runs.command import InputError, log
from training.runs.flags import Alpha, Augmentation, Debug, Pixels


@dataclass(frozen=True, kw_only=True)
class Preview:
    """Draw training pictures beside what an augmentation policy makes of them, epoch by epoch."""

    data: Annotated[str, tyro.conf.arg(metavar="digits|FOLDER|tfds:NAME")] = "digits"
    """Pictures, as for fit."""
    policy: Augmentation = "auto"
    """Augmentation, as --augment of fit."""
    mixup: Alpha = None
    """MixUp, as for fit; the rows shown are the batch."""
    cutmix: Alpha = None
    """CutMix, as for fit; the rows shown are the batch."""
    image_size: Pixels = None
    """Side of the square pictures; by default about the pictures' own, 64 to 224."""
    pictures: Annotated[int, tyro.conf.arg(metavar="N")] = 6
    """Rows: pictures, spread over the classes."""
    epochs: Annotated[int, tyro.conf.arg(metavar="N")] = 8
    """Columns: what the network sees of them in the first epochs."""
    data_dir: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Where TensorFlow Datasets keeps its files."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """As for fit: decides the splits and the augmentation."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE.png")] = Path("preview.png")
    """Where the picture goes; one that is there is replaced."""
    debug: Debug = False

    def __post_init__(self):
        check_data_name(self.data)
        positive(self, "image_size", "pictures", "epochs", "mixup", "cutmix")
        not_negative(self, "seed")
        if self.image_size is not None and self.image_size < 8:
            raise InputError(f"--image-size must be at least 8, not {self.image_size}.")
        if self.seed >= 2**31:
            raise InputError(f"--seed must be below {2**31}, not {self.seed}.")
        if self.out.suffix.lower() != ".png" or self.out.is_dir():
            raise InputError(f"--out {self.out}: expected the name of a file that ends in .png.")
        if (self.mixup or self.cutmix) and self.pictures == 1:
            raise InputError("--mixup and --cutmix mix the pictures shown: --pictures must be over 1.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return command.run(Preview, preview, argv)


def preview(settings: Preview) -> None:
    """Draw the table of pictures."""
    from training.engine import device

    device.start()

    from training.data.augment import resolve
    from training.data.examples import augmented, examples
    from training.data.labels import in_words
    from training.data.mixing import Mixing
    from training.data.sources import open_source
    from training.report.grid import grid
    from training.runs.files import replaced

    source = open_source(settings.data, settings.data_dir, settings.seed)
    policy = resolve(settings.policy, mirrored=source.mirrored)
    size = settings.image_size or min(224, max(64, -(-source.picture_size // 32) * 32))
    mixing = None
    if settings.mixup or settings.cutmix:
        mixing = Mixing(settings.mixup, settings.cutmix, len(source.class_names))
    shown = examples(source, settings.pictures, size, policy)
    rows = augmented(shown, policy, size, settings.epochs, settings.seed, mixing)
    titles = ["original", *(f"epoch {i + 1}" for i in range(settings.epochs))]
    table = [
        (in_words(example.label, source.class_names), [example.original, *row])
        for example, row in zip(shown, rows, strict=True)
    ]
    with replaced(settings.out) as path:
        grid(table, titles).save(path)
    log.info("%s: policy %s, %d x %d pixels", settings.out, policy, size, size)


if __name__ == "__main__":
    sys.exit(main())
