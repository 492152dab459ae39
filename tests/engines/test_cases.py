"""Small inputs that once got the wrong verdict, and three of each kind: numbers, names and times are others,
the truth about them is the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from dcompute_sim.checks import Status
from dcompute_sim.run import RunOutcome

Run = Callable[..., RunOutcome]
HELD, FAILED, UNDECIDED = Status.HELD, Status.FAILED, Status.INCONCLUSIVE


def lost_reset(latency: str, loss: str, at: str) -> dict[str, Any]:
    """A crash whose FIN, or RST, may get lost: what is sent again provokes it."""
    return {
        "duration": "50s",
        "network": {"latency": latency, "loss": loss},
        "fleet": {"n": {"keepalive": "20s", "work": "200ms"}},
        "workload": [{"tasks": 1, "at": "10s", "target": {"node": "n-1"}}],
        "faults": [{"kind": "crash", "at": at}],
        "expect": [{"dead_within": {"bound": "5s"}}],
    }


def slow_lossy_link(latency: str, jitter: str, loss: str, bandwidth: str) -> dict[str, Any]:
    """A link that TCP copes with: nobody dies, and work is done in seconds."""
    link = {"latency": latency, "jitter": jitter, "loss": loss, "bandwidth": bandwidth}
    return {
        "duration": "60s",
        "fleet": {"far": {"keepalive": "20s", "network": link, "work": "100ms"}},
        "workload": [{"at": "5s", "until": "40s", "rate": "1/s", "payload": "300B"}],
        "expect": ["no_false_deaths", "all_tasks_finished", {"latency": {"percentile": 90, "within": "8s"}}],
    }


def names_of_the_testbed(group: str) -> dict[str, Any]:
    """What a group is called decides nothing."""
    return {
        "duration": "30s",
        "fleet": {group: {"count": 2, "keepalive": "10s"}},
        "faults": [{"kind": "inject", "at": "5s", "topic": "nowhere", "payload": {"a": 1}}],
        "expect": ["no_false_deaths", "final_status"],
    }


def herd(count: int, away: str, target: str) -> dict[str, Any]:
    """After an outage the first node that is back does not get everything."""
    return {
        "duration": "3min",
        "fleet": {"n": {"count": count, "keepalive": "10s", "work": "200ms", "queue_limit": 40}},
        "workload": [{"at": "5s", "tasks": 120, "rate": "20/s", "target": target}],
        "faults": [{"kind": "broker_stop", "at": "8s", "for": away}],
        "expect": ["all_tasks_finished", "done_once"],
    }


def mass_death(count: int, ramp: str, fault: str) -> dict[str, Any]:
    """All die at once, and each is named."""
    return {
        "phases": {"start": "15s", "away": "10s", "quiet": "60s"},
        "fleet": {"py": {"count": count, "keepalive": "20s", "ramp": ramp}},
        "faults": [{"kind": fault, "phase": "away", "at": "5s", "select": {"count": "all"}}],
        "expect": ["dead_within", "callback_once", "final_status", "retained_consistent"],
    }


def restarted_beside_many(count: int, gone: int, fault: dict[str, Any]) -> dict[str, Any]:
    """The master comes back to many, and misses none that dies then."""
    return {
        "phases": {"start": "15s", "away": "15s", "quiet": "40s"},
        "fleet": {"py": {"count": count, "keepalive": "10s"}},
        "faults": [
            {"phase": "start", "at": "8s", **fault},
            {"kind": "crash", "phase": "away", "between": ["2s", "10s"], "times": gone},
        ],
        "expect": ["dead_within", "no_false_deaths", "callback_once", "retained_consistent"],
    }


def idle_flapping(every: str, away: str, **fault: str) -> dict[str, Any]:
    """Silences of idle nodes that heal before anybody wanted to say anything have no witness."""
    return {
        "duration": "10min",
        "fleet": {"sensor": {"count": 4, "keepalive": "60s"}},
        "faults": [
            {
                "kind": "ap_gone",
                "every": every,
                "until": "8min",
                "for": away,
                "select": {"count": "all"},
                **fault,
            }
        ],
        "expect": ["no_false_deaths", {"final_status": {"status": "ready"}}],
    }


def work_over_a_restart(memory: str, bandwidth: str) -> dict[str, Any]:
    """A broker that forgets what it took in: what was acknowledged is done all the same."""
    link = {"latency": "50ms", "bandwidth": bandwidth}
    return {
        "duration": "120s",
        "fleet": {"py": {"keepalive": "20s", "work": "10ms", "network": link}},
        "workload": [{"tasks": 60, "at": "10s", "payload": "200B"}],
        "faults": [{"kind": "broker_restart", "at": "12s", "memory": memory, "for": "1s"}],
        "expect": ["no_lost_tasks", "all_tasks_finished", "no_false_deaths", "no_errors_in_log"],
    }


CASES: Mapping[str, tuple[dict[str, Any], Status, str]] = {
    # what: the scenario, the verdict, and words in it
    "a reset lost at 10 %": (lost_reset("200ms", "10%", "10.05s"), HELD, ""),
    "a reset lost at 20 %": (lost_reset("100ms", "20%", "10.1s"), HELD, ""),
    "a reset lost far away": (lost_reset("300ms", "15%", "10.4s"), HELD, ""),
    "a slow, lossy link": (slow_lossy_link("300ms", "200ms", "5%", "64kbit/s"), HELD, ""),
    "a fast, lossy link": (slow_lossy_link("50ms", "20ms", "10%", "1Mbit/s"), HELD, ""),
    "a narrow link": (slow_lossy_link("100ms", "50ms", "2%", "24kbit/s"), HELD, ""),
    "a group called stranger": (names_of_the_testbed("stranger"), HELD, ""),
    "a group called master": (names_of_the_testbed("master-probe"), HELD, ""),
    "a group called like a fault": (names_of_the_testbed("inject-1"), HELD, ""),
    "a herd": (herd(10, "10s", "any"), HELD, ""),
    "a small herd, long away": (herd(4, "30s", "any"), HELD, ""),
    "a herd, one for each": (herd(20, "15s", "any"), HELD, ""),
    "sixty die": (mass_death(60, "5s", "crash"), HELD, ""),
    "sixty lose power": (mass_death(60, "1s", "power_cut"), HELD, ""),
    "three at once lose their links": (mass_death(3, "0s", "dead_link"), HELD, ""),
    "a master restarts": (
        restarted_beside_many(60, 6, {"kind": "master_crash", "restart_after": "2s"}), HELD, ""),
    "a master is cut off": (restarted_beside_many(60, 6, {"kind": "master_cut_off", "for": "4s"}), HELD, ""),
    "a master restarts at once": (
        restarted_beside_many(30, 12, {"kind": "master_crash", "restart_after": "100ms"}), HELD, ""),
    "silences that nobody saw": (idle_flapping("90s", "10s"), UNDECIDED, "had no witness"),
    "long silences that nobody saw": (idle_flapping("100s", "8s"), UNDECIDED, "had no witness"),
    "silences that need no witness": (idle_flapping("90s", "10s", witness="optional"), HELD, ""),
    "a broker forgets all": (work_over_a_restart("lose", "2KiB/s"), HELD, ""),
    "a broker forgets all of a fast link": (work_over_a_restart("lose", "100KiB/s"), HELD, ""),
    "a broker keeps all": (work_over_a_restart("keep", "2KiB/s"), HELD, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_verdict_is_the_right_one(run: Run, case: str) -> None:
    scenario, status, words = CASES[case]
    verdict = run(scenario).verdict
    told = [
        f"{each.name}: {each.outcome.summary}" for each in verdict.results if each.outcome.status is not HELD
    ]
    assert verdict.status is status, told
    assert words in " ".join(told)
