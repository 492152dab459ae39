"""An authority that signs certificates for the brokers of runs. Needs `cryptography`, of the extra `tls`."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dcompute_sim.scenario.broker_tls import BEGINS_S, ENDS_S


class CertificateAuthority:
    """Has a key of its own, and a certificate signed with it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        is_authority = x509.BasicConstraints(ca=True, path_length=0)
        self._certificate = self._sign(name, self._key, (BEGINS_S, ENDS_S), is_authority)

    @property
    def pem(self) -> str:
        """Its certificate, as Python's ssl takes it."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")

    @property
    def der(self) -> bytes:
        """Its certificate, as a board takes it."""
        return self._certificate.public_bytes(serialization.Encoding.DER)

    def certify(self, host: str, dates_s: tuple[int, int], certificate: Path, key: Path) -> None:
        """Write a certificate for a name or an address, and its new key, to files (PEM).

        Args:
            dates_s: from when and until when it holds, in seconds since 1970.
        """
        of_host = ec.generate_private_key(ec.SECP256R1())
        signed = self._sign(host, of_host, dates_s, x509.SubjectAlternativeName([_general_name(host)]))
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        key.write_bytes(
            of_host.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    def _sign(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        dates_s: tuple[int, int],
        extension: x509.ExtensionType,
    ) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(_common_name(name))
            .issuer_name(_common_name(self._name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.fromtimestamp(dates_s[0], UTC))
            .not_valid_after(datetime.fromtimestamp(dates_s[1], UTC))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(self._key, hashes.SHA256())
        )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
