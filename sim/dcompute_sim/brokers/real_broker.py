"""What a run needs of a real broker: an address, a life cycle, and how late it may notice silence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class BrokerSecurity:
    """Credentials and TLS of a broker we start ourselves. All optional; files are PEM."""

    password_file: Path | None = None  # lines of `user:password-hash`; anonymous access is then refused
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None  # when set, clients must present a certificate signed by it
    acl_file: Path | None = None  # mosquitto's; our own brokers go by the roles in the password file


class BrokerError(RuntimeError):
    """A broker could not be started, reached or stopped; the message says which and what to do."""


class BrokerMissing(BrokerError):
    """A program this broker needs is not on the machine (exit status 3 of `dcompute run`)."""


class RealBroker(Protocol):
    """A broker reached over TCP.

    `start` returns once it accepts connections; `host` and `port` stay the same over restarts.
    """

    name: str
    granularity_s: float  # a silent client's will may come this much after 1.5 x keepalive

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def can_restart(self) -> bool: ...
    @property
    def process_id(self) -> int | None:
        """The process on this machine; None when it does not run, or is somebody else's."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def pause(self, *, keep_memory: bool) -> None:
        """Stop, drop or keep retained messages and kept sessions; `start` brings it back on the same port."""

    async def restart(self, *, keep_memory: bool) -> None:
        """Do `pause`, then `start`."""
