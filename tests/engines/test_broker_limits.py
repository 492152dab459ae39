"""The limits of brokers as they come: what they drop is seen, said, and the same in virtual and real time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.brokers.model.profiles import PROFILES
from dcompute_sim.brokers.real_broker import BrokerError
from dcompute_sim.checks import Status
from dcompute_sim.engines.virtual import VirtualEngine
from dcompute_sim.interfaces.participant import Participant
from dcompute_sim.report.broker_drops import drops
from dcompute_sim.run import RunOutcome
from dcompute_sim.scenario import NetworkSettings
from dcompute_sim.scenario.semantics import MODELLED

from ..conftest import unhurried
from .conftest import Run

FLOOD = {
    "duration": "14s",
    "fleet": {"py": {"count": 1, "keepalive": "60s", "work": "0s", "network": {"latency": "300ms"}}},
    "workload": [{"tasks": 2500, "rate": "100000/s", "at": "3s", "via": "transport"}],
    "expect": [],
}
"""A node 600 ms away has taken next to nothing when all tasks are there: 20 under way, 1,000 wait."""


def test_what_mosquitto_drops_is_said_with_whose_it_was_and_why(run: Run) -> None:
    outcome = run(FLOOD, broker="mosquitto")
    dropped = [event for event in outcome.trace if isinstance(event, t.MessagesDropped)]
    assert {(event.who, event.why, event.holds) for event in dropped} == {("py-1", "queue full", 1000)}
    count = sum(event.count for event in dropped)
    assert 1_400 < count < 1_500
    assert drops(outcome.trace) == [f"the broker dropped {count:,} messages for py-1: its queue holds 1,000"]


def test_the_real_mosquitto_drops_as_many(run: Run) -> None:
    """Stock limits in real time, too; the broker's own count comes every 10 s."""
    real: list[RunOutcome] = []

    def play(scenario: str) -> None:
        flood = json.loads(scenario)
        virtual = run(flood, broker="mosquitto")
        real.append(run(flood, broker="mosquitto", time="real"))
        counted = sum(event.count for event in real[-1].trace if isinstance(event, t.BrokerDropped))
        modelled = sum(event.count for event in virtual.trace if isinstance(event, t.MessagesDropped))
        assert counted == pytest.approx(modelled, rel=0.05)
        assert drops(real[-1].trace)

    unhurried(json.dumps(FLOOD), play, lambda: real[-1].trace)


def test_limits_that_a_scenario_names_hold_instead(run: Run) -> None:
    assert not drops(run(FLOOD | {"limits": {"queued": 0}}, broker="mosquitto").trace)
    outcome = run(FLOOD | {"limits": {"in_flight": 5, "queued": 100}})
    [told] = drops(outcome.trace)
    assert told.endswith("its queue holds 100")


def test_the_embedded_broker_stands_for_itself(run: Run) -> None:
    assert not drops(run(FLOOD, broker="embedded").trace)  # it holds 100,000


def test_the_oldest_goes_where_the_broker_says_so(run: Run) -> None:
    def arrived(broker: str) -> list[str]:
        events = run(FLOOD | {"duration": "60s"}, broker=broker).trace
        return [event.task for event in events if isinstance(event, t.TaskReceived)]

    def number(task: str) -> int:
        return int(task.rpartition("-")[2])

    assert max(map(number, arrived("mosquitto"))) < 1_100
    newest = arrived("emqx")[-900:]
    assert min(map(number, newest)) > 1_500


def test_a_scenario_can_name_every_broker_that_is_modelled() -> None:
    assert set(MODELLED) == {"auto", *PROFILES}


def test_limits_are_refused_where_they_cannot_be_set(run: Run) -> None:
    with pytest.raises(BrokerError, match="not for embedded"):
        run(FLOOD | {"limits": {"queued": 5}}, broker="embedded", time="real")


@pytest.mark.parametrize("broker", ["mosquitto", "emqx"])
def test_every_retained_status_is_read_whatever_the_queue_holds(run: Run, broker: str) -> None:
    """1,500 nodes on a queue of 1,000: the audit failed a healthy fleet."""
    many = {
        "duration": "60s",
        "fleet": {"py": {"count": 1500, "keepalive": "60s", "ramp": "20s"}},
        "expect": ["retained_consistent", "final_status"],
    }
    assert run(many, broker=broker).verdict.exit_status == 0


def test_what_a_node_says_of_itself_keeps_its_order(run: Run) -> None:
    """What is QoS 0 goes past the 20 QoS 1 messages a broker has in flight: `connected` after `ready`."""
    fleet = {"py": {"count": 60, "ramp": "0s"}}
    plain = {"duration": "15s", "fleet": fleet, "expect": [{"final_status": {"status": "ready"}}]}
    outcome = run(plain, broker="mosquitto")
    result = next(r for r in outcome.verdict.results if r.name == "final_status")
    assert result.outcome.status is Status.HELD, result.outcome.summary


def test_the_last_reading_of_statuses_takes_as_long_as_they_come(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy machine read 1,343 of 1,500 in the second that there was for it, and the rest were wrong."""
    narrow = NetworkSettings.model_validate({"bandwidth": "16kbit/s"})
    machine = VirtualEngine.machine

    def of_a_slow_auditor(self: VirtualEngine, who: Participant, network: NetworkSettings) -> Any:
        return machine(self, who, narrow if who.role is t.Role.AUDITOR else network)

    monkeypatch.setattr(VirtualEngine, "machine", of_a_slow_auditor)
    fleet = {"n": {"count": 60, "keepalive": "20s"}}
    outcome = run({"duration": "10s", "fleet": fleet, "expect": ["retained_consistent"]})
    assert outcome.verdict.exit_status == 0, [r.outcome for r in outcome.verdict.results]
    assert outcome.trace.events[-1].t_s > 12
