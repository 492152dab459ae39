"""Scenario files written by us: a scenario as YAML, and the starter from which people begin."""

from __future__ import annotations

import io
import re

from ruamel.yaml import YAML

from dcompute_sim.scenario.scenario_model import Scenario
from dcompute_sim.scenario.schema import SCHEMA_FILE
from dcompute_sim.yamlfile.problems import Source, Span, fail

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}")


def to_yaml(scenario: Scenario) -> str:
    """Return a scenario as the text of a file that loads as the same scenario; what is as by default is left
    out."""
    data = scenario.model_dump(mode="python", exclude_defaults=True)
    out = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 110
    yaml.dump(data, out)
    return f"# yaml-language-server: $schema={SCHEMA_FILE}\n{out.getvalue()}"


def starter(name: str) -> str:
    """Return the text of a first scenario called `name`, with comments that say what else there is."""
    if not _NAME.fullmatch(name):
        source = Source(f"new {name!r}", ())
        fail(Span(source, 1, 1), "not a name for a scenario", "use letters, digits, `-`, `_` and `.`")
    return _STARTER.replace("NAME", name).replace("SCHEMA", SCHEMA_FILE)


_STARTER = """\
# yaml-language-server: $schema=SCHEMA
#
# Shows:       what you want to know
# Stands for:  the incident or the rule that it is about
# Takes:       about 1 s
#
# Run it:      dcompute run NAME.yaml
# In words:    dcompute explain NAME.yaml
version: 1
name: NAME
description: Ten nodes work; one crashes and one loses its Wi-Fi for a while.

time: virtual            # or real: real sockets and a real broker
# broker: mosquitto      # in real time: embedded, mosquitto, or a URL such as mqtt://host:1883
# seed: 7                # everything random comes from it

phases:                  # one after the other; the run ends with the last
  start: 5s
  storm: 30s
  quiet: 40s             # nothing more is done: everything must converge

network: {latency: 20ms, jitter: 10ms}      # also bandwidth: 1Mbit/s, loss: 1%

fleet:                   # groups of nodes; these will be called worker-1 to worker-10
  worker:
    kind: python         # or firmware: the ESP32 files in an emulator
    count: 10
    keepalive: 10s       # a silent node is named dead after 1.5 times this
    ramp: 2s             # switched on over this time
    work: {uniform: {min: 50ms, max: 500ms}}

workload:                # streams of tasks
  - phase: storm
    tasks: 400
    rate: 20/s
    priority: {10: 1, 5: 3, 1: 6}           # weights; 10 is the most urgent
    payload: 200B
    target: any          # or all, {node: worker-1}, {group: worker}
    # via: transport     # bare `send_task`, once each; as it is, an executor has each task done once

faults:                  # `at`, `every`, `between` or `when`, counted from the start of the phase
  - {kind: crash, phase: storm, at: 5s}
  - {kind: wifi_drop, phase: storm, between: [10s, 20s], for: 12s, select: {group: worker}}
  # - {kind: reset, phase: storm, when: {event: task_taken, count: 3}, select: {same: true}}

expect:                  # what must hold
  - dead_within: {bound: 2s}
  - no_false_deaths
  - all_tasks_finished
  - done_once
"""
