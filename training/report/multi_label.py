"""Numbers and worst pictures of a network that tells all labels of a picture."""

from typing import Any

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    hamming_loss,
    log_loss,
    precision_recall_fscore_support,
)

from training.data.labels import in_words
from training.report.metrics import wilson


def measure(
    labels: np.ndarray, probabilities: np.ndarray, class_names: tuple[str, ...], threshold: float
) -> dict[str, Any]:
    """Judge the probabilities of one split.

    Args:
        labels: int (n, classes) of 0 and 1, the truth.
        probabilities: float (n, classes), 0..1 each.
        class_names: In the order of the columns.
        threshold: A label is told where its probability is at least so much.

    Returns:
        n; threshold; exact_match (share of pictures whose labels are told and no others) and its 95 %
        interval (Wilson 1927); hamming_loss (share of wrong answers over all pictures and classes);
        mean_average_precision; micro averages (over all answers), macro averages (over classes), and
        pictures_f1 (the mean over pictures); loss (mean binary cross-entropy of an answer in nats);
        labels_per_picture and told_per_picture; one entry a class. Averages over classes are of those
        that have pictures; the average precision of others is None.
    """
    told = (probabilities >= threshold).astype(int)
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, told, average=None, zero_division=0
    )
    micro = precision_recall_fscore_support(labels, told, average="micro", zero_division=0)
    there = np.flatnonzero(support)
    ap = {i: float(average_precision_score(labels[:, i], probabilities[:, i])) for i in there.tolist()}
    right = int((told == labels).all(axis=1).sum())
    return {
        "n": len(labels),
        "threshold": threshold,
        "exact_match": right / len(labels),
        "exact_match_interval": wilson(right, len(labels)),
        "hamming_loss": float(hamming_loss(labels, told)),
        "mean_average_precision": float(np.mean([*ap.values()])) if ap else None,
        **{f"micro_{k}": float(v) for k, v in zip(("precision", "recall", "f1"), micro, strict=False)},
        "macro_precision": _mean(precision[there]),
        "macro_recall": _mean(recall[there]),
        "macro_f1": _mean(f1[there]),
        # of pictures without labels, none told are all right
        "pictures_f1": float(f1_score(labels, told, average="samples", zero_division=1)),
        "loss": float(log_loss(labels.ravel(), probabilities.ravel().astype("float64"), labels=[0, 1])),
        "labels_per_picture": float(labels.sum(axis=1).mean()),
        "told_per_picture": float(told.sum(axis=1).mean()),
        "classes": [
            {
                "name": name,
                "average_precision": ap.get(i),
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "support": int(support[i]),
                "told": int(told[:, i].sum()),
            }
            for i, name in enumerate(class_names)
        ],
    }


def worst(
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: tuple[str, ...],
    threshold: float,
    most: int,
) -> list[dict[str, Any]]:
    """Return the pictures with a wrong answer, those with the largest binary cross-entropy first.

    Returns:
        For each its index; told and true, in words; and the wrong answers: name, whether it was missed,
        and its probability.
    """
    told = probabilities >= threshold
    wrong = told != (labels == 1)
    of_truth = np.where(labels == 1, probabilities, 1 - probabilities).astype("float64")
    loss = -np.log(np.maximum(of_truth, 1e-12)).sum(axis=1)
    pictures = np.flatnonzero(wrong.any(axis=1))
    return [
        {
            "index": int(i),
            "told": in_words(told[i], class_names),
            "true": in_words(labels[i], class_names),
            "wrong": [
                {
                    "name": class_names[c],
                    "missed": bool(labels[i, c]),
                    "probability": float(probabilities[i, c]),
                }
                for c in np.flatnonzero(wrong[i])
            ],
        }
        for i in pictures[np.argsort(-loss[pictures], kind="stable")][:most]
    ]


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
