"""The trials of a search, one after the other, in one process of perhaps several."""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import tensorflow as tf
from optuna.trial import FrozenTrial, TrialState

from training.data.sources import Source, open_source
from training.engine import study
from training.engine.search import STATES, SharedStudy
from training.engine.trial import run_trial
from training.runs.command import InputError, log
from training.runs.files import write_json
from training.runs.settings import Fit
from training.runs.space import as_words
from training.runs.words import fit_command

FAILURES = (RuntimeError, MemoryError, tf.errors.ResourceExhaustedError)  # of settings that do not work


def work(
    shared: SharedStudy,
    root: Path,
    settings_of: Callable[[dict[str, Any], str], Fit],
    metric: str,
    until: float | None,
) -> None:
    """Run trials until all are given out or the time is over.

    Args:
        shared: The study.
        root: Its folder.
        settings_of: Returns the settings of the fit of a point and of a name.
        metric: "accuracy" or "loss", of the validation pictures.
        until: No trial is begun after this time, of `time.monotonic`.

    Raises:
        KeyboardInterrupt: If it was interrupted; the trial is put back first.
    """

    @functools.cache
    def pictures(data: str, data_dir: str | None, seed: int) -> Source:
        return open_source(data, data_dir, seed)

    while until is None or time.monotonic() < until:
        trial = shared.next()
        if trial is None:
            return
        name, point = f"trial-{trial.number:04d}", shared.point(trial)
        try:
            settings = _settings(root, name, point, settings_of)
            twin = shared.twin(trial)
            if twin is not None:
                _copy(shared, trial, twin)
                continue
            source = pictures(settings.data, settings.data_dir, settings.seed)
            record, state = _try(trial, settings, source, metric)
        except InputError as error:
            shared.finish(trial, {"error": str(error)}, TrialState.FAIL)
            raise InputError(f"trial {trial.number} ({as_words(point)}): {error}") from None
        except BaseException:
            shared.put_back(trial)
            raise
        shared.finish(trial, record, state)
        described = {"trial": trial.number, "state": STATES[state], "params": point, **record}
        write_json(
            root / name / "trial.json", described | {"fit_command": _command(settings, root.parent)}
        )
        _announce(trial.number, point, record, state)


def _command(settings: Fit, out: Path) -> str:
    values = {name: getattr(settings, name) for name in settings.__dataclass_fields__}
    return fit_command(Fit(**values | {"name": None, "out": out}))


def _settings(root: Path, name: str, point: dict[str, Any], settings_of) -> Fit:
    study.set_aside(root / name)  # of a trial that was broken off
    return settings_of(point, name)


def _try(
    trial: optuna.Trial, settings: Fit, source: Source, metric: str
) -> tuple[dict[str, Any], TrialState]:
    known = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values  # if begun before

    def report(epoch: int, accuracy: float, loss: float) -> bool:
        if epoch not in known:
            trial.report(accuracy if metric == "accuracy" else loss, epoch)
        return not trial.should_prune()

    try:
        record = run_trial(settings, source, report)
    except FAILURES as error:
        return {"error": str(error).splitlines()[0], "run": settings.name}, TrialState.FAIL
    record["run"] = settings.name
    if record["pruned"]:
        return record, TrialState.PRUNED
    return record | {"value": record[metric]}, TrialState.COMPLETE


def _copy(shared: SharedStudy, trial: optuna.Trial, twin: FrozenTrial) -> None:
    """Give a trial the figures of another of the same point, which would come out again."""
    for epoch, value in twin.intermediate_values.items():
        trial.report(value, epoch)
    record = twin.user_attrs["record"]
    shared.finish(trial, {**record, "same_as": record.get("same_as", twin.number)}, twin.state)
    log.info("trial %d  the same settings as trial %d: not trained again", trial.number, twin.number)


def _announce(number: int, point: dict[str, Any], record: dict[str, Any], state: TrialState) -> None:
    if state == TrialState.FAIL:
        figures = f"failed: {record['error']}"
    elif state == TrialState.PRUNED:
        figures = f"pruned after {record['epochs']} epoch(s), {record['seconds']:.1f} s"
    else:
        figures = (
            f"accuracy {100 * record['accuracy']:.2f} %, loss {record['loss']:.4f}, "
            f"{record['seconds']:.1f} s"
        )
    log.info("trial %d  %s  %s", number, as_words(point), figures)
