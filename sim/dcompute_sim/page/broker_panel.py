"""What the broker held at a moment, as the page and `dcompute at` tell it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import chain, islice

import msgspec

from dcompute.parts import printable
from dcompute_sim.brokers.model.broker_history import BrokerHistory, HeldMemory, HeldSession

MOST_ROWS = 200
_MOST_TEXT = 300  # of a payload

BrokerSource = Callable[[], BrokerHistory | str | None]
"""Gives what the broker held, or says in words why that is not known; None: it will be known soon."""

IN_REAL_TIME = "In real time nobody can look into the broker. What stands here is what the trace tells of it."


def figures(memory: HeldMemory) -> dict[str, int]:
    """Count what is held, in the order in which it is told."""
    sessions = memory.sessions.values()
    return {
        "sessions": len(sessions),
        "of absent clients": sum(not it.connected for it in sessions),
        "in flight": sum(it.in_flight for it in sessions),
        "queued": sum(it.queued for it in sessions),
        "dropped": sum(memory.dropped.values()),
        "retained": len(memory.retained),
    }


def summary(memory: HeldMemory) -> dict[str, object]:
    """Tell it in figures alone."""
    return {"figures": figures(memory), "statuses": statuses(memory.retained.values())}


def panel(memory: HeldMemory, node: str) -> dict[str, object]:
    """Tell it in figures and rows, as plain data; the rows of `node`, and of whatever waits, stand first."""
    clients = [*memory.sessions, *(it for it in memory.dropped if it not in memory.sessions)]
    first = [it for it in clients if it == node or _is_remarkable(memory, it)]
    own = [it for it in memory.retained if node in it.split("/")] if node else []
    return {
        **summary(memory),
        "sessions": [_row(memory, client) for client in _first(first, clients)],
        "of_sessions": len(clients),
        "retained": [
            [printable(topic), _text(memory.retained[topic])] for topic in _first(own, memory.retained)
        ],
        "of_retained": len(memory.retained),
    }


def session_words(memory: HeldMemory, client: str) -> str:
    """Say what is held of one client, as in `kept, client absent; 3 in flight, 12 queued; 1 dropped`."""
    held = memory.sessions.get(client)
    if held is None:
        words = ["none"]
    else:
        words = [_kind(held), f"{held.in_flight} in flight, {held.queued} queued"]
        if held.unreleased:
            words.append(f"{held.unreleased} of QoS 2 from it not released")
    if client in memory.dropped:
        words.append(f"{memory.dropped[client]} dropped")
    return "; ".join(words)


def statuses(payloads: Iterable[bytes]) -> dict[str, int]:
    """Count the retained statuses of nodes."""
    return dict(Counter(status for payload in payloads if (status := _status(payload))))


def _first(wanted: Iterable[str], every: Iterable[str]) -> list[str]:
    """Return so many as are shown, those wanted first."""
    return list(islice(dict.fromkeys(chain(wanted, every)), MOST_ROWS))


def _row(memory: HeldMemory, client: str) -> list[object]:
    held, dropped = memory.sessions.get(client), memory.dropped.get(client, 0)
    if held is None:
        return [printable(client), "none", 0, 0, dropped, 0]
    figures = [held.in_flight, held.queued, dropped, held.subscriptions]
    return [printable(client), _kind(held), *figures]


def _kind(held: HeldSession) -> str:
    kind = "clean" if held.clean else "kept"
    return kind if held.connected else f"{kind}, client absent"


def _is_remarkable(memory: HeldMemory, client: str) -> bool:
    held = memory.sessions.get(client)
    return (
        held is None
        or client in memory.dropped
        or bool(held.in_flight or held.queued or held.unreleased or not held.connected)
    )


def _text(payload: bytes) -> str:
    text = printable(payload[:_MOST_TEXT].decode("utf-8", "replace"))
    return f"{text}... ({len(payload):,} bytes)" if len(payload) > _MOST_TEXT else text


class _Status(msgspec.Struct):
    status: str
    node_id: str


@lru_cache(maxsize=20_000)  # a step to the next event finds nearly all of them again
def _status(payload: bytes) -> str:
    try:
        return msgspec.json.decode(payload, type=_Status).status
    except msgspec.MsgspecError:
        return ""
