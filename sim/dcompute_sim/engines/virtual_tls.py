"""What a run with TLS has in virtual time for files and contexts: they only say who checks what."""

from __future__ import annotations

import ssl
from functools import cache

from dcompute_sim.interfaces.tls_logins import TlsLogins
from dcompute_sim.interfaces.world import Login
from dcompute_sim.net.tls_model import Certificate, authority_id
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
