"""What both kinds of network tell of themselves: one interface, so that a fault's receipt reads the same.

The virtual network and the TCP fault proxy call a `WireObserver` from the loop they run in; `name` is the
node whose link it is, `conn` numbers the connections of a run from 1.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Literal, Protocol

Side = Literal["node", "broker"]  # who opened the connection, and who accepted it
Direction = Literal["to_broker", "to_node"]
How = Literal["fin", "rst", "timeout", "lost"]
"""How a connection ended: orderly, reset, given up after unanswered retransmissions, or with its power."""
LATE_S: Final = 0.5
"""A word that comes by as much later than the one before is told of: half of the shortest keepalive."""
Refusal = Literal["silence", "rst"]
"""What a connection attempt met: nothing at all, or a host that answered "nobody listens here"."""


class WireObserver(Protocol):
    """Told of what happens on the wire of one or many nodes."""

    def opened(self, name: str, conn: int) -> None:
        """Hear of a TCP connection of `name` that reached the broker."""

    def closed(self, name: str, conn: int, how: How, by: Side, quiet_s: float) -> None:
        """Hear that it ended; `by` is the side whose end went first. Called once a connection, for the first
        thing that crossed the wire (or, for "timeout" and "lost", that never will). `quiet_s`: since `name`
        last had something to say on it."""

    def held(self, name: str, direction: Direction, n_bytes: int) -> None:
        """Hear that `n_bytes` (0 for a lone FIN) did not cross because the link was silent."""

    def stalled(self, name: str, conn: int, missed_s: float) -> None:
        """Hear that a retransmission of `name` met silence or was lost, or that a segment comes again only
        after a second or more: until `resumed` nothing of this connection reaches the broker's program. The
        oldest of what it misses was written `missed_s` ago."""

    def resumed(self, name: str, conn: int) -> None:
        """Hear that what was missing got through."""

    def late(self, name: str, conn: int, late_s: float, missed_s: float) -> None:
        """Hear that what `name` wrote `missed_s` ago takes `late_s` in all to the broker, and so much longer
        than the word before that the broker may lose patience: LATE_S at least."""

    def refused(self, name: str, how: Refusal) -> None:
        """Hear of a connection attempt of `name` that did not reach a broker; told again when its repetition
        does not."""


class ByteTap(Protocol):
    """Told of every byte of one node that crosses, for those who want to read along."""

    def crossed(self, conn: Hashable, direction: Direction, data: bytes) -> None:
        """Hear that `data` has crossed; `conn` tells the node's connections apart."""

    def closed(self, conn: Hashable) -> None:
        """Forget that connection, which is gone."""


class NullObserver:
    """Observes nothing."""

    def opened(self, name: str, conn: int) -> None: ...
    def closed(self, name: str, conn: int, how: How, by: Side, quiet_s: float) -> None: ...
    def held(self, name: str, direction: Direction, n_bytes: int) -> None: ...
    def stalled(self, name: str, conn: int, missed_s: float) -> None: ...
    def resumed(self, name: str, conn: int) -> None: ...
    def late(self, name: str, conn: int, late_s: float, missed_s: float) -> None: ...
    def refused(self, name: str, how: Refusal) -> None: ...
