"""Why a connection failed, in words that say what to look at."""

from __future__ import annotations

import socket
import ssl

from dcompute.drivers import Address


def explain(error: Exception | None, address: Address) -> str:
    """Say why a connection to `address` failed; None: the broker ended it."""
    if error is None:
        return f"the broker at {address} closed the connection"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {address} was not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS with {address} failed: {error.reason or error}"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {address} (connection refused)"
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return f"the name {address.host!r} has no address"
    if isinstance(error, TimeoutError):
        return f"no answer from {address}"
    if isinstance(error, ConnectionResetError):
        return f"the connection to {address} was reset"
    return f"the connection to {address} failed: {error or type(error).__name__}"
