"""The broker under test, and what the suite may assume and demand of it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from dcompute_sim.brokers.access import UserRole
from dcompute_sim.brokers.real_broker import BrokerError


class NotUsable(BrokerError):
    """The suite cannot begin: the broker is unreachable or refuses us. The message says which."""


@dataclass(frozen=True)
class BrokerUnderTest:
    host: str
    port: int
    token: str  # unique to this run, in every topic and client id: runs do not meet
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None
    keepalive_s: int = 2  # of the clients that fall silent
    # How late past 1.5 x keepalive a will may come. mosquitto 2.0.11, the coarsest broker known, looks in
    # steps and is 0 to 6 s late at any keepalive; 1 s more is for the machine.
    lateness_bound_s: float = 7.0
    connections: int = 1_000
    connections_bound_s: float = 20.0
    namespace: str = ""
    """Of the user's nodes, whose topics the access rules must allow."""
    role: UserRole = UserRole.ANY
    """What the user is; one that may not do everything can be asked for its access rules only."""

    @property
    def prefix(self) -> str:
        return f"dcompute-check/{self.token}"

    def client_id(self, name: str) -> str:
        """Return the client id of one of the suite's clients: a user with a role has one only, its own."""
        if self.role is not UserRole.ANY and self.username:
            return self.username
        return f"{self.token}-{name}"
