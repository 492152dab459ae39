"""The broker's memory as bytes: the retained messages and kept sessions that survive a restart (4.1)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from dcompute_sim.brokers.model.session import Session

_FORMAT = 1


class SnapshotError(ValueError):
    """The bytes are no snapshot this version can read; the message says why."""


class _SnapshotSession(msgspec.Struct, frozen=True):
    client_id: str
    subscriptions: list[tuple[bytes, int]]
    inflight: list[tuple[int, bytes]]
    queue: list[tuple[bytes, bytes]]
    incoming: list[tuple[int, bytes, bytes, bool]]
    next_id: int


class _Snapshot(msgspec.Struct, frozen=True):
    format: int
    retained: list[tuple[bytes, int, bytes]]
    sessions: list[_SnapshotSession]


def encode(retained: dict[bytes, tuple[int, bytes]], sessions: dict[str, Session]) -> bytes:
    """Return it as JSON, with byte strings in base64; clean sessions are left out."""
    return msgspec.json.encode(
        _Snapshot(
            _FORMAT,
            [(topic, qos, payload) for topic, (qos, payload) in retained.items()],
            [
                _SnapshotSession(
                    session.client_id,
                    list(session.subscriptions.items()),
                    list(session.inflight.items()),
                    list(session.queue),
                    [(packet_id, *message) for packet_id, message in session.incoming.items()],
                    session.next_id,
                )
                for session in sessions.values()
                if not session.clean
            ],
        )
    )


def decode(
    data: bytes, new_session: Callable[[str, bool], Session]
) -> tuple[dict[bytes, tuple[int, bytes]], list[Session]]:
    """Return the retained messages and (absent) sessions of a snapshot. Raises SnapshotError.

    Args:
        new_session: makes one, by its client id and whether it is a clean one.
    """
    try:
        snapshot = msgspec.json.decode(data, type=_Snapshot)
    except msgspec.MsgspecError as error:
        raise SnapshotError(f"not a broker snapshot: {error}") from None
    if snapshot.format != _FORMAT:
        raise SnapshotError(f"a broker snapshot of format {snapshot.format}, this version reads {_FORMAT}")
    sessions = []
    for saved in snapshot.sessions:
        session = new_session(saved.client_id, False)
        session.subscriptions = dict(saved.subscriptions)
        session.inflight = dict(saved.inflight)
        session.queue = list(saved.queue)
        session.incoming = {
            packet_id: (topic, payload, retain) for packet_id, topic, payload, retain in saved.incoming
        }
        session.next_id = saved.next_id
        sessions.append(session)
    return {topic: (qos, payload) for topic, qos, payload in snapshot.retained}, sessions
