"""Who may ask the page's server. It listens on this machine, where every program and every page in the
browser can reach it; none of them but the user's own page is to read a run, or break one.

Rules:

1. A secret is in the address that the console prints. The first request with it gets a cookie that scripts
   cannot read and that the browser adds to no request from another site; each other request needs that
   cookie, or the secret as a bearer token. It is compared in constant time.
2. A request that says from which page it comes (`Origin`) must come from this one. Browsers say so with each
   WebSocket and each POST, so there it has to be said. That is asked even of those who know the secret: a
   cookie is sent along whoever made the browser ask.
3. The name by which the server was asked (`Host`) must be an address, `localhost` or what the user has it
   listen on: a name of somebody else's that leads to this machine (DNS rebinding) would make their page one
   of the same origin as ours. The port is not compared: a tunnel may give it another one.
4. The page runs its own scripts only, talks to its own server only, and is in nobody's frame.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every answer."""


class Guard:
    """Decides on one request after the other.

    Args:
        listens_on: the host the server was told to listen on, a name or an address.
    """

    def __init__(self, listens_on: str, secret: str | None = None) -> None:
        self.secret = secrets.token_urlsafe(24) if secret is None else secret
        self._own_names = {"localhost", listens_on.lower()}

    def cookie_name(self, port: int) -> str:
        """Return the cookie's name on this server: cookies are shared by all ports of a host."""
        return f"dcompute-page-{port}"

    def knows(self, given: str | None) -> bool:
        """Say whether this is the secret."""
        return given is not None and secrets.compare_digest(given.encode(), self.secret.encode())

    def allows_host(self, host: str) -> bool:
        """Say whether the `Host` of a request is a name of this server."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._own_names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def allows_origin(self, origin: str | None, host: str, *, needed: bool) -> bool:
        """Say whether a request comes from this server's own page.

        Args:
            needed: it must say where it comes from (WebSocket, POST).
        """
        if origin is None:
            return not needed
        return origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")
