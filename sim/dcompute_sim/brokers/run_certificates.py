"""The authority of one run in real time, and the certificate that the run's broker shows."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime
from pathlib import Path

from dcompute.extras import install_command
from dcompute_sim.brokers.real_broker import BrokerError, BrokerSecurity
from dcompute_sim.interfaces.tls_logins import TlsLogins
from dcompute_sim.interfaces.world import Login
from dcompute_sim.scenario.broker_tls import BEGINS_S, ENDS_S, OTHER_NAME, CertificateKind, holds_between_s

_HOST = "127.0.0.1"  # where nodes find their links to the broker


def run_certificates(kind: CertificateKind, folder: Path) -> tuple[BrokerSecurity, TlsLogins]:
    """Make both in `folder`. BrokerError where the extra `tls` is missing."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID
    except ImportError:
        raise BrokerError(
            f"`tls:` in real time needs a maker of certificates: {install_command('tls')}; "
            "or take --time virtual"
        ) from None

    def signed(
        name: str,
        key: ec.EllipticCurvePrivateKey,
        issuer: str,
        by: ec.EllipticCurvePrivateKey,
        dates_s: tuple[int, int],
        *extensions: x509.ExtensionType,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.fromtimestamp(dates_s[0], UTC))
            .not_valid_after(datetime.fromtimestamp(dates_s[1], UTC))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(by, hashes.SHA256())

    authority_key, other_key, broker_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    name = "dcompute run"
    is_authority = x509.BasicConstraints(ca=True, path_length=0)
    authority = signed(name, authority_key, name, authority_key, (BEGINS_S, ENDS_S), is_authority)
    elsewhere = kind == "other_name"
    names = x509.SubjectAlternativeName(
        [x509.DNSName(OTHER_NAME)] if elsewhere else [x509.IPAddress(ipaddress.ip_address(_HOST))]
    )
    certificate = signed(
        OTHER_NAME if elsewhere else _HOST,
        broker_key,
        "dcompute elsewhere" if kind == "other_authority" else name,
        other_key if kind == "other_authority" else authority_key,
        holds_between_s(kind),
        names,
    )
    security = BrokerSecurity(certificate=folder / "broker.pem", key=folder / "broker.key")
    assert security.certificate is not None
    assert security.key is not None
    security.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    security.key.write_bytes(
        broker_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    checks = ssl.create_default_context(
        cadata=authority.public_bytes(serialization.Encoding.PEM).decode("ascii")
    )
    believes = ssl.create_default_context()
    believes.check_hostname = False
    believes.verify_mode = ssl.CERT_NONE
    der = authority.public_bytes(serialization.Encoding.DER)
    return security, TlsLogins(Login(tls=checks, authority=der), Login(tls=believes, authority=der))
