"""Numbers that say how good a classifier is."""

import math
from typing import Any

import numpy as np
from sklearn.metrics import (
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)


def measure(
    labels: np.ndarray, probabilities: np.ndarray, class_names: tuple[str, ...]
) -> dict[str, Any]:
    """Judge the probabilities of one split.

    Args:
        labels: int (n,), the true classes.
        probabilities: float (n, classes), rows summing to 1.
        class_names: In the order of the columns.

    Returns:
        n, top1 and its 95 % interval (Wilson 1927), top5 (of fewer classes: of all of them), loss (mean
        negative log likelihood in nats), macro averages, one entry a class, and the confusion matrix
        (rows: true, columns: predicted). Accuracies are fractions 0..1.
    """
    probabilities = probabilities.astype("float64")  # float32 rows miss a sum of 1 by more than allowed
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    everything = np.arange(len(class_names))
    predicted = probabilities.argmax(axis=1)
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=everything, zero_division=0
    )
    right = int((predicted == labels).sum())
    there = support > 0  # a class without pictures cannot be recalled
    return {
        "n": len(labels),
        "top1": right / len(labels),
        "top1_interval": wilson(right, len(labels)),
        "top5": _top_k(labels, probabilities, 5),
        "loss": float(log_loss(labels, probabilities, labels=everything)),
        "macro_precision": float(precision[there].mean()),
        "macro_recall": float(recall[there].mean()),
        "macro_f1": float(f1[there].mean()),
        "classes": [
            {
                "name": name,
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "support": int(support[i]),
            }
            for i, name in enumerate(class_names)
        ],
        "confusion_matrix": confusion_matrix(labels, predicted, labels=everything).tolist(),
    }


def _top_k(labels: np.ndarray, probabilities: np.ndarray, k: int) -> float:
    classes = probabilities.shape[1]
    if k >= classes:
        return 1.0
    return float(top_k_accuracy_score(labels, probabilities, k=k, labels=np.arange(classes)))


def wilson(right: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the 95 % confidence interval of a proportion (Wilson 1927)."""
    p = right / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
