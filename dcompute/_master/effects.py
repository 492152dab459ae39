"""What comes of a message or a deadline: events that observers are told, and what is to be done."""

from __future__ import annotations

from dcompute._value import value
from dcompute.events import (
    DeathReported,
    NodeStatusSeen,
    ResultDuplicate,
    ResultReceived,
    ResultRefused,
    StaleDeathIgnored,
)


@value
class Probe:
    """Ask this node to speak: what is known of it was read from a retained message or before an outage."""

    node_id: str


@value
class DeclareDead:
    """Publish a retained `dead` in this node's place: it fell silent when no broker could send its will."""

    node_id: str
    inc: str


@value
class Denial:
    """Something that was said seems to come to nothing: what that may be, in words."""

    what: str


Told = NodeStatusSeen | DeathReported | StaleDeathIgnored | ResultReceived | ResultDuplicate | ResultRefused
Effect = Told | Probe | DeclareDead | Denial
