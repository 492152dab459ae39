"""What a run with TLS has in virtual time: for files and contexts what says who checks what, and the ends of
connections. Runs without it do not import it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import cache, partial

from dcompute.drivers import Address, ChannelUser
from dcompute_sim.engines.virtual_dial import Dial
from dcompute_sim.interfaces.tls_logins import TlsLogins
from dcompute_sim.interfaces.world import Login
from dcompute_sim.net.network import Host
from dcompute_sim.net.sockets import Stream
from dcompute_sim.net.tls_model import Certificate, Trust, authority_id
from dcompute_sim.net.tls_stream import ClientStream, ServerStream
from dcompute_sim.scenario.broker_tls import OTHER_NAME, CertificateKind, holds_between_s

_AUTHORITY = b"dcompute: the authority of a run in virtual time"
_OTHER_AUTHORITY = b"dcompute: somebody else"


def _der(text: bytes) -> bytes:
    """Return a certificate as far as a loader looks: a SEQUENCE of a UTF8String."""
    return bytes((0x30, len(text) + 2, 0x0C, len(text))) + text


@cache
def modelled_logins() -> TlsLogins:
    """Return the logins of virtual time, whose contexts only say what is checked (net/tls_model.py does)."""
    checks = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    believes = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    believes.check_hostname = False
    believes.verify_mode = ssl.CERT_NONE
    authority = _der(_AUTHORITY)
    return TlsLogins(Login(tls=checks, authority=authority), Login(tls=believes, authority=authority))


def modelled_certificate(kind: CertificateKind, host: str) -> Certificate:
    """Return what the broker on `host` shows in virtual time."""
    begins_s, ends_s = holds_between_s(kind)
    return Certificate(
        names=(OTHER_NAME if kind == "other_name" else host,),
        authority=authority_id(_der(_OTHER_AUTHORITY if kind == "other_authority" else _AUTHORITY)),
        begins_s=begins_s,
        ends_s=ends_s,
    )


def tls_server(kind: CertificateKind, host: str) -> Callable[[Stream], ServerStream]:
    """Return what puts TLS around the connections that the broker on `host` accepts."""
    return partial(ServerStream, certificate=modelled_certificate(kind, host))


class TlsDial(Dial):
    """An attempt that goes on to the end of a TLS handshake.

    Args:
        authority: that the program believes, if it checks at all.
        wall_s: what its clock shows.
    """

    def __init__(
        self, host: Host, address: Address, user: ChannelUser, authority: bytes | None, wall_s: float
    ) -> None:
        assert address.tls is not None
        believed = () if authority is None else (authority_id(authority),)
        self._trust = Trust(believed if address.tls.verify_mode else None, address.host, wall_s)
        super().__init__(host, address, user)

    def _done(self, error: OSError | None) -> None:
        if error is not None or self._given_up:
            super()._done(error)
            return
        secured = ClientStream(self._stream, self._trust, lambda error: self._secured(secured, error))

    def _secured(self, secured: ClientStream, error: Exception | None) -> None:
        if self._given_up:
            return
        if error is not None:
            self._user.channel_lost(error)
            return
        secured.on_data = self._user.channel_data
        secured.on_closed = self._user.channel_lost
        self._user.channel_open(secured)
