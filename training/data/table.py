"""Pictures listed in a CSV file: `--data pictures.csv`."""

import csv
import io
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data.folder import file_entries, look
from training.data.given import ALL, SPLIT_NAMES, Given, Part, numbered
from training.data.labels import BAR, indicators
from training.runs.command import InputError

NEEDED, OPTIONAL = ("path", "label"), ("split", "group")
SHOWN = 5  # wrong lines in a message


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the file; `split` is ours or None, `group` may be None.

    `label` is as it stands there: perhaps several names, or empty.
    """

    path: str
    label: str
    split: str | None
    group: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """The labels, which bars separate."""
        return tuple(name.strip() for name in self.label.split(BAR)) if self.label else ()


def read_rows(file: Path) -> list[Row]:
    """Return the lines of a list of pictures, as `read_csv` reads them.

    Raises:
        InputError: If it cannot be read as that.
    """
    return _rows(file)[0]


def read_csv(file: Path) -> Given:
    """Read a list of pictures.

    Args:
        file: CSV, UTF-8 with or without a byte order mark. Its first line names the columns: path
            (relative to the file's folder, or absolute), label (any text), and perhaps split (train,
            val or test; validation and the like too) and group (pictures of one group never come into
            two splits). Where any label has a bar, all are lists of labels separated by bars, and an
            empty one says that the picture has none.

    Raises:
        InputError: If it cannot be read as that; the message names the lines.
    """
    rows, notices = _rows(file)
    several, parts = any(BAR in row.label for row in rows), {}
    for name in dict.fromkeys(row.split or ALL for row in rows):
        of_part = [row for row in rows if (row.split or ALL) == name]
        if several:
            labels, class_names = indicators([row.names for row in of_part])
        else:
            labels, class_names = numbered([row.label for row in of_part], None)
        groups = None if rows[0].group is None else np.array([row.group for row in of_part])
        parts[name] = Part(file_entries([row.path for row in of_part], labels, groups), class_names)
    main = next((parts[name] for name in (ALL, "train") if name in parts), next(iter(parts.values())))
    grey, picture_size = look(main.entries)
    return Given(
        data=str(file),
        name=file.stem,
        parts=parts,
        grey=grey,
        picture_size=picture_size,
        notices=tuple(notices),
    )


def _rows(file: Path) -> tuple[list[Row], list[str]]:
    """Return the lines and what the user should know of them."""
    lines = csv.reader(io.StringIO(_text(file), newline=""), strict=True)
    try:
        columns = [name.strip().lower() for name in next(lines, [])]
        _check_columns(file, columns)
        rows, wrong, unlabelled = [], [], []
        first_line: dict[str, int] = {}
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            row = _row(file.parent, columns, cells)
            if isinstance(row, Row) and row.path in first_line:
                row = f"{row.path} is in line {first_line[row.path]} already: list each picture once"
            if isinstance(row, str):
                wrong.append((lines.line_num, row))
                continue
            if not row.label:
                unlabelled.append((lines.line_num, "the label is empty"))
            first_line[row.path] = lines.line_num
            rows.append(row)
    except csv.Error as error:
        raise InputError(f"--data {file}, line {lines.line_num}: {error}.") from None
    if not any(BAR in row.label for row in rows):
        wrong = sorted(wrong + unlabelled)
    if wrong:
        wrong = [f"line {number}: {text}" for number, text in wrong]
        more = f"\n... and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise InputError(f"--data {file}:\n" + "\n".join(wrong[:SHOWN]) + more)
    if not rows:
        raise InputError(f"--data {file} lists no pictures. Expected lines of {','.join(NEEDED)}.")
    ignored = [name for name in columns if name not in NEEDED + OPTIONAL]
    notices = [f"{file}: column '{name}' is ignored" for name in ignored]
    if len({row.split is None for row in rows}) == 2:
        raise InputError(
            f"--data {file}: {sum(row.split is None for row in rows)} of {len(rows)} lines have no "
            "split. Give all of them one (train, val or test), or none."
        )
    return rows, notices


def _text(file: Path) -> str:
    data = file.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(
            f"--data {file}, line {line}: this is not UTF-8. Save the file as UTF-8."
        ) from None


def _check_columns(file: Path, columns: list[str]) -> None:
    twice = {name for name in columns if columns.count(name) > 1}
    if set(NEEDED) <= set(columns) and not twice:
        return
    found = ", ".join(f"'{name}'" for name in columns) or "nothing"
    raise InputError(
        f"--data {file}, line 1: expected the names of the columns, path,label[,split][,group], each "
        f"once and separated by commas, not {found}."
    )


def _row(folder: Path, columns: list[str], cells: list[str]) -> Row | str:
    """Return the row, or what is wrong with it."""
    if len(cells) != len(columns):
        return f"{len(cells)} values for {len(columns)} columns (a comma in a value needs quotes)"
    values = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
    for name in ("path",) + ("group",) * ("group" in columns):
        if not values[name]:
            return f"the {name} is empty"
    split = values.get("split") or None
    if split and split.lower() not in SPLIT_NAMES:
        return f"split '{split}' is none of {', '.join(SPLIT_NAMES)}"
    if "\0" in values["path"]:
        return "the path has a zero byte"
    row = Row(
        path=str(Path(folder, values["path"])),
        label=sys.intern(values["label"]),
        split=split and SPLIT_NAMES[split.lower()],
        group=values.get("group"),
    )
    if not all(row.names):
        return f"the label '{row.label}' has nothing on one side of a bar"
    return row
