"""Who checks the broker's certificate in a run with TLS."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from dcompute_sim.interfaces.world import Login
from dcompute_sim.trace import Role


@dataclass(frozen=True)
class TlsLogins:
    """How nodes log in, and how all others do."""

    nodes: Login
    others: Login
    shown: ssl.SSLContext | None = None
    """What the broker shows, in real time: for who reads along in its place."""

    def of(self, role: Role) -> Login:
        """Return how who has that part logs in."""
        return self.nodes if role in (Role.NODE, Role.CLONE) else self.others
