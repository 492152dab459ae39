"""What can be seen of a fault, as the words of its receipts.

The wire (`net.observer`), the nodes and the director tell them to the recorder, which gives a receipt to each
fault that has the word among its `effects`. A kind of fault that shows itself in a way of its own defines its
own word, in its own file.
"""

from __future__ import annotations

from typing import Final, NewType

Effect = NewType("Effect", str)

FIN: Final = Effect("fin")
RST: Final = Effect("rst")
TIMEOUT: Final = Effect("timeout")
"""The connection was given up after retransmissions that nobody answered."""
LOST: Final = Effect("lost")
"""The connection went down with its machine's power."""
HELD: Final = Effect("held")
"""Bytes wanted to cross and did not."""
UNANSWERED: Final = Effect("unanswered")
"""A connection attempt met nothing at all."""
REFUSED: Final = Effect("refused")
"""A connection attempt met a host on which nobody listens."""
CLOSED_BY_BROKER: Final = Effect("closed by broker")
WITHHELD: Final = Effect("withheld")
"""A program that stands still had something to do and did not."""
BOOTED: Final = Effect("booted")
"""A board says on its serial line that it has started."""
PUBLISHED: Final = Effect("published")
LEFT: Final = Effect("left")
"""The program has said its last word and ended by itself."""
WLAN_LOST: Final = Effect("wlan lost")
"""A board's own WLAN said that its network is gone."""
JOINED_ITS_POINT: Final = Effect("joined its access point")
"""A board's own access point has a station."""
RECONNECTED: Final = Effect("reconnected")
"""The node made a new connection although nobody had seen the last one end."""

SILENCE: Final = frozenset({HELD, UNANSWERED, LOST, TIMEOUT})
"""Whatever a link that carries nothing makes visible on the wire."""

DROPPED: Final = SILENCE | {WLAN_LOST, RECONNECTED}
"""And what a node makes of it."""

LATE: Final = frozenset({WLAN_LOST, RECONNECTED})
"""What may be seen only when the fault is over."""
