"""What travels between the endpoints of a TCP connection; to SimPy, an event that has succeeded.

A segment of bytes is the one thing that a healthy fleet makes hundreds of thousands of, so it has neither a
class of SimPy's above it nor anything that only losses need: `WatchedSegment` has that. Nor an `__init__`, to
call which takes CPython 3.11 twice as long as to fill it in: whoever makes one sets all that it has.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

E = TypeVar("E")

# What a segment carries besides bytes.
FIN: Final = b""  # end of stream, as recv() shows it
ACK: Final = None  # nothing: an acknowledgement


class Segment(Generic[E]):
    """Bytes (or FIN, or an acknowledgement) on their way from an endpoint."""

    __slots__ = ("callbacks", "payload", "sender", "sent_at_s", "seq")
    _ok = True
    callbacks: object
    sender: E
    seq: int
    payload: bytes | None
    sent_at_s: float


class WatchedSegment(Segment[E]):
    """One that says what its sender has received.

    Attributes:
        ack: everything before this number has arrived there.
        beyond: ranges that have, after a gap [RFC 2018].
        echo_s: when that was sent which it answers, as a timestamp option says [RFC 7323].
        again: it was sent before.
        twice: what it answers had arrived before [RFC 2883].
    """

    __slots__ = ("ack", "again", "beyond", "echo_s", "twice")

    ack: int
    beyond: tuple[tuple[int, int], ...]
    echo_s: float
    again: bool
    twice: bool


def flags_of(payload: bytes | None) -> str:
    """Return the flags of a segment with this payload, as a capture shows them."""
    return "PA" if payload else ("FA" if payload is not None else "A")
