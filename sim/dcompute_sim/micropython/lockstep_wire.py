"""The bytes between the lockstep engine and a board's process; the other half is shims/lockstep/_kernel.py.

A request hands the process back to the engine, a grant hands it out again; both have a fixed head and may
carry records: what needs no answer, and what arrived.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

REQUEST: Final = struct.Struct("<IBBHiqI")  # record bytes, op, -, thread, a, b, charged microseconds
GRANT: Final = struct.Struct("<IHHqq")  # record bytes, thread; since power-on: us % 1000, ms; result
_RECORD: Final = struct.Struct("<BHI")  # kind, socket (0: the board), bytes

# Requests: what a thread waits for.
MORE: Final = 0  # nothing: more records and the request itself follow
SLEEP: Final = 1  # b: microseconds
PARK: Final = 2  # another thread's WAKE
WAIT: Final = 3  # an arrival for any socket; b: microseconds or -1
CONNECT: Final = 4  # a: socket, b: microseconds or -1; 0: do not wait
DRAIN: Final = 5  # a: socket whose send buffer shall have room, b: microseconds or -1
EXIT: Final = 6  # nothing: the thread is over
RESET: Final = 7  # nothing: the process is over; a: reset cause, b: milliseconds of deep sleep or -1
RESOLVE: Final = 8  # the address of the name that came as ADDRESS of no socket

# Records of a request.
WRITE: Final = 1
CLOSE: Final = 2
PRINT: Final = 3
EVENT: Final = 4
SPAWN: Final = 5
WAKE: Final = 6
WATCHDOG: Final = 7
ADDRESS: Final = 8
LISTEN: Final = 9  # backlog, port
ACCEPT: Final = 10  # from now on it is told what arrives for it
BIND: Final = 11  # UDP; port
SEND: Final = 12  # UDP; port, host's length, host, bytes
TLS_BEGIN: Final = (
    13  # the board's clock (seconds since 1970), the authority it believes or `-`, the host's name
)
TLS_FINISH: Final = 14  # it believes the certificate

# Records of a grant, about a socket. One about socket 0 is an order to the board, in JSON.
DATA: Final = 1
END: Final = 2
ERROR: Final = 3
FULL: Final = 4
ROOM: Final = 5
CONNECTED: Final = 6
ACCEPTED: Final = 7  # a `PEER`, and the number of the new socket behind it
DATAGRAM: Final = 8  # a `PEER`, with the bytes that follow it
TLS_SHOWN: Final = 9  # what is wrong with the certificate that came, a net/tls_model.py `Flaw`
TLS_OPEN: Final = 10  # the handshake is over
PEER: Final = struct.Struct("<4sHH")  # address, port; number of bytes or of the socket
PORTS: Final = struct.Struct("<HH")
FIRST_ACCEPTED: Final = 0x8000  # the board numbers what it opens from 1


def record(kind: int, number: int, body: bytes = b"") -> bytes:
    """Return one record."""
    return _RECORD.pack(kind, number, len(body)) + body


def records(data: bytes, at: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield (kind, number, body) of each record in `data` from `at` on."""
    head = _RECORD.size
    while at < len(data):
        kind, number, length = _RECORD.unpack_from(data, at)
        at += head
        yield kind, number, data[at : at + length]
        at += length
