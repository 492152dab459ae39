"""What `broker check` finds of limits that brokers keep quiet about, and what it says to set."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dcompute_sim.brokers.conformance import BrokerUnderTest, PropertyOutcome, Row, check
from dcompute_sim.brokers.conformance.client import connect
from dcompute_sim.brokers.mosquitto import MosquittoBroker, find_mosquitto
from dcompute_sim.scenario.broker_limits import AS_IT_COMES, BrokerLimits

from ..conftest import PATIENCE_S

LIMITS = ["in-flight-limit", "queue-limit", "packet-limit", "retained-replay", "mass-death", "access-rules"]
CLIENTS = 600  # 1,200 messages, topics and deaths: more than stock mosquitto lets wait
PASSED, WARNING, FAILED = PropertyOutcome.PASSED, PropertyOutcome.WARNING, PropertyOutcome.FAILED


def rows_of(limits: BrokerLimits) -> dict[str, Row]:
    async def judged() -> list[Row]:
        broker = MosquittoBroker()
        broker.limits = limits
        await broker.start()
        try:
            target = BrokerUnderTest(broker.host, broker.port, "limits", connections=CLIENTS)
            rows = await check(target, LIMITS)
            late = await connect(target, "late")
            await late.subscribe("#", qos=0)
            await late.ping()
            assert not late.messages, "something was left behind"
            await late.disconnect()
            return rows
        finally:
            await broker.stop()

    return {row.name: row for row in asyncio.run(judged())}


def test_stock_mosquitto_gets_warnings_in_its_own_words() -> None:
    rows = rows_of(AS_IT_COMES)
    assert {name: row.outcome for name, row in rows.items()} == {
        "in-flight-limit": PASSED,
        "queue-limit": WARNING,
        "packet-limit": PASSED,
        "retained-replay": WARNING,
        "mass-death": WARNING,
        "access-rules": PASSED,
    }
    assert rows["in-flight-limit"].figure == "20 unacknowledged"
    assert rows["queue-limit"].figure == "1,000 wait"
    assert "max_queued_messages 0" in rows["queue-limit"].detail
    assert rows["retained-replay"].figure == "1,200 at QoS 0, 1,020 at QoS 1, of 1,200"
    assert rows["mass-death"].figure.startswith("1,200 at QoS 0, 1,0")


def test_with_its_advice_followed_there_is_nothing_to_warn_of() -> None:
    rows = rows_of(BrokerLimits(queued=0))
    assert {row.outcome for row in rows.values()} == {PASSED}, rows


@pytest.fixture
def strict_mosquitto(tmp_path: Path) -> Iterator[int]:
    """A mosquitto whose users may touch nothing but the check's own topics, and no packet above 20,000
    bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite dcompute-check/#\ntopic read $SYS/#\n")
    user = "user root\n" if os.geteuid() == 0 else ""
    config = tmp_path / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nacl_file {rules}\nmax_packet_size 20000\n{user}"
    )
    os.chmod(rules, 0o600)
    process = subprocess.Popen([find_mosquitto(), "-c", config], stderr=subprocess.DEVNULL)
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.02)
    yield port
    process.terminate()
    process.wait(PATIENCE_S)


def test_access_rules_and_packet_limits_are_found(strict_mosquitto: int) -> None:
    target = BrokerUnderTest("127.0.0.1", strict_mosquitto, "strict", connections=10, namespace="plant/7")
    rows = {row.name: row for row in asyncio.run(check(target, ["packet-limit", "access-rules"]))}
    assert rows["access-rules"].outcome is FAILED
    assert "plant/7/" in rows["access-rules"].detail
    assert "acl_file" in rows["access-rules"].detail
    assert rows["packet-limit"].outcome is WARNING
    assert rows["packet-limit"].figure == "16 KiB"
    assert "the connection is closed over it" in rows["packet-limit"].detail
    assert "max_packet_size" in rows["packet-limit"].detail
