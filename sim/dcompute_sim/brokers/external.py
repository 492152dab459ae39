"""A broker somebody else runs, given by URL: where it is, how to log in, and why it cannot be reached."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote, urlsplit

from dcompute_sim.brokers.real_broker import BrokerError

_DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}
_REACH_TIMEOUT_S = 10.0
_CERTIFICATE_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED


@dataclass(frozen=True)
class Address:
    """`mqtt://user:password@host:port`, taken apart. Its text form never shows the password."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """The address in a URL; BrokerError says what is wrong with it, without repeating its password."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise BrokerError(f"not a broker's address: {error}; {_FORM}") from None
        if parts.scheme not in _DEFAULT_PORTS:
            raise BrokerError(f"a broker's address begins with mqtt:// or mqtts://; {_FORM}")
        if not host:
            raise BrokerError(f"the broker's address names no host; {_FORM}")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise BrokerError(f"a broker's address ends after its port; {_FORM}")
        if parts.password is not None and not parts.username:
            raise BrokerError(f"the broker's address has a password without a user; {_FORM}")
        return cls(
            host=host,
            port=_DEFAULT_PORTS[parts.scheme] if port is None else port,
            tls=parts.scheme == "mqtts",
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password is not None else None,
        )

    def __str__(self) -> str:
        user = f"{self.username}@" if self.username else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{user}{host}:{self.port}"


_FORM = "write it as mqtt://host:port or mqtt://user:password@host:port, with mqtts:// for TLS"


class ExternalBroker:
    """A running broker. We neither start, stop nor restart it; `start` only makes sure that it is there."""

    name = "external"
    # Unknown: as generous as the coarsest broker we know, mosquitto 2.0.11. `dcompute broker check` measures.
    granularity_s = 6.0
    can_restart = False

    def __init__(self, address: Address) -> None:
        self.address = address

    @classmethod
    def from_url(cls, url: str) -> Self:
        return cls(Address.parse(url))

    @property
    def host(self) -> str:
        return self.address.host

    @property
    def port(self) -> int:
        return self.address.port

    async def start(self) -> None:
        try:
            async with asyncio.timeout(_REACH_TIMEOUT_S):
                _, writer = await asyncio.open_connection(self.host, self.port)
        except TimeoutError:
            raise BrokerError(f"{self.address}: no answer within {_REACH_TIMEOUT_S:.0f} s") from None
        except OSError as error:
            raise BrokerError(f"{self.address}: {unreachable(error)}") from None
        writer.close()

    async def stop(self) -> None:
        """Nothing: it is not ours."""

    async def pause(self, *, keep_memory: bool) -> None:
        raise BrokerError(f"{self.address}: cannot stop a broker that we did not start")

    async def restart(self, *, keep_memory: bool) -> None:
        raise BrokerError(f"{self.address}: cannot restart a broker that we did not start")


def unreachable(error: OSError) -> str:
    """Why a connection could not be made, and what to do, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code == _CERTIFICATE_EXPIRED:
            return "its certificate has expired: renew it (and check this machine's clock)"
        return f"its certificate is not trusted: {error.verify_message}; name the CA that signed it"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).lower().replace("_", " ")
        if "alert certificate expired" in reason:
            return "our client certificate has expired: renew it"
        if "alert" in reason and ("certificate" in reason or "unknown ca" in reason):
            return f"the broker does not accept our client certificate, or wants one ({reason})"
        return f"no TLS there ({reason}): is that the TLS port?"
    if isinstance(error, socket.gaierror):
        return "no such host: check the name"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there (connection refused): is the broker running, is the port right?"
    return f"cannot be reached: {error.strerror or error}"
