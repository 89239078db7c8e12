"""`fit --resume RUN`: the settings that a run was begun with, and whether they still mean the same."""

import json
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

from training.runs import command
from training.runs.command import InputError, log
from training.runs.files import write_json
from training.runs.folder import Run, versions
from training.runs.settings import Fit, as_json

NEEDED = {"resolved": dict, "pictures": dict, "versions": dict, "command": str}
HARMLESS = ("--resume", "--debug")
ELSE = "Begin anew: the same command as then, with another --name."


def write_settings(run: Run, settings: Fit, **found: Any) -> None:
    """Write settings.json: every setting, and what else a resume has to find unchanged.

    Args:
        run: The run folder.
        settings: The settings.
        found: What was made of them: "resolved", "pictures", "fold".
    """
    write_json(
        run.settings,
        {
            **as_json(settings),
            **found,
            "versions": versions(),
            "command": command.line(),
            "folder": str(Path.cwd()),
        },
    )


def begun(path: Path) -> Fit:
    """Return the settings of an interrupted run.

    Raises:
        InputError: If there are other flags, or the run cannot be resumed.
    """
    others = [flag for flag in command.flags() if flag not in HARMLESS]
    if others:
        raise InputError(
            f"--resume takes everything from the run's settings.json: leave {', '.join(others)} out."
        )
    path = path if path.name not in ("", "..") else path.resolve()  # `--resume .`
    run = Run(path)
    found = read(run)
    if found.get("fold"):
        raise InputError(
            f"--resume {path}: this is a fold. The training.crossval command that began it goes on with "
            f"it, with --name {path.parent.name}."
        )
    values = {f.name: found[f.name] for f in fields(Fit) if f.name in found}
    values |= {"out": path.parent, "name": path.name, "resume": path}
    if found["resolved"].get("jpegs") == "crops":  # decides the bytes: "auto" must not choose anew
        values["cache"] = "none"
    try:
        settings = Fit(**values | {"knob": tuple(values.get("knob", ()))})
    except InputError as error:
        there = found.get("folder")
        hint = f"\nThe run was begun in {there}: resume it there." if there != str(Path.cwd()) else ""
        raise InputError(f"{error}{hint}") from None
    except (TypeError, AttributeError) as error:
        raise InputError(f"{run.settings} is damaged: {error}") from None
    changed = [
        f"{name} {found['versions'].get(name)} then, {version} now"
        for name, version in versions().items()
        if name in ("tensorflow", "keras", "numpy") and found["versions"].get(name) != version
    ]
    if changed:
        log.warning("note: the result may differ in its last digits: %s", "; ".join(changed))
    command.stand_for(found["command"])
    return settings


def how(run: Run) -> str:
    """Return how to go on with an interrupted run."""
    line = shlex.join(["python", "-m", "training.fit", "--resume", str(run.path)])
    return f"go on exactly from here: {line}"


def check_unchanged(run: Run, **found: Any) -> None:
    """Compare what settings and pictures lead to with what they led to when the run was begun.

    Args:
        run: The run folder.
        found: As for `write_settings`.

    Raises:
        InputError: If it is something else.
    """
    then, now = read(run), json.loads(json.dumps(found))
    if then["pictures"] != now["pictures"]:
        raise InputError(
            f"{run.path} cannot be resumed: the pictures are not those that it was begun with. Bring "
            f"them back, or: {ELSE[0].lower()}{ELSE[1:]}"
        )
    before, after = then["resolved"], now["resolved"]
    other = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
    if other:
        raise InputError(
            f"{run.path} cannot be resumed: program or machine now choose another "
            + ", ".join(f"{k} ({after.get(k)}, then {before.get(k)})" for k in other)
            + f". {ELSE}"
        )


def read(run: Run) -> dict[str, Any]:
    """Read the settings.json of a run.

    Raises:
        InputError: If it is not there, damaged, or of a version that wrote no checkpoints.
    """
    flag = f"--resume {run.path}"
    if not run.path.is_dir():
        raise InputError(f"{flag}: there is no such folder. Expected the folder of a run.")
    try:
        found = json.loads(run.settings.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{flag}: {run.settings} is missing. Expected the folder of a run.") from None
    except ValueError as error:
        raise InputError(f"{run.settings} is damaged: {error}") from None
    if not isinstance(found, dict) or not all(key in found for key in NEEDED):
        raise InputError(f"{flag}: this run was made by a version that could not resume. {ELSE}")
    for key, kind in NEEDED.items():
        if not isinstance(found[key], kind):
            raise InputError(f"{run.settings} is damaged: '{key}' must be a {kind.__name__}.")
    return found
