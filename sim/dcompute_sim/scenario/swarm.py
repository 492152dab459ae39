"""Random scenarios: a fleet, its networks, its work and its faults drawn from the seed.

Rules:

1. Same seed, same scenario. The draw is written as a scenario file would be and validated like one, so
   nothing a swarm makes is beyond what a person could write.
2. Every fault that is drawn is `sure`: it waits for somebody it can hit and lasts until it had an effect. A
   fault that found nobody would leave the run inconclusive, and a sweep would say nothing.
3. All is over before the quiet time, so that what does not converge there is wrong. Hence the limits of
   each draw: how long a fault may last, when the last one may begin (a keepalive before the end of the
   storm, for an idle node wants to send within one), how many outages of broker and master there may be.
4. Somebody must be left, and work must show something: fewer than half of the nodes may be lost for good,
   never the one that work is piled on (`PILED_ON`), for only where tasks wait does their order matter.
5. A run tests little in which nobody's death is told. So the first fault kills at once, early, before
   broker or master can be away.
6. What chance hardly ever does is drawn on purpose: faults at nodes that are just connecting (`_AIMED`),
   outages soon after another fault, and outages that hide a death; a fault just after another and at the same
   node (`_CLOSE`), and one at a node that has just taken a task or handed over a result (`_AT_WORK`).
7. What is added to swarms later is drawn from a generator of its own, so that the faults of known seeds stay
   what they were.

Rejected: to draw times and kinds independently. Many such runs leave an expectation untested, and
conjunctions (an outage within seconds of a death) hardly ever come. Rejected, too: one generator for each
entry; a swarm is drawn as a whole, and what is taken from it later keeps its draws by the ids of entries
(`entry_ids`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from dcompute_sim.faults import KINDS, MasterFault, NodeFault
from dcompute_sim.faults.fault import Seen
from dcompute_sim.faults.malformed import MALFORMED
from dcompute_sim.scenario.fleet import MASTER, Fleet, OtherMaster, node_names
from dcompute_sim.scenario.scenario_model import QUIET, Scenario, Swarm
from dcompute_sim.scenario.workload import TaskStream
from dcompute_sim.yamlfile.units import format_duration, format_fraction, parse_duration

_DEATH_TOLD_S = 3.0
OUTAGES = 3  # at most: they wait for one another, and the master for the end of its pause between attempts
PILED_ON = "swarm1-1"
LIMITS = ("queue_limit", "hold_limit")
"""What of a group is drawn only when the swarm has a range for it."""
NOISE = ("malformed", "inject")
"""Kinds of fault that are messages of strangers."""
_OTHER = "other"
_SHARED = 0.3  # share of the swarms in which another master has work done on the same fleet
_AIMED = 0.25  # share of the faults on one node that hit it while it connects, which chance hardly ever does
_CLOSE = 0.2  # share of the faults that strike just after another one, if they may
_CLOSE_S = (0.003, 5.0)  # how soon, evenly in orders of magnitude
_AT_WORK = 0.15  # share of the faults on one node that strike one with tasks, if they may
_AT_WORK_S = 3.0  # how long those last at most: nobody knows exactly when they begin
_FLEET: TypeAdapter[Fleet] = TypeAdapter(Fleet, config=ConfigDict(defer_build=True))
_STREAMS: TypeAdapter[list[TaskStream]] = TypeAdapter(list[TaskStream], config=ConfigDict(defer_build=True))


def expand(scenario: Scenario) -> Scenario:
    """Return `scenario` with its `random` drawn and added to what it fixes; itself when it has none."""
    swarm = scenario.random
    if swarm is None:
        return scenario
    rng = random.Random(f"{scenario.seed}/swarm")
    drawn = _FLEET.validate_python(_fleet(swarm, rng))
    fleet = scenario.fleet | drawn
    others = [_OTHER] if rng.random() < _SHARED else []
    # A clone takes work of either with it: seed 1999705332 quarantined a task of the other.
    masters = scenario.masters | {name: OtherMaster(losses=scenario.master.losses) for name in others}
    streams = scenario.workload + _STREAMS.validate_python(_work(swarm, rng, others))
    entries = _Faults(swarm, rng, drawn, [MASTER, *others]).draw()
    _bring_together(entries, swarm, random.Random(f"{scenario.seed}/swarm/together"), drawn)
    ways = random.Random(f"{scenario.seed}/swarm/ways")
    namespace = scenario.namespace or ways.choice(swarm.namespaces)
    for limit in LIMITS:
        if (bounds := getattr(swarm, limit)) is not None:
            fleet |= {name: fleet[name].model_copy(update={limit: ways.randint(*bounds)}) for name in drawn}
    entries += [draw_noise(swarm, ways, number) for number in range(ways.randint(*swarm.noise))]
    faults = scenario.faults + [KINDS[entry["kind"]].model_validate(entry) for entry in entries]
    return scenario.model_copy(
        update={
            "random": None,
            "namespace": namespace,
            "fleet": fleet,
            "masters": masters,
            "workload": streams,
            "faults": faults,
            "phases": scenario.phases or {"storm": swarm.span, QUIET: swarm.quiet},
        }
    )


def _fleet(swarm: Swarm, rng: random.Random) -> dict[str, object]:
    """Draw one to three groups that share the drawn number of nodes."""
    total = rng.randint(*swarm.nodes)
    groups = rng.randint(1, min(3, total))
    cuts = sorted(rng.sample(range(1, total), groups - 1))
    counts = [high - low for low, high in zip([0, *cuts], [*cuts, total], strict=True)]
    return {f"swarm{number}": draw_group(swarm, rng, count) for number, count in enumerate(counts, 1)}


def draw_group(swarm: Swarm, rng: random.Random, count: int) -> dict[str, object]:
    """Draw a group of so many nodes, as a file would say it."""
    latency = rng.uniform(*swarm.latency)
    return {
        "kind": rng.choice(swarm.node_kinds),
        "count": count,
        # MQTT counts keepalive in whole seconds
        "keepalive": f"{max(1, round(rng.uniform(*swarm.keepalive)))}s",
        "ramp": _duration(rng.uniform(0, swarm.span / 10)),
        "poll": _duration(rng.uniform(0.01, 0.5)),
        "work": rng.choice(
            [
                _duration(rng.uniform(0, 0.5)),
                {"uniform": {"min": "0s", "max": _duration(rng.uniform(0.01, 2))}},
                {"exponential": {"mean": _duration(rng.uniform(0.01, 1))}},
            ]
        ),
        "fail_rate": rng.choice(["0%", "0%", "5%"]),
        "network": {
            "latency": _duration(latency),
            "jitter": _duration(rng.uniform(0, latency)),
            "loss": format_fraction(rng.choice([0, 0, 0.01, 0.05])),
        },
    }


def _work(swarm: Swarm, rng: random.Random, others: Sequence[str]) -> list[dict[str, object]]:
    """Draw a steady stream, shared with another master if there is one; a pile for the whole fleet; and a
    pile on one node, by the bare transport and near the end, when hardly anything can scatter it any more:
    only where tasks wait does their order matter."""
    tasks = rng.randint(*swarm.tasks)
    pile = min((tasks - 1) // 2, max(5, tasks // 8))
    stream = tasks - 2 * pile
    if pile < 1:
        return []
    pace = max(stream / (swarm.span * rng.uniform(0.2, 0.8)), 0.001)
    begin = swarm.span * 0.15  # the ramps are over and the nodes connected
    steady = {
        "at": _duration(begin),
        "arrivals": rng.choice(["even", "poisson"]),
        "until": _duration(swarm.span),
        "priority": rng.choice(["1..10", {10: 1, 5: 3, 1: 6}, 5]),
        "payload": rng.choice(["64B", "200B", "2KiB"]),
    }
    shares = [(master, stream // (1 + len(others))) for master in (MASTER, *others)]
    return [
        *(
            {
                **steady,
                **draw_terms(rng),
                "master": master,
                "tasks": share,
                "rate": f"{pace * share / stream:.6f}/s",
            }
            for master, share in shares
            if share
        ),
        {
            **draw_terms(rng),
            "tasks": pile,
            "at": _duration(rng.uniform(begin, swarm.span * 0.9)),
            "priority": "1..10",
            "target": rng.choice(["any", "any", {"node": PILED_ON}]),
        },
        {
            "tasks": pile,
            "at": _duration(swarm.span * 0.95),
            "via": "transport",
            "priority": {8: 1, 5: 1, 2: 1},  # few, so that some are of one priority
            "target": {"node": PILED_ON},
        },
    ]


def draw_terms(rng: random.Random) -> dict[str, object]:
    """Draw on what terms an executor has the work of a stream done."""
    once = {"once": True, "timeout": "60s"}  # a node that never comes back would keep it for ever
    return rng.choice([{}, {}, {}, once, {"retries": 3}])


def draw_noise(swarm: Swarm, rng: random.Random, number: int) -> dict[str, Any]:
    """Draw what a probe client publishes: a malformed message, or what an older program left retained, which
    everybody meets again at each connection.

    Args:
        number: among those of the scenario; what is published is named by it.
    """
    entry: dict[str, object] = {"at": _duration(swarm.span * rng.uniform(0.02, 0.9)), "sure": True}
    match rng.choice(["malformed", "malformed", "task", "result"]):
        case "malformed":
            entry |= {"kind": "malformed", "what": rng.choice(list(MALFORMED))}
        case "task":
            task = {"id": f"left-{number}", "function": "echo"}
            usual = rng.choice([{}, {"priority": rng.randint(1, 10)}])
            entry |= {"kind": "inject", "topic": "{node}", "payload": task | usual}
            entry |= {"retain": rng.choice([True, False])}
        case "result":
            named = {"task_id": f"left-{number}", "output": number}
            left = {"node_id": "{node}", "result": named, "timestamp": 0}
            entry |= {"kind": "inject", "topic": "results", "payload": left, "retain": True}
    return entry


class _Faults:
    """Draws one fault after the other; what was drawn before limits what may follow.

    Most of the fleet comes back from what befalls it, and the node that work is piled on always does.
    """

    def __init__(self, swarm: Swarm, rng: random.Random, fleet: Fleet, masters: Sequence[str]) -> None:
        self._swarm = swarm
        self._masters = masters
        self._rng = rng
        self._fleet = fleet
        self._kinds = kinds_of(swarm)
        self._names = [node for name, group in fleet.items() for node in node_names(name, group.count)]
        self._mortal = self._aimed = (len(self._names) - 1) // 2
        self._outages = 0
        self._moments: list[float] = []
        self._first_s = swarm.span * rng.uniform(0.12, 0.2)
        self._told_s = min(self._first_s + _DEATH_TOLD_S, swarm.span * 0.5)
        self._last_s = last_begin_s(swarm, fleet)

    def draw(self) -> list[dict[str, Any]]:
        """Draw as many as the swarm may have."""
        count = self._rng.randint(*self._swarm.faults)
        faults = [self._first()] if count else []
        while len(faults) < count:
            lesser = [kind for kind in self._kinds if not is_outage(kind)] or self._kinds
            kind = self._rng.choice(self._kinds if self._outages < OUTAGES else lesser)
            if is_outage(kind):
                faults += self._outage(kind)
            else:
                faults.append(self._other(kind))
        return faults[:count]

    def _first(self) -> dict[str, object]:
        """Draw a death that is told at once, if any may be, and early, before broker and master can be away
        or all nodes out of reach: a run in which nobody's death is told tests little."""
        told_at_once = [kind for kind in self._kinds if KINDS[kind].seen is Seen.CLOSED]
        kind = self._rng.choice(told_at_once or self._kinds)
        return self._for_good(self._fault(kind, self._first_s))

    def _outage(self, kind: str) -> list[dict[str, object]]:
        """Draw one anywhere; or soon after another mishap, of which nobody has been told yet; or after a
        death that it hides: the broker forgets the node, and its will."""
        self._outages += 1
        early_s = self._told_s
        late_s = max(early_s, min(self._last_s, self._swarm.span * 0.6))
        at_s = self._rng.uniform(early_s, late_s)
        how = self._rng.choice(["anywhere", "after another", "hiding"])
        if how == "after another":
            at_s = min(late_s, max(early_s, self._rng.choice(self._moments) + self._rng.uniform(0, 5)))
        outage = self._fault(kind, at_s)
        silent = [kind for kind in self._kinds if is_fatal(kind) and KINDS[kind].seen is Seen.SILENCE]
        if how != "hiding" or not silent:
            return [outage]
        hidden = self._fault(self._rng.choice(silent), at_s * self._rng.uniform(0.8, 0.98))
        return [outage, self._for_good(hidden)]

    def _other(self, kind: str) -> dict[str, object]:
        early_s = self._told_s if is_wide(kind) else self._swarm.span * 0.05
        at_s = self._rng.uniform(early_s, max(early_s, self._last_s))
        fault = self._fault(kind, at_s)
        if not is_wide(kind) and self._aimed > 0 and self._rng.random() < _AIMED:
            self._aimed -= 1
            del fault["at"]
            if _leaves(kind) and "restart_after" in fault:  # whoever is told dead first must be there by then
                fault["restart_after"] = _duration(self._rng.uniform(0.1, self._first_s / 4))
            return fault | _while_connecting(self._rng, self._fleet)
        return self._for_good(fault) if at_s > self._first_s and self._rng.random() < 0.4 else fault

    def _fault(self, kind: str, at_s: float) -> dict[str, object]:
        self._moments.append(at_s)
        fault = draw_fault(self._swarm, self._rng, kind, at_s, self._last_s)
        if issubclass(KINDS[kind], MasterFault):
            fault["master"] = self._rng.choice(self._masters)
        return fault

    def _for_good(self, fault: dict[str, Any]) -> dict[str, Any]:
        """Return the same without an end, if it kills a node and the fleet can spare one."""
        if is_fatal(fault["kind"]) and self._mortal > 0:
            self._mortal -= 1
            del fault["restart_after"]
            fault["select"] = {"names": [name for name in self._names if name != PILED_ON], "count": 1}
        return fault


def _bring_together(entries: list[dict[str, Any]], swarm: Swarm, rng: random.Random, fleet: Fleet) -> None:
    """Let some of the faults strike just after another, or where and when a task is at work.

    From a generator of its own, after all else is drawn. The first fault stays where it is (rule 5), and so
    does what is aimed already, or for good.
    """
    names = [node for name, group in fleet.items() for node in node_names(name, group.count)]
    if any(is_fatal(entry["kind"]) and "restart_after" not in entry for entry in entries):
        names = [PILED_ON]  # the others may be gone for good
    free = [entry for entry in entries[1:] if "at" in entry and "select" not in entry]
    for entry in free:
        kind, chance = entry["kind"], rng.random()
        one_node = not (is_outage(kind) or is_wide(kind))
        if chance < _CLOSE:
            others = [other for other in entries if other is not entry and "at" in other]
            other = rng.choice(others or [entry])
            soon_s = math.exp(rng.uniform(*map(math.log, _CLOSE_S)))
            at_s = parse_duration(other["at"]) + soon_s
            early_s = swarm.span * 0.2 + _DEATH_TOLD_S
            late_s = last_begin_s(swarm, fleet)
            if is_outage(kind):
                late_s = min(late_s, swarm.span * 0.6)  # they wait for one another
            if other is entry or at_s > late_s or (not one_node and at_s < early_s):
                continue
            entry["at"] = _duration(at_s)
            _shorten(entry, longest_s(swarm, kind, at_s))
            if one_node and other in free and not (is_outage(other["kind"]) or is_wide(other["kind"])):
                victim = other.get("select") or {"names": [rng.choice(names)]}
                entry["select"] = other["select"] = victim
        elif one_node and chance < _CLOSE + _AT_WORK and swarm.tasks[0] >= 3 and "cycles" not in entry:
            del entry["at"]
            entry["when"] = {
                "event": rng.choice(["task_received", "task_taken", "result_held"]),
                "node": PILED_ON,
                "count": rng.randint(1, 3),
                "after": _duration(rng.uniform(0, 0.1)),
            }
            entry["select"] = {"same": True}
            _shorten(entry, _AT_WORK_S)


def _shorten(entry: dict[str, object], most_s: float) -> None:
    for key in ("for", "restart_after"):
        if key in entry:
            entry[key] = _duration(min(parse_duration(entry[key]), most_s))


def kinds_of(swarm: Swarm) -> list[str]:
    """Return the kinds of fault that a swarm draws from."""
    return swarm.kinds or [kind for kind, cls in KINDS.items() if cls.drawn]


def last_begin_s(swarm: Swarm, fleet: Fleet) -> float:
    """Return when the last fault may begin. Each goes on until it had an effect: within a keepalive even an
    idle node wants to send."""
    last_s = min(swarm.span * 0.8, swarm.span * 0.95 - max(group.keepalive for group in fleet.values()))
    return max(last_s, swarm.span * 0.3)


def _while_connecting(rng: random.Random, fleet: Fleet) -> dict[str, object]:
    """Draw one at some moment of the three round trips that some node's connection takes. Each node connects
    in the ramp, if not more often, so the event is certain to come."""
    name, group = rng.choice(list(fleet.items()))
    round_trip_s = 2 * (group.network.latency or 0.0) + (group.network.jitter or 0.0)
    count = rng.randint(1, group.count)
    after = _duration(rng.uniform(0, 3 * round_trip_s))
    return {
        "when": {"event": "node_connecting", "group": name, "count": count, "after": after},
        "select": {"same": True},
    }


def draw_fault(swarm: Swarm, rng: random.Random, kind: str, at_s: float, last_s: float) -> dict[str, object]:
    """Draw a fault that is over before the quiet time, and leaves time for others that wait for their
    chance."""
    lasts = _duration(rng.uniform(0.1, longest_s(swarm, kind, at_s)))
    cls = KINDS[kind]
    fault: dict[str, object] = {"kind": kind, "at": _duration(at_s), "sure": True}
    if cls.recovers:
        fault["restart_after" if "restart_after" in cls.model_fields else "for"] = lasts
    return fault | cls.draw(rng, last_s - at_s)


def longest_s(swarm: Swarm, kind: str, at_s: float) -> float:
    """Tell how long a fault of this kind may last that begins then."""
    left_s = swarm.span * 0.95 - at_s
    return left_s / (4 if is_outage(kind) or is_wide(kind) else 2)


def is_outage(kind: str) -> bool:
    """Say whether it is one of the broker or the master: it hides deaths."""
    return not issubclass(KINDS[kind], NodeFault)


def is_fatal(kind: str) -> bool:
    """Say whether a node that it hits is gone unless it is started again."""
    cls = KINDS[kind]
    back = cls.model_fields.get("restart_after")
    return issubclass(cls, NodeFault) and back is not None and back.default is None


def _leaves(kind: str) -> bool:
    """Say whether the node goes in good order, which is told at once and is no death by a fault."""
    cls = KINDS[kind]
    return issubclass(cls, NodeFault) and cls.leaves


def is_wide(kind: str) -> bool:
    """Say whether it takes many nodes at once."""
    cls = KINDS[kind]
    return issubclass(cls, NodeFault) and cls.wide


def _duration(seconds: float) -> str:
    return format_duration(round(seconds, 3))
