"""The TLS side of a broker we start ourselves: its certificate, and whether clients must show theirs."""

from __future__ import annotations

import ssl

from dcompute_sim.brokers.real_broker import BrokerError, BrokerSecurity


def server_context(security: BrokerSecurity) -> ssl.SSLContext | None:
    """Return the context to listen with, None for plain TCP; BrokerError names the file that cannot be
    used."""
    if security.certificate is None or security.key is None:
        if security.certificate or security.key or security.client_ca:
            raise BrokerError("TLS needs both a certificate and its key (a client CA only adds to them)")
        return None
    for path in (security.certificate, security.key, security.client_ca):
        if path is not None and not path.is_file():
            raise BrokerError(f"TLS file {path}: there is no such file")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(security.certificate, security.key)
    except OSError as error:  # ssl.SSLError is one
        raise BrokerError(
            f"TLS certificate {security.certificate} with key {security.key}: "
            f"not PEM files that belong together ({error})"
        ) from None
    if security.client_ca is not None:
        try:
            context.load_verify_locations(security.client_ca)
        except OSError as error:
            raise BrokerError(f"TLS client CA {security.client_ca}: not PEM certificates ({error})") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context
