"""The table of a run's exports."""

import json
from pathlib import Path

from cnn_keras.tables import Table


def summarise(folder: Path) -> Table:
    """Return the table of export.json in a folder: size, agreement and accuracy of each file."""
    report = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    table = [("file", "size", "agrees", "largest difference", "mean", "top-1", "Keras top-1")]
    for name, entry in report.items():
        table.append(
            (
                name,
                f"{entry['bytes'] / 1e6:.2f} MB",
                f"{100 * entry['top1_agreement']:.2f} %",
                f"{entry['max_difference']:.6f}",
                f"{entry['mean_difference']:.6f}",
                f"{100 * entry['top1']:.2f} %",
                f"{100 * entry['keras_top1']:.2f} %",
            )
        )
    return table
