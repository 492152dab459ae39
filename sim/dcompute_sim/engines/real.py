"""Real time: real sockets and a real broker; every node behind a TCP fault proxy of its own.

One asyncio loop on one thread serves all sockets and, whenever an event of the SimPy environment is due,
steps the director. So the director needs no thread and no lock, and is the same code as in virtual time.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

import simpy
from simpy import Environment, Event

from dcompute.asyncio_driver import AsyncioDriver
from dcompute_sim.brokers.external import ExternalBroker
from dcompute_sim.brokers.mosquitto import MosquittoBroker
from dcompute_sim.brokers.real_broker import RealBroker
from dcompute_sim.engines.processor_wait import ProcessorWait
from dcompute_sim.engines.real_machine import RealMachine, login_of
from dcompute_sim.interfaces.broker_access import OPEN, BrokerAccess
from dcompute_sim.interfaces.node import Node, NodeSpec
from dcompute_sim.interfaces.participant import Participant
from dcompute_sim.interfaces.tls_logins import TlsLogins
from dcompute_sim.interfaces.world import EngineError, Machine
from dcompute_sim.net.proxy import FaultProxy
from dcompute_sim.recorder import Recorder
from dcompute_sim.scenario import NetworkSettings
from dcompute_sim.scenario.network_settings import WIRED
from dcompute_sim.trace import BrokerLagged, LoopLagged, MessagesDropped, Role, Trace

LOOPBACK = "127.0.0.1"
_BEAT_S = 0.1  # how often the loop is asked whether it is in time; later by as much is told
_STARVED_S = _BEAT_S / 2  # so is who wants a processor for longer than that, of a beat


class RunFixture(Protocol):
    """What must be set up before the clock of a run starts, and torn down after it: boards on a bench."""

    def link_host(self, name: str) -> str:
        """Return the address of this machine at which the node of that name finds its link."""

    async def set_up(self) -> None:
        """Make everything this run's. EngineError with all that cannot be used."""

    async def tear_down(self) -> list[str]:
        """Give everything back; what went wrong."""


class LoopEnvironment(Environment):
    """A SimPy environment whose clock is the loop's: each event happens when its time has really come."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._began_s = loop.time()
        self._held_s: float | None = None
        self._stepping = False
        self._call: asyncio.TimerHandle | None = None
        self._finished: asyncio.Future[None] = loop.create_future()

    def elapsed_s(self) -> float:
        """Return the real seconds since the run began."""
        return self._loop.time() - self._began_s if self._held_s is None else self._held_s

    def hold(self) -> None:
        """Stop the clock: what is done now is not part of the run."""
        self._held_s = self.elapsed_s()

    def go_on(self) -> None:
        """Let the clock run from where it was stopped."""
        if self._held_s is not None:
            self._began_s = self._loop.time() - self._held_s
            self._held_s = None

    def schedule(self, event: Event, priority: Any = 1, delay: float = 0) -> None:
        """Schedule an event; called by whatever makes an event happen, in a step or from a callback of the
        loop."""
        if self._stepping:
            super().schedule(event, priority, delay)
            return
        # From outside a step `now` stands at the last event: the delay counts from the real present.
        behind_s = max(0.0, self.elapsed_s() - self.now)
        super().schedule(event, priority, delay + behind_s)
        self._arm()

    async def run_process(self, process: simpy.events.ProcessGenerator) -> None:
        """Run until `process` has ended; raises what it, or any other process, raises."""
        ended = self.process(process)
        assert ended.callbacks is not None
        ended.callbacks.append(lambda event: self._finish(None if event.ok else event.value))
        self._arm()
        try:
            await self._finished
        finally:
            if self._call is not None:
                self._call.cancel()

    def _finish(self, error: BaseException | None) -> None:
        if self._finished.done():
            return
        if error is None:
            self._finished.set_result(None)
        else:
            self._finished.set_exception(error)

    def _arm(self) -> None:
        if self._call is not None:
            self._call.cancel()
        self._call = self._loop.call_at(self._began_s + self.peek(), self._turn)

    def _turn(self) -> None:
        self._call = None
        self._stepping = True
        try:
            while self.peek() <= self.elapsed_s():
                self.step()
        except BaseException as error:
            self._finish(error)
            return
        finally:
            self._stepping = False
        if self.peek() != float("inf"):
            self._arm()


RealNodeFactory = Callable[[NodeSpec, RealMachine, Recorder], Node]


class RealEngine:
    """Supplies links to a real broker, and real time (an `interfaces.world.Engine`); lives in a running loop.

    Args:
        broker: started already, as every link needs its address; ended by `close`.
        factories: what makes a node of each kind.
        fixture: the boards, where the scenario has board nodes.
        logins: in a run with `tls:`.
        access: who logs in under which name.
    """

    def __init__(
        self,
        trace: Trace,
        seed: int,
        broker: RealBroker,
        factories: Mapping[str, RealNodeFactory],
        fixture: RunFixture | None = None,
        logins: TlsLogins | None = None,
        access: BrokerAccess = OPEN,
    ) -> None:
        self._logins = logins
        self._access = access
        self._loop = asyncio.get_running_loop()
        self.env: LoopEnvironment = LoopEnvironment(self._loop)
        self.recorder = Recorder(trace, self._now_us)
        self.broker_name = str(broker.address) if isinstance(broker, ExternalBroker) else broker.name
        self.broker_granularity_s = broker.granularity_s
        self._seed = str(seed)
        self._broker = broker
        self._broker_runs = True
        self._factories = factories
        self._fixture = fixture
        self._is_set_up = False
        self._driver = AsyncioDriver(self._loop, inline_callbacks=True)
        self._machines: list[RealMachine] = []
        self._starting: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = itertools.count(1)
        self._last_us = 0

    def _now_us(self) -> int:
        # Never backwards: SimPy's steps and the loop's callbacks share this one clock.
        self._last_us = max(self._last_us, round(self.env.elapsed_s() * 1e6))
        return self._last_us

    def machine(self, participant: Participant, network: NetworkSettings) -> RealMachine:
        self.recorder.define(participant)
        name = participant.name
        proxy: FaultProxy | None = None
        if participant.role in (Role.NODE, Role.CLONE, Role.MASTER):  # to the others nothing is done
            proxy = FaultProxy(
                name,
                (self._broker.host, self._broker.port),
                self.recorder,
                rng=random.Random(f"{self._seed}/link/{name}"),
                connections=self._connections,
                host=self._fixture.link_host(name) if self._fixture is not None else LOOPBACK,
            )
            self._starting.append(self._loop.create_task(proxy.start()))
        plain = login_of(self._broker) if self._logins is None else self._logins.of(participant.role)
        login = self._access.login(participant, plain)
        machine = RealMachine(name, self._driver, self._broker, proxy, network, login, self._logins)
        self._machines.append(machine)
        if proxy is not None and network != WIRED:  # loopback is such a cable
            machine.restore()
        return machine

    def node(self, spec: NodeSpec, machine: Machine) -> Node:
        if spec.group.kind not in self._factories:
            raise EngineError(f"group {spec.group_name}: nothing here makes {spec.group.kind} nodes")
        assert isinstance(machine, RealMachine), "made by `machine`"
        return self._factories[spec.group.kind](spec, machine, self.recorder)

    def start_broker(self) -> Event:
        if self._broker_runs:
            return self._when_done(asyncio.sleep(0))
        self._broker_runs = True
        return self._when_done(self._broker.start())

    def stop_broker(self, *, keep_memory: bool) -> Event:
        self._broker_runs = False
        return self._when_done(self._broker.pause(keep_memory=keep_memory))

    def ready(self) -> Event:
        starting, self._starting = self._starting, []

        async def all_started() -> None:
            try:
                await asyncio.gather(*starting)
            except OSError as error:
                raise EngineError(f"a node's link cannot listen on this machine: {error}") from None
            if self._fixture is not None and not self._is_set_up:
                self._is_set_up = True
                self.env.hold()
                await self._fixture.set_up()
                self.env.go_on()

        return self._when_done(all_started())

    def finish(self) -> None:
        """Tell what mosquitto says that it denied; what else a real broker drops or hears, nobody tells."""
        if not isinstance(self._broker, MosquittoBroker):
            return
        names = {node_id: name for name, node_id in self._access.ids.items()}
        for (client_id, topic), count in self._broker.denied().items():
            who = names.get(client_id, client_id)
            self.recorder.add(
                MessagesDropped, who=who, why="may not publish", count=count, holds=0, topic=topic
            )

    def _when_done(self, work: Coroutine[Any, Any, None]) -> Event:
        """Return an event triggered when `work` is done; it fails with what `work` raises."""
        event = self.env.event()

        async def do() -> None:
            try:
                await work
            except Exception as error:
                event.fail(error)
            else:
                event.succeed()

        task = self._loop.create_task(do())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return event

    async def run(self, process: Callable[[], simpy.events.ProcessGenerator]) -> None:
        """Run `process()` to its end."""
        watch = self._loop.create_task(self._watch_load())
        try:
            await self.env.run_process(process())
        finally:
            watch.cancel()

    async def _watch_load(self) -> None:
        """Tell of each time that the loop had no turn, or that the loop or the broker's process had no
        processor: what they serve was late then by nobody's fault."""
        own, brokers = ProcessorWait(), ProcessorWait()
        thread = threading.get_native_id()
        while True:
            due_s = self.env.elapsed_s() + _BEAT_S
            await asyncio.sleep(_BEAT_S)
            late_s, starved_s = self.env.elapsed_s() - due_s, own.since_s(thread)
            if late_s >= _BEAT_S or starved_s >= _STARVED_S:
                self.recorder.add(LoopLagged, lag_us=round(max(late_s, starved_s) * 1e6))
            starved_s = brokers.since_s(self._broker.process_id)
            if starved_s >= _STARVED_S:
                self.recorder.add(BrokerLagged, lag_us=round(starved_s * 1e6))

    async def close(self) -> None:
        """Close every link and end the broker, if it is ours."""
        for task in [*self._starting, *self._tasks]:
            task.cancel()
        await asyncio.gather(*self._starting, *self._tasks, return_exceptions=True)
        if self._fixture is not None:
            for trouble in await self._fixture.tear_down():
                logging.getLogger("dcompute").warning("%s", trouble)
        for machine in self._machines:
            await machine.close()
        await self._broker.stop()
