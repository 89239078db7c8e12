"""Splits made again and again: cross-validation, bootstrap, and hold-outs that keep groups whole.

scikit-learn's splitters decide; what is tested on never shares a picture, or a group, with what is
trained on.
"""

import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from training.data import stratify
from training.data.entries import Entries, Splits, split
from training.data.labels import class_counts, is_multi
from training.data.sources import Source
from training.runs.command import InputError

VAL_SHARE = 0.15  # of what a fold trains on: chooses the best epoch


@dataclass(frozen=True)
class Fold:
    """One of several ways to split the same pictures.

    Attributes:
        method: "kfold": each picture is tested in one of `count` folds. "bootstrap": as many pictures as
            there are, drawn with replacement, are trained on, and those never drawn are tested.
        count: Number of folds; 1 for a bootstrap sample.
        number: Which of them, from 1.
        seed: Decides the folds or the sample, and what is held out for validation.
    """

    method: Literal["kfold", "bootstrap"]
    count: int
    number: int
    seed: int

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values, for a card."""
        return asdict(self)


def fold_from(entry: Any) -> Fold:
    """Return the fold that `Fold.as_json` wrote.

    Raises:
        InputError: If it is none.
    """
    try:
        fold = Fold(**entry)
        known = fold.method in ("kfold", "bootstrap")
        if known and 1 <= fold.number <= fold.count and fold.seed >= 0:
            return fold
    except TypeError:  # other entries, or texts for numbers
        pass
    raise InputError(f"the card is damaged: data.fold is {entry!r}.")


def in_fold(source: Source, fold: Fold) -> Source:
    """Return the source with the splits of a fold: "train", "val" and "test".

    Of what is not tested, 15 % are held out for validation.

    Raises:
        InputError: If the pictures are too few for that, or a class has none left to train on.
    """
    pool = source.pool
    if fold.method == "kfold":
        inside, outside = k_folds(pool, fold.count, fold.seed)[fold.number - 1]
    else:
        inside = bootstrap(pool, fold.seed)
        outside = np.setdiff1d(np.arange(len(pool)), inside)
    distinct = np.unique(inside)
    # names that are places in the pool tell which pictures were held out
    numbered = replace(pool.take(distinct), names=tuple(map(str, distinct)))
    held_out = split(numbered, {"val": VAL_SHARE}, fold.seed)
    if "val" not in held_out:
        raise InputError(
            f"{source.name} has too few pictures ({len(pool)}) to hold some out in each fold."
        )
    val = np.array(held_out["val"].names, int)
    train = inside[~np.isin(inside, val)]
    splits = {"train": pool.take(train), "val": pool.take(val)}
    if len(outside):
        splits["test"] = pool.take(outside)
    missing = np.flatnonzero(class_counts(pool.labels[train], len(source.class_names)) == 0)
    if len(missing) or not len(outside):
        what = f"class '{source.class_names[missing[0]]}' has" if len(missing) else "testing has"
        raise InputError(
            f"{source.name}: {what} no pictures left in fold {fold.number} of seed {fold.seed}. Add "
            "pictures (or groups), or take another number of folds or another --seed."
        )
    return replace(source, splits=splits, own_splits=True, fold=fold.as_json())


def k_folds(entries: Entries, count: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Divide entries into folds, stratified by class and, where pictures have groups, by whole groups.

    These are scikit-learn's StratifiedKFold or StratifiedGroupKFold (count, shuffle=True,
    random_state=seed) over labels and groups in the pool's order. Pictures with several labels are
    divided by iterative stratification.

    Returns:
        For each fold the indices trained on and those tested, int64, ascending.

    Raises:
        InputError: If there are fewer pictures of any class, or fewer groups, than that takes.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    nothing = np.zeros(len(entries))
    smallest = int(class_counts(entries.labels, 0).min())
    if entries.groups is None and smallest < 2:
        raise InputError("a class has one picture: it cannot be both trained on and tested. Add some.")
    kind = StratifiedKFold if entries.groups is None else StratifiedGroupKFold
    parts = len(entries) if entries.groups is None else len(np.unique(entries.groups))
    if parts < count:
        what = "pictures" if entries.groups is None else "groups"
        raise InputError(f"--folds {count}: there are only {parts} {what}.")
    if is_multi(entries.labels):
        fold = stratify.parts(entries.labels, [1 / count] * count, seed, entries.groups)
        return [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(count)]
    splitter = kind(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # told by `notices`
        try:
            return list(splitter.split(nothing, entries.labels, entries.groups))
        except ValueError as error:
            raise InputError(f"--folds {count}: {error}") from None


def bootstrap(entries: Entries, seed: int) -> np.ndarray:
    """Draw as many entries as there are, with replacement, class by class; or as many whole groups.

    This is scikit-learn's resample over the indices (stratified by class, where each picture has one),
    or over the sorted groups.

    Returns:
        Indices, int64 (n,), some of them repeated.
    """
    from sklearn.utils import resample

    if entries.groups is None:
        # by sets of labels, each picture with a set of its own would always be drawn, never tested
        strata = None if is_multi(entries.labels) else entries.labels
        return resample(np.arange(len(entries)), stratify=strata, random_state=seed)
    drawn = resample(np.unique(entries.groups), random_state=seed)
    return np.concatenate([np.flatnonzero(entries.groups == group) for group in drawn])


def hold_out(entries: Entries, shares: dict[str, float], seed: int) -> Splits:
    """Hold whole groups out: of round(1 / share) folds, the first that leaves every class in train.

    Raises:
        InputError: If no fold does.
    """
    splits, rest = {}, entries
    for i, (name, share) in enumerate(shares.items()):
        left = 1 - sum(list(shares.values())[:i])
        for train, held_out in _grouped_folds(rest, max(2, round(left / share)), seed):
            if set(rest.labels[train]) == set(rest.labels) and len(held_out):
                splits[name], rest = rest.take(held_out), rest.take(train)
                break
        else:
            raise InputError(
                f"no groups can be held out for {name} so that every class is still trained on: some "
                "class has too few groups. Add a column 'split', or more groups."
            )
    return {"train": rest, **splits}


def _grouped_folds(entries: Entries, count: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    count = min(count, len(np.unique(entries.groups)))
    if count < 2:
        return iter(())
    return iter(k_folds(entries, count, seed))


def notices(source: Source, fold: Fold) -> list[str]:
    """Return what the user should know about the folds of a source, a line each."""
    found = []
    if len(source.pool) < sum(map(len, source.splits.values())):
        found.append("the test pictures of the data stay aside: folds are made of the others")
    counts = class_counts(source.pool.labels, len(source.class_names))
    few = [n for n, c in zip(source.class_names, counts, strict=True) if c < fold.count]
    if fold.method == "kfold" and few:
        found.append(f"class '{few[0]}' has fewer pictures than folds: some folds do not test it")
    if source.pool.groups is not None:
        found.append(f"{len(np.unique(source.pool.groups))} groups are kept whole")
    return found


def names_and_folds(count: int, repeats: int, samples: int | None, seed: int) -> dict[str, Fold]:
    """Return the folds of a study by the names of their run folders.

    Args:
        count: Number of folds.
        repeats: How many times to divide; repeat r, from 0, has the seed `seed` + r.
        samples: Number of bootstrap samples instead; sample i, from 0, has the seed `seed` + i.
        seed: See above.
    """
    if samples:
        return {f"bootstrap-{i + 1}": Fold("bootstrap", 1, 1, seed + i) for i in range(samples)}
    return {
        (f"fold-{number}" if r == 0 else f"repeat-{r + 1}-fold-{number}"): Fold(
            "kfold", count, number, seed + r
        )
        for r in range(repeats)
        for number in range(1, count + 1)
    }
