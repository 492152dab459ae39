"""Exit statuses, and errors of the testbed turned into a message and one of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import typer

from sim.brokers.base import BrokerError
from sim.campaign import CampaignError
from sim.engines.base import EngineError
from sim.micropython.errors import EmulatorUnavailable
from sim.micropython.lockstep_process import LockstepError
from sim.sabotage import UnknownSafeguard
from sim.scenario import ScenarioError
from sim.trace import TraceError

HELD, FAILED, INVALID, MISSING, INTERRUPTED = 0, 1, 2, 3, 130


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Errors that a user can mend end the command with a message and a status, not with a traceback."""
    try:
        yield
    except (ScenarioError, EngineError, LockstepError, UnknownSafeguard, TraceError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(INVALID) from None
    except (BrokerError, CampaignError, EmulatorUnavailable) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(MISSING) from None
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
