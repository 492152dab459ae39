"""The door of the broker in virtual time: users, passwords and access rules of the scenario."""

from __future__ import annotations

from dataclasses import replace

from dcompute_sim.brokers.acl_rules import AclRules
from dcompute_sim.brokers.model.broker_config import ReturnCode
from dcompute_sim.brokers.model.profiles import BrokerProfile
from dcompute_sim.interfaces.broker_access import TESTBED, BrokerAccess


class _Door:
    """Knows who came in under which name."""

    def __init__(self, access: BrokerAccess) -> None:
        self._access = access
        self._rules = AclRules(access.acl or ())
        self._users: dict[str, str | None] = {}  # by client id

    def authenticate(self, client_id: str, user: str | None, password: bytes | None) -> ReturnCode:
        if not self._access.lets_in(user, password):
            return ReturnCode.NOT_AUTHORIZED
        self._users[client_id] = user
        return ReturnCode.ACCEPTED

    def authorize(self, client_id: str, topic: str, publishes: bool) -> bool:
        return self.may_publish(client_id, topic, True) if publishes else self.may_read(client_id, topic)

    def may_publish(self, client_id: str, topic: str, publishes: bool) -> bool:
        user = self._users[client_id]
        return not publishes or user == TESTBED or self._rules.may_publish(user, client_id, topic)

    def may_read(self, client_id: str, topic: str) -> bool:
        user = self._users[client_id]
        return user == TESTBED or self._rules.may_read(user, client_id, topic)


def guarded(profile: BrokerProfile, access: BrokerAccess) -> BrokerProfile:
    """Return it with that door."""
    door = _Door(access)
    config = replace(profile.config, authenticate=door.authenticate)
    if access.acl is not None and profile.refuses_subscriptions:
        config = replace(config, authorize=door.authorize)
    elif access.acl is not None:
        config = replace(config, authorize=door.may_publish, may_read=door.may_read)
    return replace(profile, config=config)
