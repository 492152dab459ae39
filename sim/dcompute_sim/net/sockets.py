"""The program's part of a connection: `Socket`, read when the program likes, and `Stream`, which pushes.

A `Socket` is for programs written for sockets, the simulated firmware among them: it behaves as a
non-blocking Python socket does. A `Stream` is for programs without I/O of their own, a broker model or a
client state machine: bytes are handed over as they come, writes are never refused.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from dcompute_sim.net.observer import Side
from dcompute_sim.net.tcp import Endpoint
from dcompute_sim.net.tcp_connection import CLOSING, CONNECTING, GONE, OPEN, Kernel, TcpConnection

_FIRST_FILENO = 1_000_000  # far from any real descriptor: passing it to the operating system fails


class Socket(Endpoint):
    """A non-blocking client socket, with callbacks where a program would select().

    `on_readable` is called after each arrival of bytes, end of stream or an error; `on_writable` when the
    connection is established, and when a full send buffer has room again.
    """

    __slots__ = ("_at", "_finished", "_received_bytes", "on_readable", "on_writable")

    def __init__(self, connection: TcpConnection, host: Kernel, port: int, side: Side) -> None:
        super().__init__(connection, host, port, side)
        self.on_readable: Callable[[], None] | None = None
        self.on_writable: Callable[[], None] | None = None
        self._received_bytes = b""
        self._at = 0  # what comes before is read
        self._finished = False  # the peer sends nothing more

    @property
    def unread_bytes(self) -> int:  # type: ignore[override]  # set nowhere
        return len(self._received_bytes) - self._at

    @property
    def is_open(self) -> bool:
        """Established and not ended by either side."""
        return self.state == OPEN and not self._finished

    @property
    def readable(self) -> bool:
        """recv() would not raise BlockingIOError."""
        return self._at < len(self._received_bytes) or self._finished or self.state not in (OPEN, CONNECTING)

    def recv(self, n_bytes: int) -> bytes:
        """Return up to `n_bytes`; b"" at the end of the stream; BlockingIOError when there is nothing yet;
        the connection's error (ConnectionResetError, TimeoutError) once what arrived before it is read."""
        at = self._at
        chunk = self._received_bytes[at : at + n_bytes]
        if chunk:
            self._at = at + len(chunk)
            if self.peer._blocked:
                self.peer.unblock()
            return chunk
        if n_bytes == 0:
            return b""
        if self.error is not None:
            raise _again(self.error)
        if self._finished and self.state == OPEN:
            return b""
        if self.state in (OPEN, CONNECTING):
            raise BlockingIOError(errno.EAGAIN, "resource temporarily unavailable")
        raise OSError(errno.EBADF, "recv on a closed socket")

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """Accept as much of `data` as the send buffer has room for and say how much; BlockingIOError when it
        is full or the connection is not established yet."""
        if self.state != OPEN or self._fin_sent:
            self._refuse_to_send()
        room = self.host.tcp.send_buffer_bytes - (self.sent - self.peer.received) - self.peer.unread_bytes
        if len(data) > room:
            self._blocked = True
            if room <= 0:
                raise BlockingIOError(errno.EAGAIN, "resource temporarily unavailable")
            data = data[:room]
        if data:
            self.send_bytes(bytes(data))
        return len(data)

    def setblocking(self, flag: bool) -> None:
        """Do nothing, for compatibility: nothing here can wait."""

    def fileno(self) -> int:
        """Return a number unique in the run, or -1 when closed; no operating system knows it."""
        closed = self.state in (CLOSING, GONE) and self.error is None
        return -1 if closed else _FIRST_FILENO + self.connection.key

    def detach(self) -> None:
        super().detach()
        self.on_readable = self.on_writable = None

    # --- called by the kernel's part ---

    def arrived(self, data: bytes) -> None:
        if self._at == len(self._received_bytes):
            self._received_bytes = data
        else:
            self._received_bytes = self._received_bytes[self._at :] + data
        self._at = 0
        if self.on_readable is not None:
            self.on_readable()

    def peer_finished(self) -> None:
        self._finished = True
        if self.on_readable is not None:
            self.on_readable()

    def failed(self) -> None:
        if self.on_readable is not None:
            self.on_readable()

    def writable(self) -> None:
        if self.on_writable is not None:
            self.on_writable()

    connected = writable

    def _refuse_to_send(self) -> None:
        if self.error is not None:
            raise _again(self.error)
        if self.state == CONNECTING:
            raise BlockingIOError(errno.EAGAIN, "the connection is not established yet")
        if self.state == OPEN:
            raise BrokenPipeError(errno.EPIPE, "send after shutdown")
        raise OSError(errno.EBADF, "send on a closed socket")


OWN_BUFFER_BYTES = 1 << 20
"""What a server keeps unsent in its own memory, beside the kernel's buffer, before it calls a reader slow.

As much as the model's own server on real sockets (`brokers/model/tcp_server.py`), and no less than stock
mosquitto, which sends 3,000 retained statuses at QoS 0 at once.
"""


class Stream(Endpoint):
    """A pushed connection: set `on_data` and `on_closed` when it is accepted or established."""

    __slots__ = ("arrived", "on_closed", "on_full")

    arrived: Callable[
        [bytes], None
    ]  # of the kernel's part: it is `on_data`, for all bytes of a run come here

    def __init__(self, connection: TcpConnection, host: Kernel, port: int, side: Side) -> None:
        super().__init__(connection, host, port, side)
        self._room_to = 0  # so far may be sent at least: what the other side has read stays read
        self.arrived = _ignore
        self.on_closed: Callable[[OSError | None], None] | None = None
        """Called once, with None at the end of the stream (this side is then closed too) or with the error;
        never after this side's own close() or abort()."""
        self.on_full: Callable[[bool], None] | None = None
        """Called with True when the other side's program is a send buffer behind, with False when it caught
        up by half."""

    @property
    def on_data(self) -> Callable[[bytes], None] | None:
        """Return what is called with what arrives; None: nobody is told."""
        return None if self.arrived is _ignore else self.arrived

    @on_data.setter
    def on_data(self, call: Callable[[bytes], None] | None) -> None:
        self.arrived = _ignore if call is None else call

    @property
    def is_open(self) -> bool:
        """Neither side has ended it, as far as this host knows."""
        return self.state == OPEN

    write = Endpoint.send_bytes  # never refused; `backlog_bytes` tells how much the other side has not read

    def overrun(self) -> None:
        # What the other side has read is asked only once the room found last is used up.
        read_to = self.sent - self.backlog_bytes
        self._room_to = read_to + self.host.tcp.send_buffer_bytes + OWN_BUFFER_BYTES
        if self.sent > self._room_to and not self._blocked:
            self._blocked = True
            if self.on_full is not None:
                self.on_full(True)

    def detach(self) -> None:
        super().detach()
        self.on_data = self.on_closed = self.on_full = None

    # --- called by the kernel's part ---

    def writable(self) -> None:
        if self.on_full is not None:
            self.on_full(False)

    def peer_finished(self) -> None:
        self.failed()
        self.close()

    def failed(self) -> None:
        closed, self.on_closed = self.on_closed, None
        if closed is not None:
            closed(self.error)


def _ignore(_data: bytes) -> None:
    """Take in bytes for nobody."""


def _again(error: OSError) -> OSError:
    """Return a fresh copy: raising one object again and again would grow its traceback."""
    return type(error)(error.errno, error.strerror)
