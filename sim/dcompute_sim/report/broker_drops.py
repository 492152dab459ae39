"""What the broker dropped, in words: no fault of the scenario's, and the cause of much that looks like
one."""

from __future__ import annotations

from collections.abc import Iterable

from dcompute_sim import trace as t

_REASONS = {
    "queue full": "its queue holds {holds:,}",
    "reads too slowly": "it reads too slowly what comes at QoS 0",
    "may not publish": "the access rules do not let it publish to {topic}",
    "may not read": "the access rules do not let it read {topic}",
}


def drops(events: Iterable[t.Event]) -> list[str]:
    """Return one sentence for each participant, reason and forbidden topic, and one for what a real broker
    counts for everybody."""
    sums: dict[tuple[str, str, int, str], int] = {}
    counted = 0
    for event in events:
        if isinstance(event, t.MessagesDropped):
            key = event.who, event.why, event.holds, event.topic
            sums[key] = sums.get(key, 0) + event.count
        elif isinstance(event, t.BrokerDropped):
            counted += event.count
    told = []
    for (who, why, holds, topic), count in sums.items():
        of = "of" if why == "may not publish" else "for"
        reason = _REASONS[why].format(holds=holds, topic=topic)
        told.append(f"the broker dropped {_messages(count)} {of} {who}: {reason}")
    if counted:
        told.append(
            f"the broker says that it dropped {_messages(counted)}: a queue for one of its clients was full"
        )
    return told


def _messages(count: int) -> str:
    return f"{count:,} message{'' if count == 1 else 's'}"
