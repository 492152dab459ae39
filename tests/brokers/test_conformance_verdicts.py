"""What the suite says of real brokers: ours and mosquitto pass every row, plain amqtt fails those named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from dcompute_sim.brokers import passwords
from dcompute_sim.brokers.access import UserRole
from dcompute_sim.brokers.conformance import PROPERTIES, BrokerUnderTest, PropertyOutcome, Row, check
from dcompute_sim.brokers.conformance.client import connect
from dcompute_sim.brokers.factory import make_broker
from dcompute_sim.brokers.real_broker import BrokerSecurity

from .leaping import run_leaping

Serving = Callable[..., AbstractAsyncContextManager[BrokerUnderTest]]

GOOD = ("mosquitto", "embedded", "model")
ROWS = [each.name for each in PROPERTIES]
USER, PASSWORD = "tester", "a secret"

# The faults of amqtt 0.12.1 that our subclass corrects, by the rows that show them
PLAIN_AMQTT_FAILS = {
    "will-on-silence",
    "takeover-clean-session",
    "takeover-kept-session",
    "successor-stays-connected",
    "successors-status-stays",
    "only-matching-retained",
    "qos-is-the-lower",
    "resubscribing-replaces",
    "nothing-unsolicited",
    "redelivery",
    "patience",
    "kept-session-queues",
    "clean-session-forgets",
    "malformed-client",
}
# What mosquitto's defaults cost a large fleet; the model has the same.
WARNED = {
    ("mosquitto", "queue-limit"),
    ("mosquitto", "retained-replay"),
    ("mosquitto", "mass-death"),
    ("model", "queue-limit"),
    ("model", "retained-replay"),
    ("model", "mass-death"),
}
# Its rows by name, and the retained topics that the suite left behind
Verdict = tuple[dict[str, Row], list[str]]


async def _judged(broker: BrokerUnderTest) -> Verdict:
    rows = await check(broker)
    late = await connect(broker, "late")
    await late.subscribe("#")
    await late.ping()
    await late.disconnect()
    return {row.name: row for row in rows}, [message.topic for message in late.messages]


async def _mosquitto_judged(security: BrokerSecurity) -> Verdict:
    """In real time: it is a process of its own."""
    broker = make_broker("mosquitto", security=security)
    await broker.start()
    try:
        return await _judged(_target(broker.host, broker.port))
    finally:
        await broker.stop()


async def _ours_judged(serving: Serving, kind: str, security: BrokerSecurity) -> Verdict:
    async with serving(kind, security=security) as served:
        return await _judged(_target(served.host, served.port))


def _target(host: str, port: int) -> BrokerUnderTest:
    # 1,200 messages, topics and deaths: more than stock limits let wait
    return BrokerUnderTest(host, port, token="check", username=USER, password=PASSWORD, connections=600)


async def _plain_judged(serving: Serving) -> dict[str, Row]:
    """One by one: a fault of it disturbs other rows. Its queue of connections is short."""
    async with serving("amqtt-plain") as served:
        target = BrokerUnderTest(
            served.host, served.port, "plain", keepalive_s=1, lateness_bound_s=2.0, connections=40
        )
        return {row.name: row for row in await check(target, side_by_side=False)}


@pytest.fixture(scope="module")
def security(tmp_path_factory: pytest.TempPathFactory) -> BrokerSecurity:
    file: Path = tmp_path_factory.mktemp("brokers") / "passwords"
    passwords.set_user(file, USER, PASSWORD, UserRole.ANY)
    return BrokerSecurity(password_file=file)


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_broker_passes_and_keeps_nothing(
    serving: Serving, security: BrokerSecurity, kind: str
) -> None:
    if kind == "mosquitto":
        rows, left_behind = asyncio.run(_mosquitto_judged(security))
    else:
        rows, left_behind = run_leaping(_ours_judged(serving, kind, security))
    expected = {
        row: PropertyOutcome.WARNING if (kind, row) in WARNED else PropertyOutcome.PASSED for row in ROWS
    }
    assert rows.keys() == expected.keys()
    wrong = [verdict for row, verdict in rows.items() if verdict.outcome is not expected[row]]
    assert wrong == []
    assert left_behind == []
    assert "8 of 8 tries" in rows["will-on-silence"].figure, "the figure of silence is measured"


def test_plain_amqtt_fails_exactly_the_rows_named(serving: Serving) -> None:
    rows = run_leaping(_plain_judged(serving))
    assert {name for name, row in rows.items() if row.outcome is PropertyOutcome.FAILED} == PLAIN_AMQTT_FAILS
    assert rows["wrong-password"].outcome is PropertyOutcome.NOT_APPLICABLE
    assert rows["will-on-silence"].figure == "never, 8 tries"
