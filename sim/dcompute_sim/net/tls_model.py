"""TLS of a connection in virtual time, modelled: its records, its round trips, its refusals; no cryptography.

The rules:

1. On the wire are TLS's records with their real sizes, and what they carry is in the clear. So a handshake
   takes its round trips and its bytes on whatever the link is, each write 22 or 29 bytes more, and whoever
   reads a capture sees where the handshake was; a broker or a client that speaks no TLS is found out by the
   first byte, as there.
2. A client names its version: 1.3 (Python's ssl) opens with its second flight, 1.2 (mbedtls as the ESP32 port
   has it) waits for the server's answer to that.
3. A client judges the certificate by its own clock, its own authorities and the name that it dialled, and
   tells what it refuses by an alert. *All* flaws are found; which of them a program is told, and in which
   words, is for whoever stands for its library (`python_error`; shims/lockstep/_tls.py for mbedtls).
4. What computing a handshake takes is for the client: a board asks for the certificate (`begin`), computes,
   and goes on (`finish`).

Why not the real protocol, over `ssl.MemoryBIO` for nodes and the real `tls` module on boards: it draws keys
and nonces where no seed reaches (OpenSSL's and mbedtls's own generators), so no two runs would have the same
bytes, nor, as signatures of ECDSA differ in length, the same segments; the certificates' dates would be
judged by this machine's clock and not by a board's; sizes and messages would be those of whatever OpenSSL is
installed; and a handshake costs milliseconds of processor, of which a herd of 1,000 nodes takes seconds. What
is lost: ciphers that do not meet, client certificates, sessions that are resumed. The real protocol is what
real time is for.
"""

from __future__ import annotations

import hashlib
import json
import ssl
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntFlag
from typing import Literal

Version = Literal["1.2", "1.3"]

_HEAD = struct.Struct(">BHH")  # kind, version, bytes that follow
_ALERT, _HANDSHAKE, _DATA = 21, 22, 23
_WIRE_VERSION = 0x0303
_MOST_BYTES = 16384  # of a record
# What a record takes beyond its head: RFC 5288 (nonce of 8, tag of 16), RFC 8446 (kind of 1, tag of 16).
_OVERHEAD = {"1.2": 24, "1.3": 17}
# As sent between a server of OpenSSL 3.0 with a certificate of P-256 and Python 3.11 (1.3) or MicroPython's
# unix port with mbedtls 3.6 (1.2), heads and all; with a signature it is some bytes more or less each time.
_HELLO_BYTES = {"1.2": 450, "1.3": 517}
_FLIGHT_BYTES = {"1.2": 537, "1.3": 693}
_FINISH_BYTES = {"1.2": 93, "1.3": 80}
_DONE_BYTES = {"1.2": 242, "1.3": 510}  # with one ticket, with two
_BAD_CERTIFICATE = 42


class Flaw(IntFlag):
    """What is wrong with a certificate, in mbedtls's numbers (MBEDTLS_X509_BADCERT_...)."""

    EXPIRED = 0x01
    OTHER_NAME = 0x04
    NOT_TRUSTED = 0x08
    FUTURE = 0x0200


@dataclass(frozen=True)
class Certificate:
    """What a server shows.

    Attributes:
        names: that it is for.
        authority: who signed it, as `authority_id` has it.
        begins_s, ends_s: since 1970.
    """

    names: tuple[str, ...]
    authority: str
    begins_s: int
    ends_s: int


@dataclass(frozen=True)
class Trust:
    """By what a client judges.

    Attributes:
        authorities: that it believes; None: whoever answers.
        name: that it dialled; None: any.
        now_s: what its clock shows, since 1970.
    """

    authorities: tuple[str, ...] | None
    name: str | None
    now_s: float

    def flaws(self, shown: Certificate) -> Flaw:
        """Return everything that is wrong with the certificate `shown`."""
        found = Flaw(0)
        if self.authorities is None:
            return found
        if shown.authority not in self.authorities:
            found |= Flaw.NOT_TRUSTED
        if self.name is not None and self.name not in shown.names:
            found |= Flaw.OTHER_NAME
        if self.now_s < shown.begins_s:
            found |= Flaw.FUTURE
        if self.now_s > shown.ends_s:
            found |= Flaw.EXPIRED
        return found


def authority_id(certificate: bytes) -> str:
    """Return the name of an authority here: by its own certificate, as a client has it in a file."""
    return hashlib.sha256(certificate).hexdigest()[:16]


def python_error(flaws: Flaw, name: str | None) -> ssl.SSLCertVerificationError:
    """Return what Python's ssl raises: the first flaw in OpenSSL's order (x509_vfy.c, verify_chain)."""
    if flaws & Flaw.NOT_TRUSTED:
        why = "unable to get local issuer certificate"
    elif flaws & Flaw.OTHER_NAME:
        why = f"Hostname mismatch, certificate is not valid for '{name}'."
    elif flaws & Flaw.FUTURE:
        why = "certificate is not yet valid"
    else:
        why = "certificate has expired"
    error = ssl.SSLCertVerificationError(
        1, f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {why}"
    )
    error.verify_message = why
    return error


class NoTls(Exception):
    """The other side speaks something else, or has refused; the connection is of no more use."""


class _Records:
    """Bytes to records and back."""

    def __init__(self, version: Version) -> None:
        self.version = version
        self._rest = b""

    def taken(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (kind, content) of each record that is whole by now."""
        self._rest += data
        while self._rest:
            if not _ALERT <= self._rest[0] <= _DATA:
                raise NoTls("no TLS record")
            if len(self._rest) < _HEAD.size:
                return
            kind, _, length = _HEAD.unpack_from(self._rest)
            if len(self._rest) < _HEAD.size + length:
                return
            content = self._rest[_HEAD.size : _HEAD.size + length]
            self._rest = self._rest[_HEAD.size + length :]
            if kind == _ALERT:
                raise NoTls("the other side sent an alert")
            yield kind, content[: -_OVERHEAD[self.version]] if kind == _DATA else content

    def sealed(self, data: bytes) -> bytes:
        """Return `data` as the program's."""
        tail = bytes(_OVERHEAD[self.version])
        parts = [data[at : at + _MOST_BYTES] + tail for at in range(0, len(data), _MOST_BYTES)]
        return b"".join(_HEAD.pack(_DATA, _WIRE_VERSION, len(part)) + part for part in parts)


def _message(content: bytes, n_bytes: int) -> bytes:
    content = content.ljust(n_bytes - _HEAD.size, b"\0")
    return _HEAD.pack(_HANDSHAKE, _WIRE_VERSION, len(content)) + content


class TlsClient:
    """The client's side. Feed it what arrives; `open` says when the program may write.

    Attributes:
        shown: the server's certificate, once it has come.
        open: the handshake is over.
    """

    def __init__(self, version: Version) -> None:
        self.shown: Certificate | None = None
        self.open = False
        self._records = _Records(version)
        self._finished = False

    def begin(self) -> bytes:
        """Return what to send first."""
        version = self._records.version
        return _message(version.encode(), _HELLO_BYTES[version])

    def finish(self) -> bytes:
        """Return what to send when the certificate is believed."""
        version = self._records.version
        self._finished = True
        self.open = version == "1.3"
        return _message(b"finish", _FINISH_BYTES[version])

    def refuse(self) -> bytes:
        """Return what to send when it is not."""
        return _HEAD.pack(_ALERT, _WIRE_VERSION, 2) + bytes((2, _BAD_CERTIFICATE))

    def received(self, data: bytes) -> bytes:
        """Return what the server's program said. NoTls when it is no TLS, or has refused."""
        plain = b""
        for kind, content in self._records.taken(data):
            if kind == _DATA:
                plain += content
            elif self.shown is None:
                if not content.startswith(b"["):  # a greeting of its own, echoed
                    raise NoTls("no answer of a server")
                names, *others = json.loads(content.rstrip(b"\0"))
                self.shown = Certificate(tuple(names), *others)
            elif self._finished:
                self.open = True
        return plain

    def sealed(self, data: bytes) -> bytes:
        """Return what to send for `data` of the program's; only when it is open."""
        return self._records.sealed(data)


class TlsServer:
    """The server's side, which asks for no certificate of the client's."""

    def __init__(self, certificate: Certificate) -> None:
        self.open = False
        self._certificate = certificate
        self._records: _Records | None = None
        self._opening = _Records("1.2")

    def received(self, data: bytes) -> tuple[bytes, bytes]:
        """Return what the client's program said, and what is to be sent. NoTls when it is no TLS, or has
        refused."""
        plain = answer = b""
        for kind, content in (self._records or self._opening).taken(data):
            if kind == _DATA:
                plain += content
                continue
            if self._records is None:
                version: Version = "1.2" if content.startswith(b"1.2") else "1.3"
                self._records = self._opening
                self._records.version = version
                shown = self._certificate
                said = json.dumps([shown.names, shown.authority, shown.begins_s, shown.ends_s]).encode()
                answer += _message(said, _FLIGHT_BYTES[version])
            else:
                self.open = True
                answer += _message(b"done", _DONE_BYTES[self._records.version])
        return plain, answer

    def sealed(self, data: bytes) -> bytes:
        """Return what to send for `data` of the program's; only when it is open."""
        return self._opening.sealed(data)
