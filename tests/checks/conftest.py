"""A builder of small traces, a healthy story that every check holds on, and ways to damage it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import pytest
from dcompute_sim import trace as t

KEEPALIVE_S = 10.0
GRANULARITY_S = 1.0


class TraceBuilder:
    """Writes a trace as a story: `at(5).crash("n1")`."""

    def __init__(self) -> None:
        self.events: list[t.Event] = []
        self.now_us = 0
        self.incs: dict[str, str] = {}
        self.conns = 0
        self.fault_count = 0
        self.add(
            t.RunStarted,
            scenario="test.yaml",
            seed=1,
            time="virtual",
            broker="model",
            broker_granularity_s=GRANULARITY_S,
        )

    def add(self, kind: type[t.Event], /, **fields: Any) -> TraceBuilder:
        self.events.append(kind(t_us=self.now_us, **fields))
        return self

    def at(self, seconds: float) -> TraceBuilder:
        assert round(seconds * 1e6) >= self.now_us, "a trace goes forward"
        self.now_us = round(seconds * 1e6)
        return self

    def after(self, seconds: float) -> TraceBuilder:
        return self.at(self.now_us / 1e6 + seconds)

    def master_up(self) -> TraceBuilder:
        return self.add(t.MasterStarted, boot=1).add(t.MasterConnected)

    def define(self, *nodes: str, keepalive_s: float = KEEPALIVE_S) -> TraceBuilder:
        for node in nodes:
            self.add(
                t.NodeDefined,
                node=node,
                group="g",
                kind="python",
                keepalive_s=keepalive_s,
                queue_limit=1000,
                hold_limit=1,
            )
        return self

    def clone_of(self, node: str, name: str = "double") -> str:
        """Define a clone of `node`; returns its name."""
        self.add(t.ParticipantDefined, name=name, role=t.Role.CLONE, node=node)
        return name

    def connect(self, node: str, boot: int = 1) -> TraceBuilder:
        old = self.incs.get(node, f"{boot}.0")
        number = int(old.split(".")[1]) + 1 if old.startswith(f"{boot}.") else 1
        inc = self.incs[node] = f"{boot}.{number}"
        self.conns += 1
        self.add(t.NodeConnecting, node=node, inc=inc)
        self.add(t.WireOpened, node=node, conn=self.conns)
        self.after(0.001).add(t.NodeConnected, node=node, inc=inc)
        return self.status(node, "ready")

    def status(self, node: str, status: str) -> TraceBuilder:
        self.add(t.StatusPublished, node=node, status=status, inc=self.incs[node])
        return self.after(0.001).add(t.NodeStatusSeen, node=node, status=status, inc=self.incs[node])

    def boot(self, *nodes: str, boot: int = 1) -> TraceBuilder:
        for node in nodes:
            self.add(t.NodeStarted, node=node, boot=boot).connect(node, boot)
        return self

    def fault(self, kind: str, node: str = "", for_s: float | None = None, effect: str = "done") -> str:
        self.fault_count += 1
        name = f"{kind}-{self.fault_count}"
        for_us = None if for_s is None else round(for_s * 1e6)
        self.add(t.FaultInjected, fault=name, kind=kind, node=node, for_us=for_us)
        if effect:
            self.add(t.FaultEffect, fault=name, node=node, effect=effect)
        return name

    def heal(self, fault: str, node: str = "") -> TraceBuilder:
        return self.add(t.FaultEnded, fault=fault, node=node)

    def disconnect(self, node: str, by: str = "node", how: str = "fin") -> TraceBuilder:
        self.add(t.WireClosed, node=node, conn=self.conns, how=how, by=by)
        return self.add(t.NodeDisconnected, node=node, inc=self.incs[node], reason=how)

    def death(self, node: str, inc: str | None = None, cause: str = "will") -> TraceBuilder:
        inc = self.incs[node] if inc is None else inc
        self.add(t.NodeStatusSeen, node=node, status="dead", inc=inc)
        return self.add(t.DeathReported, node=node, inc=inc, cause=cause)

    def crash(self, node: str, report_s: float | None = 0.002) -> TraceBuilder:
        self.fault("crash", node, effect="fin")
        self.add(t.NodeStopped, node=node, how="crash")
        self.add(t.WireClosed, node=node, conn=self.conns, how="fin", by="node")
        if report_s is not None:
            self.after(report_s).death(node)
        return self

    def leave(self, node: str) -> TraceBuilder:
        self.fault("leave", node, effect="left")
        self.after(0.001).status(node, "offline")
        self.add(t.DeathReported, node=node, inc=self.incs[node], cause="offline")
        self.add(t.WireClosed, node=node, conn=self.conns, how="fin", by="node")
        return self.add(t.NodeStopped, node=node, how="exit")

    def silent(self, kind: str, node: str, report_s: float | None = 15.5, for_s: float | None = None) -> str:
        fault = self.fault(kind, node, for_s, effect="held 0 bytes")
        if report_s is not None:
            self.after(report_s).death(node)
        return fault

    def send(self, node: str, task: str, priority: int = 5, attempt: int = 1) -> TraceBuilder:
        if attempt == 1:
            self.add(t.TaskAsked, task=task, answer=task, priority=priority)
        self.add(t.TaskSent, node=node, task=task, priority=priority, attempt=attempt, size=20)
        return self.after(0.001).add(t.TaskReceived, node=node, task=task, priority=priority, attempt=attempt)

    def take(self, node: str, task: str, priority: int = 5, attempt: int = 1) -> TraceBuilder:
        return self.add(t.TaskTaken, node=node, task=task, priority=priority, attempt=attempt)

    def finish(
        self, node: str, task: str, digest: str = "d", attempt: int = 1, asker: str = ""
    ) -> TraceBuilder:
        self.after(0.05).add(t.TaskFinished, node=node, task=task)
        self.add(t.ResultHeld, node=node, task=task, digest=digest)
        self.after(0.001).add(t.ResultReceived, node=node, task=task, digest=digest, asker=asker)
        taken = {"answer": task, "value": digest, "attempt": attempt, "asker": asker}
        return self.add(t.ResultTaken, node=node, task=task, **taken)

    def work(self, node: str, task: str, priority: int = 5, attempt: int = 1) -> TraceBuilder:
        self.take(node, task, priority, attempt)
        self.add(t.StatusPublished, node=node, status="busy", inc=self.incs[node])
        self.finish(node, task, attempt=attempt)
        taken = {event.task for event in self.events if isinstance(event, t.TaskTaken)}
        received = (event for event in self.events if isinstance(event, t.TaskReceived))
        if any(event.node == node and event.task not in taken for event in received):
            return self
        return self.add(t.StatusPublished, node=node, status="ready", inc=self.incs[node])

    def executor(self, asker: str = "x", boot: int = 1, journal: str = "new", **bounds: int) -> TraceBuilder:
        self.add(t.ExecutorStarted, asker=asker, boot=boot, journal=journal, **bounds)
        return self.add(t.ExecutorConnected, asker=asker)

    def ask(self, task: str, priority: int = 5, asker: str = "x", **terms: Any) -> TraceBuilder:
        return self.add(t.TaskAsked, task=task, answer=task, asker=asker, priority=priority, **terms)

    def place(self, node: str, task: str, priority: int = 5, attempt: int = 1) -> TraceBuilder:
        self.add(t.TaskSent, node=node, task=task, priority=priority, attempt=attempt, size=20)
        return self.after(0.001).add(t.TaskReceived, node=node, task=task, priority=priority, attempt=attempt)

    def run(
        self, node: str, task: str, priority: int = 5, attempt: int = 1, life: int = 1, asker: str = "x"
    ) -> TraceBuilder:
        """The node does what it was given, and the asker is told."""
        self.take(node, task, priority, attempt)
        self.add(t.StatusPublished, node=node, status="busy", inc=self.incs[node])
        self.add(t.ExecutionBegan, node=node, task=task, attempt=attempt, life=life)
        self.finish(node, task, attempt=attempt, asker=asker)
        self.add(t.StatusPublished, node=node, status="ready", inc=self.incs[node])
        return self.add(t.TaskSettled, asker=asker, task=task, outcome="result", node=node)

    def fail(self, node: str, task: str, why: str, asker: str = "x") -> TraceBuilder:
        """The node's program raises what the scenario wants it to, and the asker is told."""
        self.take(node, task).add(t.StatusPublished, node=node, status="busy", inc=self.incs[node])
        self.add(t.ExecutionBegan, node=node, task=task, attempt=1, life=1)
        self.after(0.05).add(t.TaskFinished, node=node, task=task, ok=False, meant=True, why=why)
        self.add(t.ResultHeld, node=node, task=task, digest="e")
        self.after(0.001).add(t.ResultReceived, node=node, task=task, digest="e", asker=asker)
        taken: dict[str, Any] = {"answer": "an error", "value": "e", "ok": False, "asker": asker}
        self.add(t.ResultTaken, node=node, task=task, why=why, traced=why, **taken)
        self.add(t.StatusPublished, node=node, status="ready", inc=self.incs[node])
        return self.add(t.TaskSettled, asker=asker, task=task, outcome="failed", node=node)

    def progress(self, node: str, task: str, percent: int, text: str, asker: str = "x") -> TraceBuilder:
        self.add(t.ProgressSaid, node=node, task=task, percent=percent, text=text)
        return self.add(t.TaskProgressed, asker=asker, task=task, percent=percent, text=text)

    def final(self, node: str, status: str = "ready", alive: bool = True) -> TraceBuilder:
        inc = self.incs[node]
        self.add(t.RetainedStatus, node=node, status=status, inc=inc)
        return self.add(
            t.FinalNode,
            node=node,
            running=alive,
            connected=alive,
            own_status=status if alive else "ready",
            master_status=status,
            inc=inc,
        )

    def end(self, reason: str = "finished") -> list[t.Event]:
        self.add(t.RunEnded, reason=reason)
        return list(self.events)


def _healthy() -> list[t.Event]:
    """n1 works, n2 crashes and its task is done by n1, n3 is reset, n4 loses its Wi-Fi twice, n5 leaves."""
    b = TraceBuilder().master_up().define("n1", "n2", "n3", "n4", "n5")
    b.at(0.1).boot("n1", "n2", "n3", "n4", "n5")
    for task, priority in (("low", 2), ("mid-1", 5), ("high", 9), ("mid-2", 5)):
        b.send("n1", task, priority)
    b.send("n2", "orphan", 3)
    for task, priority in (("high", 9), ("mid-1", 5), ("mid-2", 5), ("low", 2)):
        b.work("n1", task, priority)
    for node in ("n1", "n2", "n3", "n4"):
        b.add(t.NodeMemory, node=node, allocated=20_000, free=40_000)
        b.add(t.NodePower, node=node, state="connected", microamperes=100_000)
    b.at(5).take("n2", "orphan", 3).crash("n2")
    b.at(6).send("n1", "orphan", 3, attempt=2).work("n1", "orphan", 3, attempt=2)
    reset = b.at(8).fault("reset", "n3", effect="rst")
    b.disconnect("n3", how="rst").after(0.001).death("n3")
    b.heal(reset, "n3").at(8.5).connect("n3")
    drop = b.at(10).silent("wifi_drop", "n4", report_s=15.5, for_s=20)
    b.add(t.SaidGone, who="n4", node="n4", status="dead", inc="1.1")
    b.at(30).heal(drop, "n4").disconnect("n4").connect("n4")
    b.add(t.SaidBack, who="n4", node="n4").add(t.StatusRepaired, node="n4", inc=b.incs["n4"])
    b.at(35).add(t.MalformedHeard, who="malformed-1-probe", topic="n1")
    b.add(t.MessageRejected, who="n1", topic="n1", reason="not JSON")
    blink = b.at(40).silent("wifi_drop", "n4", report_s=None, for_s=3)
    b.at(43).heal(blink, "n4")
    b.at(50)
    b.add(t.CampaignStarted, version="v2", nodes=["n1", "n3"], wave=0.5, pause_s=1.0, abort=0.5)
    for at_s, node, broken in ((50, "n1", ""), (51.5, "n3", "crash")):
        b.at(at_s).add(t.UpdateStarted, node=node, version="v2", before="v1", broken=broken, release=2)
        b.add(t.UpdateState, node=node, version="v2", state="rolled back" if broken else "confirmed")
    b.after(0.5).add(t.CampaignEnded, version="v2", done=1, failed=1)
    b.at(60).send("n5", "last").work("n5", "last").leave("n5")
    b.at(62).executor(max_pending=2, tell_us=10_000_000)
    for task, priority in (("some", 1), ("urgent", 9), ("more", 1)):
        b.ask(task, priority, node="n1")
        b.add(t.TaskBacklogged if task == "more" else t.TaskAdmitted, asker="x", task=task)
    told: dict[str, Any] = {"asker": "x", "failed": 0, "waiting": 1, "at_nodes": 1, "nodes": 3}
    b.add(t.QueueTold, submitted=2, done=0, by_priority={"1": 1, "9": 1}, **told)
    b.place("n1", "urgent", 9).run("n1", "urgent", 9).add(t.TaskAdmitted, asker="x", task="more")
    b.place("n1", "some", 1).progress("n1", "some", 40, "4 of 10").run("n1", "some", 1).after(0.1).place(
        "n1", "more", 1
    ).run("n1", "more", 1)
    b.ask("bad", node="n1").add(t.TaskAdmitted, asker="x", task="bad").place("n1", "bad").fail(
        "n1", "bad", "ValueError: no"
    )
    done_by_now = {"submitted": 4, "done": 4, "failed": 1, "waiting": 0, "at_nodes": 0, "by_priority": {}}
    b.at(72).add(t.QueueTold, **told | done_by_now)
    b.at(80)
    for node in ("n1", "n3", "n4"):
        b.final(node)
    b.final("n2", "dead", alive=False).final("n5", "offline", alive=False)
    b.add(t.FinalVersion, node="n1", version="v2").add(t.FinalVersion, node="n3", version="v1", failed="v2")
    b.add(t.DeadNodesTaken, nodes=["n2", "n3", "n4", "n5"], left=[])
    for node in ("n1", "n3", "n4"):
        b.add(t.MasterAnswered, node=node, status="ready", inc=b.incs[node])
    b.add(t.MasterAnswered, node="n2", status="dead", inc=b.incs["n2"])
    b.add(t.MasterAnswered, node="n5", status="offline", inc=b.incs["n5"])
    done = {"submitted": 4, "done": 4, "failed": 1, "waiting": 0, "at_nodes": 0, "nodes": 3}
    b.add(t.ExecutorAnswered, asker="x", nodes=["n1", "n3", "n4"], values=done)
    counts = {"connections": 1, "messages_rejected": 0, "duplicate_results": 0, "stale_deaths": 0}
    b.add(t.MasterCounted, values=counts)
    received = sum(isinstance(event, t.TaskReceived) and event.node == "n1" for event in b.events)
    b.add(t.Counters, who="n1", values={"connections": 1, "tasks_received": received, "messages_rejected": 1})
    b.add(t.WireHeard, messages=60)
    return _called_back(b.end())


def _called_back(events: Sequence[t.Event]) -> list[t.Event]:
    """The same, with a call of the dead-nodes callback after each report."""
    result: list[t.Event] = []
    for event in events:
        result.append(event)
        if isinstance(event, t.DeathReported):
            result.append(t.DeathsCalledBack(t_us=event.t_us, nodes=[event.node]))
    return result


class Damage:
    """Alterations of a trace; each returns a new list. `match` is field=value."""

    @staticmethod
    def find(events: Sequence[t.Event], kind: type[t.Event], /, nth: int = 0, **match: Any) -> int:
        found = [
            index
            for index, event in enumerate(events)
            if type(event) is kind and all(getattr(event, key) == value for key, value in match.items())
        ]
        assert len(found) > nth, f"no {kind.__name__} {match} #{nth} to damage"
        return found[nth]

    def drop(self, kind: type[t.Event], /, nth: int = 0, **match: Any) -> Callable[..., list[t.Event]]:
        def damage(events: list[t.Event]) -> list[t.Event]:
            index = self.find(events, kind, nth, **match)
            return events[:index] + events[index + 1 :]

        return damage

    def double(self, kind: type[t.Event], /, nth: int = 0, **match: Any) -> Callable[..., list[t.Event]]:
        def damage(events: list[t.Event]) -> list[t.Event]:
            index = self.find(events, kind, nth, **match)
            return [*events[: index + 1], events[index], *events[index + 1 :]]

        return damage

    def swap(
        self, one: tuple[type[t.Event], dict[str, Any]], other: tuple[type[t.Event], dict[str, Any]]
    ) -> Callable[..., list[t.Event]]:
        """The two events change places, each keeping the time of the place."""

        def damage(events: list[t.Event]) -> list[t.Event]:
            i, j = self.find(events, one[0], **one[1]), self.find(events, other[0], **other[1])
            result = list(events)
            result[i] = msgspec.structs.replace(events[j], t_us=events[i].t_us)
            result[j] = msgspec.structs.replace(events[i], t_us=events[j].t_us)
            return result

        return damage

    def change(
        self, kind: type[t.Event], to: dict[str, Any], nth: int = 0, **match: Any
    ) -> Callable[..., list[t.Event]]:
        def damage(events: list[t.Event]) -> list[t.Event]:
            index = self.find(events, kind, nth, **match)
            result = list(events)
            result[index] = msgspec.structs.replace(events[index], **to)
            return result

        return damage

    def delay(
        self, seconds: float, kind: type[t.Event], /, nth: int = 0, **match: Any
    ) -> Callable[..., list[t.Event]]:
        """The event happens later, and keeps the trace in order of time."""

        def damage(events: list[t.Event]) -> list[t.Event]:
            index = self.find(events, kind, nth, **match)
            later = msgspec.structs.replace(events[index], t_us=events[index].t_us + round(seconds * 1e6))
            rest = events[:index] + events[index + 1 :]
            place = next((i for i, e in enumerate(rest) if e.t_us > later.t_us), len(rest))
            return [*rest[:place], later, *rest[place:]]

        return damage

    def insert(
        self, event: t.Event, after: type[t.Event], nth: int = 0, **match: Any
    ) -> Callable[..., list[t.Event]]:
        """`event` happens right after the one found, at its time."""

        def damage(events: list[t.Event]) -> list[t.Event]:
            index = self.find(events, after, nth, **match)
            new = msgspec.structs.replace(event, t_us=events[index].t_us)
            return [*events[: index + 1], new, *events[index + 1 :]]

        return damage


def of_each(events: Iterable[t.Event], field: str) -> list[Any]:
    """Returns what `field` is in each of the events, which must all have it."""
    return [getattr(event, field) for event in events]


@pytest.fixture
def story() -> TraceBuilder:
    """An empty story with a running master."""
    return TraceBuilder().master_up()


@pytest.fixture
def healthy() -> list[t.Event]:
    """A run in which every promise was kept, with faults in it."""
    return _healthy()


@pytest.fixture
def damage() -> Damage:
    return Damage()
