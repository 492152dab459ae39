"""TLS around a `Stream`: the two ends of a connection for programs that know nothing of it."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from dcompute_sim.net.sockets import Stream
from dcompute_sim.net.tls_model import Certificate, NoTls, TlsClient, TlsServer, Trust, python_error


class ClientStream:
    """A client's end, of a connection that is established; `opened(None)` when the handshake is over, or
    `opened(error)` as Python's ssl words it. Then as a `Stream`."""

    __slots__ = ("_opened", "_stream", "_tls", "_trust", "on_closed", "on_data")

    def __init__(self, stream: Stream, trust: Trust, opened: Callable[[Exception | None], None]) -> None:
        self.on_data: Callable[[bytes], None] | None = None
        self.on_closed: Callable[[OSError | None], None] | None = None
        self._stream = stream
        self._trust = trust
        self._opened: Callable[[Exception | None], None] | None = opened
        self._tls = TlsClient("1.3")
        stream.on_data = self._arrived
        stream.on_closed = self._ended
        stream.write(self._tls.begin())

    def write(self, data: bytes) -> None:
        """Send."""
        if data:
            self._stream.write(self._tls.sealed(data))

    def close(self) -> None:
        """Flush, then close (FIN)."""
        self._stream.close()

    def abort(self) -> None:
        """Close at once."""
        self._stream.abort()

    def _arrived(self, data: bytes) -> None:
        try:
            plain = self._tls.received(data)
        except NoTls:
            self._stream.abort()
            self._ended(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"))
            return
        if self._opened is not None and self._tls.shown is not None:
            flaws = self._trust.flaws(self._tls.shown)
            if flaws:
                self._stream.write(self._tls.refuse())
                self._stream.close()
                self._over(python_error(flaws, self._trust.name))
                return
            self._stream.write(self._tls.finish())
            self._over(None)
        if plain and self.on_data is not None:
            self.on_data(plain)

    def _over(self, error: Exception | None) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened(error)

    def _ended(self, error: OSError | None) -> None:
        if self._opened is not None:
            self._over(error or ConnectionResetError("the broker closed during the TLS handshake"))
            return
        closed, self.on_closed = self.on_closed, None
        if closed is not None:
            closed(error)


class ServerStream:
    """A server's end: `received` gets what the client's program said, once it speaks TLS."""

    __slots__ = ("_received", "_stream", "_tls")

    def __init__(self, stream: Stream, certificate: Certificate) -> None:
        self._stream = stream
        self._tls = TlsServer(certificate)
        self._received: Callable[[bytes], None] | None = None

    def serve(self, received: Callable[[bytes], None]) -> None:
        """Hand what comes to `received`."""
        self._received = received
        self._stream.on_data = self._arrived

    def write(self, data: bytes) -> None:
        """Send."""
        if data and self._tls.open:
            self._stream.write(self._tls.sealed(data))

    def close(self) -> None:
        """Close after what was written (FIN)."""
        self._stream.close()

    def _arrived(self, data: bytes) -> None:
        try:
            plain, answer = self._tls.received(data)
        except NoTls:
            closed = self._stream.on_closed
            self._stream.close()
            if closed is not None:
                closed(None)
            return
        self._stream.write(answer)
        if plain and self._received is not None:
            self._received(plain)
