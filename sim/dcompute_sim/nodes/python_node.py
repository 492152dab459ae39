"""A python node: the production ComputeNodeTransport and task loop, in this process, with simulated work."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dcompute.node_transport import ComputeNodeTransport
from dcompute.parts import failure_of
from dcompute.worker import Done, TaskLoop
from dcompute_sim import trace as t
from dcompute_sim.answers import python_result
from dcompute_sim.faults.effects import LEFT, WITHHELD
from dcompute_sim.faults.injection import HowStuck
from dcompute_sim.interfaces.node import NodeSpec
from dcompute_sim.interfaces.suspendable import SuspendableDriver
from dcompute_sim.interfaces.world import EngineError, Machine
from dcompute_sim.mutants.classes import node_classes
from dcompute_sim.net.fence import FenceError
from dcompute_sim.recorder import Recorder
from dcompute_sim.rng import Rng

_LIMITS = {"queue_limit": "queue_limit", "hold_limit": "hold_limit", "keep": "keep_bytes"}
"""What a scenario leaves out is as the transport has it, and as people run it."""
_LOOK_S = 0.02
_TRACED = 'Traceback (most recent call last):\n  File "handler.py", line 1, in handler\n'
"""Of each failure: Python's own differ by version and machine, and so would what a task costs on the wire."""


class PythonNode:
    """Runs the production node with simulated work (an `interfaces.node.Node`)."""

    __slots__ = (
        "_at_work",
        "_boots",
        "_callbacks",
        "_driver",
        "_leaving",
        "_loop",
        "_machine",
        "_recorder",
        "_spec",
        "_transport",
        "group_name",
        "name",
        "node_id",
    )

    def __init__(self, spec: NodeSpec, machine: Machine, recorder: Recorder) -> None:
        self.name = spec.name
        self.node_id = spec.node_id
        self.group_name = spec.group_name
        self._spec = spec
        self._machine = machine
        self._recorder = recorder
        self._boots = 0
        self._driver: SuspendableDriver | None = None
        self._transport: ComputeNodeTransport | None = None
        self._loop: TaskLoop | None = None
        self._leaving = False
        self._callbacks = 0
        self._at_work: dict[str, tuple[dict[str, object], Done]] | None = (
            {} if spec.group.heeds_cancel else None
        )

    @property
    def running(self) -> bool:
        return self._transport is not None

    @property
    def transport(self) -> ComputeNodeTransport | None:
        """The transport of its program, while that runs."""
        return self._transport

    @property
    def connected(self) -> bool:
        return self._transport is not None and self._transport.is_connected()

    @property
    def status(self) -> str:
        return self._transport.status if self._transport is not None else ""

    @property
    def inc(self) -> str:
        return self._transport.inc if self._transport is not None else ""

    def power_on(self) -> None:
        if self._transport is not None:
            return
        self._boots += 1
        spec = self._spec
        self._recorder.add(t.NodeStarted, node=self.name, boot=self._boots)
        self._machine.power_on()
        host, port = self._machine.address
        rng = Rng(f"{spec.seed}/node/{self.name}/{self._boots}")
        self._driver = SuspendableDriver(self._machine.driver, rng, self)
        transport_class, core_class = node_classes(spec.mutants)
        functions = spec.group.functions
        self._transport = transport_class(
            host,
            port,
            self.node_id,
            device_type="simulated",
            username=self._machine.login.username,
            password=self._machine.login.password,
            tls=self._machine.login.tls,
            keepalive=max(1, round(spec.group.keepalive)),
            namespace=spec.namespace,
            install_signal_handlers=False,
            driver=self._driver,
            observer=self._recorder.node_observer(self.name),
            core_class=core_class,
            credit=spec.group.credit,
            capabilities=None if functions is None else {"functions": functions},
            **{
                name: limit
                for key, name in _LIMITS.items()
                if (limit := getattr(spec.group, key)) is not None
            },
        )
        self._loop = TaskLoop(self._transport, self._execute)
        self._callbacks = 0
        self._transport.set_task_callback(self._notice)
        if self._at_work is not None:
            self._at_work.clear()
            self._transport.set_cancel_callback(self._unwanted)
        self._transport.start(timeout_s=0)

    def withheld(self) -> None:
        """Take in that the program had something to do and hangs."""
        self._recorder.effect(self.name, WITHHELD)

    def _notice(self) -> None:
        """Let the program notice a task when it next looks, up to `poll` later."""
        driver, loop = self._driver, self._loop
        assert driver is not None
        assert loop is not None
        self._callbacks += 1
        driver.call_later(driver.random.uniform(0, self._spec.group.poll), partial(self._turn, loop.kick))

    def _turn(self, turn: Callable[[], None]) -> None:
        """Do what production does in a callback. What that raises is logged there and stops nothing else: it
        is told, to be judged, and ends no run."""
        try:
            turn()
        except FenceError:  # the testbed's own
            raise
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            told = f"{type(error).__name__}: {error}"
            at = f"{Path(frame.filename).name}:{frame.lineno}"
            self._recorder.add(t.ProgramRaised, node=self.name, error=told, at=at)

    def _execute(self, task: dict[str, object], done: Done) -> None:
        driver = self._driver
        assert driver is not None
        self._recorder.add(
            t.ExecutionBegan,
            node=self.name,
            task=str(task["id"]),
            attempt=task.get("attempt", 1),
            life=self._boots,
        )
        group = self._spec.group
        failing = group.fail_rate > 0 and driver.random.random() < group.fail_rate
        result: Any = python_result(task)
        if group.functions is not None and task.get("function") not in (None, *self._known(group.functions)):
            result = LookupError(f"no function {task['function']}")
        elif failing:
            result = RuntimeError("as the scenario asked")
        elif "error" in result:
            result = ValueError(result["error"])
        if self._at_work is not None:
            self._at_work[str(task["id"])] = (task, done)
        work_s = group.work.draw(driver.random)
        driver.call_later(work_s, lambda: self._ended(task, done, result))
        if group.progress is not None:
            self._say_progress(driver, str(task["id"]), work_s, group.progress)

    def _say_progress(self, driver: SuspendableDriver, task: str, work_s: float, every_s: float) -> None:
        assert self._transport is not None
        for number in range(1, math.ceil(work_s / every_s)):
            at_s = number * every_s
            driver.call_later(at_s, partial(self._progressed, task, at_s / work_s))

    def _progressed(self, task: str, fraction: float) -> None:
        if self._transport is not None:
            percent = round(100 * fraction)
            text = f"{percent} % of {task}"
            self._recorder.add(t.ProgressSaid, node=self.name, task=task, percent=percent, text=text)
            self._transport.send_progress(task, fraction, text)

    @staticmethod
    def _known(functions: list[str]) -> list[str]:
        """Return them by their whole names and their short ones, as `dcompute node --functions` has it."""
        return functions + [name.rpartition(":")[2] for name in functions]

    def _ended(self, task: dict[str, object], done: Done, result: object) -> None:
        if self._at_work is None or self._at_work.pop(str(task["id"]), None) is not None:
            self._end(task, done, result)

    def _unwanted(self, task_id: str) -> None:
        at_work = None if self._at_work is None else self._at_work.pop(task_id, None)
        if at_work is not None:
            self._end(*at_work, RuntimeError("it is not wanted any more"))

    def _end(self, task: dict[str, object], done: Done, result: object) -> None:
        """Return this from the handler, or raise it: it is written down before production has it."""
        why = f"{type(result).__name__}: {result}" if isinstance(result, Exception) else ""
        meant = bool(why) and not isinstance(result, LookupError)
        self._recorder.add(
            t.TaskFinished, node=self.name, task=str(task["id"]), ok=not why, meant=meant, why=why
        )
        told = failure_of(result, f"{_TRACED}{why}\n") if isinstance(result, Exception) else result
        self._turn(partial(done, told))

    def crash(self) -> None:
        self._stop("crash")

    def leave(self) -> None:
        """Leave as SIGTERM has it, at work too: the transport's `stop()`, and then the program is no more."""
        if self._transport is not None and self._loop is not None and not self._leaving:
            self._leaving = True
            self._loop.stop()
            self._transport.stop()

    def drain(self) -> None:
        """Leave as SIGTERM has it for `dcompute node`: what is at work is finished first."""
        if self._transport is not None and self._loop is not None and not self._leaving:
            self._transport.give_back()
            self._loop.stop()
            self._leave_when_idle()

    def _leave_when_idle(self) -> None:
        if self._loop is not None and self._driver is not None:
            if self._loop.is_idle():
                self.leave()
            else:
                self._driver.call_later(_LOOK_S, self._leave_when_idle)

    def waited(self) -> None:
        """Take in that the program has done what it waited for, such as to leave."""
        if self._leaving:
            self._stop("exit")
            self._recorder.effect(self.name, LEFT, "left, by its own account")

    def power_cut(self, how: str = "power_cut") -> None:
        self._stop(how)

    def _stop(self, how: str) -> None:
        if self._driver is None:
            return
        self._driver.cut()
        self._leaving = False
        if how in ("crash", "exit"):
            self._machine.crash(self._driver)
        else:
            self._machine.power_cut(self._driver)
        self._driver = self._transport = self._loop = None
        self._recorder.add(t.NodeStopped, node=self.name, how=how)

    def hang(self, for_s: float | None = None) -> None:
        if self._driver is not None:
            self._driver.freeze()
            self._recorder.add(t.NodeStopped, node=self.name, how="hang")

    def resume(self) -> None:
        if self._driver is not None:
            self._driver.thaw()

    def wifi(self, present: bool, for_s: float | None = None, *, kick: bool = False) -> None:
        pass

    def wifi_stuck(self, how: HowStuck) -> Callable[[], bool]:
        raise EngineError(f"{self.name} has no Wi-Fi interface")

    def hears(
        self, rssi: Mapping[str, int | None], lost: Callable[[], None], joined: Callable[[], None]
    ) -> Mapping[str, int | None]:
        raise EngineError(f"{self.name} has no Wi-Fi interface")

    def station(self, mac: str, *, near: bool) -> None:
        raise EngineError(f"{self.name} has no Wi-Fi interface")

    def close(self) -> None:
        if self._driver is not None:
            self._driver.cut()
            self._machine.crash(self._driver)
            self._driver = self._transport = self._loop = None

    def tell_memory(self) -> None:
        pass

    def counters(self) -> dict[str, int]:
        """Return those of its transport, and how often that has told it of a task."""
        if self._transport is None:
            return {}
        return {**self._transport.counters(), "task_callbacks": self._callbacks}
