"""The sockets of one board in virtual time: from its process's records to the virtual network and back.

What the firmware writes is taken at once and sent as the network accepts it; the firmware's next write waits
while some of it is still here, so a dead link stops a writer as a full send buffer does.

A connection that a board's listener accepted waits here, with what it brought, until the firmware takes it:
only then has the process a socket for it.
"""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable
from typing import Protocol, cast

from dcompute_sim.micropython import lockstep_wire as wire
from dcompute_sim.net.network import Host, ListeningPort
from dcompute_sim.net.observer import ByteTap
from dcompute_sim.net.sockets import Socket
from dcompute_sim.net.tls_model import NoTls, TlsClient, Trust

NO_SUCH_NAME = -202
"""lwIP's EAI_FAIL."""
_PER_TURN = 2 * 1460  # bytes handed over at once: a board's TCP stack holds the rest outside its heap


class Answer(Protocol):
    """Gives a parked thread its turn with a result."""

    def __call__(self, thread: int, serial: int, result: int, delay_us: int = 0) -> None: ...


class Radio(Protocol):
    """The board's, which may be asleep."""

    def used(self) -> None:
        """Take note that a frame goes out, or has come in."""

    def asleep_s(self) -> float:
        """Tell how long it takes until it hears what the access point holds for it."""


class _Link:
    """One socket of the firmware and the network's."""

    __slots__ = ("closing", "connected", "drain", "ended", "pending", "socket", "tapped", "tls")

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.pending = b""  # written by the firmware, not yet taken by the network
        self.drain: tuple[int, int] | None = None  # thread and serial that wait for room
        self.connected = False
        self.closing = False
        self.ended = False  # the process was told of the end or the error
        self.tls: _Tls | None = None  # what crosses is wrapped in it
        self.tapped = True  # whoever reads along is shown what crosses


class _Tls:
    """The board's side of TLS on one connection."""

    __slots__ = ("client", "told_open", "told_shown", "trust")

    def __init__(self, trust: Trust) -> None:
        self.client = TlsClient("1.2")
        self.trust = trust
        self.told_shown = self.told_open = False


class _Listener:
    """One listening socket of the firmware."""

    __slots__ = ("backlog", "port", "waiting")

    def __init__(self, port: ListeningPort, backlog: int) -> None:
        self.port = port
        self.backlog = backlog
        self.waiting: dict[int, None] = {}  # accepted, and not yet taken by the firmware

    def took(self, number: int) -> None:
        """Forget it: the firmware took it, or it is gone."""
        self.waiting.pop(number, None)
        self.port.full = len(self.waiting) >= self.backlog


class Sockets:
    """All sockets of a board.

    Args:
        host: makes the connections.
        on_news: called when there is something for the process.
        answer: gives a thread its turn.
        radio: what arrives waits for.
    """

    def __init__(self, host: Host, on_news: Callable[[], None], answer: Answer, radio: Radio) -> None:
        self._radio = radio
        self.tap: ByteTap | None = None
        self._host = host
        self._on_news = on_news
        self._answer = answer
        self._life = 0  # counts the processes
        self._links: dict[int, _Link] = {}
        self._names: dict[int, tuple[str, int]] = {}
        self._listeners: dict[int, _Listener] = {}
        self._bound: dict[int, int] = {}  # socket -> its port for datagrams
        self._accepted = wire.FIRST_ACCEPTED
        self._readable: dict[int, None] = {}
        self._records: list[bytes] = []

    @property
    def news(self) -> bool:
        """Whether `take_news` has anything to say."""
        return bool(self._readable or self._records)

    def forget(self) -> None:
        """Forget all, as the process is gone; what becomes of its connections is for the host to say."""
        self._life += 1
        for link in self._links.values():
            link.socket.detach()
            self._untap(link)
        self._links.clear()
        self._names.clear()
        for listener in self._listeners.values():
            listener.port.close()
        self._listeners.clear()
        for port in self._bound.values():
            self._host.datagram_ports.pop(port, None)
        self._bound.clear()
        self._accepted = wire.FIRST_ACCEPTED
        self._readable.clear()
        self._records.clear()

    def take_news(self) -> bytes:
        """Return the records for the process: what happened, and the bytes that arrived."""
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
        """Note where socket `number` is about to be connected to: `port host`."""
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

        self._radio.used()
        socket = self._host.connect(host, port, done)
        link = self._links[number] = _Link(socket)
        self._listen_to(number, socket)
        if not waits:
            self._answer(thread, serial, errno.EINPROGRESS)
        elif timeout_us > 0:
            self._answer(thread, serial, errno.ETIMEDOUT, timeout_us)

    def resolve(self, thread: int, serial: int) -> None:
        """Ask for the address of the name that came last; `thread` gets it as a number, or `NO_SUCH_NAME`."""
        name, _ = self._names.pop(0)
        self._radio.used()

        def done(address: str | None) -> None:
            found = NO_SUCH_NAME if address is None else int.from_bytes(_packed(address), "big")
            self._answer(thread, serial, found)

        self._host.resolve(name, done)

    def listen(self, number: int, body: bytes) -> None:
        """Let socket `number` accept connections."""
        backlog, port = wire.PORTS.unpack(body)
        known = self._listeners.get(number)
        if known is not None:
            known.backlog = backlog
            return
        if port in self._host.listeners:
            return  # the firmware asked twice; its shim has said so
        accept = functools.partial(self._accept, number)
        listening = self._host.listen(port, lambda stream: accept(cast(Socket, stream)))
        self._listeners[number] = _Listener(listening, backlog)

    def _accept(self, listening: int, socket: Socket) -> None:
        number = self._accepted
        self._accepted = max(wire.FIRST_ACCEPTED, (number + 1) & 0xFFFF)
        link = self._links[number] = _Link(socket)
        link.connected = True
        link.tapped = False
        listener = self._listeners[listening]
        listener.waiting[number] = None
        listener.took(-1)
        host = socket.peer.host
        address = "127.0.0.1" if host is self._host else host.address
        peer = wire.PEER.pack(_packed(address), socket.peer.port, number)
        self._tell(wire.record(wire.ACCEPTED, listening, peer))

    def take(self, number: int) -> None:
        """Serve a socket that the firmware has a socket for a connection that was accepted."""
        for listener in self._listeners.values():
            listener.took(number)
        link = self._links.get(number)
        if link is not None:
            self._listen_to(number, link.socket)
            if link.socket.readable:
                self._became_readable(number)

    def bind(self, number: int, body: bytes) -> None:
        """Give datagrams to that port to socket `number`."""
        _, port = wire.PORTS.unpack(body)
        self._bound[number] = port
        self._host.datagram_ports[port] = functools.partial(self._datagram, number)

    def _datagram(self, number: int, address: str, port: int, data: bytes) -> None:
        peer = wire.PEER.pack(_packed(address), port, len(data))
        self._when_heard(lambda: self._tell(wire.record(wire.DATAGRAM, number, peer + data)))

    def send(self, number: int, body: bytes) -> None:
        """Send a datagram."""
        port, length = wire.PORTS.unpack_from(body)
        at = wire.PORTS.size + length
        host = body[wire.PORTS.size : at].decode()
        self._radio.used()
        self._host.send_datagram(self._bound[number], host, port, body[at:])

    def write(self, number: int, data: bytes) -> None:
        """Send, or keep until the network takes it."""
        link = self._links.get(number)
        if link is None:
            return
        if self.tap is not None and link.tapped:
            self.tap.crossed(link, "to_broker", data)
        full = bool(link.pending)
        link.pending += data if link.tls is None else link.tls.client.sealed(data)
        self._flush(number, link)
        if link.pending and not full:
            self._records.append(wire.record(wire.FULL, number))

    def tls_begin(self, number: int, body: bytes) -> None:
        """Begin to speak TLS on the connection."""
        link = self._links.get(number)
        if link is not None:
            now_s, authority, name = body.decode().split(" ", 2)
            trust = Trust(None if authority == "-" else (authority,), name or None, int(now_s))
            link.tls = _Tls(trust)
            link.pending += link.tls.client.begin()
            self._flush(number, link)

    def tls_finish(self, number: int) -> None:
        """Finish the handshake: the firmware has computed its part of it."""
        link = self._links.get(number)
        if link is not None and link.tls is not None:
            link.pending += link.tls.client.finish()
            self._flush(number, link)

    def _unwrapped(self, number: int, link: _Link, tls: _Tls, data: bytes) -> bytes:
        """Return what of `data` is the program's; tells the firmware how far the handshake is."""
        plain = tls.client.received(data)
        if tls.client.shown is not None and not tls.told_shown:
            tls.told_shown = True
            flaws = tls.trust.flaws(tls.client.shown)
            if flaws:
                link.pending += tls.client.refuse()
                self._flush(number, link)
            self._records.append(wire.record(wire.TLS_SHOWN, number, flaws.to_bytes(2, "little")))
        if tls.client.open and not tls.told_open:
            tls.told_open = True
            self._records.append(wire.record(wire.TLS_OPEN, number))
        return plain

    def drain(self, number: int, thread: int, serial: int, timeout_us: int) -> None:
        """Let `thread` wait until all it wrote is taken."""
        link = self._links.get(number)
        if link is None or not link.pending:
            self._answer(thread, serial, 0)
            return
        # Room or the time limit, whichever comes first; the other then finds another serial.
        link.drain = (thread, serial)
        if timeout_us > 0:
            self._answer(thread, serial, errno.ETIMEDOUT, timeout_us)

    def close(self, number: int) -> None:
        """Close it for the firmware; what it wrote still goes out."""
        if number in self._bound:
            self._host.datagram_ports.pop(self._bound.pop(number), None)
            return
        listener = self._listeners.pop(number, None)
        if listener is not None:
            listener.port.close()
            for waiting in listener.waiting:  # nobody will take them
                self.close(waiting)
            return
        link = self._links.get(number)
        if link is None:
            return
        if link.pending and link.connected and not link.ended:
            link.closing = True
            return
        del self._links[number]
        link.socket.close()
        self._untap(link)

    def _listen_to(self, number: int, socket: Socket) -> None:
        socket.on_readable = lambda: self._became_readable(number)
        socket.on_writable = lambda: self._became_writable(number)

    # --- what the network tells -------------------------------------------------------------------------

    def _became_readable(self, number: int) -> None:
        link = self._links.get(number)

        def heard() -> None:
            self._readable[number] = None
            self._on_news()

        if link is not None and link.socket.peer.host is self._host:  # it never was on the air
            heard()
        else:
            self._when_heard(heard)

    def _when_heard(self, then: Callable[[], None]) -> None:
        life = self._life

        def heard() -> None:
            if self._life == life:
                self._radio.used()
                then()

        asleep_s = self._radio.asleep_s()
        if asleep_s:
            self._host.network.clock.call_later(asleep_s, heard)
        else:
            heard()

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
                room -= len(data)
                if link.tls is not None:
                    try:
                        data = self._unwrapped(number, link, link.tls, data)
                    except NoTls:
                        self._fail(number, link, OSError(errno.EPROTO, "no TLS"))
                        return
                    if not data:
                        continue
                self._records.append(wire.record(wire.DATA, number, data))
                if self.tap is not None and link.tapped:
                    self.tap.crossed(link, "to_node", data)
            else:
                link.ended = True
                self._untap(link)
                self._records.append(wire.record(wire.END, number))

    def _untap(self, link: _Link) -> None:
        if self.tap is not None and link.tapped:
            self.tap.closed(link)

    def _flush(self, number: int, link: _Link) -> None:
        while link.pending:
            self._radio.used()
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


def _packed(address: str) -> bytes:
    return bytes(int(part) for part in address.split("."))
