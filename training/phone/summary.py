"""The table of a run's exports."""

import json
from pathlib import Path

from cnn_keras.tables import Table
from training.phone.agreement import agreement_of


def summarise(folder: Path) -> Table:
    """Return the table of export.json in a folder: size, agreement and accuracy of each file."""
    report = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    several = any("label_agreement" in entry for entry in report.values())
    right = "all labels right" if several else "top-1"
    table = [("file", "size", "agrees", "largest difference", "mean", right, f"Keras {right}")]
    for name, entry in report.items():
        agreement, share, keras_share = agreement_of(entry)
        table.append(
            (
                name,
                f"{entry['bytes'] / 1e6:.2f} MB",
                f"{100 * agreement:.2f} %",
                f"{entry['max_difference']:.6f}",
                f"{entry['mean_difference']:.6f}",
                f"{100 * share:.2f} %",
                f"{100 * keras_share:.2f} %",
            )
        )
    return table
