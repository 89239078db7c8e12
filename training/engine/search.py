"""A study of Optuna that several processes share: numbered trials, each given to one process only."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from training.engine.claims import Claims
from training.runs.command import InputError, log
from training.runs.space import Dimension, Value, size

MOST_POINTS = 100_000  # of a grid that is drawn from without repetition
OPENINGS = 4  # of a database, before it is given up
ENOUGH = 8  # trials of different values, for the importance of a setting
STATES = {
    TrialState.COMPLETE: "done",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
FREE = {"name", "out", "study", "pruner", "trials", "time"}  # may differ between processes
SamplerName = Literal["tpe", "random", "grid"]
PrunerName = Literal["median", "halving", "none"]


class ByNumber(optuna.samplers.BaseSampler):
    """Makes a sampler anew for each trial, from its number.

    So processes that share a study draw different points, and a search draws the same ones again.

    Args:
        make: Returns the sampler of a trial's number.
    """

    def __init__(self, make: Callable[[int], optuna.samplers.BaseSampler]):
        self._make = make

    def before_trial(self, study, trial):
        """Make the sampler."""
        self._sampler = self._make(trial.number)
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study, trial):
        """Ask the sampler."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(self, study, trial, search_space):
        """Ask the sampler."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(self, study, trial, param_name, param_distribution):
        """Ask the sampler."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)


def make_sampler(name: SamplerName, space: Sequence[Dimension], seed: int) -> ByNumber:
    """Make a sampler; grid, and random over choices alone, give each point once."""
    points = size(space)
    if name == "grid" or (name == "random" and points is not None and points <= MOST_POINTS):
        # trial n gets the n-th point of the grid in an order that the seed decides
        grid = {dimension.name: dimension.choices for dimension in space}
        return ByNumber(lambda number: optuna.samplers.GridSampler(grid, seed=seed))
    kind = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}[name]
    return ByNumber(
        lambda number: kind(seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))
    )


def make_pruner(name: PrunerName) -> optuna.pruners.BasePruner:
    """Make a pruner; it is told the validation metric of each epoch, the first is 1."""
    if name == "median":  # the first two epochs say little while the learning rate rises
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=3)
    if name == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=2, reduction_factor=3)
    return optuna.pruners.NopPruner()


def draw(trial: optuna.Trial, dimension: Dimension) -> Value:
    """Draw a value of a dimension, as the sampler decides."""
    name, low, high, log_scale = dimension.name, dimension.low, dimension.high, dimension.log
    if dimension.choices is not None:
        return trial.suggest_categorical(name, dimension.choices)
    if dimension.integer:
        return trial.suggest_int(name, low, high, log=log_scale)
    return trial.suggest_float(name, low, high, log=log_scale)


def open_storage(place: str) -> BaseStorage:
    """Open a journal file, made where there is none, or a database by its URL.

    Raises:
        InputError: If it cannot be opened.
    """
    if "://" in place:
        return _open_database(place)
    path = Path(place)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(path)))
    except OSError as error:
        raise InputError(f"--study {place} cannot be opened: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"--study {place}: this is no journal of a study. Choose another file."
        ) from None


def _open_database(url: str) -> BaseStorage:
    from sqlalchemy.exc import SQLAlchemyError

    tried = 0
    while True:
        try:
            return optuna.storages.RDBStorage(url)
        except ImportError as error:
            raise InputError(f"--study {url} needs a package that is missing: {error}") from None
        except (SQLAlchemyError, ValueError) as error:
            # two processes that make the tables of a new database at once are in each other's way
            tried += 1
            if tried == OPENINGS:
                first = str(error).strip().splitlines()[0]
                raise InputError(f"--study {url}: this database cannot be opened: {first}") from None
            time.sleep(0.5)


class SharedStudy:
    """A study, and this process's part in it.

    Args:
        folder: Where trials go.
        place: Journal file or URL of the storage.
        about: What all processes must agree on, as plain values: settings, space, pictures.
        metric: "accuracy" or "loss".
        space: What is varied.
        sampler: Its name.
        pruner: Its name.
        seed: Of the sampler.
        limit: Number of trials of the whole study.

    Raises:
        InputError: If the storage cannot be opened, or the study was begun with other settings.
    """

    def __init__(
        self,
        folder: Path,
        place: str,
        about: dict[str, Any],
        *,
        metric: str,
        space: Sequence[Dimension],
        sampler: SamplerName,
        pruner: PrunerName,
        seed: int,
        limit: int,
    ):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._storage = open_storage(place)
        self.study = optuna.create_study(
            storage=self._storage,
            study_name=folder.name,
            direction="maximize" if metric == "accuracy" else "minimize",
            sampler=make_sampler(sampler, space, seed),
            pruner=make_pruner(pruner),
            load_if_exists=True,
        )
        self._agree(about, place)
        folder.mkdir(parents=True, exist_ok=True)
        self._claims, self._limit = Claims(folder), limit

    def next(self) -> optuna.Trial | None:
        """Return a trial that no other process has, with its point; None where all are given out."""
        while True:
            trials = self.study.get_trials(deepcopy=False)
            self._put_back_broken_off(trials)
            left = [t for t in self._trials(TrialState.WAITING) if t.number < self._limit]
            if not left and len(trials) >= self._limit:
                return None
            trial = self.study.ask()
            if trial.number >= self._limit:  # others were quicker
                self.put_back(trial)
                continue
            self._claims.take(trial.number)
            trial.set_user_attr("claimed_in", self._claims.mark)
            for dimension in self._space:
                draw(trial, dimension)
            return trial

    def finish(self, trial: optuna.Trial, record: dict[str, Any], state: TrialState) -> None:
        """Note what a trial reached; `record` has its value, where it is done."""
        trial.set_user_attr("record", record)
        self.study.tell(trial, record.get("value") if state == TrialState.COMPLETE else None, state)
        self._claims.free(trial.number)

    def put_back(self, trial: optuna.Trial) -> None:
        """Let a trial be given out again, with the same number and point."""
        self._put_back(trial.number)
        self._claims.free(trial.number)

    def twin(self, trial: optuna.Trial) -> FrozenTrial | None:
        """Return a finished trial of the same point: it would come out the same."""
        for other in self._trials(TrialState.COMPLETE, TrialState.PRUNED):
            if other.number != trial.number and other.params == trial.params:
                return other
        return None

    def importances(self) -> dict[str, float]:
        """Return the share of the metric's variance that each setting explains (Hutter et al. 2014).

        Empty where there are too few trials to say, or one setting only.
        """
        values = {t.value for t in self._trials(TrialState.COMPLETE)}
        names = [d.name for d in self._space if d.name != "seed"]
        if len(names) < 2 or len(values) < ENOUGH:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        return optuna.importance.get_param_importances(self.study, evaluator=evaluator, params=names)

    def point(self, trial: optuna.Trial | FrozenTrial) -> dict[str, Value]:
        """Return the point of a trial; numbers from a range have four digits, easier to type."""
        return {
            d.name: float(f"{trial.params[d.name]:.4g}")
            if d.choices is None and not d.integer
            else trial.params[d.name]
            for d in self._space
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return what is known of each trial that has a point: number, state, params, its record."""
        return [
            {
                "trial": trial.number,
                "state": STATES[trial.state],
                "params": self.point(trial),
                "reported": dict(sorted(trial.intermediate_values.items())),
                **trial.user_attrs.get("record", {}),
            }
            for trial in self.study.get_trials(deepcopy=False)
            if len(trial.params) == len(self._space)
        ]

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states)

    def _id(self, number: int) -> int:
        study_id = self._storage.get_study_id_from_name(self.study.study_name)
        return self._storage.get_trial_id_from_study_id_trial_number(study_id, number)

    def _put_back(self, number: int) -> None:
        trial_id = self._id(number)
        self._storage.set_trial_user_attr(trial_id, "claimed_in", "")
        self._storage.set_trial_state_values(trial_id, state=TrialState.WAITING)

    def _put_back_broken_off(self, trials: Sequence[FrozenTrial]) -> None:
        """Put back trials of processes that are gone; of those that share our folder."""
        for trial in trials:
            if not self._is_ours(trial) or not self._claims.take(trial.number, wait=False):
                continue
            # with the lock in our hands, look again: another process may have been quicker
            if self._is_ours(self._storage.get_trial(self._id(trial.number))):
                log.info("trial %d was broken off: it is begun anew", trial.number)
                self._put_back(trial.number)
            self._claims.free(trial.number)

    def _is_ours(self, trial: FrozenTrial) -> bool:
        mark = trial.user_attrs.get("claimed_in")
        return trial.state == TrialState.RUNNING and mark == self._claims.mark

    def _agree(self, about: dict[str, Any], place: str) -> None:
        ours = {key: value for key, value in about.items() if key not in FREE}
        theirs = self.study.user_attrs.get("about")
        if theirs is None:
            if self.study.get_trials(deepcopy=False):
                raise InputError(
                    f"{place}: its study {self.study.study_name} is none of training.search."
                )
            self.study.set_user_attr("about", ours)
            return
        keys = [key for key in ours if ours[key] != theirs.get(key)]
        if keys:
            flags = ", ".join(
                "the pictures" if key == "pictures" else f"--{key.replace('_', '-')}" for key in keys
            )
            raise InputError(
                f"the study {self.study.study_name} in {place} was begun with other settings ({flags}). "
                "To go on with it, give the same; else choose another --name."
            )
