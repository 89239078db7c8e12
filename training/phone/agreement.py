"""How far a file agrees with the network that it was made from."""

from typing import Any

import numpy as np

from training.runs.task import MULTI_LABEL


def compare_labels(
    found: np.ndarray, expected: np.ndarray, labels: np.ndarray, threshold: float
) -> dict[str, Any]:
    """Compare a file of a network that tells several labels with the Keras model.

    Args:
        found: float32 (n, classes), the file's probabilities.
        expected: The Keras model's.
        labels: int (n, classes) of 0 and 1, the truth.
        threshold: A label is told where its probability is at least so much.

    Returns:
        task and threshold; n; label_agreement (share of pictures of which the file tells the same
        labels, all of them); max_difference and mean_difference of probabilities; exact_match (share of
        pictures whose labels are told and no others) and keras_exact_match.
    """
    difference = np.abs(found - expected)
    told, keras_told = found >= threshold, expected >= threshold
    return {
        "task": MULTI_LABEL,
        "threshold": threshold,
        "n": len(found),
        "label_agreement": float((told == keras_told).all(axis=1).mean()),
        "max_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
        "exact_match": float((told == (labels == 1)).all(axis=1).mean()),
        "keras_exact_match": float((keras_told == (labels == 1)).all(axis=1).mean()),
    }


def agreement_of(entry: dict[str, Any]) -> tuple[float, float, float]:
    """Return of an entry of export.json the agreement, and the accuracy of the file and of Keras."""
    if "label_agreement" in entry:
        return entry["label_agreement"], entry["exact_match"], entry["keras_exact_match"]
    return entry["top1_agreement"], entry["top1"], entry["keras_top1"]
