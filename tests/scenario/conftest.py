"""Fixtures for the scenario language: write a file, load it, or collect what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.scenario import Problem, Scenario, ScenarioError, load_all

# one of everything, so that mutations reach every part of the language
FULL = """\
# yaml-language-server: $schema=scenario.schema.json
version: 1
name: full
description: one of everything
time: virtual
seed: 7
broker: model
namespace: lab
vars:
  nodes: 6
  slow: 300ms
phases:
  start: 5s
  storm: 60s
  quiet: 60s
network:
  latency: 5ms
  jitter: 1ms
  bandwidth: 1Mbit/s
  loss: 1%
fleet:
  py:
    kind: python
    count: ${nodes}
    keepalive: 10s
    start: 1s
    ramp: 2s
    poll: 50ms
    work:
      uniform:
        min: 10ms
        max: 200ms
    fail_rate: 5%
    queue_limit: 20
    network:
      latency: ${slow}
  esp:
    kind: firmware
    count: 3
    heap: 64KiB
    entry: main.py
    config:
      NODE_TYPE: esp32
master:
  keepalive: 10s
  liveness: 20s
  settle: 3s
  journal: true
masters:
  batch:
    count: 2
    resend: 20s
workload:
  - phase: storm
    rate: 20/s
    tasks: 100
    priority:
      10: 1
      1: 6
    payload: 200B
    via: transport
    target: least_busy
  - burst: 5
    every: 2s
    at: 10s
    until: 20s
    priority: 1..10
    target:
      group: esp
      pick: round_robin
  - tasks: 9
    at: 6s
    loop:
      closed:
        outstanding: 3
    task:
      text: Привет
  - tasks: 3
    when:
      event: death_reported
      group: py
      count: 2
      after: 1s
faults:
  - kind: crash
    at: 10s
    restart_after: 5s
    select:
      group: py
      count: 2
  - kind: wifi_drop
    phase: storm
    between: [1s, 30s]
    times: 3
    for: 10s
  - kind: slow_link
    every: 10s
    times: 3
    latency: 1s
    for: 2s
    select:
      fraction: 50%
  - kind: reset
    when:
      event: task_taken
      where:
        priority: 10
      count: 3
    select:
      same: true
  - kind: broker_restart
    at: 30s
    memory: lose
    for: 2s
  - kind: inject
    at: 31s
    topic: '{node}/status'
    payload:
      node_id: '{node}'
      status: dead
    retain: true
expect:
  - dead_within:
      bound: 2s
  - no_false_deaths
  - priority_order
"""


@pytest.fixture
def full() -> str:
    return FULL


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a scenario file and give its path."""

    def _write(text: str | bytes, name: str = "s.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return _write


@pytest.fixture
def load_text(write: Callable[..., Path]) -> Callable[..., Scenario]:
    """The one scenario of a text."""

    def _load(text: str, *overrides: str, **options: Any) -> Scenario:
        (scenario,) = load_all(write(text), overrides, **options)
        return scenario

    return _load


@pytest.fixture
def problems(write: Callable[..., Path]) -> Callable[..., list[Problem]]:
    """What is wrong with a text; none when it loads. Any other exception escapes and fails the test."""

    def _problems(text: str | bytes, *overrides: str, **options: Any) -> list[Problem]:
        path = write(text)
        try:
            load_all(path, overrides, **options)
        except ScenarioError as error:
            return list(error.problems)
        return []

    return _problems


@pytest.fixture
def minimal() -> str:
    """The smallest scenario that loads."""
    return "version: 1\nname: m\nduration: 60s\nfleet: {py: {count: 3}}\n"
