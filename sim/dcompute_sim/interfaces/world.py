"""What the director needs of the world a run happens in: real sockets and time, or virtual ones."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Protocol

from simpy import Environment, Event

from dcompute.drivers import Driver
from dcompute_sim.faults.injection import VictimLink
from dcompute_sim.interfaces.node import Node, NodeSpec
from dcompute_sim.interfaces.participant import Participant
from dcompute_sim.interfaces.suspendable import SuspendableDriver
from dcompute_sim.scenario import NetworkSettings


@dataclass(frozen=True)
class Login:
    """How to log in at the broker; the password never shows."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None
    authority: bytes | None = None
    """Whose certificate (DER) a board is to believe in, where the broker's is to be checked."""


class Machine(VictimLink, Protocol):
    """What one participant's program runs on: a network interface, and the link to the broker."""

    name: str

    @property
    def address(self) -> tuple[str, int]:
        """Where this machine finds the broker (its own link may stand in between)."""

    @property
    def login(self) -> Login:
        """The credentials this broker wants."""

    @property
    def driver(self) -> Driver:
        """The loop its programs run on."""

    def crash(self, driver: SuspendableDriver) -> None:
        """Let the program behind `driver` die; its kernel closes its connections (FIN)."""

    def power_cut(self, driver: SuspendableDriver) -> None:
        """Take the machine away without a word."""

    def power_on(self) -> None:
        """Bring it back, with an empty memory."""

    def connections(self) -> int:
        """Tell how many connections of it have reached the broker and not ended, as far as its kernel
        knows."""


class Engine(Protocol):
    """Supplies machines, nodes, a broker and time. The director is written against this and nothing else."""

    broker_granularity_s: float
    broker_name: str

    @property
    def env(self) -> Environment:
        """The clock the director's processes live on."""

    def machine(self, participant: Participant, network: NetworkSettings) -> Machine:
        """Make the machine of a participant, on a network of its own. The trace is told who it is."""

    def node(self, spec: NodeSpec, machine: Machine) -> Node:
        """Return a node of the kind that `spec` says, switched off. EngineError where this engine has
        none."""

    def start_broker(self) -> Event:
        """Start it; what is returned is triggered when the broker accepts connections."""

    def stop_broker(self, *, keep_memory: bool) -> Event:
        """Stop it; what is returned is triggered when the broker is gone."""

    def ready(self) -> Event:
        """Return an event triggered when every machine made so far can be used."""

    def finish(self) -> None:
        """Tell the trace what it was not told yet: the run is about to end."""


class EngineError(RuntimeError):
    """The run cannot be done on this engine; the message says why and what would do."""
