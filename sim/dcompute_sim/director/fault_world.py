"""What faults may use of a run (`faults.injection.World`): doubles, messages, the broker's switch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace

from simpy import Event, Resource

from dcompute.node_core import Topics
from dcompute_sim import trace as t
from dcompute_sim.director.eavesdropper import Eavesdropper
from dcompute_sim.director.master_program import MasterProgram
from dcompute_sim.director.probe_client import ProbeClient
from dcompute_sim.director.trigger import Triggers
from dcompute_sim.faults.schedule import When
from dcompute_sim.interfaces import participant
from dcompute_sim.interfaces.node import Node, NodeSpec
from dcompute_sim.interfaces.world import Engine
from dcompute_sim.recorder import Recorder
from dcompute_sim.scenario import Scenario

_PUBLISH_S = 10.0  # a probe client's patience with the broker


class FaultWorld:
    """A `faults.injection.World`."""

    def __init__(
        self,
        engine: Engine,
        recorder: Recorder,
        scenario: Scenario,
        specs: Mapping[str, NodeSpec],
        masters: Mapping[str, MasterProgram],
        triggers: Triggers,
    ) -> None:
        self.env = engine.env
        self.topics = Topics(scenario.namespace)
        self.broker = BrokerSwitch(engine, recorder)
        self.masters = masters
        self._engine = engine
        self._recorder = recorder
        self._scenario = scenario
        self._specs = specs
        self._triggers = triggers
        self._doubles: list[Node] = []

    def next(self, when: When) -> Event:
        return next(iter(self._triggers.watch(when)))

    def double(self, of: str, fault: str, key: str) -> Generator[Event, object, Node]:
        spec = self._specs[of]
        who = participant.clone(of, key)
        machine = self._engine.machine(who, self._scenario.network_of(spec.group_name))
        self._recorder.cloned(who, fault)
        yield self._engine.ready()
        node = self._engine.node(replace(spec, name=who.name), machine)
        self._doubles.append(node)
        return node

    def eavesdrop(
        self,
        name: str,
        topics: Sequence[str],
        heard: Callable[[str, bytes], Sequence[tuple[str, bytes]]],
        *,
        delay_s: float = 0.0,
        retain: bool = False,
    ) -> Generator[Event, object, Callable[[], None]]:
        who = participant.probe(name)
        machine = self._engine.machine(who, self._scenario.network)
        yield self._engine.ready()
        hears = self.env.event()
        client = Eavesdropper(
            machine,
            who.name,
            topics,
            heard,
            functools.partial(_succeed, hears),
            delay_s=delay_s,
            retain=retain,
        )
        yield hears | self.env.timeout(_PUBLISH_S)
        return client.leave

    def publish(
        self, name: str, topic: str, payload: bytes, *, qos: int, retain: bool, until_s: float
    ) -> Generator[Event, object, bool]:
        who = participant.probe(name)
        machine = self._engine.machine(who, self._scenario.network)
        yield self._engine.ready()
        while True:
            done = self.env.event()
            client = ProbeClient(
                machine,
                who.name,
                message=(topic, payload, qos, retain),
                on_done=functools.partial(_succeed, done),
            )
            yield done | self.env.timeout(_PUBLISH_S)
            client.leave()
            if done.triggered or self.env.now >= until_s:
                return done.triggered

    def close(self) -> None:
        """Leave no double behind: the run is over."""
        for node in self._doubles:
            node.close()


class BrokerSwitch:
    """Stops and starts the broker. Outages may overlap: it is down until the last of them is over."""

    def __init__(self, engine: Engine, recorder: Recorder) -> None:
        self._engine = engine
        self._recorder = recorder
        self._outages = 0
        self._is_started = True
        self._turns = Resource(engine.env)  # one hand at a time: starting and stopping take time

    @property
    def is_up(self) -> bool:
        return not self._outages

    def stop(self, *, keep_memory: bool) -> Generator[Event, object, None]:
        self._outages += 1
        with self._turns.request() as turn:
            yield turn
            if self._is_started:
                self._is_started = False
                self._recorder.add(t.BrokerStopped, kept_memory=keep_memory)
                yield self._engine.stop_broker(keep_memory=keep_memory)

    def start(self) -> Generator[Event, object, None]:
        with self._turns.request() as turn:
            yield turn
            self._outages -= 1
            if not self._outages:
                yield self._engine.start_broker()
                self._is_started = True
                self._recorder.add(t.BrokerStarted)


def _succeed(event: Event) -> None:
    if not event.triggered:
        event.succeed()
