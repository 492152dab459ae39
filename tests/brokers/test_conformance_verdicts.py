"""What the suite says of real brokers: ours and mosquitto pass every row, plain amqtt fails those named."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from dcompute_sim.brokers import passwords
from dcompute_sim.brokers.access import UserRole
from dcompute_sim.brokers.conformance import PROPERTIES, BrokerUnderTest, PropertyOutcome, Row, check
from dcompute_sim.brokers.conformance.client import connect
from dcompute_sim.brokers.factory import make_broker
from dcompute_sim.brokers.real_broker import BrokerSecurity

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
# By broker: its rows by name, and the retained topics that the suite left behind
Verdicts = dict[str, tuple[dict[str, Row], list[str]]]

_PLAIN_PARTS = 6  # brokers that share its rows between them, each taking its rows one by one


async def _judged(kind: str, security: BrokerSecurity) -> tuple[dict[str, Row], list[str]]:
    broker = make_broker(kind, security=security)
    await broker.start()
    try:
        target = BrokerUnderTest(
            broker.host,
            broker.port,
            token=f"check-{kind}",
            username=USER,
            password=PASSWORD,
            connections=600,  # 1,200 messages, topics and deaths: more than stock limits let wait
        )
        rows = await check(target)
        late = await connect(target, "late")
        await late.subscribe("#")
        await late.ping()
        await late.disconnect()
        return {row.name: row for row in rows}, [message.topic for message in late.messages]
    finally:
        await broker.stop()


async def _judged_plain(names: Sequence[str]) -> list[Row]:
    broker = make_broker("amqtt-plain")
    await broker.start()
    try:
        target = BrokerUnderTest(
            broker.host, broker.port, "plain", keepalive_s=1, lateness_bound_s=2.0, connections=100
        )
        return await check(target, names, side_by_side=False)
    finally:
        await broker.stop()


@pytest.fixture(scope="module")
def security(tmp_path_factory: pytest.TempPathFactory) -> BrokerSecurity:
    file: Path = tmp_path_factory.mktemp("brokers") / "passwords"
    passwords.set_user(file, USER, PASSWORD, UserRole.ANY)
    return BrokerSecurity(password_file=file)


@pytest.fixture(scope="module")
def verdicts(security: BrokerSecurity) -> Verdicts:
    """All brokers at once, because the suite mostly waits."""

    async def judge_all() -> Verdicts:
        async with asyncio.TaskGroup() as group:
            good = {kind: group.create_task(_judged(kind, security)) for kind in GOOD}
            plain = [
                group.create_task(_judged_plain(ROWS[part::_PLAIN_PARTS])) for part in range(_PLAIN_PARTS)
            ]
        found = {kind: task.result() for kind, task in good.items()}
        found["amqtt-plain"] = {row.name: row for task in plain for row in task.result()}, []
        return found

    return asyncio.run(judge_all())


# A test a broker and not one a row: split between workers, each of them would have the suite run anew.
@pytest.mark.parametrize("kind", GOOD)
def test_a_good_broker_passes_and_keeps_nothing(verdicts: Verdicts, kind: str) -> None:
    rows, left_behind = verdicts[kind]
    expected = {
        row: PropertyOutcome.WARNING if (kind, row) in WARNED else PropertyOutcome.PASSED for row in ROWS
    }
    assert rows.keys() == expected.keys()
    wrong = [verdict for row, verdict in rows.items() if verdict.outcome is not expected[row]]
    assert wrong == []
    assert left_behind == []


def test_plain_amqtt_fails_exactly_the_rows_named(verdicts: Verdicts) -> None:
    rows = verdicts["amqtt-plain"][0]
    assert {name for name, row in rows.items() if row.outcome is PropertyOutcome.FAILED} == PLAIN_AMQTT_FAILS
    assert rows["wrong-password"].outcome is PropertyOutcome.NOT_APPLICABLE


def test_the_figure_of_silence_is_measured(verdicts: Verdicts) -> None:
    assert "8 of 8 tries" in verdicts["mosquitto"][0]["will-on-silence"].figure
    assert verdicts["amqtt-plain"][0]["will-on-silence"].figure == "never, 8 tries"
