"""What the broker remembers over a restart: retained messages, kept sessions and their queues, in a file."""

from __future__ import annotations

from pathlib import Path

import msgspec
from amqtt.session import ApplicationMessage, OutgoingApplicationMessage, Session

from dcompute_sim.brokers.embedded.corrected_broker import CorrectedBroker
from dcompute_sim.brokers.real_broker import BrokerError
from dcompute_sim.whole_file import write_whole


class _Message(msgspec.Struct, omit_defaults=True):
    topic: str
    payload: bytes
    qos: int
    retain: bool = False
    packet_id: int | None = None
    received: bool = False  # QoS 2: PUBREC has come


class _StoredSession(msgspec.Struct):
    client_id: str
    filters: dict[str, int]
    in_flight: list[_Message]
    waiting: list[_Message]
    unreleased: list[_Message]  # QoS 2, from the client


class _Memory(msgspec.Struct):
    retained: list[_Message]
    sessions: list[_StoredSession]


def save(broker: CorrectedBroker, path: Path) -> None:
    """Replace the file whole. All connections have ended: the sessions that are left are those to be kept."""
    retained = [
        _Message(message.topic, bytes(message.data), message.qos or 0, retain=True)
        for message in broker.retained_messages.values()
    ]
    sessions = [
        _written_session(session, broker.subscriptions_of(session.client_id))
        for session, _ in broker.sessions.values()
    ]
    write_whole(path, msgspec.json.encode(_Memory(retained, sessions)))


async def restore(broker: CorrectedBroker, path: Path) -> None:
    """Give a started broker what `save` wrote; without a file there is nothing to remember."""
    if not path.exists():
        return
    try:
        memory = msgspec.json.decode(path.read_bytes(), type=_Memory)
    except (OSError, msgspec.DecodeError) as error:
        raise BrokerError(f"state file {path}: {error}; delete it to start without memory") from None
    for message in memory.retained:
        await broker.retain_message(None, message.topic, message.payload, message.qos)
    for written in memory.sessions:
        broker.adopt(_read_session(written), written.filters)


def _written_session(session: Session, filters: dict[str, int]) -> _StoredSession:
    waiting = []
    while not session.retained_messages.empty():
        waiting.append(session.retained_messages.get_nowait())
    return _StoredSession(
        session.client_id,
        filters,
        in_flight=[_written(message) for message in session.inflight_out.values()],
        waiting=[_written(message) for message in waiting],
        unreleased=[_written(message) for message in session.inflight_in.values()],
    )


def _read_session(written: _StoredSession) -> Session:
    session = Session()
    session.client_id = written.client_id
    session.clean_session = False
    for message in written.in_flight:
        session.inflight_out[message.packet_id] = _read(message)
    for message in written.waiting:
        session.retained_messages.put_nowait(_read(message))
    for message in written.unreleased:
        session.inflight_in[message.packet_id] = _read(message)
    return session


def _written(message: ApplicationMessage) -> _Message:
    return _Message(
        message.topic,
        bytes(message.data),
        message.qos,
        message.retain,
        message.packet_id,
        received=bool(message.pubrec_packet),
    )


def _read(message: _Message) -> OutgoingApplicationMessage:
    read = OutgoingApplicationMessage(
        message.packet_id, message.topic, message.qos, message.payload, message.retain
    )
    read.pubrec_packet = message.received or None
    return read
