"""What counts as the effect of which fault: not what another one did at the same time."""

from __future__ import annotations

from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import Status
from dcompute_sim.engines.virtual import VirtualEngine
from dcompute_sim.faults import KINDS
from dcompute_sim.interfaces import participant
from dcompute_sim.recorder import Recorder
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario


def bitten(kind: str, node: str, *seen: tuple[str, str]) -> bool:
    """Whether a fault of this kind has bitten, once `(whose, word)` were told of the wire."""
    recorder = Recorder(t.Trace(), lambda: 0)
    recorder.fault("f", KINDS[kind].model_validate({"kind": kind, "at": "1s"}), node)
    for whose, word in seen:
        if word in ("rst", "silence"):
            recorder.refused(whose, word)  # type: ignore[arg-type]
        else:
            recorder.closed(whose, 1, "fin", "node", 0.0)
    return recorder.has_bitten("f")


def test_a_clone_bites_whichever_of_the_two_the_broker_ends() -> None:
    clone = participant.clone("n", "clone-1")
    for ended in ("n", clone.name):
        recorder = Recorder(t.Trace(), lambda: 0)
        recorder.fault("hang-2", KINDS["hang"].model_validate({"kind": "hang", "at": "1s"}), "n")
        recorder.fault("clone-1", KINDS["clone"].model_validate({"kind": "clone", "at": "1s"}), "n")
        recorder.cloned(clone, "clone-1")
        recorder.closed(ended, 1, "fin", "node", 0.0)
        assert not recorder.has_bitten("clone-1")
        recorder.closed(ended, 1, "fin", "broker", 0.0)
        assert recorder.has_bitten("clone-1")
        assert recorder.has_bitten("hang-2") == (ended == "n")


@pytest.mark.parametrize(
    ("kind", "node", "its_own", "others"),
    [
        ("broker_stop", "", ("n", "rst"), ("n", "silence")),  # somebody's Wi-Fi is down as well
        ("wifi_drop", "n", ("n", "silence"), ("n", "rst")),  # the broker is down as well
        ("wifi_drop", "n", ("n", "silence"), ("m", "silence")),
        ("master_crash", "", ("master", "fin"), ("n", "fin")),  # a node crashed as well
        ("crash", "n", ("n", "fin"), ("m", "fin")),
    ],
)
def test_only_its_own_effects_are_a_receipt(
    kind: str, node: str, its_own: tuple[str, str], others: tuple[str, str]
) -> None:
    assert not bitten(kind, node, others)
    assert bitten(kind, node, others, its_own)


def test_what_is_told_after_the_end_is_no_part_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that lagged said so a millisecond after `run_ended`: "the trace has no end"."""
    engine_run = VirtualEngine.run

    def lagging(engine: VirtualEngine, *given: Any) -> None:
        engine_run(engine, *given)
        engine.recorder.add(t.LoopLagged, lag_us=163_726)

    monkeypatch.setattr(VirtualEngine, "run", lagging)
    keys = {"version": 1, "name": "end", "duration": "5s", "fleet": {"n": {}}, "expect": ["final_status"]}
    outcome = run_scenario(Scenario.model_validate(keys), RunOptions(time="virtual"))
    assert isinstance(list(outcome.trace)[-1], t.RunEnded)
    assert {result.outcome.status for result in outcome.verdict.results} == {Status.HELD}
