"""The files of checkpoints, the refusals of --resume, and what belongs to a checkpoint."""

import json
import resource
import subprocess
import sys

import keras
import numpy as np
import pytest

from training.data.mixing import Mixing
from training.data.pipeline import training_batches
from training.data.prepare import prepare
from training.data.sources import open_source
from training.engine.checkpoint import Checkpoint
from training.engine.optimizers import OPTIMIZERS, make_optimizer
from training.engine.schedules import Plateau, Schedule
from training.runs import checkpoints, command, resume, settings
from training.runs.checkpoints import Place
from training.runs.command import InputError
from training.runs.folder import Run


@pytest.fixture
def run(tmp_path):
    """A run folder with best weights."""
    (tmp_path / "model.weights.h5").write_bytes(b"best")
    return Run(tmp_path)


def write(run, epoch, step=0, value=0.0, phase=0):
    values = {"model": [np.full(3, value, "float32"), np.array(2**40 + 1)], "optimizer": [np.eye(2)]}
    checkpoints.write(run, Place(phase, epoch, step), values, {"x": {"y": value}}, best=True)


def names(run):
    return sorted(path.name for path in (run.path / "checkpoint").iterdir())


def test_the_newest_is_read_and_the_one_before_stays(run):
    assert checkpoints.newest(run) is None
    for epoch, step in ((0, 0), (0, 900), (9, 0), (10, 0), (10, 11)):
        write(run, epoch, step, value=epoch + step / 1000)
    assert names(run) == ["epoch-000010-step-00000000", "epoch-000010-step-00000011"]
    saved = checkpoints.newest(run)
    assert saved.place == Place(0, 10, 11)
    assert saved.state == {"x": {"y": 10.011}}
    vector, number = saved.arrays("model")
    np.testing.assert_array_equal(vector, np.full(3, 10.011, "float32"))
    assert number == 2**40 + 1
    np.testing.assert_array_equal(saved.arrays("optimizer"), [np.eye(2)])


@pytest.mark.parametrize("file", ["variables.npz", "best.weights.h5", "state.json"])
def test_a_damaged_checkpoint_is_told_and_the_one_before_is_used(run, file, capsys):
    command.run(settings.Fit, lambda _: 0, [])  # sends what is said to the terminal
    write(run, 1)
    write(run, 2)
    damaged = run.path / "checkpoint" / "epoch-000002-step-00000000" / file
    content = damaged.read_bytes()
    damaged.unlink()  # the best weights are linked
    damaged.write_bytes(content[: len(content) // 2])
    assert checkpoints.newest(run).place.epoch == 1
    assert "damaged" in capsys.readouterr().out
    write(run, 2)  # the fit comes there again
    assert checkpoints.newest(run).place.epoch == 2
    assert run.weights.read_bytes() == b"best"


def test_nothing_is_lost_where_a_checkpoint_cannot_be_written(run):
    """In a second process that may write no file of more than some bytes, as on a full disk."""
    write(run, 1, value=1.0)
    code = (
        "import resource, sys, numpy as np; from pathlib import Path\n"
        "from training.runs import checkpoints; from training.runs.folder import Run\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "values = {'model': [np.zeros(10_000, 'float32')]}\n"
        "run, place = Run(Path(sys.argv[1])), checkpoints.Place(0, 2, 0)\n"
        "try: checkpoints.write(run, place, values, {}, best=True)\n"
        "except OSError as error: print(error.strerror)\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    answer = subprocess.run(
        [sys.executable, "-c", code, str(run.path)], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "File too large\n"
    assert names(run) == ["epoch-000001-step-00000000"]
    assert checkpoints.newest(run).state == {"x": {"y": 1.0}}


def test_the_best_weights_go_back_to_those_of_the_checkpoint(run):
    write(run, 1)
    run.weights.unlink()
    run.weights.write_bytes(b"of a later epoch")
    checkpoints.put_back_best(run, checkpoints.newest(run))
    assert run.weights.read_bytes() == b"best"


def test_two_processes_do_not_train_one_run(run):
    held = checkpoints.lock(run)
    code = (
        "import sys; from pathlib import Path; from training.runs import checkpoints\n"
        "from training.runs.folder import Run\n"
        "checkpoints.lock(Run(Path(sys.argv[1])))\n"
    )
    words = [sys.executable, "-c", code, str(run.path)]
    answer = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "is being trained by another process" in answer.stderr
    held.close()
    assert subprocess.run(words, capture_output=True, check=False).returncode == 0


# --- refusals -------------------------------------------------------------------------------------


GIVEN = settings.Fit(arch="lenet5", epochs=3, knob=("dropout=0.2",))


def begin(path, **more):
    """Write a settings.json as a fit does."""
    path.mkdir(exist_ok=True)
    found = {"resolved": {"lr": 0.1, "scale": (1, 2)}, "pictures": {"train": "a"}, "fold": None}
    resume.write_settings(Run(path), GIVEN, **found)
    if more:
        values = json.loads((path / "settings.json").read_text()) | more
        (path / "settings.json").write_text(json.dumps(values))
    return path


def status_of(words, capsys):
    """Parse the flags of fit and read the run; return exit status and message."""
    work = lambda given: resume.begun(given.resume) and 0  # noqa: E731
    return command.run(settings.Fit, work, [str(w) for w in words]), capsys.readouterr().err


def test_settings_come_back(tmp_path):
    path = begin(tmp_path / "run")
    parsed = []
    command.run(
        settings.Fit, lambda given: parsed.append(resume.begun(given.resume)), ["--resume", str(path)]
    )
    place = {"out": str(tmp_path), "name": "run"}
    assert settings.as_json(parsed[0]) == settings.as_json(GIVEN) | place
    assert parsed[0].resume == path
    resume.check_unchanged(Run(path), resolved={"lr": 0.1, "scale": (1, 2)}, pictures={"train": "a"})


@pytest.mark.parametrize(("before", "cache"), [("crops", "none"), ("whole", "auto")])
def test_the_way_of_decoding_is_not_chosen_anew(tmp_path, before, cache):
    """Crops of JPEG files have other bytes than kept pictures, and "auto" looks at the machine."""
    path = begin(tmp_path / "run", resolved={"jpegs": before})
    parsed = []
    command.run(
        settings.Fit, lambda given: parsed.append(resume.begun(given.resume)), ["--resume", str(path)]
    )
    assert parsed[0].cache == cache
    other = {"crops": "whole", "whole": "crops"}[before]
    with pytest.raises(InputError, match=f"jpegs .{other}, then {before}."):
        resume.check_unchanged(Run(path), resolved={"jpegs": other}, pictures={"train": "a"})


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        ({}, ["--epochs", "5"], "leave --epochs out"),
        ({}, ["--arch=mobilenet_v2", "--seed", "0"], "leave --arch, --seed out"),
        ({"fold": {"number": 1}}, [], "crossval"),
        ({"pictures": None, "versions": 3}, [], "damaged"),
        ({"knob": 3}, [], "damaged"),
        ({"data": "no/such/folder", "folder": "/there"}, [], "begun in /there: resume it there"),
    ],
)
def test_what_cannot_be_resumed_is_refused(tmp_path, change, more, message, capsys):
    path = begin(tmp_path / "run", **change)
    status, errors = status_of(["--resume", path, *more], capsys)
    assert status == 2
    assert message in errors


def test_a_folder_that_is_no_run_is_refused(tmp_path, capsys):
    assert "no such folder" in status_of(["--resume", tmp_path / "x"], capsys)[1]
    assert "settings.json is missing" in status_of(["--resume", tmp_path], capsys)[1]
    (tmp_path / "settings.json").write_text('{"arch": "lenet5"}')
    assert "a version that could not resume" in status_of(["--resume", tmp_path], capsys)[1]
    (tmp_path / "settings.json").write_text('{"arch": ')
    assert "is damaged" in status_of(["--resume", tmp_path], capsys)[1]


def test_other_pictures_or_another_machine_are_refused(tmp_path):
    run = Run(begin(tmp_path / "run"))
    with pytest.raises(InputError, match="the pictures are not those"):
        resume.check_unchanged(run, resolved={"lr": 0.1, "scale": [1, 2]}, pictures={"train": "b"})
    with pytest.raises(InputError, match=r"another lr \(0.2, then 0.1\)"):
        resume.check_unchanged(run, resolved={"lr": 0.2, "scale": [1, 2]}, pictures={"train": "a"})


# --- what belongs to a checkpoint -----------------------------------------------------------------


def test_the_pipeline_begins_at_any_step():
    split = prepare(open_source("digits"), 8, 1, quiet=True).splits["train"]
    options = {"policy": "digits", "seed": 3, "mixing": Mixing(0.2, 1.0, 10), "first_epoch": 2}
    whole, steps = training_batches(split, 500, 3, **options)
    rest, _ = training_batches(split, 500, 3, first_step=steps + 1, **options)
    whole, rest = list(whole.as_numpy_iterator())[steps + 1 :], list(rest.as_numpy_iterator())
    assert len(rest) == len(whole) == 2 * steps - 1
    for a, b in zip(whole, rest, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])


def network(name):
    """A compiled network with dropout and BatchNormalization, and its schedule."""
    keras.utils.set_random_seed(0)
    image = keras.Input((4,))
    x = keras.layers.Dense(6, name="hidden")(image)
    x = keras.layers.Dropout(0.3)(keras.layers.BatchNormalization()(x))
    model = keras.Model(image, keras.layers.Dense(2, name="predictions")(x))
    schedule = Schedule("plateau", 0.05, 100, 3)
    optimizer = make_optimizer(name, schedule, 0.01, ema=0.9, accumulate=2)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(True), metrics=["accuracy"])
    optimizer.build(model.trainable_variables)
    return model, schedule


class Best:
    """Knows nothing."""

    best = None

    def state(self):
        return {}

    def restore(self, state):
        pass


def data(step):
    rng = np.random.default_rng(step)
    y = np.arange(8) % 2
    return (rng.normal(size=(8, 4)) + y[:, np.newaxis]).astype("float32"), y


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_on_as_if_nothing_had_been(name, tmp_path):
    """From within accumulated gradients, with averages and dropout."""

    def begun(saved=None):
        model, schedule = network(name)
        plateau = Plateau(schedule)
        checkpoint = Checkpoint(Run(tmp_path), 10, saved, Best())
        checkpoint.begin(0, model, model, [plateau, Best()], [schedule.scale])
        return model, schedule, plateau, checkpoint

    def final(model, schedule):
        found = [*model.variables, *model.optimizer.variables, schedule.scale]
        return [np.array(v) for v in found]

    model, schedule, plateau, checkpoint = begun()
    for step in range(3):
        model.train_on_batch(*data(step))
    schedule.scale.assign(0.1)
    plateau.waited = 2
    checkpoint._write(Place(0, 0, 3))
    for step in range(3, 6):
        model.train_on_batch(*data(step))
    expected = final(model, schedule)

    model, schedule, plateau, checkpoint = begun(checkpoints.newest(Run(tmp_path)))
    assert plateau.waited == 2
    for step in range(3, 6):
        model.train_on_batch(*data(step))
    for a, b in zip(final(model, schedule)[:-1], expected[:-1], strict=True):
        if a.shape:  # the metrics' sums are brought back at the beginning of an epoch
            assert a.tobytes() == b.tobytes()
    assert float(schedule.scale) == pytest.approx(0.1)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    model, schedule = network("sgd")
    first = Checkpoint(Run(tmp_path), 10, None, Best())
    first.begin(0, model, model, [], [schedule.scale])
    first._write(Place(0, 0, 1))
    model, schedule = network("adamw")
    second = Checkpoint(Run(tmp_path), 10, checkpoints.newest(Run(tmp_path)), Best())
    with pytest.raises(InputError, match="of another network"):
        second.begin(0, model, model, [], [schedule.scale])
