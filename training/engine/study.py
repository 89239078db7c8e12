"""The folder of several runs that belong together: `saved_models/NAME/fold-1`, `fold-2`, ..."""

import hashlib
import json
import re
import time
from pathlib import Path
from typing import Any

from training.data.folds import Fold
from training.data.parallel import in_order
from training.data.sources import Source
from training.data.stored import identity
from training.runs import checkpoints, resume
from training.runs.command import InputError, log
from training.runs.files import write_json
from training.runs.folder import Run
from training.runs.settings import as_json

GROWS = ("repeats", "bootstrap")  # more of these may be added later
PLACE = ("name", "out")
FIGURES = (  # those of one class a picture, or of several labels
    *("top1", "top1_interval", "top5", "mean_average_precision", "micro_f1", "macro_f1"),
    *("exact_match", "exact_match_interval", "loss"),
)


def start(settings: Any, source: Source) -> Path:
    """Make the folder of a study, or find the one to go on with.

    Args:
        settings: Of the command; `out` and `name` say where.
        source: The pictures.

    Raises:
        InputError: If the folder is something else, or of other settings or pictures.
    """
    root = settings.out / (settings.name or default_name(settings, source, "crossval"))
    ours = as_json(settings) | {"pictures": pictures(source)}
    file = root / "settings.json"
    if root.exists():
        _check_same(root, file, ours)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{root} cannot be made: {error.strerror}. Choose another --out.") from None
    write_json(file, ours)
    return root


def default_name(settings: Any, source: Source, kind: str) -> str:
    """Return a name made of network, data, the kind of study and the time."""
    words = re.sub(r"[^A-Za-z0-9_.-]+", "-", source.name).strip("-.") or "data"
    return f"{settings.arch}-{words}-{kind}-{time.strftime('%Y%m%d-%H%M%S')}"


def finished(path: Path, fold: Fold, export: str) -> bool:
    """Tell whether a run folder holds the whole run of a fold."""
    run = Run(path)
    try:
        card = json.loads(run.card.read_text(encoding="utf-8"))
        same = card["data"]["fold"] == fold.as_json()
    except (OSError, ValueError, KeyError, TypeError):
        return False
    whole = bool(card.get("metrics")) and (path / "report.html").is_file()
    return same and whole and (export == "none" or run.export.is_dir())


def begun(path: Path, fold: Fold) -> Path | None:
    """Return the run folder of a fold if its fit can be resumed, else None."""
    try:
        same = resume.read(Run(path))["fold"] == fold.as_json()
    except (InputError, KeyError):
        return None
    return path if same and checkpoints.exist(Run(path)) else None


def set_aside(path: Path) -> None:
    """Give what an interrupted fold left another name; it is kept."""
    if path.exists():
        aside = path.with_name(f"{path.name}-interrupted-{time.strftime('%Y%m%d-%H%M%S')}")
        path.rename(aside)
        log.info("what was interrupted of %s is kept in %s", path, aside)


def read(path: Path, fold: Fold) -> dict[str, Any]:
    """Return a finished fold's figures: those of its test pictures."""
    card = json.loads(Run(path).card.read_text(encoding="utf-8"))
    metrics = json.loads((path / "metrics.json").read_text(encoding="utf-8"))["test"]
    counts = card["data"]["pictures"]
    return {
        "run": path.name,
        **fold.as_json(),
        "trained_on": counts["train"],
        "validated_on": counts["val"],
        "n": metrics["n"],
        **{key: metrics[key] for key in FIGURES if key in metrics},
    }


def problems(path: Path) -> list[str]:
    """Return what is wrong with a fold's exports."""
    file = Run(path).export / "export.json"
    if not file.is_file():
        return []
    report = json.loads(file.read_text(encoding="utf-8"))
    return [f"{file.parent / n}: {p}" for n, entry in report.items() for p in entry["problems"]]


def _check_same(root: Path, file: Path, ours: dict[str, Any]) -> None:
    try:
        theirs = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        theirs = None
    if not isinstance(theirs, dict) or "pictures" not in theirs:
        raise InputError(f"{root} is there already and is no cross-validation. Choose another --name.")
    keys = [k for k in ours if k not in PLACE and k not in GROWS and ours[k] != theirs.get(k)]
    if bool(ours["bootstrap"]) != bool(theirs.get("bootstrap")):
        keys.append("bootstrap")
    if keys:
        flags = [f"--{key.replace('_', '-')}" for key in keys if key != "pictures"]
        flags += ["the pictures"] * ("pictures" in keys)
        raise InputError(
            f"{root} was begun with other settings ({', '.join(flags)}). To go on with it, give the "
            "same; else choose another --name."
        )


def pictures(source: Source) -> str:
    """Return a SHA-256 over names, labels, groups and contents of all pictures; none is decoded."""
    pool = source.pool
    groups = [] if pool.groups is None else pool.groups.tolist()
    described = [source.class_names, pool.names, pool.labels.tolist(), groups]
    found = hashlib.sha256(json.dumps(described).encode())
    for own in in_order(lambda i: identity(pool.digest, i), len(pool)):
        found.update(own)
    return found.hexdigest()
