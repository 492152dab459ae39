"""A broker somebody else runs, given by URL: where it is, how to log in, and why it cannot be reached."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from dataclasses import replace
from typing import Self

from dcompute.broker_url import BadBrokerUrl, BrokerUrl
from dcompute_sim.brokers.real_broker import BrokerError

_REACH_TIMEOUT_S = 10.0
_CERTIFICATE_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED


class ExternalBroker:
    """A running broker. We neither start, stop nor restart it; `start` only makes sure that it is there."""

    name = "external"
    # Unknown: as generous as the coarsest broker we know, mosquitto 2.0.11. `dcompute broker check` measures.
    granularity_s = 6.0
    can_restart = False
    process_id: int | None = None

    def __init__(self, address: BrokerUrl) -> None:
        self.address = address

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Make the broker at this URL; a user's password that is not in it is taken from DCOMPUTE_PASSWORD.

        Raises BrokerError for a URL that is none of a broker.
        """
        try:
            address = BrokerUrl.parse(url)
        except BadBrokerUrl as error:
            raise BrokerError(str(error)) from None
        if address.username and address.password is None:
            address = replace(address, password=os.environ.get("DCOMPUTE_PASSWORD"))
        return cls(address)

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
        """Do nothing: it is not ours."""

    async def pause(self, *, keep_memory: bool) -> None:
        raise BrokerError(f"{self.address}: cannot stop a broker that we did not start")

    async def restart(self, *, keep_memory: bool) -> None:
        raise BrokerError(f"{self.address}: cannot restart a broker that we did not start")


def unreachable(error: OSError) -> str:
    """Tell why a connection could not be made, and what to do, in words."""
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
