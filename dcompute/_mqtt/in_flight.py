"""What a link has sent at QoS 1 on its present connection and the broker has not acknowledged, as it went.

Rules
1. What is held goes again on the next connection, before all that waits, in the order in which it went on
   this one (`again`). What is said anew on each connection does not.
2. Of the latter at most URGENT_IN_FLIGHT are under way, so that there is room for what is held; and no more
   than SAME_TOPIC_IN_FLIGHT on one topic once there are so many: statuses were half of what a slow link
   carried. So a node that is busy and ready again within a round trip tells both, and of what comes while
   they are under way only the newest has to follow.

A dictionary by packet id, for each idle client looks at every ping whether it is empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dcompute._mqtt.link_owner import Outgoing
from dcompute._mqtt.paho_session import IN_FLIGHT
from dcompute._mqtt.suspects import Suspect

URGENT_IN_FLIGHT = IN_FLIGHT // 2
SAME_TOPIC_IN_FLIGHT = 2


@dataclass(slots=True)
class Sent:
    """One message. `held`: the priority at which it goes again on the next connection; None: it does not."""

    message: Outgoing
    held: int | None
    at_s: float

    def suspect(self) -> Suspect:
        """Return what is suspected of it should the broker close the connection."""
        return Suspect(self.message[0], self.message[1], self.held is not None)


class InFlight(dict[int, Sent]):
    """The messages under way, by packet id; follows the rules above.

    Attributes:
        urgent: how many of them are said anew on each connection.
    """

    __slots__ = ("urgent",)

    def __init__(self) -> None:
        self.urgent = 0

    def add(self, mid: int, sent: Sent) -> None:
        """Take in that it was sent with that packet id."""
        self[mid] = sent
        self.urgent += sent.held is None

    def acknowledged(self, mid: int) -> Sent | None:
        """Take in a PUBACK; return what it was for, unless that is not known."""
        sent = self.pop(mid, None)
        if sent is not None:
            self.urgent -= sent.held is None
        return sent

    def oldest(self) -> Sent | None:
        """Return what has waited longest for its PUBACK."""
        return next(iter(self.values())) if self else None

    def urgent_has_room(self, topic: str) -> bool:
        """Tell whether a message on this topic that is said anew may be sent now."""
        if self.urgent < SAME_TOPIC_IN_FLIGHT:
            return True
        if self.urgent >= URGENT_IN_FLIGHT:
            return False
        same = [sent for sent in self.values() if sent.held is None and sent.message[0] == topic]
        return len(same) < SAME_TOPIC_IN_FLIGHT

    def again(self) -> Iterator[tuple[int, Outgoing]]:
        """Yield what is held, with its priority, the last one first: each is to go before those yielded
        earlier."""
        for sent in reversed(self.values()):
            if sent.held is not None:
                yield sent.held, sent.message

    def forget(self) -> None:
        """Let go of everything: the connection is gone."""
        self.clear()
        self.urgent = 0


__all__ = ["SAME_TOPIC_IN_FLIGHT", "URGENT_IN_FLIGHT", "InFlight", "Sent"]
