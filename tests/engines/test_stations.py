"""Who joins a board's own access point, as a scenario says it: when, how many, and when nobody could."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from dcompute_sim import trace as t
from dcompute_sim.checks import CheckOutcome, Status
from dcompute_sim.run import RunOptions, RunOutcome, run_scenario
from dcompute_sim.scenario import Scenario, check

_POINT = """
    import network, time
    point = network.WLAN(network.AP_IF)
    point.config(max_clients=2)
    point.active({on})
    before = None
    while True:
        now = [mac.hex() for mac, _ in point.status("stations")] if point.active() else []
        if now != before:
            print(now)
            before = now
        time.sleep_ms(20)
"""


def _run(folder: Path, faults: list[dict[str, Any]], on: bool) -> RunOutcome:
    (folder / "main.py").write_text(textwrap.dedent(_POINT).format(on=on))
    scenario = Scenario.model_validate(
        {
            "version": 1,
            "name": "stations",
            "duration": "4s",
            "fleet": {"esp": {"kind": "firmware", "files": str(folder)}},
            "expect": ["malformed_rejected"],
            "faults": [{"kind": "station", "select": {"names": ["esp-1"]}, **fault} for fault in faults],
        }
    )
    check(scenario)
    return run_scenario(scenario, RunOptions(time="virtual"))


def _receipts(outcome: RunOutcome) -> CheckOutcome:
    return next(result.outcome for result in outcome.verdict.results if result.name == "fault_receipts")


def test_stations_come_and_go_as_the_scenario_says(tmp_path: Path) -> None:
    """The third finds no room until the first has gone."""
    first, second, third = ("0a:00:00:00:00:0" + digit for digit in "123")
    outcome = _run(
        tmp_path,
        [
            {"at": "1s", "mac": first, "for": "1s"},
            {"at": "1200ms", "mac": second},
            {"at": "1400ms", "mac": third, "for": "1s"},
        ],
        on=True,
    )
    printed = [event.text for event in outcome.trace if isinstance(event, t.NodeOutput)]
    a, b, c = (mac.replace(":", "") for mac in (first, second, third))
    assert printed == [str(macs) for macs in ([], [a], [a, b], [b, c], [b])]
    assert _receipts(outcome).status is Status.HELD, _receipts(outcome)


def test_where_nobody_could_join_the_run_is_undecided(tmp_path: Path) -> None:
    receipts = _receipts(_run(tmp_path, [{"at": "1s", "for": "1s"}], on=False))
    assert receipts.status is Status.INCONCLUSIVE
    assert "access point was off" in receipts.summary
