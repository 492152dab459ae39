"""The scenario language: schema, loader with located errors, selectors, plans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcompute.parts import lazy
from dcompute_sim.faults import KINDS, Fault
from dcompute_sim.faults.schedule import Candidate, Select, When, pick
from dcompute_sim.scenario.fleet import MASTER, AskerSettings, Group, Master
from dcompute_sim.scenario.locate import find, shipped
from dcompute_sim.scenario.network_settings import NetworkSettings
from dcompute_sim.scenario.plan import active_until, arrivals, concretise, fault_times, phase_starts, rng_for
from dcompute_sim.scenario.scenario_model import Scenario, Swarm
from dcompute_sim.scenario.target import Target as RunTarget
from dcompute_sim.scenario.target import board_nodes, retarget
from dcompute_sim.scenario.workload import Priority, TaskStream, TaskTarget
from dcompute_sim.yamlfile.problems import LocatedError as ScenarioError
from dcompute_sim.yamlfile.problems import Problem

if TYPE_CHECKING:
    from dcompute_sim.scenario.files import load, load_all
    from dcompute_sim.scenario.semantics import check

__all__ = [
    "KINDS",
    "MASTER",
    "AskerSettings",
    "Candidate",
    "Fault",
    "Group",
    "Master",
    "NetworkSettings",
    "Priority",
    "Problem",
    "RunTarget",
    "Scenario",
    "ScenarioError",
    "Select",
    "Swarm",
    "TaskStream",
    "TaskTarget",
    "When",
    "active_until",
    "arrivals",
    "board_nodes",
    "check",
    "concretise",
    "fault_times",
    "find",
    "load",
    "load_all",
    "phase_starts",
    "pick",
    "retarget",
    "rng_for",
    "shipped",
]

# a scenario that is there needs no reader of YAML, nor does its run
__getattr__ = lazy(globals(), {".files": ("load", "load_all"), ".semantics": ("check",)})
