"""What a link concludes from the broker's closing of its connections.

MQTT 3.1.1 gives a broker one way to say no after CONNACK: it closes. It may mean a message that was on its
way, a subscription, or the client; or nothing, when it was stopped or the network reset it.

Rules
1. Messages in flight at QoS 1 are suspected: `suspects.py`.
2. At QoS 0 nothing is acknowledged, so nothing can be found out. What is large there (ONCE_BYTES) goes at QoS
   1 after all; and once the broker closed a connection, so does all that is as large as the largest that
   went at QoS 0 on it, until one so large is acknowledged. Who sends again by himself asks first
   (`MqttLink.once_bytes`): a copy in other words of what is held would be a suspect of its own, and three
   tasks over a broker's limit, each in a dozen copies, kept all others waiting for minutes.
3. A subscription that the owner can do without is given up once the broker has refused it, or has twice
   closed the connection while it was unanswered.
4. Three short connections in a row that ended so, none over a message, are another program with our client
   id, in all likelihood: the broker serves the newest of two [MQTT-3.1.4-2]. That is said, and no more: the
   backoff of the link slows the fight down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dcompute._log import log
from dcompute._mqtt.suspects import Suspect, Suspects
from dcompute._plural import number_of

ONCE_BYTES = 8192
"""What is larger goes at QoS 1 in any case."""

_NONE: Mapping[str, int] = {}  # one for all links, most of which never have any: 64 bytes each
_THROWN_OUT = 3  # short connections in a row until another program is suspected of having our id


class Closes:
    """The conclusions of one link; follows the rules above.

    Attributes:
        suspects: None as long as there never was one, as for nearly all links.
        largest_acknowledged: bytes of a payload that this broker has taken.
        largest_once: likewise, of those sent at QoS 0 on the present connection.
    """

    __slots__ = (
        "_client_id",
        "_once_bytes",
        "_thrown_out",
        "_unwelcome",
        "largest_acknowledged",
        "largest_once",
        "suspects",
    )

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self._once_bytes = ONCE_BYTES
        self._thrown_out = 0
        self._unwelcome = _NONE  # extra topics: closes over them, -1 once given up
        self.largest_acknowledged = 0
        self.largest_once = 0
        self.suspects: Suspects | None = None

    def once_limit(self) -> int:
        """Tell how many bytes may go at QoS 0."""
        return min(ONCE_BYTES, max(self._once_bytes, self.largest_acknowledged))

    def closed(
        self, in_flight: Sequence[Suspect], unanswered: Iterable[str], reason: str, *, is_short: bool
    ) -> str:
        """Take in that the broker has closed the connection.

        Args:
            in_flight: what was sent at QoS 1 and not acknowledged.
            unanswered: topics of optional subscriptions that were not answered.
            reason: what is known, in words.
            is_short: the connection did not last.

        Returns:
            The reason, with what it may have been.
        """
        if self.largest_once:
            self._once_bytes = min(self._once_bytes, self.largest_once - 1)
        for topic in unanswered:
            self._unwelcome = {**self._unwelcome, topic: self._unwelcome.get(topic, 0) + 1}
            if self._unwelcome[topic] == 2:
                self._give_up(topic, "closed the connection twice over")
        if in_flight:
            if self.suspects is None:
                self.suspects = Suspects()
            worst = max(in_flight, key=lambda suspect: len(suspect.payload))
            reason += (
                f" while a message of {len(worst.payload):,} bytes on {worst.topic} was on its way: "
                "is it too large for the broker, or not allowed there?"
            )
            self.suspects.closed(in_flight, self.largest_acknowledged, reason)
        # A close over a message says nothing of another program with our id.
        self._thrown_out = self._thrown_out + 1 if is_short and not in_flight else 0
        if self._thrown_out >= _THROWN_OUT:
            reason += (
                f", {number_of(self._thrown_out, 'time')} in a row: does another program use the client id "
                f"{self._client_id!r}, be it in another namespace?"
            )
        return reason

    def extra_answered(self, topic: str, granted: bool) -> None:
        """Take in the answer to an optional subscription."""
        if granted:
            self._unwelcome = {other: n for other, n in self._unwelcome.items() if other != topic}
        else:
            self._give_up(topic, "refused")

    def is_welcome(self, topic: str) -> bool:
        """Tell whether this optional subscription is to be asked for."""
        return self._unwelcome.get(topic, 0) >= 0

    def _give_up(self, topic: str, did: str) -> None:
        self._unwelcome = {**self._unwelcome, topic: -1}
        log.warning("%s: the broker %s the subscription to %s", self._client_id, did, topic)


__all__ = ["ONCE_BYTES", "Closes"]
