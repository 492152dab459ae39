# mypy: ignore-errors
# `tls` of a board in real time: the unix port's own, which is mbedtls too, and what a chip's differs in.
#
# A certificate's dates are judged by the board's clock there (ports/esp32/main.c, platform_mbedtls_time), and
# mbedtls knows only this machine's here; so what it believed is judged once more, in its words.
import _board
import _tls_memory
import time
import tls as _unix
from tls import CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED, PROTOCOL_TLS_CLIENT, PROTOCOL_TLS_SERVER

MBEDTLS_VERSION = getattr(_unix, "MBEDTLS_VERSION", "Mbed TLS")

__getattr__ = _board.missing("tls")


class SSLContext:
    def __init__(self, protocol):
        _board.simpler("TLS")
        self._inner = _unix.SSLContext(protocol)

    @property
    def verify_mode(self):
        return self._inner.verify_mode

    @verify_mode.setter
    def verify_mode(self, mode):
        self._inner.verify_mode = mode

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def wrap_socket(self, sock, **settings):
        _tls_memory.take()
        try:
            stream = self._inner.wrap_socket(sock, **settings)
            checks = self.verify_mode == CERT_REQUIRED
            if checks and settings.get("do_handshake_on_connect", True):
                _judge(stream.getpeercert(True), time.gmtime())
                checks = False
            return SSLSocket(stream, checks)
        except BaseException:
            _tls_memory.give()
            raise


class SSLSocket:
    # The unix port's, which gives back its memory when it is closed. `_s` is what select asks.
    def __init__(self, inner, unjudged):
        self._s = inner
        self._unjudged = unjudged  # until the handshake is over, by the program's own reads and writes
        for name in ("read", "readinto", "readline", "write"):
            method = getattr(inner, name)
            setattr(self, name, self._then_judged(method) if unjudged else method)
        for name in ("setblocking", "getpeercert", "cipher"):
            setattr(self, name, getattr(inner, name))

    def _then_judged(self, method):
        def call(*args):
            result = method(*args)
            if result is not None and self._unjudged:
                self._unjudged = False
                _judge(self._s.getpeercert(True), time.gmtime())
            return result

        return call

    def ioctl(self, request, argument):
        if request == 4:
            self.close()
            return 0
        return -1

    def close(self):
        if self._s:
            self._s.close()
            self._s = None
            _tls_memory.give()


def _judge(certificate, now):
    begins, ends = _validity(certificate)
    now = int("%04d%02d%02d%02d%02d%02d" % now[:6])
    if now < begins:
        raise ValueError("\nThe certificate validity starts in the future\n")
    if now > ends:
        raise ValueError("\nThe certificate validity has expired\n")


def _element(data, at):
    # (where its content begins, where it ends) of the DER element there.
    size = data[at + 1]
    at += 2
    if size & 0x80:
        count = size & 0x7F
        size = int.from_bytes(data[at : at + count], "big")
        at += count
    return at, at + size


def _validity(certificate):
    # RFC 5280, 4.1: in the certificate's first part version, number, algorithm, issuer, and then two dates.
    at, _ = _element(certificate, 0)
    at, _ = _element(certificate, at)
    for _ in range(4 if certificate[at] == 0xA0 else 3):
        _, at = _element(certificate, at)
    at, _ = _element(certificate, at)
    dates = []
    for _ in range(2):
        begins, at_next = _element(certificate, at)
        text = certificate[begins : at_next - 1].decode()
        if certificate[at] == 0x17:  # UTCTime: two digits of the year
            text = ("19" if text[0] >= "5" else "20") + text
        dates.append(int(text))
        at = at_next
    return dates
