"""Real time: real sockets, real brokers, the same scenarios and verdicts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sim import trace as t
from sim.brokers.base import BrokerError
from sim.brokers.passwords import set_user
from sim.checks.base import Status
from sim.run import EngineError, Outcome

Run = Callable[..., Outcome]


def storm(**more: Any) -> dict[str, Any]:
    """All that one run of 20 s can show: deaths by FIN, RST and silence, a blink, a slow link, an outage."""
    return {
        "phases": {"start": "3s", "storm": "8s", "quiet": "12s"},
        "network": {"latency": "2ms", "jitter": "2ms"},
        "fleet": {"py": {"count": 20, "keepalive": "2s", "ramp": "1s", "poll": "20ms"}},
        "workload": [
            {"phase": "storm", "rate": "20/s", "priority": "1..10"},
            {"phase": "storm", "at": "1s", "tasks": 25, "priority": "1..10", "target": {"node": "py-1"}},
        ],
        "master": {"task_timeout": "6s"},
        "faults": [
            {"kind": "crash", "phase": "storm", "at": "1s", "restart_after": "2s"},
            {"kind": "reset", "phase": "storm", "at": "2s"},
            {"kind": "power_cut", "phase": "storm", "at": "1s"},
            {"kind": "wifi_drop", "phase": "storm", "at": "2s", "for": "9s"},
            {"kind": "hang", "phase": "storm", "at": "2s", "for": "9s"},
        ],
        "expect": [
            {"dead_within": {"bound": "3s"}},
            "no_false_deaths",
            "callback_once",
            "priority_order",
            "all_tasks_finished",
        ],
        **more,
    }


@pytest.mark.parametrize("broker", ["embedded", "mosquitto", "model"])
def test_a_storm_on_a_sound_broker(run: Run, broker: str) -> None:
    outcome = run(storm(), time="real", broker=broker)
    assert outcome.verdict.exit_status == 0, [r.outcome for r in outcome.verdict.results]
    assert {event.kind for event in outcome.trace if isinstance(event, t.NodeDefined)} == {"python"}


def test_on_plain_amqtt_silent_nodes_never_die(run: Run) -> None:
    outcome = run(storm(), time="real", broker="amqtt-plain")
    found = {result.name: result.outcome for result in outcome.verdict.results}
    assert found["dead_within"].status is Status.FAILED
    assert "never reported" in found["dead_within"].summary


def test_the_broker_forgets_and_the_master_crashes(run: Run) -> None:
    outcome = run(
        storm(
            faults=[
                {"kind": "broker_restart", "phase": "storm", "at": "2s", "memory": "lose"},
                {"kind": "master_crash", "phase": "storm", "at": "5s", "restart_after": "1s"},
                {"kind": "clone", "phase": "storm", "at": "6s", "for": "1s"},
                {"kind": "stale_will", "phase": "storm", "at": "7s"},
            ],
            expect=["no_false_deaths", "callback_once", "all_tasks_finished", "final_status"],
        ),
        time="real",
    )
    assert outcome.verdict.exit_status == 0, [r.outcome for r in outcome.verdict.results]


def test_firmware_beside_python(run: Run) -> None:
    keys = storm()
    keys["fleet"]["esp"] = {"kind": "firmware", "count": 4, "keepalive": "2s"}
    for fault in keys["faults"]:
        fault["select"] = {"group": "esp"}
    keys["faults"].pop()  # four boards, four faults
    outcome = run(keys, time="real")
    assert outcome.verdict.exit_status == 0, [r.outcome for r in outcome.verdict.results]


def test_a_broker_with_a_password(run: Run, tmp_path: Path) -> None:
    import asyncio

    from sim.brokers.base import BrokerSecurity
    from sim.brokers.process import BrokerProcess

    passwords = tmp_path / "passwords"
    set_user(passwords, "alice", "secret")
    keys = storm(faults=[], expect=["no_false_deaths", "all_tasks_finished"])
    keys["phases"] = {"start": "2s", "storm": "2s", "quiet": "2s"}
    keys["workload"] = [{"phase": "storm", "tasks": 20}]
    keys["fleet"]["py"]["count"] = 3

    async def both() -> tuple[Outcome, Outcome]:
        broker = BrokerProcess("embedded", BrokerSecurity(password_file=passwords))
        await broker.start()
        try:
            at = f"127.0.0.1:{broker.port}"
            right = await asyncio.to_thread(run, keys, time="real", broker=f"mqtt://alice:secret@{at}")
            wrong = await asyncio.to_thread(run, keys, time="real", broker=f"mqtt://alice:wrong@{at}")
            return right, wrong
        finally:
            await broker.stop()

    right, wrong = asyncio.run(both())
    assert right.verdict.exit_status == 0
    assert wrong.verdict.exit_status == 2
    said = [event.text for event in wrong.trace if isinstance(event, t.LogLine)]
    assert any("check username and password" in text for text in said)
    assert not any("secret" in str(event) for event in right.trace)


def test_no_broker_there(run: Run) -> None:
    with pytest.raises(BrokerError, match="connection refused"):
        run(storm(), time="real", broker="mqtt://127.0.0.1:1")


def test_real_brokers_are_not_for_virtual_time(run: Run) -> None:
    with pytest.raises(EngineError, match="--time real"):
        run(storm(), time="virtual", broker="amqtt-plain")
