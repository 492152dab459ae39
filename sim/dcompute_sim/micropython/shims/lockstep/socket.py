# mypy: ignore-errors
# ESP32 `socket` in virtual time: TCP and UDP on the engine's network.
import errno
import io

import _address
import _arrivals
import _board
import _kernel
import _native
import network
import uctypes
import ustruct

__getattr__ = _board.missing("socket")

AF_INET = 2
AF_INET6 = 10
SOCK_STREAM = 1
SOCK_DGRAM = 2
SOCK_RAW = 3
IPPROTO_IP = 0
IPPROTO_TCP = 6
IPPROTO_UDP = 17
SOL_SOCKET = 4095
SO_REUSEADDR = 4
SO_BROADCAST = 32
TCP_NODELAY = 1
MSG_PEEK = 1
MSG_DONTWAIT = 8
SO_BINDTODEVICE = 11
IP_ADD_MEMBERSHIP = 3

_DATA = 1
_END = 2
_ERROR = 3
_FULL = 4
_ROOM = 5
_CONNECTED = 6
_ACCEPTED = 7
_TLS_SHOWN = 9
_TLS_OPEN = 10
_DATAGRAM = 8
_PEER = "<4BHH"  # address, port; the new socket's number, or how many bytes follow
_PEER_BYTES = 8
_SEGMENT_BYTES = 1460
_EISCONN = 106  # the port has no name for it
_SEND_BUFFER = 5744  # lwIP's, as the ESP32 port sets it
_numbers = 0
_LAST_NUMBER = 0x7FFF  # above are those that were accepted
_FIRST_OWN_PORT = 49152
_MOST_DATAGRAMS = 6  # CONFIG_LWIP_UDP_RECVMBOX_SIZE; what comes beyond is lost
_MOST = 10  # CONFIG_LWIP_MAX_SOCKETS; counted are those that connect, are connected, listen or are bound
_ENFILE = 23  # errno has no name for it
_TRY_US = 100000  # ports/esp32/modsocket.c, SOCKET_POLL_US
_KNOWN_OPTIONS = (SO_REUSEADDR, SO_BROADCAST, TCP_NODELAY, SO_BINDTODEVICE, IP_ADD_MEMBERSHIP, 20)


def getaddrinfo(host, port, af=AF_INET, kind=SOCK_STREAM, proto=0, flags=0):
    host, port = _address.at(host, port)
    host = host or "0.0.0.0"
    return [(AF_INET, kind or SOCK_STREAM, proto, host, (_resolved(host), port))]


def _resolved(host):
    if not host:
        return "0.0.0.0"
    if _address.is_number(host):
        return host
    if host == "localhost":
        return "127.0.0.1"
    found = _kernel.wait_resolved(host) if network.reachable() else -1
    if found < 0:
        raise OSError(-202)
    return "%d.%d.%d.%d" % (found >> 24, found >> 16 & 255, found >> 8 & 255, found & 255)


class socket(io.IOBase):
    def __init__(self, af=AF_INET, kind=SOCK_STREAM, proto=0, _number=0):
        global _numbers
        if kind not in (SOCK_STREAM, SOCK_DGRAM):
            raise AttributeError("the emulator has TCP and UDP sockets only")
        if len(_arrivals.sockets) >= _MOST:
            raise OSError(_ENFILE)
        if not _number:
            _number = _numbers = _numbers % _LAST_NUMBER + 1
        self.number = _number
        self.timeout_us = -1  # for ever
        self._state = "new" if kind == SOCK_STREAM else "datagrams"  # or connecting, open, listening, closed
        self._port = 0  # bound to
        self._peer = None  # whom datagrams are for
        self._datagrams = 0  # how many have arrived
        self._memory = self._room = 0  # where what has arrived lies, from `_at` to `_end`: not in the heap
        self._at = self._end = 0
        self._ended = False
        self._error = 0
        self._full = False
        self._flaws = -1  # of the certificate that came, once it has
        self._secure = False  # a TLS handshake is over

    def __getattr__(self, name):
        raise AttributeError("the emulator's socket has no %r (docs/esp32-port.md)" % name)

    # --- from the engine

    def arrive(self, kind, address, size):
        # Without a byte of heap.
        if kind == _DATA or kind == _ACCEPTED:
            self._keep(address, size)
        elif kind == _DATAGRAM:
            if self._datagrams < _MOST_DATAGRAMS:
                self._datagrams += 1
                self._keep(address, size)
        elif kind == _END:
            self._ended = True
        elif kind == _ERROR:
            self._error = _arrivals.number_at(address)
        elif kind == _FULL:
            self._full = True
        elif kind == _ROOM:
            self._full = False
        elif kind == _CONNECTED:
            self._state = "open"
        elif kind == _TLS_SHOWN:
            self._flaws = _arrivals.number_at(address)
        elif kind == _TLS_OPEN:
            self._secure = True

    def _keep(self, address, size):
        if self._end + size > self._room:
            left = self._end - self._at
            _native.move(self._memory, self._memory + self._at, left)
            self._at = 0
            self._end = left
            if left + size > self._room:
                room = left + size + _SEGMENT_BYTES
                self._memory = _native.grow(self._memory, self._room, room)
                self._room = room
        _native.move(self._memory + self._end, address, size)
        self._end += size

    def readiness(self, events):
        if self._state == "new":
            return events & 4 | 16
        ready = 0
        if self._error:
            ready = 8
        if self._at < self._end or self._ended or self._error:
            ready |= 1
        if (self._state == "open" and not self._full) or self._state == "datagrams":
            ready |= 4
        return ready & (events | 24)

    # --- for the firmware

    def connect(self, address):
        host, port = _address.of(address)
        if self._state == "closed":
            raise OSError(errno.EBADF)
        if self._state in ("connecting", "open"):
            raise OSError(_EISCONN if self._state == "open" else self._error or errno.EALREADY)
        if not network.reachable():
            raise OSError(errno.EHOSTUNREACH)
        host = _resolved(host)
        if self._state == "datagrams":
            self._peer = (host, port)
            return
        target = ("%d %s" % (port, host)).encode()
        _arrivals.sockets[self.number] = self
        self._state = "connecting"
        failure = _kernel.wait_connect(self.number, target, self.timeout_us)
        if failure:
            if failure != errno.EINPROGRESS:
                self._state = "new"
                _arrivals.sockets.pop(self.number, None)
            raise OSError(failure)
        self._state = "open"

    def bind(self, address):
        port = _address.of(address)[1]
        if self._state == "closed":
            raise OSError(errno.EBADF)
        port = port or _FIRST_OWN_PORT + self.number
        for other in _arrivals.sockets.values():
            if other._port == port and (other._state == "datagrams") == (self._state == "datagrams"):
                raise OSError(errno.EADDRINUSE)
        self._port = port
        _arrivals.sockets[self.number] = self
        if self._state == "datagrams":
            _kernel.ride(_kernel.BIND, self.number, ustruct.pack("<HH", 0, port))

    def listen(self, backlog=2):
        if self._state not in ("new", "listening"):
            raise OSError(errno.EBADF if self._state == "closed" else errno.EINVAL)
        if not self._port:
            self.bind(("", 0))
        self._state = "listening"
        _kernel.ride(_kernel.LISTEN, self.number, ustruct.pack("<HH", max(1, backlog), self._port))

    def accept(self):
        if self._state != "listening":
            raise OSError(errno.EBADF if self._state == "closed" else errno.EINVAL)
        self._await_arrival()
        peer, number = self._next_peer()
        try:
            accepted = socket(_number=number)
            accepted._state = "open"
            _arrivals.sockets[number] = accepted  # first: a turn may end at any branch, and bytes arrive
        finally:
            _kernel.ride(_kernel.ACCEPT, number)
            if number not in _arrivals.sockets:
                _kernel.send_close(number)
        return accepted, peer

    def _await_arrival(self):
        if self._at == self._end and self.timeout_us == 0:
            raise OSError(errno.EAGAIN)
        give_up_us = _kernel.now_us() + self.timeout_us
        while self._at == self._end:
            if not self._wait_until(give_up_us):
                raise OSError(errno.EAGAIN)
            if self._state == "closed":
                raise OSError(errno.EBADF)

    def _wait_until(self, give_up_us):
        # For whatever arrives; may return too early. False: a brief time limit is over.
        left_us = -1
        if self.timeout_us > 0:
            left_us = give_up_us - _kernel.now_us()
            if left_us <= 0:
                if self.timeout_us == _TRY_US:
                    return False
                raise OSError(errno.ETIMEDOUT)
        _kernel.wait_arrival(left_us)
        return True

    def _next_peer(self):
        # Address and port of whoever comes first; the new socket's number, or how many bytes follow.
        a, b, c, d, port, number = ustruct.unpack(
            _PEER, uctypes.bytes_at(self._memory + self._at, _PEER_BYTES)
        )
        self._at += _PEER_BYTES
        return ("%d.%d.%d.%d" % (a, b, c, d), port), number

    def _ready_to_read(self):
        # False: would block.
        # One that still connects has nothing yet; that is no error (peterhinch's mqtt_as depends on it).
        if self._at == self._end and not self._ended:
            if self._state not in ("open", "connecting"):
                raise OSError(self._error or (errno.EBADF if self._state == "closed" else errno.ENOTCONN))
            if self.timeout_us == 0:
                return bool(self._error)
            give_up_us = _kernel.now_us() + self.timeout_us
            while self._at == self._end and not self._ended and not self._error:
                if self._state == "closed":
                    raise OSError(errno.EBADF)
                if not self._wait_until(give_up_us):
                    return False
        return True

    def _take(self, n):
        if self._at == self._end and self._error:
            raise OSError(self._error)
        chunk = uctypes.bytes_at(self._memory + self._at, min(n, self._end - self._at))
        self._at += len(chunk)
        return chunk

    def recv(self, n, flags=0):
        if self._state == "datagrams":
            return self.recvfrom(n)[0]
        if flags & MSG_DONTWAIT and self._at == self._end and not self._ended and not self._error:
            raise OSError(errno.EAGAIN)
        if not self._ready_to_read():
            raise OSError(errno.EAGAIN)
        chunk = self._take(n)
        if flags & MSG_PEEK:
            self._at -= len(chunk)
        _kernel.let_others()
        return chunk

    def recvfrom(self, n, flags=0):
        if self._state != "datagrams":
            return self.recv(n, flags), ("0.0.0.0", 0)
        self._await_arrival()
        peer, size = self._next_peer()
        data = uctypes.bytes_at(self._memory + self._at, min(n, size))
        self._at += size
        self._datagrams -= 1
        _kernel.let_others()
        return data, peer

    def sendto(self, data, address):
        host, port = _address.of_numbers(address)
        if self._state != "datagrams":
            return self.send(data)
        if not network.reachable():
            raise OSError(errno.EHOSTUNREACH)
        if not self._port:
            self.bind(("", 0))
        host = host.encode()
        data = data.encode() if isinstance(data, str) else bytes(data)
        _kernel.ride(_kernel.SEND, self.number, ustruct.pack("<HH", port, len(host)) + host + data)
        _kernel.let_others()
        return len(data)

    def read(self, n=-1):
        # As the port's streams: all n bytes, or what came before the end; None if nothing and not blocking.
        if 0 <= n <= self._end - self._at:
            chunk = self._take(n)
            _kernel.let_others()
            return chunk
        got = b""
        while n < 0 or len(got) < n:
            if not self._ready_to_read():
                return got or None
            chunk = self._take(n - len(got) if n >= 0 else 1024)
            if not chunk:
                break
            got = got + chunk if got else chunk
            _kernel.let_others()
        return got

    def readinto(self, buffer, n=-1):
        # As read, but without a byte of heap.
        size = len(buffer) if n < 0 else min(n, len(buffer))
        got = 0
        while got < size:
            if not self._ready_to_read():
                return got or None
            count = min(size - got, self._end - self._at)
            if not count:
                if self._error and not got:
                    raise OSError(self._error)
                break
            if got:
                _native.move(uctypes.addressof(buffer) + got, self._memory + self._at, count)
            else:
                _native.fill(buffer, self._memory + self._at, count)
            self._at += count
            got += count
            _kernel.let_others()
        return got

    def readline(self):
        line = b""
        while not line.endswith(b"\n"):
            byte = self.read(1)
            if not byte:
                break
            line += byte
        return line

    def _check_writable(self):
        # False: would block.
        if self._error:
            raise OSError(self._error)
        if self._state == "connecting":
            if self.timeout_us == 0:
                return False
            give_up_us = _kernel.now_us() + self.timeout_us
            while self._state == "connecting" and not self._error:
                if not self._wait_until(give_up_us):
                    return False
            if self._error:
                raise OSError(self._error)
        if self._state != "open":
            raise OSError(errno.EBADF if self._state == "closed" else errno.ENOTCONN)
        _kernel.flush(_SEND_BUFFER)
        while self._full:
            if self.timeout_us == 0:
                return False
            if _kernel.wait_room(self.number, self.timeout_us):
                if self.timeout_us == _TRY_US:
                    return False
                raise OSError(errno.ETIMEDOUT)
            if self._error:
                raise OSError(self._error)
        return True

    def write(self, data, n=-1):
        if self._peer:
            return self.sendto(data, self._peer)
        if not self._check_writable():
            return None
        if n >= 0:
            data = memoryview(data)[:n]
        elif isinstance(data, str):
            data = data.encode()
        _kernel.send_bytes(self.number, data)
        _kernel.let_others()
        return len(data)

    def send(self, data):
        sent = self.write(data)
        if sent is None:
            raise OSError(errno.EAGAIN)
        return sent

    def sendall(self, data):
        self.send(data)

    def setblocking(self, flag):
        self.timeout_us = -1 if flag else 0

    def settimeout(self, seconds):
        # The port tries for a tenth of a second, and again for each whole one of the limit. Who tries once is
        # told as where nothing waits: EAGAIN.
        if seconds is None:
            self.timeout_us = -1
        else:
            ms = int(seconds * 1000)
            self.timeout_us = ms and (ms // 100 + 1) * _TRY_US

    def setsockopt(self, level, option, value):
        if option not in _KNOWN_OPTIONS:
            print("Warning: lwip.setsockopt() option not implemented")

    def makefile(self, *_):
        return self

    def fileno(self):
        return self.number

    def close(self):
        if self.number in _arrivals.sockets and self._state != "closed":
            _kernel.send_close(self.number)
            _arrivals.sockets.pop(self.number, None)
        self._state = "closed"
        if self._room:
            _native.free(self._memory, self._room)
        self._memory = self._room = self._at = self._end = 0
