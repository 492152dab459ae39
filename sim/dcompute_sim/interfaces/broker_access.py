"""As whom each program logs in at the broker of a run, and what it may do there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from dcompute_sim.interfaces.participant import Participant
from dcompute_sim.interfaces.world import Login
from dcompute_sim.scenario.acl import AclLine
from dcompute_sim.trace import Role

TESTBED = "dcompute-testbed"
"""The user of clients that are the testbed's own: nothing of it is denied."""
_PASSWORD = "testbed-only"


@dataclass(frozen=True)
class BrokerAccess:
    """What a scenario says of its broker's users.

    Attributes:
        users: with their passwords; when empty any password is right.
        acl: who may do what; None: everybody everything.
        ids: of the nodes, by name.
    """

    users: Mapping[str, str] = field(default_factory=dict)
    acl: Sequence[AclLine] | None = None
    ids: Mapping[str, str] = field(default_factory=dict)

    def login(self, participant: Participant, login: Login) -> Login:
        """Return how it logs in: where there are access rules, by its own name, a node by its id; but as
        nobody if it is none of the users."""
        if self.acl is None:
            return login
        if participant.role in (Role.NODE, Role.CLONE):
            name = participant.node or participant.name
            name = self.ids.get(name, name)
        else:
            name = participant.name if participant.role is Role.MASTER else TESTBED
        if self.users and name not in (*self.users, TESTBED):
            return login
        return replace(login, username=name, password=self.users.get(name, _PASSWORD))

    def lets_in(self, user: str | None, password: bytes | None) -> bool:
        """Tell whether the broker does, as mosquitto with a password file and `allow_anonymous true`."""
        known = {TESTBED: _PASSWORD, **self.users}
        given = (password or b"").decode("utf-8", "replace")
        return user is None or not self.users or known.get(user) == given


OPEN = BrokerAccess()
"""Everybody is let in and may do everything."""
