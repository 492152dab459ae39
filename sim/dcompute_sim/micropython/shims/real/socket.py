# mypy: ignore-errors
# ESP32 `socket` in real time: tuples for addresses, nothing before the WLAN is up.
#
# Error numbers are the unix port's, not the board's (ETIMEDOUT is 110 here and 116 there): the port's
# compiler replaces `errno.X` in firmware by its own number before any module of ours is asked. Names hold,
# literals do not.
import errno
import gc
import io

import _address
import _board
import ffi
import network
import usocket
import utime
from _kernel import enter, leave

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

_LINUX_OPTION = {
    (SOL_SOCKET, SO_REUSEADDR): (1, 2),
    (SOL_SOCKET, SO_BROADCAST): (1, 6),
    (IPPROTO_TCP, TCP_NODELAY): (6, 1),
}
_TAKEN_OPTIONS = (SO_BINDTODEVICE, IP_ADD_MEMBERSHIP, 20)  # 20: a callback on events
_LINUX_FLAG = {0: 0, MSG_PEEK: 2, MSG_DONTWAIT: 64, MSG_PEEK | MSG_DONTWAIT: 66}
_MOST = 10  # CONFIG_LWIP_MAX_SOCKETS
_ENFILE = 23  # errno has no name for it
_F_GETFD = 1
_fcntl = ffi.open(None).func("i", "fcntl", "iii")
_open = []  # their descriptors
_TRY_S = 0.1  # ports/esp32/modsocket.c, SOCKET_POLL_US
_SYN_PATIENCE_S = 20  # about what lwIP spends on a connection that nobody answers


def getaddrinfo(host, port, af=AF_INET, kind=SOCK_STREAM, proto=0, flags=0):
    host, port = _address.at(host, port)
    host = host or "0.0.0.0"
    numeric = _address.is_number(host)
    if not numeric:
        if not network.reachable():
            raise OSError(-202)
        if network.radio.silent:
            _board.kernel.sleep_us(network.radio.dns_patience_ms * 1000)
            raise OSError(-202)
    leave()
    try:
        found = usocket.getaddrinfo(host, port, AF_INET, SOCK_STREAM)[0][-1]
    except OSError:
        raise OSError(-202)
    finally:
        enter()
    address = usocket.sockaddr(found)[1]
    return [(AF_INET, kind or SOCK_STREAM, proto, host, (".".join(str(b) for b in address), port))]


def _count(inner):
    # As the port: where there are too many, what nobody holds any more is collected first.
    if len(_open) >= _MOST:
        gc.collect()
        _open[:] = [fd for fd in _open if _fcntl(fd, _F_GETFD, 0) >= 0]
    if inner.fileno() not in _open:
        if len(_open) >= _MOST:
            inner.close()
            raise OSError(_ENFILE)
        _open.append(inner.fileno())


class _Closed:
    def __getattr__(self, name):
        raise OSError(errno.EBADF)


_closed = _Closed()


class socket(io.IOBase):
    def __init__(self, af=AF_INET, kind=SOCK_STREAM, proto=0, _inner=None):
        self._waits = True
        self._timeout_s = None
        self._s = _inner or usocket.socket(af, kind)
        _count(self._s)
        # A socket that nobody holds any more is closed by the port's collector. The unix port's sockets are
        # not, but its files are: so a file has the descriptor, and closes it.
        self._owner = io.open(self._s.fileno(), "rb")

    def __getattr__(self, name):
        raise AttributeError("the emulator's socket has no %r (docs/esp32-port.md)" % name)

    def _do(self, operation, *args):
        if not self._waits:
            return operation(*args)
        leave()
        try:
            return operation(*args)
        finally:
            enter()

    def _timed(self, operation, *args):
        # A timeout that is over is EAGAIN to Linux, nothing at all to a stream, and an error to the port.
        try:
            done = self._do(operation, *args)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.ETIMEDOUT) and self._timeout_s:
                raise OSError(errno.EAGAIN if self._timeout_s == _TRY_S else errno.ETIMEDOUT)
            raise
        if done is None and self._timeout_s and self._timeout_s != _TRY_S:
            raise OSError(errno.ETIMEDOUT)
        return done

    def _streamed(self, operation, *args):
        # As `_timed`, where what would wait is None.
        try:
            return self._timed(operation, *args)
        except OSError as error:
            if error.errno == errno.EAGAIN and self._timeout_s == _TRY_S:
                return None
            raise

    def connect(self, address):
        host, port = _address.of(address)
        if not network.reachable():
            raise OSError(errno.EHOSTUNREACH)
        resolved = getaddrinfo(host, port)[0][-1]
        resolved = _board.routes.get(resolved, resolved)
        patience_s = _SYN_PATIENCE_S if self._timeout_s is None else self._timeout_s
        give_up = utime.ticks_add(utime.ticks_ms(), int(patience_s * 1000))
        while network.radio.silent:  # the far end of a dead link does not answer SYN either
            if utime.ticks_diff(give_up, utime.ticks_ms()) <= 0:
                raise OSError(errno.ETIMEDOUT if self._waits else errno.EINPROGRESS)
            _board.kernel.sleep_us(50000)
        self._do(self._s.connect, usocket.getaddrinfo(resolved[0], resolved[1])[0][-1])

    def bind(self, address):
        host, port = _address.of(address)
        self._do(self._s.bind, usocket.getaddrinfo(host or "0.0.0.0", port)[0][-1])

    def listen(self, backlog=2):
        self._do(self._s.listen, backlog)

    def accept(self):
        inner, address = self._timed(self._s.accept)
        parts = usocket.sockaddr(address)
        return socket(_inner=inner), (".".join(str(b) for b in parts[1]), parts[2])

    def recv(self, n, flags=0):
        return self._timed(self._s.recv, n, _LINUX_FLAG[flags])

    def recvfrom(self, n, flags=0):
        data, address = self._timed(self._s.recvfrom, n, _LINUX_FLAG[flags])
        parts = usocket.sockaddr(address)
        return data, (".".join(str(b) for b in parts[1]), parts[2])

    def read(self, n=-1):
        return self._streamed(self._s.read, n)

    def readinto(self, buffer, n=-1):
        return (
            self._streamed(self._s.readinto, buffer) if n < 0 else self._streamed(self._s.readinto, buffer, n)
        )

    def readline(self):
        return self._streamed(self._s.readline)

    def write(self, data, n=-1):
        return self._streamed(self._s.write, data) if n < 0 else self._streamed(self._s.write, data, n)

    def send(self, data):
        return self._timed(self._s.send, data)

    def sendall(self, data):
        self._timed(self._s.write, data)

    def sendto(self, data, address):
        host, port = _address.of_numbers(address)
        if not network.reachable():
            raise OSError(errno.EHOSTUNREACH)
        if network.radio.silent:
            return len(data)
        return self._timed(self._s.sendto, data, usocket.getaddrinfo(host, port)[0][-1])

    def setblocking(self, flag):
        self._waits = bool(flag)
        self._timeout_s = None if flag else 0
        self._s.setblocking(flag)

    def settimeout(self, seconds):
        # The port tries for a tenth of a second, and again for each whole one of the limit. Who tries once is
        # told as where nothing waits: EAGAIN.
        ms = None if seconds is None else int(seconds * 1000)
        if not ms:
            self.setblocking(ms is None)
            return
        self._waits = True
        self._timeout_s = (ms // 100 + 1) / 10
        self._s.settimeout(self._timeout_s)

    def setsockopt(self, level, option, value):
        if (level, option) in _LINUX_OPTION:
            self._do(self._s.setsockopt, *_LINUX_OPTION[level, option] + (value,))
        elif option not in _TAKEN_OPTIONS:
            print("Warning: lwip.setsockopt() option not implemented")

    def makefile(self, *_):
        return self

    def fileno(self):
        return self._s.fileno()

    def close(self):
        if self._s is not _closed:
            _open.remove(self._s.fileno())
            self._owner.close()
            self._s = _closed

    def ioctl(self, request, argument):
        # What the C side (tls, select) asks of a stream.
        if request == 4:
            self.close()
            return 0
        if request == 10:
            return self._s.fileno()
        if request == 3:
            import select

            poller = select.uselect.poll()  # the unix port's, which takes its sockets
            poller.register(self._s, argument)
            ready = poller.poll(0)
            return ready[0][1] if ready else 0
        return -1
