"""How a fault is done to a node, its link, the broker or the master, on any engine, and undone in time.

A fault that is `sure` lasts until it had an effect.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import Any

from simpy import Event, Resource

from dcompute.node_core import Topics
from dcompute.protocol import encode_dead
from dcompute_sim import trace as t
from dcompute_sim.director.master import MasterHandle
from dcompute_sim.director.probe_client import Outsider
from dcompute_sim.director.trigger import Triggers
from dcompute_sim.interfaces.node import Node, NodeSpec
from dcompute_sim.interfaces.world import Engine, Machine
from dcompute_sim.scenario import Fault, Scenario, When, active_until
from dcompute_sim.scenario import faults as kinds

Steps = Generator[Event, Any, None]
LOOK_S = 0.25  # how often a `sure` fault looks whether it can strike, or has bitten
_PUBLISH_S = 10.0  # a stranger's patience with the broker


class Deeds:
    """What every kind of fault does. Whom it strikes, and when, is decided and recorded before."""

    def __init__(
        self,
        engine: Engine,
        scenario: Scenario,
        nodes: Mapping[str, Node],
        specs: Mapping[str, NodeSpec],
        machines: Mapping[str, Machine],
        master: MasterHandle,
        triggers: Triggers,
    ) -> None:
        self._engine = engine
        self._env = engine.env
        self._recorder = engine.recorder
        self._scenario = scenario
        self._nodes = nodes
        self._specs = specs
        self._machines = machines
        self._master = master
        self._triggers = triggers
        self._topics = Topics(scenario.namespace)
        self._silenced: dict[str, int] = {}  # faults that may overlap: what is down stays so until the last
        self._broker_outages = 0
        self._broker_is_up = True
        self._broker_switch = Resource(engine.env)  # one hand at a time: starting and stopping take time
        self._over_s = active_until(scenario)
        self._clones: list[Node] = []
        self._on_node: dict[type[Fault], Callable[[Any, str, str], Steps]] = {
            kinds.Crash: self._crash,
            kinds.PowerCut: self._power_cut,
            kinds.Reboot: self._reboot,
            kinds.Hang: self._hang,
            kinds.Reset: self._reset,
            kinds.WifiDrop: self._wifi_drop,
            kinds.ApGone: self._wifi_drop,
            kinds.DeadLink: self._dead_link,
            kinds.SlowLink: self._slow_link,
            kinds.Flap: self._flap,
            kinds.Clone: self._clone,
            kinds.StaleWill: self._stale_will,
            kinds.Inject: self._inject,
        }
        self._elsewhere: dict[type[Fault], Callable[[Any, str], Steps]] = {
            kinds.BrokerStop: self._broker_stop,
            kinds.BrokerRestart: self._broker_restart,
            kinds.MasterCrash: self._master_crash,
        }

    def on_node(self, fault: Fault, name: str, node: str) -> Steps:
        """Do it to a node; over when the fault is."""
        return self._on_node[type(fault)](fault, name, node)

    def elsewhere(self, fault: Fault, name: str) -> Steps:
        """Do it to the broker or the master; over when the fault is."""
        return self._elsewhere[type(fault)](fault, name)

    def possible_elsewhere(self, fault: Fault) -> bool:
        """Whether the broker or the master, whichever it is for, is there to be struck."""
        return self._master.connected if isinstance(fault, kinds.MasterCrash) else not self._broker_outages

    def close(self) -> None:
        """The run is over: leave no clone behind."""
        for clone in self._clones:
            clone.close()

    def _lasting(self, fault: Fault, name: str, node: str, undo: Callable[[], None]) -> Steps:
        """Undo a fault after its time; for ever when it has none."""
        if fault.lasts is None:
            yield self._env.event()
            return
        yield self._env.timeout(fault.lasts)
        yield from self._until_felt(fault, name)
        self._recorder.fault_ended(name, node)
        undo()

    def _until_felt(self, fault: Fault, name: str) -> Steps:
        """A `sure` fault goes on until it had an effect."""
        while fault.sure and not self._recorder.has_bitten(name) and self._env.now < self._over_s:
            yield self._env.timeout(LOOK_S)

    # --- nodes ------------------------------------------------------------------------------------------

    def _crash(self, fault: kinds.Crash, name: str, node: str) -> Steps:
        self._nodes[node].crash()
        return self._lasting(fault, name, node, self._nodes[node].power_on)

    def _power_cut(self, fault: kinds.PowerCut, name: str, node: str) -> Steps:
        self._nodes[node].power_cut()
        return self._lasting(fault, name, node, self._nodes[node].power_on)

    def _reboot(self, fault: kinds.Reboot, name: str, node: str) -> Steps:
        self._nodes[node].power_cut("reboot")
        return self._lasting(fault, name, node, self._nodes[node].power_on)

    def _hang(self, fault: kinds.Hang, name: str, node: str) -> Steps:
        self._nodes[node].hang(fault.heal_after)
        if fault.heal_after is None:
            yield self._env.event()
            return
        yield self._env.timeout(fault.heal_after)
        yield from self._until_felt(fault, name)
        self._nodes[node].resume()  # first: some know only then whether they had anything to withhold
        self._recorder.fault_ended(name, node)

    def _reset(self, fault: kinds.Reset, name: str, node: str) -> Steps:
        self._machines[node].reset_connections()
        yield self._env.timeout(0)

    # --- links ------------------------------------------------------------------------------------------

    def _wifi_drop(self, fault: kinds.WifiDrop | kinds.ApGone, name: str, node: str) -> Steps:
        self._silence(node, known=True, for_s=fault.heal_after)
        return self._lasting(fault, name, node, lambda: self._heal(node, known=True))

    def _dead_link(self, fault: kinds.DeadLink, name: str, node: str) -> Steps:
        self._silence(node, known=False, for_s=fault.heal_after)
        return self._lasting(fault, name, node, lambda: self._heal(node, known=False))

    def _silence(self, node: str, *, known: bool, for_s: float | None) -> None:
        self._silenced[node] = self._silenced.get(node, 0) + 1
        self._machines[node].link_down(known=known)
        if known:
            self._nodes[node].wifi(False, for_s)

    def _heal(self, node: str, *, known: bool) -> None:
        self._silenced[node] -= 1
        if self._silenced[node]:
            return
        self._machines[node].link_up()
        if known:
            self._nodes[node].wifi(True)

    def _slow_link(self, fault: kinds.SlowLink, name: str, node: str) -> Steps:
        machine = self._machines[node]
        usual = self._scenario.network_of(self._nodes[node].group_name)
        machine.slow(
            usual.latency if fault.latency is None else fault.latency,
            usual.jitter if fault.jitter is None else fault.jitter,
            usual.bandwidth if fault.bandwidth is None else fault.bandwidth,
        )
        before = machine.crossings()
        if fault.heal_after is None:
            while machine.crossings() == before:
                yield self._env.timeout(1.0)
        else:
            yield self._env.timeout(fault.heal_after)
            while fault.sure and machine.crossings() == before and self._env.now < self._over_s:
                yield self._env.timeout(LOOK_S)
        crossed = machine.crossings() - before
        if crossed:
            self._recorder.effect(node, "slowed", f"slowed {crossed} crossings")
        if fault.heal_after is not None:
            self._recorder.fault_ended(name, node)
            machine.restore()

    def _flap(self, fault: kinds.Flap, name: str, node: str) -> Steps:
        for _ in range(fault.cycles):
            self._silence(node, known=True, for_s=fault.down)
            yield self._env.timeout(fault.down)
            self._heal(node, known=True)
            yield self._env.timeout(fault.up)
        if fault.sure and not self._recorder.has_bitten(name):
            self._silence(node, known=True, for_s=self._over_s - self._env.now)
            yield from self._until_felt(fault, name)
            self._heal(node, known=True)
        self._recorder.fault_ended(name, node)

    # --- identities -------------------------------------------------------------------------------------

    def _clone(self, fault: kinds.Clone, name: str, node: str) -> Steps:
        spec = self._specs[node]
        double = replace(spec, name=f"{node}~{name}")
        machine = self._engine.machine(double.name, self._scenario.network_of(spec.group_name))
        yield self._engine.ready()
        clone = self._engine.node(double, machine)
        self._clones.append(clone)
        clone.power_on()
        yield from self._lasting(fault, name, node, clone.crash)

    def _stale_will(self, fault: kinds.StaleWill, name: str, node: str) -> Steps:
        old_inc = self._nodes[node].inc
        back = self._triggers.watch(When(event="node_connected", node=node))
        self._machines[node].reset_connections()
        yield from back
        yield self._env.timeout(fault.delay)
        will = encode_dead(node, old_inc)
        yield from self._publish(fault, name, node, self._topics.status_of(node), will, 1, True)

    def _inject(self, fault: kinds.Inject, name: str, node: str) -> Steps:
        topic = self._topics.prefix + fault.topic.replace("{node}", node)
        return self._publish(fault, name, node, topic, _payload(fault, node), fault.qos, fault.retain)

    def _publish(
        self, fault: Fault, name: str, node: str, topic: str, payload: bytes, qos: int, retain: bool
    ) -> Steps:
        machine = self._engine.machine(f"stranger-{name}", self._scenario.network)
        yield self._engine.ready()
        while True:
            done = self._env.event()
            stranger = Outsider(
                machine,
                f"stranger-{name}",
                message=(topic, payload, qos, retain),
                on_done=functools.partial(_succeed, done),
            )
            yield done | self._env.timeout(_PUBLISH_S)
            stranger.leave()
            if done.triggered:
                self._recorder.effect(node, "published", f"published {len(payload)} bytes to {topic}")
            if done.triggered or not fault.sure or self._env.now >= self._over_s:
                return

    # --- broker and master ------------------------------------------------------------------------------

    def _broker_stop(self, fault: kinds.BrokerStop, name: str) -> Steps:
        return self._broker_away(fault, name, keep_memory=True)

    def _broker_restart(self, fault: kinds.BrokerRestart, name: str) -> Steps:
        return self._broker_away(fault, name, keep_memory=fault.memory == "keep")

    def _broker_away(self, fault: Fault, name: str, *, keep_memory: bool) -> Steps:
        self._broker_outages += 1
        with self._broker_switch.request() as turn:
            yield turn
            if self._broker_is_up:
                self._broker_is_up = False
                self._recorder.add(t.BrokerStopped, kept_memory=keep_memory)
                yield self._engine.stop_broker(keep_memory=keep_memory)
        if fault.lasts is None:
            return
        yield self._env.timeout(fault.lasts)
        yield from self._until_felt(fault, name)
        with self._broker_switch.request() as turn:
            yield turn
            self._broker_outages -= 1
            if not self._broker_outages:
                yield self._engine.start_broker()
                self._broker_is_up = True
                self._recorder.add(t.BrokerStarted)
        self._recorder.fault_ended(name)

    def _master_crash(self, fault: kinds.MasterCrash, name: str) -> Steps:
        self._master.crash()
        return self._lasting(fault, name, "", self._master.start)


def _succeed(event: Event) -> None:
    if not event.triggered:
        event.succeed()


def _payload(fault: kinds.Inject, node: str) -> bytes:
    """The injected bytes; `{node}` stands for the selected node."""
    if fault.hex is not None:
        return bytes.fromhex(fault.hex)
    if fault.payload is None:
        return b""
    text = fault.payload if isinstance(fault.payload, str) else json.dumps(fault.payload, ensure_ascii=False)
    return text.replace("{node}", node).encode()
