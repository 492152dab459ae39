"""Credentials: TLS contexts from files, with errors that name the file."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Tls:
    """TLS from PEM files.

    Args:
        ca: certificates to trust; None trusts what the system trusts.
        certificate: our own certificate, for brokers that ask for one.
        key: its private key; None where the certificate's file holds it.
    """

    ca: str | Path | None = None
    certificate: str | Path | None = None
    key: str | Path | None = None


def tls_context(tls: bool | Tls | ssl.SSLContext | None) -> ssl.SSLContext | None:
    """Return a context for `tls`: None or False for no TLS, True for the system's defaults, or one made from
    files.

    Raises ValueError naming the file that cannot be used.
    """
    if tls is None or tls is False:
        return None
    if isinstance(tls, ssl.SSLContext):
        return tls
    files = tls if isinstance(tls, Tls) else Tls()
    try:
        context = ssl.create_default_context(cafile=_text(files.ca))
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"CA file {files.ca}: {error}") from None
    if files.certificate is not None:
        try:
            context.load_cert_chain(str(files.certificate), _text(files.key))
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"certificate {files.certificate}, key {files.key}: {error}") from None
    return context


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)
