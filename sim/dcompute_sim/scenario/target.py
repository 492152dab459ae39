"""One scenario on three targets: the same firmware groups simulated, emulated, or on boards."""

from __future__ import annotations

from typing import Literal

from dcompute_sim.scenario.scenario_model import Scenario

Target = Literal["sim", "emulator", "board"]
_KIND: dict[Target, Literal["firmware", "board"]] = {
    "sim": "firmware",
    "emulator": "firmware",
    "board": "board",
}
_TIME: dict[Target, Literal["virtual", "real"]] = {"sim": "virtual", "emulator": "real", "board": "real"}


def retarget(scenario: Scenario, target: Target) -> Scenario:
    """Return `scenario` with its firmware and board groups as `target` has them, in its time. Python groups
    stay."""
    fleet = {
        name: group if group.kind == "python" else group.model_copy(update={"kind": _KIND[target]})
        for name, group in scenario.fleet.items()
    }
    broker = scenario.broker
    if target == "sim" and (broker == "amqtt-plain" or "://" in broker):
        broker = "auto"  # a real broker, for which the model stands in
    return scenario.model_copy(update={"fleet": fleet, "time": _TIME[target], "broker": broker})


def board_nodes(scenario: Scenario) -> dict[str, str]:
    """Return every board node's name -> its group, in order."""
    return {node: group for node, group in scenario.nodes().items() if scenario.fleet[group].kind == "board"}
