"""A board that never came so far fails the run, whatever is expected; a fault that explains it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.checks.check import CheckOutcome, Status
from dcompute_sim.run import RunOutcome

Run = Callable[..., RunOutcome]
Judged = Callable[..., CheckOutcome]

HABITS = Path(__file__).parent / "foreign" / "habits"
JOIN = """
import config, machine, network, time
w = network.WLAN(network.STA_IF)
w.active(True)
w.connect(config.WIFI_SSID, config.WIFI_PASSWORD)
while not w.isconnected(): time.sleep_ms(100)
"""
RESETS_WHEN_LOST = """
from umqtt.simple import MQTTClient
try:
    c = MQTTClient(config.NODE_ID, config.MQTT_HOST, config.MQTT_PORT, keepalive=10)
    c.connect()
    c.publish(config.NODE_ID + "/status", '{"node_id": "%s", "status": "ready"}' % config.NODE_ID, True, 1)
    while True:
        c.ping(); c.check_msg(); time.sleep(2)
except OSError:
    time.sleep(2)
    machine.reset()
"""
BROKER_AWAY = {"kind": "broker_stop", "at": "0s", "for": "50s"}


@pytest.fixture
def judged(run: Run, tmp_path: Path) -> Judged:
    """`judged(program)`: what is said of a board with it, in a run that expects nothing of boards."""

    def judged(program: str, **keys: Any) -> CheckOutcome:
        (tmp_path / "main.py").write_text(program)
        (tmp_path / "boot.py").write_text(keys.pop("boot", ""))
        fleet = {
            "n": {"kind": "firmware", "keepalive": "10s", "files": str(tmp_path), **keys.pop("group", {})}
        }
        scenario = {"duration": "60s", "fleet": fleet, "expect": ["run_completed"], **keys}
        scenario["expect"] = [{"sometimes": {"event": "run_ended", "at_least": 1}}]
        (found,) = (r for r in run(scenario).verdict.results if r.name == "boards_took_part")
        return found.outcome

    return judged


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import nothing", "n-1 died of ImportError: no module named 'nothing' (main.py, line 1)"),
        ("import config\nconfig.BROKER_IP", "if it is a setting: `config: {BROKER_IP: ...}` of its group"),
        ("print('hello')", "n-1 never reached the broker: its program ended 0.6 s after power-on"),
        ("import time, machine\ntime.sleep(5)\nmachine.reset()", "times by itself (reset)"),
        ("import time, machine\nmachine.WDT(timeout=2000)\ntime.sleep(50)", "times by itself (watchdog)"),
        (JOIN + "print('no: OSError(111,)')\nwhile True: time.sleep(1)",
         "its last line was `no: OSError(111,)` (ECONNREFUSED: connection refused)"),
        (JOIN + "import socket\ns = socket.socket()\ns.connect(socket.getaddrinfo(config.MQTT_HOST, "
         "config.MQTT_PORT)[0][-1])\nwhile True: time.sleep(1)", "TCP connection, and sent no CONNECT"),
        (JOIN + "import socket\ns = socket.socket()\ns.connect(socket.getaddrinfo(config.MQTT_HOST, "
         "config.MQTT_PORT)[0][-1])\ns.write(b'\\x10\\x0f\\0\\6MQIsdp\\3\\2\\0\\x0a\\0\\1a')\n"
         "while True: time.sleep(1)", "refused its CONNECT: it speaks another version of MQTT (1)"),
    ],
)  # fmt: skip
def test_it_fails_the_run(judged: Judged, program: str, said: str) -> None:
    outcome = judged(program)
    assert outcome.status is Status.FAILED, outcome
    assert said in outcome.summary
    assert outcome.offending


@pytest.mark.parametrize("wait", ["time.sleep(1)", "pass"])
def test_a_boot_that_blocks_is_named(judged: Judged, wait: str) -> None:
    outcome = judged("", boot=f"import time\nwhile True: {wait}", duration="25s")
    assert outcome.status is Status.FAILED
    assert "s after power-on, and main.py waits for its end, it printed nothing" in outcome.summary
    assert "its boot.py still ran" in outcome.summary


@pytest.mark.parametrize(
    ("will", "said"),
    [
        ("", "connected with no last will: when its connection ends nobody is told of its death"),
        ('"status/n-1", DEAD', "a last will on `status/{name}`, not on `{name}/status`"),
        ('"n-1/status", DEAD.replace("dead", "gone")', "a last will that says `gone`, not `dead`"),
        ('"n-1/status", "dead"', "a last will that is no status (not JSON"),
        ('"n-1/status", ""', "a last will without a word, which clears its status"),
        ('"n-1/status", DEAD', None),
    ],
)
def test_a_last_will_by_which_no_death_is_told_is_named(
    run: Run, tmp_path: Path, will: str, said: str | None
) -> None:
    """Beside the verdict, and where a death is missed in it."""
    connects = 'DEAD = \'{"node_id": "n-1", "status": "dead"}\'\n    c.connect()'
    if will:
        connects = connects.replace("    c.connect", f"    c.set_last_will({will}, True, 1)\n    c.connect")
    (tmp_path / "main.py").write_text(JOIN + RESETS_WHEN_LOST.replace("c.connect()", connects))
    group = {"kind": "firmware", "keepalive": "10s", "files": str(tmp_path)}
    faults = [{"kind": "crash", "at": "12s"}]
    outcome = run({"duration": "20s", "fleet": {"n": group}, "faults": faults, "expect": ["dead_within"]})
    found = {result.name: result.outcome for result in outcome.verdict.results}
    assert found["boards_took_part"].status is Status.HELD
    assert found["dead_within"].status is (Status.FAILED if said else Status.HELD)
    if said is None:
        assert "will" not in found["boards_took_part"].summary
        return
    assert said in found["boards_took_part"].summary
    assert said.partition(":")[0].replace("{name}", "n-1") in found["dead_within"].summary


def deaths(run: Run, folder: Path, sets_will: str, **group: str) -> dict[str, CheckOutcome]:
    """What is said of two programs that set their last will so, one of which dies."""
    dead = '{"node_id": "%s", "status": "dead"}'
    connects = f"TOPIC, DEAD = config.NODE_ID + '/status', '{dead}' % config.NODE_ID\n    {sets_will}"
    program = RESETS_WHEN_LOST.replace("c.connect()", f"{connects}\n    c.connect()")
    (folder / "main.py").write_text(JOIN + program)
    fleet = {"n": {"kind": "firmware", "count": 2, "keepalive": "10s", "files": str(folder), **group}}
    faults = [{"kind": "crash", "at": "12s", "select": {"names": ["n-1"]}}]
    expect = ["dead_within", "final_status", "retained_consistent"]
    outcome = run({"duration": "25s", "fleet": fleet, "faults": faults, "expect": expect})
    return {result.name: result.outcome for result in outcome.verdict.results}


@pytest.mark.parametrize(
    ("how", "said", "misled"),
    [
        ("False, 1", "a last will that is not retained: who comes later does not learn of its death", True),
        ("True, 0", "a last will that has QoS 0: where it gets lost, nobody learns of its death", False),
        ("False, 0", "who comes later does not learn of its death, and has QoS 0: where it gets lost", True),
        ("True, 1", None, False),
    ],
)
def test_a_last_will_by_which_not_everybody_learns_of_a_death_is_named(
    run: Run, tmp_path: Path, how: str, said: str | None, misled: bool
) -> None:
    """Beside the verdict; and where a fresh client reads of the dead that it is ready, in it."""
    sets_will = f"c.set_last_will(TOPIC, DEAD, {how})"
    found = deaths(run, tmp_path, sets_will)
    assert found["dead_within"].status is found["final_status"].status is Status.HELD
    named = found["boards_took_part"].summary
    assert (said in named) if said else ("will" not in named)
    kept = found["retained_consistent"]
    assert kept.status is (Status.FAILED if misled else Status.HELD)
    assert not misled or "n-1 connected with a last will that is not retained" in kept.summary
    # ... unless its group says that it is meant so: then nobody has to know what it cannot tell.
    meant = deaths(run, tmp_path, sets_will, will="optional")
    assert "will" not in meant["boards_took_part"].summary
    assert {meant[name].status for name in ("dead_within", "final_status", "retained_consistent")} == {
        Status.HELD
    }
    excuse = "1 of 2 excused: its program's last will is as its group means it"
    assert (excuse in meant["retained_consistent"].summary) is misled


def test_of_a_program_that_means_to_have_no_last_will_nobody_has_to_be_told(run: Run, tmp_path: Path) -> None:
    """That its deaths are reported in time is not put to the test then: nobody could report them."""
    found = deaths(run, tmp_path, "pass", will="optional")
    assert "will" not in found["boards_took_part"].summary
    assert found["dead_within"].status is Status.INCONCLUSIVE
    for name in ("dead_within", "final_status", "retained_consistent"):
        assert "excused: its program's last will is as its group means it" in found[name].summary
    assert found["final_status"].status is found["retained_consistent"].status is Status.HELD


@pytest.mark.parametrize(
    ("says", "said"),
    [
        (('"/status"', '"/state"'), "it publishes to `{name}/state`: not a topic of the protocol"),
        (
            ('"node_id": ', '"node": '),
            "it publishes to `{name}/status`: node_id None in the status of {name}",
        ),
        (('"status": "ready"', "status: ready"), "it publishes to `{name}/status`: not JSON"),
    ],
)
def test_a_status_that_nobody_can_read_is_named(judged: Judged, says: tuple[str, str], said: str) -> None:
    outcome = judged(JOIN + RESETS_WHEN_LOST.replace(*says), duration="15s")
    assert outcome.status is Status.INCONCLUSIVE
    assert f"no status of it was heard; {said}" in outcome.summary


def test_who_cannot_know_the_broker_yet_is_undecided(judged: Judged) -> None:
    outcome = judged(JOIN + "while True: time.sleep(1)", duration="15s")
    assert outcome.status is Status.INCONCLUSIVE
    assert "had no 20 s for it" in outcome.summary


def test_a_fault_explains_resets_and_absence(judged: Judged) -> None:
    """A program that resets its board when it finds no broker, a broker that is away for most of the time."""
    outcome = judged(JOIN + RESETS_WHEN_LOST, faults=[BROKER_AWAY])
    assert outcome.status is Status.HELD, outcome.summary
    outcome = judged(JOIN + "while True: time.sleep(1)", faults=[BROKER_AWAY])
    assert outcome.status is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    ("client_id", "count", "told"), [("'esp'", 2, True), ("'esp'", 1, False), ("config.NODE_ID", 2, False)]
)
def test_programs_that_throw_each_other_out_are_told_why(
    judged: Judged, client_id: str, count: int, told: bool
) -> None:
    """Two boards with one client id lost their connections, or rebooted for ever, and nobody said why."""
    program = RESETS_WHEN_LOST.replace("MQTTClient(config.NODE_ID", f"MQTTClient({client_id}")
    outcome = judged(JOIN + program, group={"count": count}, duration="20s")
    why = "n-1, n-2 use one client id, `esp`, for which the broker throws one out for the other"
    assert (why in outcome.summary) is told, outcome.summary


def test_a_deep_sleeper_reboots_by_trade(judged: Judged) -> None:
    sleeper = RESETS_WHEN_LOST.replace("while True:", "for _ in range(3):").replace(
        "except", "    machine.deepsleep(5000)\nexcept"
    )
    outcome = judged(JOIN + sleeper)
    assert outcome.status is Status.HELD, outcome.summary


def test_what_is_its_own_choice_is_told(run: Run) -> None:
    def said(config: dict[str, Any]) -> CheckOutcome:
        group = {"kind": "firmware", "keepalive": "10s", "files": str(HABITS), "config": config}
        outcome = run({"duration": "10s", "fleet": {"n": group}, "expect": ["final_status"]})
        (found,) = (r for r in outcome.verdict.results if r.name == "boards_took_part")
        return found.outcome

    outcome = said({"KEEPALIVE": 30})
    assert outcome.status is Status.HELD
    assert "n-1 told the broker a keepalive of 30 s, and is judged by it" in outcome.summary
    outcome = said({"MUTE": True, "CLIENT_PREFIX": "x"})
    assert outcome.status is Status.INCONCLUSIVE
    assert "with the client id `x{name}`: no status under its node's id" in outcome.summary
