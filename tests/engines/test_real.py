"""Real time: real sockets, real brokers, the same scenarios and verdicts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.brokers.access import UserRole
from dcompute_sim.brokers.passwords import set_user
from dcompute_sim.brokers.real_broker import BrokerError
from dcompute_sim.run import EngineError, RunOutcome
from dcompute_sim.trace import read

from ..conftest import unhurried

Run = Callable[..., RunOutcome]

BARE = Path(__file__).parent / "foreign" / "bare_umqtt"


def storm(**more: Any) -> dict[str, Any]:
    """All that one run can show: deaths by FIN, RST and silence, some of which heal.

    With keepalive 4 s a busy machine may stall everything for 2 s before a broker gives up a sound node.
    """
    return {
        "phases": {"start": "4s", "storm": "8s", "quiet": "22s"},
        "network": {"latency": "2ms", "jitter": "2ms"},
        "fleet": {"py": {"count": 20, "keepalive": "4s", "ramp": "1s", "poll": "20ms"}},
        "workload": [
            {"phase": "storm", "rate": "20/s", "priority": "1..10"},
            {"phase": "storm", "at": "1s", "tasks": 80, "priority": "1..10"},
        ],
        "faults": [
            {"kind": "crash", "phase": "storm", "at": "1s", "restart_after": "2s"},
            {"kind": "reset", "phase": "storm", "at": "2s"},
            {"kind": "power_cut", "phase": "storm", "at": "1s"},
            {"kind": "wifi_drop", "phase": "storm", "at": "2s", "for": "14s"},
            {"kind": "hang", "phase": "storm", "at": "2s", "for": "14s"},
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


def upheaval() -> dict[str, Any]:
    """The broker forgets everything, the master crashes, an id is cloned, an old will arrives."""
    return storm(
        faults=[
            {"kind": "broker_restart", "phase": "storm", "at": "2s", "memory": "lose"},
            {
                "kind": "master_crash",
                "when": {"event": "master_connected", "count": 2, "after": "500ms"},  # back after the outage
                "restart_after": "1s",
            },
            {"kind": "clone", "phase": "storm", "at": "6s", "for": "1s"},
            {"kind": "stale_will", "phase": "storm", "at": "7s"},
        ],
        expect=["no_false_deaths", "callback_once", "all_tasks_finished", "final_status"],
    )


def on_firmware() -> dict[str, Any]:
    """Four boards beside the python nodes, and every fault happens to a board."""
    keys = storm()
    keys["fleet"]["esp"] = {"kind": "firmware", "count": 4, "keepalive": "4s"}
    for fault in keys["faults"]:
        fault["select"] = {"group": "esp"}
    keys["faults"].pop()  # four boards, four faults
    return keys


def never_pings() -> dict[str, Any]:
    """Firmware that is not ours, and idle longer than its keepalive."""
    return {
        "phases": {"start": "2s", "work": "2s", "idle": "9s", "quiet": "1s"},
        "fleet": {"esp": {"kind": "firmware", "count": 2, "keepalive": "4s", "files": str(BARE)}},
        "workload": [{"phase": "work", "tasks": 8}],
        "expect": ["no_false_deaths", "all_tasks_finished"],
    }


# broker, scenario, and which expectations do not hold
RUNS: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "storm on embedded": ("embedded", storm(), set()),
    "storm on mosquitto": ("mosquitto", storm(), set()),
    "storm on the model": ("model", storm(), set()),
    "on plain amqtt silent nodes never die": ("amqtt-plain", storm(), {"dead_within", "all_tasks_finished"}),
    "broker forgets and master crashes": ("embedded", upheaval(), set()),
    "firmware beside python": ("embedded", on_firmware(), set()),
    "firmware that never pings": ("embedded", never_pings(), {"no_false_deaths", "boards_took_part"}),
}


def test_the_same_verdicts_over_real_sockets(tmp_path: Path) -> None:
    """Seven runs side by side, each a command of its own: a run in real time mostly waits."""
    with ThreadPoolExecutor(len(RUNS)) as pool:
        said = dict(zip(RUNS, pool.map(partial(played, tmp_path), RUNS), strict=True))
    assert not {name: words for name, words in said.items() if words}


def played(folder: Path, name: str) -> str:
    """What is wrong with one of the runs."""
    broker, keys, missing = RUNS[name]
    number = list(RUNS).index(name)
    files = {kind: folder / f"{number}.{kind}" for kind in ("yaml", "json", "jsonl")}

    def play(scenario: str) -> None:
        files["yaml"].write_text(scenario)
        files["jsonl"].unlink(missing_ok=True)
        words = ["run", files["yaml"], "--time", "real", "--broker", broker, "--plain"]
        words += ["--json", files["json"], "--trace", files["jsonl"]]
        command = [sys.executable, "-m", "dcompute", *map(str, words)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == bool(missing), done.stdout + done.stderr
        (verdict,) = json.loads(files["json"].read_text())["runs"]
        assert verdict["broker"] == broker
        failed = {result["name"] for result in verdict["expectations"] if result["status"] == "failed"}
        assert failed == missing, done.stdout
        if broker == "amqtt-plain":
            assert "never reported" in done.stdout

    try:
        scenario = json.dumps({"version": 1, "name": f"run-{number}", **keys})
        unhurried(scenario, play, lambda: read(files["jsonl"]).events)
    except AssertionError as error:
        return str(error)
    return ""


def test_a_broker_with_a_password(run: Run, tmp_path: Path) -> None:
    import asyncio

    from dcompute_sim.brokers.broker_process import BrokerProcess
    from dcompute_sim.brokers.real_broker import BrokerSecurity

    passwords = tmp_path / "passwords"
    set_user(passwords, "alice", "secret", UserRole.ANY)
    keys = storm(faults=[], expect=["all_tasks_finished"])
    keys["phases"] = {"start": "1s", "storm": "1s", "quiet": "1s"}
    keys["workload"] = [{"phase": "storm", "tasks": 20}]
    keys["fleet"]["py"]["count"] = 3

    async def both() -> tuple[RunOutcome, RunOutcome]:
        broker = BrokerProcess("embedded", BrokerSecurity(password_file=passwords))
        await broker.start()
        try:
            at = f"127.0.0.1:{broker.port}"
            right, wrong = (
                asyncio.to_thread(run, keys, time="real", broker=f"mqtt://alice:{word}@{at}")
                for word in ("secret", "wrong")
            )
            return await asyncio.gather(right, wrong)
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
