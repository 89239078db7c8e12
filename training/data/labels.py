"""The labels of pictures: one class each, or any number of them.

One class each is int32 (n,), an index into the class names. Any number of them, none included, is
int32 (n, classes): 1 where a picture has the class, else 0. Which it is shows in the number of axes.
"""

from collections.abc import Sequence

import numpy as np

BAR = "|"  # between the labels of a picture in a text


def is_multi(labels: np.ndarray) -> bool:
    """Tell whether pictures may have several labels."""
    return labels.ndim == 2


def class_counts(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the number of pictures of each class, int64 (classes,); each label of a picture counts."""
    if is_multi(labels):
        return labels.sum(axis=0, dtype=np.int64)
    return np.bincount(labels, minlength=num_classes)


def in_order(labels: np.ndarray) -> np.ndarray:
    """Return the indices of pictures sorted by class, or by what labels they have: int64 (n,)."""
    return np.lexsort(labels.T[::-1]) if is_multi(labels) else np.argsort(labels, kind="stable")


def renumbered(labels: np.ndarray, names: tuple[str, ...], new_names: tuple[str, ...]) -> np.ndarray:
    """Return labels that index `new_names` for those that index `names`.

    Where one of `names` is not among the new ones, the class of its pictures is -1; of pictures with
    several labels, that label alone goes.
    """
    index = {name: i for i, name in enumerate(new_names)}
    places = np.array([index.get(name, -1) for name in names], np.int32)
    if not is_multi(labels):
        return places[labels]
    moved = np.zeros((len(labels), len(new_names)), np.int32)
    known = places >= 0
    moved[:, places[known]] = labels[:, known]
    return moved


def indicators(
    sets: Sequence[Sequence[str]], class_names: Sequence[str] | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Bring the names that each picture has to rows of 0 and 1.

    Args:
        sets: For each picture, the names of its labels; perhaps none.
        class_names: In the order of the columns; by default all names, sorted.

    Returns:
        int32 (n, classes); the class names.

    Raises:
        ValueError: If a label is none of the class names.
    """
    found = sorted({name for names in sets for name in names})
    names = tuple(found if class_names is None else class_names)
    wrong = [name for name in found if name not in names]
    if wrong:
        raise ValueError(f"label {wrong[0]!r} is none of the {len(names)} class names.")
    index = {name: i for i, name in enumerate(names)}
    labels = np.zeros((len(sets), len(names)), np.int32)
    for row, of_picture in zip(labels, sets, strict=True):
        row[[index[name] for name in of_picture]] = 1
    return labels, names


def checked_rows(
    labels: np.ndarray, class_names: Sequence[str] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Check rows of 0 and 1 of the user's.

    Args:
        labels: (n, classes), numbers.
        class_names: In the order of the columns; by default their numbers.

    Returns:
        int32 (n, classes); the class names.

    Raises:
        ValueError: If they are something else, or have not one column a class name.
    """
    if labels.dtype.kind not in "biuf" or not np.isin(labels, (0, 1)).all():
        raise ValueError(
            f"labels are {labels.dtype} {labels.shape}. Expected 0 and 1, one column a class, or one "
            "label a picture."
        )
    names = tuple(map(str, range(labels.shape[1])) if class_names is None else class_names)
    if len(names) != labels.shape[1]:
        raise ValueError(f"there are {labels.shape[1]} columns of labels but {len(names)} class names.")
    return labels.astype(np.int32), names


def one_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the classes of pictures, int (n,), as rows of 0 and 1: int32 (n, classes)."""
    return np.eye(num_classes, dtype=np.int32)[labels]


def in_words(label: np.ndarray | int, class_names: Sequence[str]) -> str:
    """Return the class of one picture, or its labels, as text."""
    label = np.asarray(label)
    if label.ndim == 0:
        return class_names[int(label)]
    return ", ".join(class_names[i] for i in np.flatnonzero(label)) or "none"
