"""Writes the trace of a run: stamps events, translates what production code and wires tell, hands out
receipts.

A fault's receipt is an effect seen on the wire of its node (or of the broker) at or after its injection;
which effects count for which kind of fault, that kind says itself (`faults`). A fault without a receipt never
bit.
"""

from __future__ import annotations

from collections.abc import Callable

from dcompute.events import ExecutorEvent, MasterEvent, NodeEvent
from dcompute_sim import trace as t
from dcompute_sim.faults import Fault, MasterFault
from dcompute_sim.faults.effects import CLOSED_BY_BROKER, HELD, LATE, RECONNECTED, REFUSED, UNANSWERED, Effect
from dcompute_sim.interfaces.participant import Participant
from dcompute_sim.net.observer import Direction, How, Refusal, Side
from dcompute_sim.production_events import of_executor, of_master, of_node
from dcompute_sim.trace import Event, Role, Trace

_LATE_US = 60_000_000  # how long after a fault a node may show that it felt it


class _Open:
    """A fault whose effect is awaited. `whose`: on the wire of this node, or of the master; "" for any."""

    __slots__ = ("effects", "fault", "had_connection", "seen", "until_us", "whose")

    def __init__(self, name: str, fault: Fault, node: str, had_connection: bool) -> None:
        self.fault = name
        self.whose = fault.master if isinstance(fault, MasterFault) else node
        self.effects = fault.effects
        self.seen: dict[Effect, None] = {}
        self.had_connection = had_connection
        self.until_us = 0


class Recorder:
    """Writes the trace of one run. It is also the `WireObserver` of every link.

    Args:
        now_us: microseconds since the run began.
    """

    def __init__(self, trace: Trace, now_us: Callable[[], int]) -> None:
        self.trace = trace
        self.now_us = now_us
        self._on_node: dict[str, list[_Open]] = {}
        self._anywhere: list[_Open] = []
        self._bitten: set[str] = set()
        self._late: dict[str, list[_Open]] = {}  # over, and not seen yet: what a node makes of it may be
        self._conns: dict[str, tuple[int, ...]] = {}  # that reached the broker and have not ended
        self._clones: dict[str, tuple[str, str]] = {}  # clone -> its node, and the fault that made it

    def close(self) -> None:
        """Close the trace, which is complete: whatever happens while things are taken down is not part of the
        run."""
        self.trace = Trace()

    def add(self, make: type[Event], **fields: object) -> None:
        """Append an event of this type, stamped now."""
        self.trace.add(make(t_us=self.now_us(), **fields))

    def define(self, participant: Participant) -> None:
        """Record that somebody takes part. Nodes are defined by whoever knows their group."""
        if participant.role is not Role.NODE:
            self.add(
                t.ParticipantDefined, name=participant.name, role=participant.role, node=participant.node
            )

    # --- faults and receipts ----------------------------------------------------------------------------

    def fault(self, name: str, fault: Fault, node: str = "") -> None:
        """Record a fault that is done now; its effects are looked for from now on. `name`: of this fault in
        this run."""
        for_us = None if fault.lasts is None else round(fault.lasts * 1e6)
        self.add(t.FaultInjected, fault=name, node=node, for_us=for_us, **_entry(fault))
        awaited = _Open(name, fault, node, bool(self._conns.get(node)))
        if node:
            self._late.pop(node, None)  # of what follows, nobody could say whose effect it is
            self._on_node.setdefault(node, []).append(awaited)
        else:
            self._late.clear()
            self._anywhere.append(awaited)

    def cloned(self, clone: Participant, fault: str) -> None:
        """Take this clone for the fault's doing: what befalls it is the fault's effect."""
        self._clones[clone.name] = (clone.node, fault)

    def fault_not_done(self, name: str, fault: Fault, why: str) -> None:
        """Record that a fault that was to be done now struck nobody."""
        self.add(t.FaultInjected, fault=name, not_done=why, **_entry(fault))

    def fault_ended(self, fault: str, node: str = "") -> None:
        """Record that the fault is undone; what follows is no effect of it."""
        self.add(t.FaultEnded, fault=fault, node=node)
        awaited = self._on_node.get(node, []) if node else self._anywhere
        for entry in [entry for entry in awaited if entry.fault == fault]:
            awaited.remove(entry)
            if node and not entry.seen and not LATE.isdisjoint(entry.effects):
                entry.until_us = self.now_us() + _LATE_US
                self._late.setdefault(node, []).append(entry)

    def has_bitten(self, fault: str) -> bool:
        """Say whether the fault has had an effect."""
        return fault in self._bitten

    def effect(self, node: str, effect: Effect, detail: str = "", of: str = "") -> None:
        """Record what was seen on the wire of `node`: a receipt for each fault it can be the effect of, or
        only for the one called `of`."""
        late = [entry for entry in self._late.get(node, ()) if entry.until_us >= self.now_us()]
        for awaited in (*self._on_node.get(node, ()), *self._anywhere, *(late if effect in LATE else ())):
            if awaited.whose not in ("", node) or of not in ("", awaited.fault):
                continue
            if effect == RECONNECTED and not awaited.had_connection:
                continue
            if effect in awaited.effects and effect not in awaited.seen:
                awaited.seen[effect] = None
                self._bitten.add(awaited.fault)
                self.add(t.FaultEffect, fault=awaited.fault, node=node, effect=detail or effect)

    # --- the wire ---------------------------------------------------------------------------------------

    def opened(self, name: str, conn: int) -> None:
        self.add(t.WireOpened, node=name, conn=conn)
        self.effect(name, RECONNECTED)
        self._conns[name] = (*self._conns.get(name, ()), conn)

    def closed(self, name: str, conn: int, how: How, by: Side, quiet_s: float) -> None:
        quiet_us = round(quiet_s * 1e6) if by == "broker" else 0
        self.add(t.WireClosed, node=name, conn=conn, how=how, by=by, quiet_us=quiet_us)
        self._conns[name] = tuple(other for other in self._conns.get(name, ()) if other != conn)
        self.effect(name, Effect(how))
        if by == "broker":
            self.effect(name, CLOSED_BY_BROKER)
            if name in self._clones:  # the broker ends either of the two, whichever came first
                node, fault = self._clones[name]
                self.effect(node, CLOSED_BY_BROKER, of=fault)

    def held(self, name: str, direction: Direction, n_bytes: int) -> None:
        self.effect(name, HELD, f"held {n_bytes} bytes {direction.replace('_', ' ')}" if n_bytes else "held")

    def stalled(self, name: str, conn: int, missed_s: float) -> None:
        self.add(t.WireStalled, node=name, conn=conn, missed_us=round(missed_s * 1e6))

    def resumed(self, name: str, conn: int) -> None:
        self.add(t.WireResumed, node=name, conn=conn)

    def late(self, name: str, conn: int, late_s: float, missed_s: float) -> None:
        times = {"late_us": round(late_s * 1e6), "missed_us": round(missed_s * 1e6)}
        self.add(t.WireLate, node=name, conn=conn, **times)

    def refused(self, name: str, how: Refusal) -> None:
        effect = REFUSED if how == "rst" else UNANSWERED
        self.effect(name, effect, f"connection attempt met {how}")

    # --- production code --------------------------------------------------------------------------------

    def node_observer(self, node: str) -> NodeObserver:
        """Return what a node's transport is given as `observer`."""
        return NodeObserver(self, node)

    def master_observer(self, event: MasterEvent) -> None:
        """Record what the master's transport observes (its `observer`)."""
        self.trace.add(of_master[type(event)](self.now_us(), event))

    def executor_observer(self, asker: str) -> Callable[[ExecutorEvent], None]:
        """Return what an executor is given as `observer`."""
        return lambda event: self.trace.add(of_executor[type(event)](self.now_us(), asker, event))


class NodeObserver:
    """Writes down what one node tells."""

    __slots__ = ("_node", "_recorder")

    def __init__(self, recorder: Recorder, node: str) -> None:
        self._recorder = recorder
        self._node = node

    def __call__(self, event: NodeEvent) -> None:
        recorder = self._recorder
        recorder.trace.add(of_node[type(event)](recorder.now_us(), self._node, event))


def _entry(fault: Fault) -> dict[str, str]:
    """Return what the trace says of the scenario's entry."""
    witness = "" if fault.witness == "required" else fault.witness
    return {"kind": fault.kind, "entry": fault.id or "", "witness": witness}
