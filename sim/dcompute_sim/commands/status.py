"""Exit statuses, and errors of the testbed turned into a message and one of them."""

from __future__ import annotations

import contextlib
import errno
import signal
import threading
from collections.abc import Iterable, Iterator

import typer

from dcompute_sim.brokers.open_files import TooFewFiles
from dcompute_sim.brokers.real_broker import BrokerError
from dcompute_sim.executors import WorkersError
from dcompute_sim.interfaces.world import EngineError
from dcompute_sim.micropython.lockstep_process import LockstepError
from dcompute_sim.micropython.unavailable import EmulatorUnavailable
from dcompute_sim.mutants import MutantError
from dcompute_sim.output_files import OutputError
from dcompute_sim.scenario import ScenarioError
from dcompute_sim.trace import TraceError

HELD, FAILED, INVALID, MISSING, INTERRUPTED = 0, 1, 2, 3, 130

WRONG = (ScenarioError, EngineError, LockstepError, MutantError, TraceError)
ABSENT = (BrokerError, WorkersError, EmulatorUnavailable, OutputError, TooFewFiles)
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.ENOMEM)
_CANCELLING = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


def status_of(error: Exception) -> int:
    """Return the exit status of an error that a user can mend."""
    return INVALID if isinstance(error, WRONG) else MISSING


def worst(statuses: Iterable[int]) -> int:
    """Return the exit status of several runs: a promise broken weighs more than anything left untested."""
    found = set(statuses)
    return next((status for status in (FAILED, MISSING, INVALID) if status in found), HELD)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """End the command on errors that a user can mend with a message and a status, not with a traceback.

    A job that is cancelled (SIGTERM) and a terminal that is closed (SIGHUP) end it as Ctrl-C does: boards,
    brokers and what was written for them would stay behind otherwise. What ignores them (`nohup`) goes
    on doing so.
    """
    cancelling = [number for number in _CANCELLING if signal.getsignal(number) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        cancelling = []  # Python sets handlers in the main thread only
    for number in cancelling:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    except (*WRONG, *ABSENT) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(status_of(error)) from None
    except OSError as error:  # a file or folder of the user's that cannot be read or written
        exhausted = error.errno in _EXHAUSTED
        if error.filename is None and not exhausted:
            raise
        told = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
        typer.echo(told, err=True)
        raise typer.Exit(MISSING if exhausted else INVALID) from None
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        for number in cancelling:
            signal.signal(number, signal.SIG_DFL)
