"""Which message makes the broker close the connection, so that it can be set aside and others go on.

A broker that meets a packet over its limit (mosquitto's `max_packet_size`, 128 KiB at AWS), or a topic that
it does not allow to be written to (AWS IoT), says nothing: it closes the connection. A client that keeps its
promise and sends what is not acknowledged again, first thing on the next connection, is then thrown out for
ever, and nothing behind that message is ever sent.

Rules
1. Only a close by the broker counts, while messages are in flight: not a timeout, not a refusal to connect.
   Each of the messages in flight is then suspected once.
2. While there are suspects the link is *careful*: it sends one message at a time and waits for its PUBACK.
3. A message is convicted by a close while it was alone in flight, if it had been suspected before: so twice
   in all. It is set aside when it is to be sent once more: over the next connection.
4. A PUBACK clears it. When all that was sent on a connection has been acknowledged, messages that are said
   anew on each connection (statuses, by topic) are cleared, for they will not come again.
5. A message that is no larger than one which this broker has acknowledged cannot be over its limit, and
   closes that coincide with it are much more likely a network's: it takes five.
6. What is said anew is not convicted for good at once: a network that resets two young connections of an idle
   node would keep it dead to everybody as long as it lives. On a connection that lasts it is tried once more
   (`pardon`), and no second time before some of it was acknowledged.
7. Each attempt to connect that fails takes back one close: a broker that throws a client out over a message
   lets it in again at once, and one that was stopped does not.

Why not by size alone: the broker's limit is not announced before MQTT 5 (Maximum Packet Size), and brokers
close for other reasons too. Why not at the first close: a broker that is stopped closes connections with
messages in flight. Why not at the second, without a look at whether it is still there: two restarts of a
broker within seconds made a failure of a good result (swarm_boards, seed 9286).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

CLOSES_TO_CONVICT = 2
CLOSES_TO_CONVICT_A_USUAL_ONE = 5


@dataclass(frozen=True, slots=True)
class Suspect:
    """A message in flight. `again`: it is kept and sent again as it is; others are known by their topic."""

    topic: str
    payload: bytes
    again: bool

    @property
    def key(self) -> tuple[str, bytes | None]:
        """What tells it from others."""
        return (self.topic, self.payload if self.again else None)


class Suspects:
    """The suspicions of one link; follows the rules above."""

    __slots__ = ("_closes", "_convicted", "_pardoned", "_refused", "reason")

    def __init__(self) -> None:
        self.reason = ""  # of the last close, in words
        self._closes: dict[tuple[str, bytes | None], int] = {}
        self._convicted: Suspect | None = None
        self._refused: dict[str, int] = {}  # bytes, by topic, of what is said anew and was convicted
        self._pardoned: set[str] = set()  # topics that need not be tried once more

    @property
    def careful(self) -> bool:
        """Whether one message at a time is to be sent."""
        return bool(self._closes)

    def allows(self, topic: str, size: int) -> bool:
        """Tell whether a message that is said anew may be sent: not as large as one that was convicted."""
        return size < self._refused.get(topic, size + 1)

    def closed(self, in_flight: Sequence[Suspect], largest_acknowledged: int, reason: str) -> None:
        """Take in that the broker has closed the connection."""
        self.reason = reason
        for suspect in in_flight:
            self._closes[suspect.key] = self._closes.get(suspect.key, 0) + 1
        if len(in_flight) == 1:
            (alone,) = in_flight
            usual = len(alone.payload) <= largest_acknowledged
            if self._closes[alone.key] >= (CLOSES_TO_CONVICT_A_USUAL_ONE if usual else CLOSES_TO_CONVICT):
                self._convicted = alone

    def unreachable(self) -> None:
        """Take in that an attempt to connect has failed (rule 7)."""
        self._closes = {key: closes - 1 for key, closes in self._closes.items() if closes > 1}
        self._convicted = None

    def convicts(self, suspect: Suspect) -> bool:
        """Tell whether this message, which is to be sent now, is to be set aside instead; asked once."""
        convicted = self._convicted
        if convicted is None or convicted.key != suspect.key:
            return False
        self.clear(suspect)
        if suspect.again:
            return True
        self._refused[convicted.topic] = len(convicted.payload)
        return not self.allows(suspect.topic, len(suspect.payload))

    def pardon(self) -> bool:
        """Let everything that is said anew be tried once more; tell whether anything is that was not."""
        mercy = self._refused.keys() - self._pardoned
        for topic in mercy:
            del self._refused[topic]
        self._pardoned |= mercy
        return bool(mercy)

    def acknowledged(self, suspect: Suspect) -> None:
        """Take in that the broker has it: it is not what closes connections."""
        self.clear(suspect)
        if not suspect.again:
            self._pardoned.discard(suspect.topic)

    def clear(self, suspect: Suspect) -> None:
        """Drop the suspicion: nobody will send it again."""
        self._closes.pop(suspect.key, None)
        if self._convicted is not None and self._convicted.key == suspect.key:
            self._convicted = None

    def all_acknowledged(self) -> None:
        """Clear what will not come again (rule 4)."""
        for key in [key for key in self._closes if key[1] is None]:
            self.clear(Suspect(key[0], b"", False))


__all__ = ["CLOSES_TO_CONVICT", "CLOSES_TO_CONVICT_A_USUAL_ONE", "Suspect", "Suspects"]
