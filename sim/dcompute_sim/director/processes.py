"""The whole run: broker, master, fleet, work, faults, and at its end what everyone believes."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING

from simpy import Event

from dcompute.node_core import Topics
from dcompute_sim import trace as t
from dcompute_sim.director.bare_transport import BareTransport
from dcompute_sim.director.fault_processes import Faults
from dcompute_sim.director.fault_world import FaultWorld
from dcompute_sim.director.load_generator import Workload
from dcompute_sim.director.master_program import MasterProgram, TransportMaster
from dcompute_sim.director.memory_readings import watch_memory
from dcompute_sim.director.node_ids import NodeIds
from dcompute_sim.director.probe_client import ProbeClient, RetainedStatuses
from dcompute_sim.director.trigger import Triggers
from dcompute_sim.director.updater import Updates
from dcompute_sim.faults import Fault
from dcompute_sim.interfaces import participant
from dcompute_sim.interfaces.node import Node, NodeSpec
from dcompute_sim.interfaces.world import Engine, Machine
from dcompute_sim.recorder import Recorder
from dcompute_sim.scenario import MASTER, AskerSettings, Scenario, active_until, phase_starts
from dcompute_sim.scenario.network_settings import WIRED, merged

if TYPE_CHECKING:
    from dcompute_sim.director.executor_program import ExecutorProgram

_LAST_WORDS_S = 1.0  # for boards to tell their memory
_AUDIT_AT_MOST_S = 31.0  # to send a fresh client every retained status, on a machine that is too busy for it
_RETAINED_LATE_S = 1.0  # what a broker retains may come behind its answer (emqx: its issue 15176)
_LOOK_S = 0.05
_COLLECT_S = 5.0  # how often the program above the master asks for results


class Director:
    """Carries out a concrete scenario.

    Args:
        recorder: writes the trace of this run; the engine's.
        mutants: what every node and the master are, where they are reached.
    """

    def __init__(
        self, engine: Engine, recorder: Recorder, scenario: Scenario, mutants: Sequence[str] = ()
    ) -> None:
        self._engine = engine
        self._env = engine.env
        self._recorder = recorder
        self._scenario = scenario
        group_of = scenario.nodes()
        networks = {group: scenario.network_of(group) for group in scenario.fleet}
        self._triggers = Triggers(self._env, self._recorder.trace, group_of)
        self._machines: dict[str, Machine] = {
            name: engine.machine(participant.node(name), networks[group]) for name, group in group_of.items()
        }
        self._ids = NodeIds(scenario.node_ids())
        self._specs = {name: _spec(scenario, name, group, tuple(mutants)) for name, group in group_of.items()}
        self._nodes: dict[str, Node] = {
            name: engine.node(spec, self._machines[name]) for name, spec in self._specs.items()
        }
        by_executor = [stream for stream in scenario.workload if stream.via == "executor"]
        asking = {name for stream in by_executor for name in scenario.askers_of(stream)}
        of_master = (*((scenario.master.variant,) if scenario.master.variant else ()), *mutants)
        executors = {
            name: self._executor(name, settings, group_of, of_master if name == MASTER else tuple(mutants))
            for name, settings in scenario.askers().items()
            if name in asking
        }
        bare = BareTransport(engine.env, recorder, group_of)
        self._counted: dict[str, int] = {}  # by the node asked last
        self._master = TransportMaster(
            scenario.master,
            engine.machine(participant.MASTER, merged(WIRED, scenario.master.network)),
            recorder,
            namespace=scenario.namespace,
            seed=str(scenario.seed),
            mutants=of_master,
            executor=executors.get(MASTER),
            observer=bare.on_master_event,
            ids=self._ids,
        )
        bare.serve(self._master)
        self._masters: dict[str, MasterProgram] = {MASTER: self._master}
        for name, settings in scenario.askers().items():
            if name != MASTER:
                machine = engine.machine(participant.other_master(name), merged(WIRED, settings.network))
                self._masters[name] = MasterProgram(
                    name, settings, machine, seed=str(scenario.seed), executor=executors.get(name)
                )
        self._workload = Workload(engine.env, scenario, executors, bare, self._triggers)
        self._world = FaultWorld(engine, recorder, scenario, self._specs, self._masters, self._triggers)
        self._faults = Faults(
            engine, recorder, scenario, self._nodes, self._machines, self._triggers, self._world
        )
        self._updates = Updates(engine, recorder, scenario, self._nodes, self._master)

    @property
    def scenario(self) -> Scenario:
        """What it carries out."""
        return self._scenario

    def strike(self, fault: Fault, node: str = "") -> str:
        """Do a fault now that the scenario does not have, on this node if it is one of nodes.

        In real time from the loop's thread, as everything here. Returns its name in this run.

        Raises:
            ValueError: nothing more is done: the run's quiet end has begun.
        """
        if self._env.now >= active_until(self._scenario):
            raise ValueError("the quiet end of the run has begun: nothing more is done to it")
        return self._faults.strike(fault, node)

    def undo(self, name: str) -> None:
        """End a fault that `strike` began. KeyError: there is none of this name."""
        self._faults.undo(name)

    def run(self) -> Generator[Event, object, None]:
        """Run the whole (a SimPy process)."""
        for name, spec in self._specs.items():
            ours = spec.group.files is None
            self._recorder.add(
                t.NodeDefined,
                node=name,
                group=spec.group_name,
                kind=spec.group.kind,
                keepalive_s=spec.group.keepalive,
                foreign=not ours,
                queue_limit=spec.group.tasks_waiting if ours else 0,
                hold_limit=spec.group.results_waiting if ours else 0,
                older=spec.group.credit == 0,
                takes=spec.group.credit or 0,
                will=spec.group.will or "",
                id="" if spec.node_id == name else spec.node_id,
            )
        yield self._engine.start_broker()
        self._recorder.add(t.BrokerStarted)
        yield self._engine.ready()
        began_s = self._env.now
        for master in self._masters.values():
            master.start()
        for group in self._scenario.fleet:
            self._env.process(self._switch_on(group))
        self._workload.start()
        self._faults.start()
        self._updates.start()
        self._env.process(self._phases())
        self._env.process(self._collect())
        boards = [node for name, node in self._nodes.items() if self._specs[name].group.kind != "python"]
        if boards:  # a python node has no heap of its own to tell of
            self._env.process(watch_memory(self._env, self._scenario.length_s, boards))
        yield self._env.timeout(self._scenario.length_s - (self._env.now - began_s))
        self._master.finish(self._nodes)
        for master in self._masters.values():
            if master.executor is not None:
                master.executor.finish()
        for node in self._nodes.values():
            node.tell_memory()
        yield from self._audit()
        self._updates.finish()
        self._faults.finish()
        self._engine.finish()
        self._recorder.add(t.RunEnded, reason="finished")
        self._recorder.close()  # here: a loop that lags tells so before whoever turns it has seen the end

    def _executor(
        self, name: str, settings: AskerSettings, group_of: Mapping[str, str], mutants: tuple[str, ...]
    ) -> ExecutorProgram:
        # Here: a run without work has no use for it, and a fleet of thousands is measured by its memory.
        from dcompute_sim.director.executor_program import ExecutorProgram

        namespace = self._scenario.namespace
        told = any(group.progress is not None for group in self._scenario.fleet.values())
        return ExecutorProgram(
            name, settings, self._recorder, group_of, self._ids, namespace, mutants, told_progress=told
        )

    def close(self) -> None:
        """Switch everything off; the trace is complete."""
        self._world.close()
        for node in self._nodes.values():
            node.close()
        for master in self._masters.values():
            master.close()

    def _switch_on(self, group_name: str) -> Generator[Event, object, None]:
        group = self._scenario.fleet[group_name]
        yield self._env.timeout(group.start)
        nodes = [node for node in self._nodes.values() if node.group_name == group_name]
        for node in nodes:
            node.power_on()
            if group.ramp:
                yield self._env.timeout(group.ramp / len(nodes))

    def _phases(self) -> Generator[Event, object, None]:
        for name, start_s in phase_starts(self._scenario).items():
            if start_s > self._env.now:
                yield self._env.timeout(start_s - self._env.now)
            self._recorder.add(t.PhaseStarted, phase=name)

    def _collect(self) -> Generator[Event, object, None]:
        while True:
            yield self._env.timeout(_COLLECT_S)
            self._master.collect()

    def _audit(self) -> Generator[Event, object, None]:
        """Ask the broker with a fresh client, and write down what each side believes at that moment."""
        yield self._env.timeout(_LAST_WORDS_S)
        topics = Topics(self._scenario.namespace)
        retained = RetainedStatuses(topics)
        machine = self._engine.machine(participant.AUDITOR, WIRED)
        yield self._engine.ready()
        told = self._env.event()

        def on_done() -> None:
            told.succeed()

        auditor = ProbeClient(
            machine,
            participant.AUDITOR.name,
            topics=(topics.status_of("+"),),
            on_message=retained.on_message,
            on_done=on_done,
        )
        yield told | self._env.timeout(_AUDIT_AT_MOST_S)
        late_s = self._env.now + _RETAINED_LATE_S
        while len(retained.found) < len(self._nodes) and self._env.now < late_s:
            yield self._env.timeout(_LOOK_S)
        auditor.leave()
        for name, node in self._nodes.items():
            status, inc = retained.found.pop(node.node_id, ("", ""))
            self._recorder.add(t.RetainedStatus, node=name, status=status, inc=inc)
            self._final(name, node)

    def _final(self, name: str, node: Node) -> None:
        self._recorder.add(
            t.FinalNode,
            node=name,
            running=node.running,
            connected=node.connected,
            own_status=node.status,
            master_status=info["status"] if (info := self._master.info_of(name)) else "",
            inc=node.inc,
        )
        counters = node.counters()
        if counters == self._counted:  # of a healthy fleet nearly all, at 250 bytes each
            counters = self._counted
        self._counted = counters
        if counters:
            self._recorder.add(t.Counters, who=name, values=counters)


def _spec(scenario: Scenario, name: str, group: str, mutants: tuple[str, ...]) -> NodeSpec:
    settings = scenario.fleet[group]
    variant = (settings.variant,) if settings.variant else ()
    node_id = settings.node_id(name)
    return NodeSpec(name, node_id, group, settings, scenario.namespace, str(scenario.seed), variant + mutants)
