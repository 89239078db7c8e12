"""What a network tells of a picture: the one class that it is of, or all labels that it has."""

from typing import Any

SINGLE_LABEL, MULTI_LABEL = "single_label", "multi_label"
THRESHOLD = 0.5  # a label is told where its probability is at least so much


def task_entries(multi_label: bool) -> dict[str, Any]:
    """Return what a card says of the task; the threshold only where there is one."""
    if multi_label:
        return {"task": MULTI_LABEL, "threshold": THRESHOLD}
    return {"task": SINGLE_LABEL}


def problem_of(card: dict[str, Any]) -> str | None:
    """Return what is wrong with what a card says of the task, in words; None where nothing is."""
    task, threshold = card.get("task", SINGLE_LABEL), card.get("threshold")
    if task not in (SINGLE_LABEL, MULTI_LABEL):
        return f"'task' must be {SINGLE_LABEL} or {MULTI_LABEL}, not {task!r}"
    if task == MULTI_LABEL and not (isinstance(threshold, float) and 0 <= threshold <= 1):
        return f"'threshold' must be a number between 0 and 1, not {threshold!r}"
    return None


def is_multi_label(card: dict[str, Any]) -> bool:
    """Tell whether a run's card is of a network that tells all labels of a picture.

    Its logits then go through a sigmoid each; through a softmax otherwise, as in cards without a task.
    """
    return card.get("task") == MULTI_LABEL


def threshold_of(card: dict[str, Any]) -> float | None:
    """Return the probability from which on a label is told; None where one class is."""
    return card["threshold"] if is_multi_label(card) else None
