"""A world of the two real cores for delivery end to end, in which everything can go wrong, one step at a
time.

Askers (`FleetCore` with a journal) and nodes (`NodeCore` with its ring) exchange real payloads over a network
that delivers in any order, and within a budget loses and repeats; nodes and askers crash, links come and go.
What the nodes really ran is kept in a ledger, against which the invariants of docs/protocol.md are checked
after each step:

I1 at most one run of each (task, attempt, node, life). I2 a `once` task runs at most once in all. I3 a node
remembers no more than its credit, and no number above `top`. I4 a result was run for; a `once` task that was
cancelled never ran. I5 after `ran` = no that number is never run. I6 no entry vanishes while its asker waits
for it. I7 once the faults are over everything is settled, and nothing stays open. I8 no task is reported
twice.

A crash of an asker happens between two steps: one in the middle of a step is the same as a message lost
(before the journal's commit), or as its messages lost (after it).
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dcompute.executor.core import FleetCore
from dcompute.executor.model import Answer, Batch, Node, Outcome, Settled, Task
from dcompute.executor.wire import read_answer, write_message
from dcompute.node_core import NodeCore, Topics

NODE_TOPICS = Topics()


class BrokenInvariant(AssertionError):
    """An invariant does not hold; the message says which, and how it came to that."""


@dataclass
class Bounds:
    """How large the world is, and how often what may go wrong."""

    tasks: tuple[tuple[str, bool], ...] = (("a", False),)  # (id, once)
    owners: tuple[int, ...] = ()  # the asker of each; by turns
    askers: int = 1
    nodes: int = 1
    credit: int = 2
    slots: int = 2
    queue: int = 8
    keep_bytes: int = 4096
    losses: int = 0
    repeats: int = 0
    node_crashes: int = 0
    asker_crashes: int = 0
    outages: int = 0  # the asker's link is lost, and is up again
    deaths: int = 0  # a node seems dead for so long that its tasks are moved
    cancels: int = 0
    urgent: tuple[str, ...] = ()  # of the tasks: those asked for at any time, more urgent than the others


@dataclass
class Journal:
    """What an asker has committed."""

    tasks: dict[str, tuple[Any, ...]] = field(default_factory=dict)  # id -> (once, attempt, lost, cancelled)
    placed: dict[tuple[str, str, str], tuple[int, int, bool]] = field(default_factory=dict)
    counters: dict[str, tuple[str, int]] = field(default_factory=dict)
    reported: dict[str, str] = field(default_factory=dict)

    def write(self, what: tuple[Any, ...]) -> None:
        match what:
            case ("placed", str(task), str(node), str(life), int(n), int(attempt)):
                self.placed[task, node, life] = (n, attempt, True)
                self.counters[node] = (life, n)
            case ("attempt", task, attempt, lost, _failed):
                once, _, _, cancelled = self.tasks[task]
                self.tasks[task] = (once, attempt, lost, cancelled)
            case ("closed", task, node, life):
                self.placed.pop((task, node, life), None)
            case ("moved" | "back" as how, task, node, life):
                n, attempt, _ = self.placed[task, node, life]
                self.placed[task, node, life] = (n, attempt, how == "back")
            case ("cancel", task):
                once, attempt, lost, _ = self.tasks[task]
                self.tasks[task] = (once, attempt, lost, True)
            case ("settled", task, outcome, _value, _node):
                del self.tasks[task]
                for key in [key for key in self.placed if key[0] == task]:
                    del self.placed[key]
                self.reported[task] = outcome


class Asker:
    """A FleetCore, and what a crash leaves of it."""

    def __init__(self, name: str, core_class: type[FleetCore], urgent: tuple[str, ...]) -> None:
        self.name = name
        self.urgent = urgent
        self.core_class = core_class
        self.core = core_class(settle_s=1, resend_s=1e9, idle_s=1)
        self.journal = Journal()
        self.reports: list[tuple[str, str]] = []

    def restart(self) -> None:
        self.core = self.core_class(settle_s=1, resend_s=1e9, idle_s=1)
        for node, (life, top) in self.journal.counters.items():
            self.core.restore_counter(node, life, top)
        for task_id, (once, attempt, lost, cancelled) in self.journal.tasks.items():
            task = new_task(task_id, once, urgent=task_id in self.urgent)
            task.attempt, task.lost, task.cancelled = attempt, lost, cancelled
            placed = [
                (node, life, n, tried, active)
                for (of, node, life), (n, tried, active) in self.journal.placed.items()
                if of == task_id
            ]
            self.core.restore(task, placed)


def new_task(task_id: str, once: bool, *, urgent: bool) -> Task:
    """Return a task of this world."""
    return Task(task_id, b"{}", priority=9 if urgent else 5, once=once)


Message = tuple[str, str, bytes]  # ("node" | "asker", whom, payload)
Step = tuple[Any, ...]


class SmallWorld:
    """A few nodes and one asker with a net between them, which take one step at a time, whichever is chosen.

    Args:
        node_class, core_class: the cores, or mutants of them.
    """

    def __init__(
        self,
        bounds: Bounds,
        node_class: type[NodeCore] = NodeCore,
        core_class: type[FleetCore] = FleetCore,
        *,
        writes_first: bool = True,
    ) -> None:
        self.bounds = bounds
        self.node_class = node_class
        self.writes_first = writes_first
        self.net: list[Message] = []
        self.time_s = 0.0
        self.left = {
            name: getattr(bounds, name)
            for name in ("losses", "repeats", "node_crashes", "asker_crashes", "outages", "deaths", "cancels")
        }
        self.nodes: dict[str, NodeCore] = {}
        self.seen: set[tuple[str, str, str]] = set()  # (asker, node, inc) that the asker knows of
        self.runs: dict[tuple[str, int, str, str], int] = {}
        self.denied: set[tuple[str, str, str, int]] = set()  # (asker, node, life, n) said not to have run
        self.numbers: dict[tuple[Any, ...], int] = {}  # (asker, what ran) -> its n
        self._late: list[tuple[str, list[tuple[object, ...]]]] = []
        self.lives: dict[str, int] = {}
        for index in range(bounds.nodes):
            self._boot(f"n{index}")
        names = [f"x{index}" for index in range(bounds.askers)]
        self.askers = {name: Asker(name, core_class, bounds.urgent) for name in names}
        self.to_come: dict[str, str] = {}  # by urgent task who will ask for it
        owners = bounds.owners or range(len(bounds.tasks))
        for (task_id, _), owner in zip(bounds.tasks, owners, strict=True):
            name = names[owner % len(names)]
            if task_id in bounds.urgent:
                self.to_come[task_id] = name
            else:
                self._ask(self.askers[name], task_id)
        for asker in self.askers.values():
            asker.core.link_up(0.0)
            self._carry_out(asker)

    def clone(self) -> SmallWorld:
        """Return an independent copy."""
        return pickle.loads(pickle.dumps(self, pickle.HIGHEST_PROTOCOL))  # type: ignore[no-any-return]

    def _ask(self, asker: Asker, task_id: str) -> None:
        once = dict(self.bounds.tasks)[task_id]
        asker.journal.tasks[task_id] = (once, 1, 0, False)
        task = new_task(task_id, once, urgent=task_id in self.bounds.urgent)
        asker.core.submit(task, now_s=self.time_s)

    def _boot(self, name: str) -> None:
        bounds = self.bounds
        self.lives[name] = self.lives.get(name, 0) + 1
        size = (bounds.credit, bounds.slots, bounds.keep_bytes)
        node = self.node_class(name, "t", f"L{self.lives[name]}", {}, "", bounds.queue, ring_size=size)
        node.will()
        node.greeting()
        self.nodes[name] = node

    # --- what may happen next -----------------------------------------------------------------------------

    def steps(self) -> Iterator[Step]:
        """Yield all that may happen now."""
        for message in dict.fromkeys(self.net):
            yield ("deliver", message)
            if self.left["repeats"]:
                yield ("repeat", message)
            if self.left["losses"]:
                yield ("lose", message)
        for name, node in self.nodes.items():
            if node.waiting():
                yield ("take", name)
            if node.ring is not None:
                for task_id in node.ring.at_work:
                    yield ("finish", name, task_id)
            if self.left["node_crashes"]:
                yield ("crash", name)
            for asker in self.askers.values():
                if (asker.name, name, node.inc) not in self.seen:
                    yield ("see", asker.name, name)
                if self.left["deaths"] and (asker.name, name, node.inc) in self.seen:
                    yield ("dead", asker.name, name)
        for task_id, name in self.to_come.items():
            yield ("ask", name, task_id)
        for name, asker in self.askers.items():
            if self.left["outages"]:
                yield ("outage", name)
            if self.left["asker_crashes"]:
                yield ("restart", name)
            if self.left["cancels"]:
                for task_id in asker.core.tasks:
                    yield ("cancel", name, task_id)

    def do(self, step: Step) -> None:
        """Let it happen, and check the invariants. Raises BrokenInvariant."""
        match step:
            case ("deliver", message):
                self.net.remove(message)
                self._deliver(message)
            case ("repeat", message):
                self.left["repeats"] -= 1
                self._deliver(message)
            case ("lose", message):
                self.left["losses"] -= 1
                self.net.remove(message)
            case ("take", name):
                self._take(self.nodes[name])
            case ("finish", name, task_id):
                result = self.nodes[name].result_message(task_id + " done", task_id, 0.0)
                if result is not None:
                    self._answers(self.nodes[name], [result])
            case ("crash", name):
                self.left["node_crashes"] -= 1
                self._boot(name)
            case ("see", asker, name):
                self._see(self.askers[asker], self.nodes[name])
            case ("dead", asker, name):
                self.left["deaths"] -= 1
                self._seem_dead(self.askers[asker], self.nodes[name])
            case ("outage", name):
                self.left["outages"] -= 1
                self._outage(self.askers[name])
            case ("restart", name):
                self.left["asker_crashes"] -= 1
                self._restart(self.askers[name])
            case ("ask", name, task_id):
                del self.to_come[task_id]
                self._ask(self.askers[name], task_id)
                self._carry_out(self.askers[name])
            case ("cancel", name, task_id):
                self.left["cancels"] -= 1
                self.askers[name].core.cancel(task_id, self.time_s)
                self._carry_out(self.askers[name])
        self._check_memories()

    def _deliver(self, message: Message) -> None:
        kind, whom, payload = message
        if kind == "node":
            node = self.nodes[whom]
            self._answers(node, node.receive(node.task_topic, payload))
            return
        asker = self.askers[whom]
        answer = read_answer(payload)
        assert isinstance(answer, Answer)
        if answer.ok and not any(run[0] == answer.task_id for run in self.runs):
            raise BrokenInvariant(f"I4: a result of {answer.task_id}, which never ran")
        asker.core.answered(answer, self.time_s)
        self._carry_out(asker)

    def _answers(self, node: NodeCore, messages: list[tuple[str, bytes, bool]]) -> None:
        for topic, payload, _ in messages:
            whom = topic.rpartition("/")[2]
            body = json.loads(payload)
            if body.get("ran") == "no":
                self.denied.add((whom, node.node_id, node.boot_nonce, body["n"]))
                run = (body["task_id"], body["attempt"], node.node_id, node.boot_nonce)
                wanted = body["task_id"] in self.askers[whom].core.tasks  # what is settled may be forgotten
                if wanted and self.numbers.get((whom, run)) == body["n"]:
                    raise BrokenInvariant(f"I5: {run} ran under {body['n']}, and it is said that it did not")
            self.net.append(("asker", whom, payload))
        if messages:
            self.net.sort()

    def _take(self, node: NodeCore) -> None:
        task = node.take()
        assert task is not None
        run = (task["id"], task["attempt"], node.node_id, node.boot_nonce)
        self.runs[run] = self.runs.get(run, 0) + 1
        self.numbers[task["from"], run] = task["n"]
        if self.runs[run] > 1:
            raise BrokenInvariant(f"I1: {run} ran {self.runs[run]} times")
        if (task["from"], node.node_id, node.boot_nonce, task["n"]) in self.denied:
            raise BrokenInvariant(f"I5: {run} runs under {task['n']}, after it was said that it would not")
        once = dict(self.bounds.tasks)[task["id"]]
        total = sum(count for (task_id, *_), count in self.runs.items() if task_id == task["id"])
        if once and total > 1:
            raise BrokenInvariant(f"I2: {task['id']} is to run once, and runs on {run[2:]} again")

    def _see(self, asker: Asker, node: NodeCore) -> None:
        self.seen = {key for key in self.seen if key[:2] != (asker.name, node.node_id)}
        self.seen.add((asker.name, node.node_id, node.inc))
        asker.core.node_seen(node.node_id, node.inc, node_announces(self.bounds), self.time_s)
        self._carry_out(asker)

    def _seem_dead(self, asker: Asker, node: NodeCore) -> None:
        """Cut off for long; then it is there again, in the same life."""
        node.will()
        node.greeting()
        asker.core.node_gone(node.node_id, self.time_s)
        self._carry_out(asker)
        self._pass_time(asker)

    def _pass_time(self, asker: Asker) -> None:
        self.time_s += 10.0
        asker.core.tick(self.time_s)
        self._carry_out(asker)

    def _outage(self, asker: Asker) -> None:
        asker.core.link_down()
        asker.core.link_up(self.time_s)
        self._carry_out(asker)

    def _restart(self, asker: Asker) -> None:
        asker.restart()
        self._late = [late for late in self._late if late[0] != asker.name]  # was never written
        self.seen = {key for key in self.seen if key[0] != asker.name}
        asker.core.link_up(self.time_s)
        self._carry_out(asker)

    def _carry_out(self, asker: Asker) -> None:
        batch: Batch = asker.core.take_batch()
        if self.writes_first:
            for what in batch.writes:
                asker.journal.write(what)
        else:  # as if the bytes were handed over first: a crash comes before the commit
            for what in [w for name, writes in self._late if name == asker.name for w in writes]:
                asker.journal.write(what)
            self._late = [late for late in self._late if late[0] != asker.name]
            self._late.append((asker.name, batch.writes))
        for send in batch.sends:
            self.net.append(("node", send.node, write_message(send, asker.name)))
        if batch.sends:
            self.net.sort()
        for settled in batch.reports:
            self._report(asker, settled)

    # --- invariants -----------------------------------------------------------------------------------------

    def _report(self, asker: Asker, settled: Settled) -> None:
        task_id, outcome = settled.task.id, settled.outcome
        if any(task_id == before for before, _ in asker.reports):
            raise BrokenInvariant(f"I8: {task_id} is reported twice")
        asker.reports.append((task_id, outcome.value))
        ran = sum(count for (of, *_), count in self.runs.items() if of == task_id)
        if outcome is Outcome.RESULT and not ran:
            raise BrokenInvariant(f"I4: a result of {task_id}, which never ran")
        if outcome is Outcome.CANCELLED and settled.task.once and ran:
            raise BrokenInvariant(f"I4: {task_id} is reported as cancelled, and it ran")

    def _check_memories(self) -> None:
        for name, node in self.nodes.items():
            if node.ring is None:
                continue
            for known in node.ring.askers.values():
                if len(known.may) > self.bounds.credit or max(known.may, default=0) > known.top:
                    raise BrokenInvariant(f"I3: {name} remembers {sorted(known.may)}, top {known.top}")
        for asker in self.askers.values():
            for believed in asker.core.nodes.values():
                if len(believed.open) > self.bounds.credit:
                    raise BrokenInvariant(f"I3: {sorted(believed.open)} are open at {believed.id}")
                self._check_entries(asker, believed)

    def _check_entries(self, asker: Asker, believed: Node) -> None:
        node = self.nodes[believed.id]
        known = node.ring.askers.get(asker.name) if node.ring is not None else None
        if known is None or self.bounds.slots < self.bounds.askers or believed.life != node.boot_nonce:
            return  # it may have been evicted, or nothing has come yet
        for n in believed.open:
            if n <= known.top and n not in known.may:
                raise BrokenInvariant(f"I6: {node.node_id} has forgotten {n}, for which {asker.name} waits")

    def settle_down(self) -> None:
        """Let the faults be over and everything happen that will, then check I7. Raises BrokenInvariant."""
        for name in self.left:
            self.left[name] = 0
        for _ in range(400):
            step = next(iter(self.steps()), None)
            if step is not None:
                self.do(step)
                continue
            if all(not asker.core.tasks for asker in self.askers.values()) and not self._is_open():
                return
            for asker in self.askers.values():  # long enough for doubt and idleness
                self._outage(asker)
                self._pass_time(asker)
        waiting = {asker.name: list(asker.core.tasks) for asker in self.askers.values()}
        raise BrokenInvariant(f"I7: not settled: {waiting}, open: {self._is_open()}")

    def _is_open(self) -> list[str]:
        found = [
            f"{asker.name} at {node.id}"
            for asker in self.askers.values()
            for node in asker.core.nodes.values()
            if node.open
        ]
        for name, node in self.nodes.items():
            if node.ring is not None and any(known.may for known in node.ring.askers.values()):
                found.append(name)
        return found

    # --- states ---------------------------------------------------------------------------------------------

    def key(self) -> object:
        """Return what is equal for worlds in which the same may happen."""
        return (
            tuple(self.net),
            tuple(self.left.values()),
            tuple(self.to_come),
            frozenset(self.seen),
            frozenset(self.runs.items()),
            frozenset(self.denied),
            tuple(_node_key(node) for node in self.nodes.values()),
            tuple(_asker_key(asker) for asker in self.askers.values()),
        )


def node_announces(bounds: Bounds) -> dict[str, object]:
    """Return what the nodes of this world say of themselves."""
    return {"credit": bounds.credit, "slots": bounds.slots, "largest": 10_000}


def _node_key(node: NodeCore) -> object:
    ring = node.ring
    if ring is None:
        return node.inc
    return (
        node.inc,
        tuple(node.queue.ids),
        tuple(sorted(ring.at_work)),
        (ring.floor, ring.ran_floor),
        tuple(
            (name, known.top, tuple(sorted((n, _entry_key(entry)) for n, entry in known.may.items())))
            for name, known in sorted(ring.askers.items(), key=lambda item: item[1].heard)
        ),
    )


def _entry_key(entry: Any) -> Any:
    return () if entry is None else (entry.id, entry.attempt, entry.state, str(entry.held), entry.cancelled)


def _asker_key(asker: Asker) -> object:
    core = asker.core
    return (
        tuple(
            (task.id, task.attempt, task.lost, task.cancelled, task.waiting, task.recalls_until_s)
            for task in sorted(core.tasks.values(), key=lambda task: task.id)
        ),
        tuple(
            (
                *(node.id, node.life, node.inc, node.alive, node.top, node.told, node.alone, node.bucket),
                tuple((n, p.task.id, p.attempt, p.active, p.recalled) for n, p in sorted(node.open.items())),
            )
            for node in sorted(core.nodes.values(), key=lambda node: node.id)
        ),
        tuple(asker.reports),
        tuple(sorted(asker.journal.tasks.items())),
        tuple(sorted(asker.journal.placed.items())),
    )
