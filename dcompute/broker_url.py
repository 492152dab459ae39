"""A broker's address as a user writes it, everywhere: `mqtt://host:port`, or `mqtts://` for TLS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote, urlsplit

_DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}
_FORM = "write it as mqtt://host:port or mqtt://user:password@host:port (%2F for `/`), with mqtts:// for TLS"


class BadBrokerUrl(ValueError):
    """A URL that is none of a broker; the message says why, without repeating its password."""


@dataclass(frozen=True)
class BrokerUrl:
    """`mqtt://user:password@host:port`, taken apart. Its text form never shows the password."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take a URL apart. Raises BadBrokerUrl."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:  # whose text may be a part of the password, as `mqtt://u:pass/word@host` is read
            raise BadBrokerUrl(f"not a broker's address, or `/`, `?`, `#` in a password; {_FORM}") from None
        if parts.scheme not in _DEFAULT_PORTS:
            raise BadBrokerUrl(f"a broker's address begins with mqtt:// or mqtts://; {_FORM}")
        if not host:
            raise BadBrokerUrl(f"the broker's address names no host; {_FORM}")
        if port == 0:
            raise BadBrokerUrl(f"no broker listens on port 0; {_FORM}")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise BadBrokerUrl(f"a broker's address ends after its port; {_FORM}")
        if parts.password is not None and not parts.username:
            raise BadBrokerUrl(f"the broker's address has a password without a user; {_FORM}")
        return cls(
            host=host,
            port=_DEFAULT_PORTS[parts.scheme] if port is None else port,
            tls=parts.scheme == "mqtts",
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password is not None else None,
        )

    def __str__(self) -> str:
        user = f"{self.username}@" if self.username else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{user}{host}:{self.port}"
