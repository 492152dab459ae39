"""What the tests of our own brokers share: a broker served in the test's own event loop, and certificates."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sim.brokers.base import BrokerSecurity
from sim.brokers.conformance.target import Target
from sim.brokers.serve import broker_of

Serving = Callable[..., AbstractAsyncContextManager[Target]]

_numbers = itertools.count()


@asynccontextmanager
async def _serving(
    kind: str, *, security: BrokerSecurity | None = None, state: Path | None = None
) -> AsyncIterator[Target]:
    listening: asyncio.Future[Target] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()

    def on_listening(host: str, port: int) -> None:
        listening.set_result(Target(host, port, token=f"t{next(_numbers)}"))

    serve = broker_of(kind)(
        "127.0.0.1",
        0,
        security=security or BrokerSecurity(),
        state_file=state,
        on_listening=on_listening,
        stop=stop,
    )
    broker: asyncio.Future[None] = asyncio.ensure_future(serve)
    waiting: list[asyncio.Future[Any]] = [broker, listening]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if broker.done():
        broker.result()
    try:
        yield listening.result()
    finally:
        stop.set()
        await broker


@pytest.fixture
def serving() -> Serving:
    """`async with serving(kind, security=..., state=...) as target`: one of our brokers, in this loop."""
    return _serving


class Authority:
    """A certificate authority of the test's own, on disk."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = self._write(f"{name}.pem", self._certificate(self._name, self._key, ca=True))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key files for `name`, valid for 127.0.0.1 as well."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._write(f"{name}.crt", self._certificate(subject, key, ca=False))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self._folder / f"{name}.key").write_bytes(private)
        return certificate, self._folder / f"{name}.key"

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .add_extension(_usage(ca=ca), critical=True)  # as the two before: Python 3.13 insists
            .sign(self._key, hashes.SHA256())
        )

    def _write(self, name: str, certificate: x509.Certificate) -> Path:
        path = self._folder / name
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


@pytest.fixture
def authority(tmp_path: Path) -> Callable[[str], Authority]:
    """`authority(name)`: a new certificate authority; its `file`, and `issue(name)` -> (certificate, key)."""
    return lambda name: Authority(tmp_path, name)


@pytest.fixture
def self_signed(authority: Callable[[str], Authority]) -> tuple[Path, Path]:
    """Certificate and key of a broker."""
    return authority("authority").issue("broker")
