"""The password check as an amqtt plugin: amqtt's own takes 50 ms of the event loop for every CONNECT."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session

from dcompute_sim.brokers import passwords
from dcompute_sim.brokers.access import AccessRules
from dcompute_sim.brokers.real_broker import BrokerError, BrokerSecurity

_ANONYMOUS = "amqtt.plugins.authentication.AnonymousAuthPlugin"


def access_rules(security: BrokerSecurity) -> AccessRules | None:
    """Return who may do what, by the roles in the password file; None: anybody anything."""
    if security.password_file is None:
        return None
    try:
        return AccessRules(passwords.load_grants(security.password_file).values())
    except passwords.PasswordFileError as error:
        raise BrokerError(f"password file {error}") from None


def plugin(security: BrokerSecurity) -> dict[str, dict[str, object]]:
    """Return amqtt's `plugins` section: anybody may connect, or who is in the password file and nobody
    else."""
    if security.password_file is None:
        return {_ANONYMOUS: {"allow_anonymous": True}}
    try:
        users = passwords.load(security.password_file)
    except passwords.PasswordFileError as error:
        raise BrokerError(f"password file {error}") from None
    return {f"{__name__}.{KnownUsers.__name__}": {"users": users}}


class KnownUsers(BaseAuthPlugin):  # type: ignore[misc]  # amqtt is untyped
    """Lets in who gives the password of a known user."""

    @dataclass
    class Config:
        users: dict[str, str] = field(default_factory=dict)  # name -> stored password

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._users: dict[str, str] = context.config.users
        # Checked for unknown names: they must not be told from known ones by the time it takes.
        self._nobody = passwords.hash_password("")

    async def authenticate(self, *, session: Session) -> bool:
        stored = self._users.get(session.username or "")
        password = session.password or b""
        if isinstance(password, str):  # plain amqtt's
            password = password.encode()
        fits = passwords.verify(password, self._nobody if stored is None else stored)
        return fits and stored is not None
