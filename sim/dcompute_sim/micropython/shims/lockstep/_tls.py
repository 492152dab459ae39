# mypy: ignore-errors
# `tls` of a board in virtual time: what mbedtls does, as a program sees it. Records, round trips and flaws
# are the engine's (dcompute_sim/net/tls_model.py), time and words are here.
#
# The handshake is a machine that goes on by reads, writes and polls, as mbedtls's does: `wrap_socket` turns
# it to its end, `do_handshake_on_connect=False` leaves it to the program.
import errno
import io

import _board
import _kernel
import _tls_memory
from binascii import hexlify
from hashlib import sha256

PROTOCOL_TLS_CLIENT = 0
PROTOCOL_TLS_SERVER = 1
CERT_NONE = 0
CERT_OPTIONAL = 1
CERT_REQUIRED = 2
MBEDTLS_VERSION = "Mbed TLS 3.6"

__getattr__ = _board.missing("tls")

# mbedtls, x509.h and x509_crt.c; in the order in which they are told.
_FLAWS = (
    (0x01, "The certificate validity has expired"),
    (0x04, "The certificate Common Name (CN) does not match with the expected CN"),
    (0x08, "The certificate is not correctly signed by the trusted CA"),
    (0x0200, "The certificate validity starts in the future"),
)
_INVALID_RECORD = -0x7200
_CONN_EOF = -0x7280
_NEW, _ASKED, _FINISHING, _OPEN, _CLOSED = range(5)


def _encoded(data, complaint):
    # DER begins with a sequence, PEM says what it is.
    if isinstance(data, str):
        data = data.encode()
    if data[:1] != b"\x30" and b"-----BEGIN " not in data:
        raise ValueError(complaint)
    return data


class SSLContext:
    def __init__(self, protocol):
        if protocol != PROTOCOL_TLS_CLIENT:
            __getattr__("server_side")
        _board.simpler("TLS")
        self.verify_mode = CERT_REQUIRED
        self._authority = "?"

    def load_verify_locations(self, cadata):
        self._authority = hexlify(sha256(_encoded(cadata, "invalid cert")).digest())[:16].decode()

    def load_cert_chain(self, cert, key):
        # Loaded as there, and then asked for by nobody: no server of the model's does.
        _encoded(key, "invalid key")
        _encoded(cert, "invalid cert")

    def wrap_socket(self, sock, *, server_side=False, do_handshake_on_connect=True, server_hostname=None):
        if server_side:
            __getattr__("server_side")
        if server_hostname is None and self.verify_mode == CERT_REQUIRED:
            raise ValueError("CERT_REQUIRED requires server_hostname")
        believes = self._authority if self.verify_mode == CERT_REQUIRED else "-"
        stream = SSLSocket(sock, believes, server_hostname or "")
        if do_handshake_on_connect:
            stream._shake_hands(True)
        return stream


class SSLSocket(io.IOBase):
    def __init__(self, sock, believes, name):
        _tls_memory.take()
        self._sock = sock
        self._asked = (believes, name)
        self._phase = _NEW
        self.number = sock.number

    def _shake_hands(self, waits):
        # True when it is over, False if that would block.
        sock = self._sock
        while self._phase != _OPEN:
            if self._phase == _CLOSED:
                raise OSError(errno.EBADF)
            if self._phase == _NEW and sock._at < sock._end:  # a server of TLS does not speak first
                self._fail()
                raise OSError(_INVALID_RECORD, "MBEDTLS_ERR_SSL_INVALID_RECORD")
            if self._phase == _NEW:
                hello = "%d %s %s" % ((_board.seconds_since_1970(),) + self._asked)
                _kernel.ride(_kernel.TLS_BEGIN, self.number, hello.encode())
                self._phase = _ASKED
            elif self._phase == _ASKED and sock._flaws > 0:
                flaws = "\n".join(["\n" + text for flaw, text in _FLAWS if sock._flaws & flaw])
                self._fail()
                raise ValueError(flaws + "\n")
            elif self._phase == _ASKED and sock._flaws == 0:
                _kernel.spend(_kernel.tls_us)
                _kernel.ride(_kernel.TLS_FINISH, self.number)
                self._phase = _FINISHING
            elif self._phase == _FINISHING and sock._secure:
                self._phase = _OPEN
            elif sock._error or sock._ended:
                error = sock._error
                self._fail()
                if error == errno.EPROTO:
                    raise OSError(_INVALID_RECORD, "MBEDTLS_ERR_SSL_INVALID_RECORD")
                raise OSError(error) if error else OSError(_CONN_EOF, "MBEDTLS_ERR_SSL_CONN_EOF")
            elif not waits:
                return False
            else:
                self._wait()
        return True

    def _wait(self):
        # Each of mbedtls's reads has the socket's time limit; without one it comes back for ever.
        sock = self._sock
        give_up_us = _kernel.now_us() + sock.timeout_us
        before = (sock._flaws, sock._secure)
        while before == (sock._flaws, sock._secure) and not sock._error and not sock._ended:
            left_us = -1
            if sock.timeout_us > 0:
                left_us = give_up_us - _kernel.now_us()
                if left_us <= 0:
                    self._fail()
                    raise OSError(errno.ETIMEDOUT)
            _kernel.wait_arrival(left_us)

    def _fail(self):
        # mbedtls lets go of the socket, which is the program's to close.
        if self._phase != _CLOSED:
            self._phase = _CLOSED
            _tls_memory.give()

    def _ready(self):
        return self._phase == _OPEN or self._shake_hands(self._sock.timeout_us != 0)

    def readiness(self, events):
        if self._phase == _CLOSED:
            return 32
        sock = self._sock
        if self._phase == _NEW or (self._phase == _ASKED and sock._flaws >= 0):
            return events & 5
        if self._phase != _OPEN and not sock._secure:
            return sock.readiness(events) & ~5 if not (sock._error or sock._ended) else events & 5 | 8
        return sock.readiness(events)

    def read(self, n=-1):
        return self._sock.read(n) if self._ready() else None

    def readinto(self, buffer, n=-1):
        return self._sock.readinto(buffer, n) if self._ready() else None

    def readline(self):
        return self._sock.readline() if self._ready() else None

    def write(self, data, n=-1):
        return self._sock.write(data, n) if self._ready() else None

    def setblocking(self, flag):
        self._sock.setblocking(flag)

    def cipher(self):
        return ("TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384", "TLSv1.2")

    def getpeercert(self, binary):
        __getattr__("getpeercert")

    def close(self):
        self._fail()
        self._sock.close()
