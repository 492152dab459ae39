"""The TCP sockets of one board in virtual time: from its process's records to the virtual network and back.

What the firmware writes is taken at once and sent as the network accepts it; the firmware's next write waits
while some of it is still here, so a dead link stops a writer as a full send buffer does.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Protocol

from dcompute_sim.micropython import lockstep_wire as wire
from dcompute_sim.net.network import Host
from dcompute_sim.net.observer import ByteTap
from dcompute_sim.net.sockets import Socket

_PER_TURN = 2 * 1460  # bytes handed over at once: a board's TCP stack holds the rest outside its heap


class Answer(Protocol):
    """Gives a parked thread its turn with a result."""

    def __call__(self, thread: int, serial: int, result: int, delay_us: int = 0) -> None: ...


class _Link:
    """One socket of the firmware and the network's."""

    __slots__ = ("closing", "connected", "drain", "ended", "pending", "socket")

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.pending = b""  # written by the firmware, not yet taken by the network
        self.drain: tuple[int, int] | None = None  # thread and serial that wait for room
        self.connected = False
        self.closing = False
        self.ended = False  # the process was told of the end or the error


class Sockets:
    """All sockets of a board.

    Args:
        host: makes the connections.
        on_news: called when there is something for the process.
        answer: gives a thread its turn.
    """

    def __init__(self, host: Host, on_news: Callable[[], None], answer: Answer) -> None:
        self.tap: ByteTap | None = None
        self._host = host
        self._on_news = on_news
        self._answer = answer
        self._links: dict[int, _Link] = {}
        self._names: dict[int, tuple[str, int]] = {}
        self._readable: dict[int, None] = {}
        self._records: list[bytes] = []

    @property
    def news(self) -> bool:
        """Whether `take_news` has anything to say."""
        return bool(self._readable or self._records)

    def forget(self) -> None:
        """The process is gone; what becomes of its connections is for the host to say."""
        for link in self._links.values():
            link.socket.detach()
            self._untap(link)
        self._links.clear()
        self._names.clear()
        self._readable.clear()
        self._records.clear()

    def take_news(self) -> bytes:
        """The records for the process: what happened, and the bytes that arrived."""
        # Exchanged first: `_read` puts back those that have more than fits into one turn.
        readable, self._readable = self._readable, {}
        for number in readable:
            link = self._links.get(number)
            if link is not None:
                self._read(number, link)
        news = b"".join(self._records)
        self._records.clear()
        return news

    # --- what the firmware asks for ---------------------------------------------------------------------

    def name(self, number: int, address: bytes) -> None:
        """Where socket `number` is about to be connected to: `port host`."""
        port, _, host = address.decode().partition(" ")
        self._names[number] = (host, int(port))

    def connect(self, number: int, thread: int, serial: int, timeout_us: int) -> None:
        """Begin to connect; `thread` gets 0 or an error number, EINPROGRESS at once if it does not wait."""
        host, port = self._names.pop(number)
        waits = timeout_us != 0

        def done(error: OSError | None) -> None:
            # The firmware has closed it, or its process is gone and the number may be another's by now.
            if self._links.get(number) is not link:
                return
            if error is None:
                link.connected = True
                self._flush(number, link)
            else:
                del self._links[number]
            if waits:
                self._answer(thread, serial, error.errno or errno.EIO if error else 0)
            else:
                failure = (error.errno or errno.EIO).to_bytes(4, "little") if error else b""
                self._tell(wire.record(wire.ERROR if error else wire.CONNECTED, number, failure))

        socket = self._host.connect(host, port, done)
        link = self._links[number] = _Link(socket)
        socket.on_readable = lambda: self._became_readable(number)
        socket.on_writable = lambda: self._became_writable(number)
        if not waits:
            self._answer(thread, serial, errno.EINPROGRESS)
        elif timeout_us > 0:
            self._answer(thread, serial, errno.ETIMEDOUT, timeout_us)

    def write(self, number: int, data: bytes) -> None:
        """Send, or keep until the network takes it."""
        link = self._links.get(number)
        if link is None:
            return
        if self.tap is not None:
            self.tap.crossed(link, "to_broker", data)
        full = bool(link.pending)
        link.pending += data
        self._flush(number, link)
        if link.pending and not full:
            self._records.append(wire.record(wire.FULL, number))

    def drain(self, number: int, thread: int, serial: int, timeout_us: int) -> None:
        """`thread` waits until all it wrote is taken."""
        link = self._links.get(number)
        if link is None or not link.pending:
            self._answer(thread, serial, 0)
            return
        # Room or the time limit, whichever comes first; the other then finds another serial.
        link.drain = (thread, serial)
        if timeout_us > 0:
            self._answer(thread, serial, errno.ETIMEDOUT, timeout_us)

    def close(self, number: int) -> None:
        """The firmware is done with it; what it wrote still goes out."""
        link = self._links.get(number)
        if link is None:
            return
        if link.pending and link.connected and not link.ended:
            link.closing = True
            return
        del self._links[number]
        link.socket.close()
        self._untap(link)

    # --- what the network tells -------------------------------------------------------------------------

    def _became_readable(self, number: int) -> None:
        self._readable[number] = None
        self._on_news()

    def _became_writable(self, number: int) -> None:
        link = self._links.get(number)
        if link is None or not link.pending:
            return
        self._flush(number, link)
        if link.pending:
            return
        if link.closing:
            self.close(number)
            return
        self._tell(wire.record(wire.ROOM, number))
        self._release(link)

    def _read(self, number: int, link: _Link) -> None:
        room = _PER_TURN
        while not link.ended:
            if not room:
                self._readable[number] = None
                return
            try:
                data = link.socket.recv(room)
            except BlockingIOError:
                return
            except OSError as error:
                self._fail(number, link, error)
                return
            if data:
                self._records.append(wire.record(wire.DATA, number, data))
                room -= len(data)
                if self.tap is not None:
                    self.tap.crossed(link, "to_node", data)
            else:
                link.ended = True
                self._untap(link)
                self._records.append(wire.record(wire.END, number))

    def _untap(self, link: _Link) -> None:
        if self.tap is not None:
            self.tap.closed(link)

    def _flush(self, number: int, link: _Link) -> None:
        while link.pending:
            try:
                sent = link.socket.send(link.pending)
            except BlockingIOError:
                return
            except OSError as error:
                self._fail(number, link, error)
                return
            link.pending = link.pending[sent:]

    def _fail(self, number: int, link: _Link, error: OSError) -> None:
        link.pending = b""
        if link.ended:
            return
        link.ended = True
        self._tell(wire.record(wire.ERROR, number, (error.errno or errno.EIO).to_bytes(4, "little")))
        self._release(link)

    def _release(self, link: _Link) -> None:
        if link.drain is not None:
            thread, serial = link.drain
            link.drain = None
            self._answer(thread, serial, 0)

    def _tell(self, record: bytes) -> None:
        self._records.append(record)
        self._on_news()
