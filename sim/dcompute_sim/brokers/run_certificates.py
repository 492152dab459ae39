"""The authority of one run in real time, and the certificate that the run's broker shows."""

from __future__ import annotations

import ssl
from pathlib import Path

from dcompute.extras import install_command
from dcompute_sim.brokers.real_broker import BrokerError, BrokerSecurity
from dcompute_sim.brokers.tls import server_context
from dcompute_sim.interfaces.tls_logins import TlsLogins
from dcompute_sim.interfaces.world import Login
from dcompute_sim.scenario.broker_tls import OTHER_NAME, CertificateKind, holds_between_s

_HOST = "127.0.0.1"  # where nodes find their links to the broker


def run_certificates(kind: CertificateKind, folder: Path) -> tuple[BrokerSecurity, TlsLogins]:
    """Make both in `folder`. BrokerError where the extra `tls` is missing."""
    try:
        from dcompute_sim.brokers.certificate_authority import CertificateAuthority
    except ImportError:
        raise BrokerError(
            f"`tls:` in real time needs a maker of certificates: {install_command('tls')}; "
            "or take --time virtual"
        ) from None
    trusted = CertificateAuthority("dcompute run")
    signer = CertificateAuthority("dcompute elsewhere") if kind == "other_authority" else trusted
    host = OTHER_NAME if kind == "other_name" else _HOST
    certificate, key = folder / "broker.pem", folder / "broker.key"
    signer.certify(host, holds_between_s(kind), certificate, key)
    checks = ssl.create_default_context(cadata=trusted.pem)
    believes = ssl.create_default_context()
    believes.check_hostname = False
    believes.verify_mode = ssl.CERT_NONE
    nodes, others = Login(tls=checks, authority=trusted.der), Login(tls=believes, authority=trusted.der)
    security = BrokerSecurity(certificate=certificate, key=key)
    return security, TlsLogins(nodes, others, server_context(security))
