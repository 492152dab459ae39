"""Measures one board: at its prompt, and then as a node of a short scenario, from the trace of that run.

What is measured over the air (round trips, tasks, heap, the will) comes from the same engine, link and trace
as every run's, so a record says what a scenario would have seen.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from simpy import Event as Happening

from dcompute.parts import number_of
from dcompute_sim import trace as t
from dcompute_sim.brokers.real_broker import RealBroker
from dcompute_sim.director import Director
from dcompute_sim.engines.real import RealEngine
from dcompute_sim.hardware.bench import Bench
from dcompute_sim.hardware.board_errors import BoardError
from dcompute_sim.hardware.hardware_map import BoardLocation
from dcompute_sim.hardware.run_config import inspect
from dcompute_sim.hardware.serial_link import SerialLink
from dcompute_sim.hardware.shared_link import SharedLink
from dcompute_sim.recorder import Recorder
from dcompute_sim.scenario import Scenario, concretise
from dcompute_sim.scenario.board_record import BoardRecord, Figures

NODE = "board-1"
_KEEPALIVE_S = 4
_OUTSTANDING = 4
_JOINS = 3
_JOIN_S = 20
_LOOP_TURNS = 20_000
_AFTER_RESET_S = 60

_PROMPT = f"""
import network, os, sys, time
sys.path.insert(0, _home or '/')
import config
def _join():
    w = network.WLAN(network.STA_IF)
    w.active(False)
    time.sleep_ms(200)
    w.active(True)
    if config.STATIC_IP:
        w.ifconfig((config.STATIC_IP, config.NETMASK, config.GATEWAY, config.DNS_SERVER))
    began = time.ticks_ms()
    w.connect(config.WIFI_SSID, config.WIFI_PASSWORD)
    while not w.isconnected():
        if time.ticks_diff(time.ticks_ms(), began) > {_JOIN_S * 1000}:
            return -w.status()
        time.sleep_ms(10)
    return time.ticks_diff(time.ticks_ms(), began)
def _turns():
    began = time.ticks_us()
    for i in range({_LOOP_TURNS}):
        pass
    return time.ticks_diff(time.ticks_us(), began)
_f = os.statvfs('/')
"""
_WIFI = {201: "network not found", 202: "wrong password", 203: "association failed", 1001: "no address"}


@dataclass(frozen=True)
class AtPrompt:
    """What was measured with no program running."""

    machine: str
    micropython: str
    heap_bytes: int
    flash_free_bytes: int
    loop_us: float
    join_ms: Sequence[int]


async def survey(
    place: BoardLocation, broker: RealBroker, tasks: int, say: Callable[[str], None]
) -> BoardRecord:
    """Measure the board at `place`, which has our firmware; afterwards it is as it was.

    Args:
        broker: not started yet.
        tasks: how many it is given.
        say: told what is being measured.

    Raises:
        BoardError, EngineError, BrokerError: it cannot be; the message says why.
    """
    assert place.port is not None
    say("at its prompt: memory, speed, Wi-Fi")
    link = SharedLink("the board", place.port, place.baud, lambda _text: None)
    try:
        await link.open()
        await link.do(SerialLink.enter)
        at_prompt = await link.do(_at_prompt)
    finally:
        await link.close()
    say(f"as a node: {number_of(tasks, 'task')}, then a hard reset")
    events, trips_s = await _as_node(place, broker, tasks)
    return record_of(at_prompt, events, trips_s, tasks)


def _at_prompt(link: SerialLink) -> AtPrompt:
    program = inspect(link)
    if not program.has_hooks:
        raise BoardError(
            f"{link.port}: its firmware has no debug_hooks.py, which a survey needs: deploy ours first"
        )
    link.run(_PROMPT)
    turns_us = int(_printed(link, "_turns()"))
    joins = [int(_printed(link, "_join()")) for _ in range(_JOINS)]
    if min(joins) < 0:
        status = -min(joins)
        raise BoardError(
            f"{link.port}: it does not join its Wi-Fi within {_JOIN_S} s ({_WIFI.get(status, status)})"
        )
    return AtPrompt(
        program.machine,
        ".".join(map(str, program.version)),
        program.heap_bytes,
        int(_printed(link, "_f[0] * _f[3]")),
        turns_us / _LOOP_TURNS,
        joins,
    )


def _printed(link: SerialLink, expression: str) -> str:
    return link.run(f"print({expression})", _JOIN_S + 10).strip()


# --- as a node ------------------------------------------------------------------------------------------


def scenario(tasks: int) -> Scenario:
    """Return the scenario that the board goes through."""
    ready = {"event": "node_status_seen", "where": {"status": "ready"}, "after": "500ms"}
    memory = {"kind": "inject", "topic": "{node}", "payload": {"task_info": {"command": "memory"}}}

    def done(after: str) -> dict[str, object]:
        return {"event": "result_received", "count": tasks, "after": after}

    return Scenario.model_validate(
        {
            "version": 1,
            "name": "survey",
            "time": "real",
            "duration": f"{120 + tasks}s",
            "fleet": {"board": {"kind": "board", "keepalive": f"{_KEEPALIVE_S}s", "poll": "1ms"}},
            "workload": [
                {
                    "tasks": tasks,
                    "via": "transport",  # a message for each task: an executor sends several in one
                    "loop": {"closed": {"outstanding": _OUTSTANDING}},
                    "when": {**ready, "after": "1s"},
                }
            ],
            "faults": [
                {**memory, "when": ready},
                {**memory, "when": done("500ms")},
                {"kind": "reboot", "when": done("1500ms")},
            ],
        }
    )


async def _as_node(
    place: BoardLocation, broker: RealBroker, tasks: int
) -> tuple[list[t.Event], Sequence[float]]:
    trace = t.Trace()
    bench = Bench({NODE: place})
    await broker.start()
    engine = RealEngine(trace, 1, broker, {"board": bench.node}, bench)
    try:
        director = Director(engine, engine.recorder, concretise(scenario(tasks)))
        over = engine.env.event()
        trace.listen(_Ending(engine.recorder, over.succeed).on_event)

        def until_over() -> Generator[Happening, Any, None]:
            yield engine.env.process(director.run()) | over

        try:
            await engine.run(until_over)
        finally:
            engine.recorder.close()
            director.close()
    finally:
        await engine.close()
    return trace.events, bench.nodes[0].round_trips_s


class _Ending:
    """Sees when the board has died of its reset and is ready again."""

    def __init__(self, recorder: Recorder, over: Callable[[], object]) -> None:
        self._recorder = recorder
        self._over = over
        self._missing = {"death", "ready"}
        self._reset = False
        self._ended = False

    def on_event(self, event: t.Event) -> None:
        if isinstance(event, t.FaultInjected) and event.kind == "reboot":
            self._reset = True
            asyncio.get_running_loop().call_later(_AFTER_RESET_S, self._end)
        elif self._reset and isinstance(event, t.DeathReported):
            self._missing.discard("death")
        elif self._reset and isinstance(event, t.NodeStatusSeen) and event.status == "ready":
            self._missing.discard("ready")
        if not self._missing:
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._over()


# --- from the trace to the record -----------------------------------------------------------------------


def record_of(
    at_prompt: AtPrompt, events: Sequence[t.Event], trips_s: Sequence[float], tasks: int
) -> BoardRecord:
    """Return what prompt and trace say. BoardError when the board did not do what was asked of it."""
    results = [event for event in events if isinstance(event, t.ResultReceived)]
    if len(results) < tasks:
        raise BoardError(
            f"the board gave {len(results)} of {number_of(tasks, 'result')}; it last printed: "
            f"{_last_words(events)}"
        )
    started = _first(events, lambda e: isinstance(e, t.NodeStarted), "it did not start")
    ready = _first(events, _is_ready, "it was never ready")
    reset = _first(
        events, lambda e: isinstance(e, t.FaultInjected) and e.kind == "reboot", "it was not reset"
    )
    death = _first(
        events,
        lambda e: isinstance(e, t.DeathReported) and e.t_us >= reset.t_us,
        f"nobody published its will within {_AFTER_RESET_S} s of the reset",
    )
    free = [
        int(event.text.split()[1])
        for event in events
        if isinstance(event, t.NodeOutput) and event.text.startswith("memory ")
    ]
    if len(free) < 2 or not trips_s:
        raise BoardError(f"the board did not print its memory twice: {_last_words(events)}")
    taken_s = (results[-1].t_us - results[0].t_us) / 1e6
    return BoardRecord(
        machine=at_prompt.machine,
        micropython=at_prompt.micropython,
        heap_bytes=at_prompt.heap_bytes,
        flash_free_bytes=at_prompt.flash_free_bytes,
        loop_us=round(at_prompt.loop_us, 3),
        wifi_join_ms=Figures.of(at_prompt.join_ms),
        ready_after_reset_s=round((ready.t_us - started.t_us) / 1e6, 3),
        round_trip_ms=Figures.of([trip_s * 1000 for trip_s in trips_s]),
        tasks=tasks,
        tasks_per_s=round((len(results) - 1) / taken_s, 1) if taken_s else 0.0,
        heap_free_before_bytes=free[0],
        heap_free_after_bytes=free[1],
        will_after_reset_s=round((death.t_us - reset.t_us) / 1e6, 3),
        keepalive_s=_KEEPALIVE_S,
    )


def _is_ready(event: t.Event) -> bool:
    return isinstance(event, t.NodeStatusSeen) and event.status == "ready"


def _first(events: Sequence[t.Event], wanted: Callable[[t.Event], bool], without: str) -> t.Event:
    found = next(filter(wanted, events), None)
    if found is None:
        raise BoardError(f"the board cannot be measured: {without}; it last printed: {_last_words(events)}")
    return found


def _last_words(events: Sequence[t.Event]) -> str:
    lines = [event.text for event in events if isinstance(event, t.NodeOutput)]
    return json.dumps(lines[-3:], ensure_ascii=False)
