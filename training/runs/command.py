"""What every command does around its work: flags, messages, exit status."""

import dataclasses
import logging
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import tyro

DONE, FAILED, WRONG_INPUT, GATE_NOT_MET, INTERRUPTED = 0, 1, 2, 3, 130

Settings = TypeVar("Settings")

log = logging.getLogger("training")
CONFIG = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
_line: list[str] = []  # the command line of this process


class InputError(Exception):
    """Something the user gave is wrong: shown as one short message, exit status 2."""


class GateError(Exception):
    """The work is done but a promise is not kept: shown as a message, exit status 3."""


def run(
    settings_type: type[Settings],
    work: Callable[[Settings], int | None],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse `argv` into settings, do the work, and turn what happens into an exit status.

    Args:
        settings_type: A dataclass; its fields are the flags. It raises ValueError on a wrong value.
        work: What the command does; returns its exit status, or None for done.
        argv: Arguments without the program's name; by default those of the process.
    """
    name = work.__module__ if work.__module__ != "__main__" else f"training.{work.__name__}"
    argv = sys.argv[1:] if argv is None else argv
    debug = "--debug" in argv
    _line[:] = ["python", "-m", name, *argv]
    _log_to_terminal()
    try:
        return work(_parse(settings_type, argv, name)) or DONE
    except InputError as error:
        _complain(error, debug)
        return WRONG_INPUT
    except GateError as error:
        _complain(error, debug)
        return GATE_NOT_MET
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except ModuleNotFoundError as error:
        if debug:
            traceback.print_exception(error)
        print(
            f"error: the package '{error.name}' is not installed: pip install -r requirements.txt",
            file=sys.stderr,
        )
        return FAILED
    except Exception as error:
        _complain(error, debug)
        return FAILED


def line() -> str:
    """Return the command line of this process, ready to paste."""
    return shlex.join(_line)


def flags() -> list[str]:
    """Return the flags of the command line of this process, without their values."""
    return [word.split("=")[0] for word in _line[3:] if word.startswith("--")]


def stand_for(line: str) -> None:
    """Let this process stand for another command line, that of the run that it goes on with."""
    _line[:] = shlex.split(line)


def _parse(settings_type: type[Settings], argv: Sequence[str], name: str) -> Settings:
    """Parse `argv`; settings that inherit their fields show them in groups, one a parent."""
    groups = [base for base in settings_type.__bases__ if base is not object]
    options = {"args": argv, "prog": f"python -m {name}", "config": CONFIG}
    if not groups:
        return tyro.cli(settings_type, **options)
    fields = [
        (
            group.__name__,
            Annotated[group, tyro.conf.arg(name=group.__name__.lower())],
            dataclasses.field(default=group()),
        )
        for group in groups
    ]
    nested = dataclasses.make_dataclass(
        settings_type.__name__, fields, namespace={"__doc__": settings_type.__doc__}
    )
    parsed = tyro.cli(nested, **options)
    return settings_type(**{k: v for group in vars(parsed).values() for k, v in vars(group).items()})


def _complain(error: Exception, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.filename}: {error.strerror}"
    elif not isinstance(error, InputError | GateError):
        text = f"{type(error).__name__}: {text}\n(--debug shows where)"
    print(f"error: {text}", file=sys.stderr)


def _log_to_terminal() -> None:
    """Send what commands say to standard output, as plain lines; no name is too strange for it."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not where a test has put its own in its place
            stream.reconfigure(errors="backslashreplace")
    for old in log.handlers[:]:
        log.removeHandler(old)
        old.close()
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
