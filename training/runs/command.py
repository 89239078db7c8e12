"""What every command does around its work: flags, messages, exit status."""

import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TypeVar

import tyro

DONE, FAILED, WRONG_INPUT, GATE_NOT_MET, INTERRUPTED = 0, 1, 2, 3, 130

Settings = TypeVar("Settings")

log = logging.getLogger("training")


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
    debug = "--debug" in (sys.argv[1:] if argv is None else argv)
    _log_to_terminal()
    try:
        settings = tyro.cli(
            settings_type,
            args=argv,
            prog=f"python -m {name}",
            config=(tyro.conf.FlagCreatePairsOff,),
        )
        return work(settings) or DONE
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


def _complain(error: Exception, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    text = str(error) or type(error).__name__
    if not isinstance(error, InputError | GateError):
        text = f"{type(error).__name__}: {text}\n(--debug shows where)"
    print(f"error: {text}", file=sys.stderr)


def _log_to_terminal() -> None:
    """Send what commands say to standard output, as plain lines."""
    for old in log.handlers[:]:
        log.removeHandler(old)
        old.close()
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
