"""Tables for a terminal and for Markdown."""

import re

Table = list[tuple[str, ...]]

_NUMBER = re.compile(r"[-+]?[\d,.]+( ?(%|ms|s|MB|kB))?|all|")


def as_text(table: Table) -> str:
    """Align a table, header first, in columns: text to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    numeric = [all(_NUMBER.fullmatch(row[i]) for row in table[1:]) for i in range(len(widths))]
    lines = [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in table
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def as_markdown(table: Table) -> str:
    """Format a table, header first, as Markdown; the first column is code."""
    lines = ["| " + " | ".join(table[0]) + " |", "|" + " --- |" * len(table[0])]
    lines += [f"| `{row[0]}` | " + " | ".join(row[1:]) + " |" for row in table[1:]]
    return "\n".join(lines)
