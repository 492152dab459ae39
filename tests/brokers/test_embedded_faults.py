"""A probe for each fault of amqtt 0.12.1: it holds on the embedded broker and fails on plain amqtt."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import FrameType

import pytest
from dcompute_sim.brokers import passwords
from dcompute_sim.brokers.access import UserRole
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.broker_under_test import BrokerUnderTest
from dcompute_sim.brokers.conformance.client import Client, RefusedByBroker, connect, dial
from dcompute_sim.brokers.conformance.result import Violation
from dcompute_sim.brokers.conformance.wire import ClientWill
from dcompute_sim.brokers.real_broker import BrokerSecurity

from .leaping import run_leaping

Serving = Callable[..., AbstractAsyncContextManager[BrokerUnderTest]]
Probe = Callable[[BrokerUnderTest], Awaitable[None]]

SOON_S = 1.0  # plenty for what a broker does at once, and short where plain amqtt never does it
DEAD = b"dead"


class Fault(AssertionError):
    """What a probe found wrong with the broker."""


def demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Fault(otherwise)


async def watcher(target: BrokerUnderTest, *filters: str, qos: int = 1) -> Client:
    client = await connect(target, "watcher")
    await client.subscribe(*filters, qos=qos)
    return client


async def silent_client_gets_its_will(target: BrokerUnderTest) -> None:
    watching = await watcher(target, "n/status")
    silent = await connect(target, "n", keepalive_s=1, will=ClientWill("n/status", DEAD))
    dead = await watching.message("n/status", DEAD, within_s=2.5)
    demand(
        1.4 < dead.at_s - silent.last_sent_s < 2.0,
        f"will after {dead.at_s - silent.last_sent_s:.2f} s, not 1.5",
    )


async def clean_takeover_ends_the_old_connection_first(target: BrokerUnderTest) -> None:
    watching = await watcher(target, "n/status")
    old = await connect(target, "n", will=ClientWill("n/status", DEAD))
    new = await connect(target, "n", will=ClientWill("n/status", DEAD))
    await new.publish("n/status", b"ready", qos=1)
    demand(await old.closed_by_broker(SOON_S), "the old connection is still open")
    await watching.message_count("n/status", 2, SOON_S)
    demand([message.payload for message in watching.messages] == [DEAD, b"ready"], "will after the new ready")


async def kept_takeover_leaves_the_new_client_alone(target: BrokerUnderTest) -> None:
    watching = await watcher(target, "n/status")
    old = await connect(target, "n", clean=False, will=ClientWill("n/status", DEAD))
    new = await connect(target, "n", clean=False, will=ClientWill("n/status", DEAD))
    await new.publish("n/status", b"ready", qos=1)
    demand(await old.closed_by_broker(SOON_S), "the old connection is still open")
    demand(not await new.closed_by_broker(1.2), "the new client was dropped")
    demand(watching.messages[-1].payload == b"ready", "will after the new ready")


async def newcomer_gets_nothing_it_never_asked_for(target: BrokerUnderTest) -> None:
    await watcher(target, "a/#")
    await (await connect(target, "publisher")).publish("a/b", b"retained", qos=1, retain=True)
    newcomer = await connect(target, "newcomer")
    await newcomer.ping()
    await asyncio.sleep(0.1)  # nothing to wait for: a message that must not come
    demand(not newcomer.messages, f"unsolicited: {newcomer.messages}")


async def qos_0_is_not_raised_to_the_subscribers(target: BrokerUnderTest) -> None:
    watching = await watcher(target, "t", qos=1)
    await (await connect(target, "publisher")).publish("t", b"x", qos=0)
    demand((await watching.message("t")).qos == 0, "QoS 0 arrived as QoS 1")


async def retained_qos_0_is_not_raised(target: BrokerUnderTest) -> None:
    publisher = await connect(target, "publisher")
    await publisher.publish("t", b"x", qos=0, retain=True)
    await publisher.ping()
    demand((await (await watcher(target, "t", qos=1)).message("t")).qos == 0, "QoS 0 arrived as QoS 1")


async def qos_1_unacknowledged_is_sent_again(target: BrokerUnderTest) -> None:
    first = await connect(target, "n", clean=False)
    await first.subscribe("t")
    first.hold_acks = True
    await (await connect(target, "publisher")).publish("t", b"x", qos=1)
    sent = await first.message("t")
    await first.reset()
    again = await connect(target, "n", clean=False)
    resent = await again.message("t", within_s=SOON_S)
    demand(resent.dup and resent.packet_id == sent.packet_id, f"not a repetition: {resent}")


async def qos_2_unacknowledged_is_sent_again(target: BrokerUnderTest) -> None:
    first = await connect(target, "n", clean=False)
    await first.subscribe("t", qos=2)
    first.hold_acks = True
    await (await connect(target, "publisher")).publish("t", b"x", qos=2)
    sent = await first.message("t")
    await first.reset()
    again = await connect(target, "n", clean=False)
    resent = await again.message("t", within_s=SOON_S)
    demand(resent.dup and resent.packet_id == sent.packet_id, f"not a repetition: {resent}")


async def absent_anonymous_client_gets_its_messages_later(target: BrokerUnderTest) -> None:
    absent = await connect(target, "n", clean=False)
    await absent.subscribe("t")
    await absent.disconnect()
    await (await connect(target, "publisher")).publish("t", b"x", qos=1)
    back = await connect(target, "n", clean=False)
    demand(back.session_present, "the kept session is gone")
    demand(not (await back.message("t", within_s=SOON_S)).retain, "a queued message is flagged as retained")


async def unacknowledged_messages_are_bounded(target: BrokerUnderTest) -> None:
    slow = await watcher(target, "t")
    slow.hold_acks = True
    publisher = await connect(target, "publisher")
    for number in range(60):
        await publisher.publish("t", b"%d" % number, qos=1)
    await slow.ping()
    demand(len(slow.messages) == 20, f"{len(slow.messages)} unacknowledged messages")
    slow.hold_acks = False
    for message in list(slow.messages):
        slow.acknowledge(message)
    await slow.message_count("t", 60)
    demand([int(message.payload) for message in slow.messages] == list(range(60)), "out of order")


async def repeated_subscription_replaces_its_qos(target: BrokerUnderTest) -> None:
    watching = await watcher(target, "t", qos=1)
    await watching.subscribe("t", qos=0)
    await (await connect(target, "publisher")).publish("t", b"x", qos=1)
    demand((await watching.message("t")).qos == 0, "the first subscription's QoS stayed")


async def overlapping_filters_give_one_copy(target: BrokerUnderTest) -> None:
    watching = await watcher(target, "t/#", "t/+", "t/a")
    publisher = await connect(target, "publisher")
    await publisher.publish("t/a", b"x", qos=1)
    await publisher.publish("t/a", b"end", qos=1)
    await watching.message("t/a", b"end")
    demand(len(watching.messages) == 2, f"{len(watching.messages)} messages instead of 2")


async def renewed_session_renews_its_will(target: BrokerUnderTest) -> None:
    first = await connect(target, "n", clean=False, will=ClientWill("n/status", DEAD, retain=False))
    await first.disconnect()
    second = await connect(target, "n", clean=False, will=ClientWill("n/status", DEAD, retain=True))
    watching = await watcher(target, "n/status")
    await second.reset()
    await watching.message("n/status", within_s=SOON_S)
    await (await watcher(target, "n/status")).message("n/status", DEAD, within_s=SOON_S)


async def garbage_ends_only_the_connection_it_came_from(target: BrokerUnderTest) -> None:
    watching = await watcher(target, "n/status")
    for number, garbage in enumerate(GARBAGE):
        client = await connect(target, f"n{number}", will=ClientWill("n/status", b"%d" % number))
        client.send(garbage)
        demand(await client.closed_by_broker(SOON_S), f"still open after {garbage.hex()}")
        await watching.message("n/status", b"%d" % number, within_s=SOON_S)
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", *GARBAGE):
        if garbage == SECOND_CONNECT:
            continue  # a stranger's first
        stranger = await dial(target, "stranger")
        stranger.send(garbage)
        demand(await stranger.closed_by_broker(SOON_S), f"still open after {garbage.hex()}")
    await watching.ping()


SECOND_CONNECT = wire.connect("again")
GARBAGE = (
    b"\x00\x00",  # a reserved packet type
    b"\xf0\x00",
    b"\x30\xff\xff\xff\xff\x7f",  # a length of five bytes
    b"\x36\x05\x00\x01t\x00\x01",  # QoS 3
    b"\x32\x05\x00\x01t\x00\x00",  # packet id 0
    b"\x30\x03\x00\x01+",  # a wildcard in a topic
    b"\x30\x02\x00\x00",  # no topic
    b"\x30\x04\x00\x02\xc3\x28",  # a topic that is not UTF-8
    b"\x30\x03\x00\x09t",  # a topic longer than its packet
    b"\x82\x02\x00\x01",  # SUBSCRIBE to nothing
    b"\x80\x06\x00\x01\x00\x01t\x00",  # SUBSCRIBE with wrong flags
    b"\x82\x06\x00\x01\x00\x01t\x03",  # SUBSCRIBE with QoS 3
    b"\x40\x01\x00",  # half a packet id
    SECOND_CONNECT,
    b"\x20\x02\x00\x00",  # CONNACK: a server's to send
)


async def newcomer_is_served_while_another_subscribes(target: BrokerUnderTest) -> None:
    """amqtt goes through all subscriptions for a newcomer, over many turns of the loop."""
    topics = [f"n{number}/status" for number in range(100)]
    publisher = await connect(target, "publisher")
    for topic in topics:
        await publisher.publish(topic, b"ready", qos=1, retain=True)
    await watcher(target, *topics)

    async def subscribes() -> None:
        for number in range(100):
            await publisher.subscribe(f"n{number}/task")

    async def connects() -> None:
        newcomer = await connect(target, "newcomer")
        await newcomer.ping(SOON_S)
        await newcomer.subscribe("newcomer/task")

    await asyncio.gather(subscribes(), connects())


async def cost_does_not_grow_with_others_filters(target: BrokerUnderTest) -> None:
    """Python calls for one message: the same on any machine, other than its time."""
    watching = await watcher(target, "t")
    publisher = await connect(target, "publisher")
    others = await connect(target, "others")

    async def calls(payload: bytes) -> int:
        count = 0

        def count_call(_frame: FrameType, event: str, _argument: object) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(count_call)
        await publisher.publish("t", payload)
        await watching.message("t", payload)
        sys.setprofile(None)
        return count

    await calls(b"warm")
    few = await calls(b"few")
    for number in range(300):
        await others.subscribe(f"n{number}/+/task")
    many = await calls(b"many")
    demand(many < few * 1.5, f"{few} calls for a message alone, {many} beside 300 filters")


# Each with what is wrong with plain amqtt, so that it fails for that reason and no other.
PROBES: dict[Probe, str] = {
    silent_client_gets_its_will: "no message on n/status saying b'dead'",
    clean_takeover_ends_the_old_connection_first: "the old connection is still open",
    kept_takeover_leaves_the_new_client_alone: "the new client was dropped|will after the new ready",
    newcomer_gets_nothing_it_never_asked_for: "unsolicited: .*retained",
    newcomer_is_served_while_another_subscribes: "the broker closed the connection",
    qos_0_is_not_raised_to_the_subscribers: "QoS 0 arrived as QoS 1",
    retained_qos_0_is_not_raised: "QoS 0 arrived as QoS 1",
    qos_1_unacknowledged_is_sent_again: "no message on t",
    qos_2_unacknowledged_is_sent_again: "no message on t",
    absent_anonymous_client_gets_its_messages_later: "no message on t|the kept session is gone",
    unacknowledged_messages_are_bounded: "60 unacknowledged messages",
    repeated_subscription_replaces_its_qos: "the first subscription's QoS stayed",
    overlapping_filters_give_one_copy: "6 messages instead of 2",
    renewed_session_renews_its_will: "no message on n/status saying b'dead'",
    garbage_ends_only_the_connection_it_came_from: "still open after",
    cost_does_not_grow_with_others_filters: "calls for a message alone",
}


async def run(serving: Serving, kind: str, probe: Probe) -> None:
    async with serving(kind) as target:
        await probe(target)


@pytest.mark.parametrize("probe", PROBES)
def test_corrected(serving: Serving, probe: Probe) -> None:
    run_leaping(run(serving, "embedded", probe))


@pytest.mark.parametrize(("probe", "fault"), PROBES.items())
def test_plain_amqtt_has_the_fault(serving: Serving, probe: Probe, fault: str) -> None:
    with pytest.raises((Fault, Violation), match=fault):
        run_leaping(run(serving, "amqtt-plain", probe))


async def stranger_disturbs_nobody(target: BrokerUnderTest, stranger: BrokerUnderTest) -> None:
    """A wrong password for somebody's client id: no takeover, no lost session."""
    client = await connect(target, "n")
    await client.subscribe("t")
    with pytest.raises(RefusedByBroker) as refused:
        await connect(stranger, "n")
    assert refused.value.code in (4, 5)
    await client.publish("t", b"still here", qos=1)
    await client.message("t", within_s=SOON_S)


async def run_with_stranger(serving: Serving, kind: str, password_file: Path) -> None:
    passwords.set_user(password_file, "master", "right", UserRole.ANY)
    async with serving(kind, security=BrokerSecurity(password_file=password_file)) as served:
        address = (served.host, served.port, served.token, "master")
        await stranger_disturbs_nobody(BrokerUnderTest(*address, "right"), BrokerUnderTest(*address, "wrong"))


def test_takeover_comes_after_authentication(serving: Serving, tmp_path: Path) -> None:
    run_leaping(run_with_stranger(serving, "embedded", tmp_path / "passwords"))


def test_plain_amqtt_lets_a_stranger_end_a_session(serving: Serving, tmp_path: Path) -> None:
    with pytest.raises(Violation, match="no message on t"):
        run_leaping(run_with_stranger(serving, "amqtt-plain", tmp_path / "passwords"))
