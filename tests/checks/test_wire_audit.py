"""What is heard at the broker: each rule of the protocol, broken, is told; what our programs say is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.brokers.model import packets
from dcompute_sim.faults.malformed import MALFORMED, malformed
from dcompute_sim.trace import Event, Role
from dcompute_sim.wire_audit import WireAudit

from dcompute import protocol
from dcompute.node_core import NodeCore

NOW_S = 1_700_000_100.0
LIVE, RETAINED = 0x32, 0x33


class Ear:
    """An audit of a node `n` and a master in the namespace `plant`, and what it has told."""

    def __init__(self) -> None:
        self.told: list[tuple[type[Event], dict[str, Any]]] = []
        self.audit = WireAudit(
            lambda kind, **fields: self.told.append((kind, fields)), lambda: NOW_S, "plant"
        )
        for name, role in (("n", Role.NODE), ("master", Role.MASTER), ("inject-1-probe", Role.PROBE)):
            self.audit.participant(name, role, "")
        self.audit.node("n", node_id="n", ours=True, keepalive_s=10, knows_time=True, round_trip_s=0.5)

    def connect(self, will: dict[str, Any] | None, **changes: Any) -> None:
        payload = changes.pop("payload", json.dumps(will).encode())
        fields: dict[str, Any] = {"client_id": "n", "clean": True, "keepalive_s": 10} | changes
        topic = fields.pop("topic", "plant/n/status").encode()
        left = packets.Will(topic, payload, fields.pop("qos", 1), fields.pop("retain", True))
        fields |= {"will": left if will is not None else None, "user_name": None, "password": None}
        self.audit.connect("n", packets.Connect(**fields))

    def says(self, topic: str, body: Any, flags: int = LIVE, who: str = "n") -> None:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.audit.publish(who, flags, topic.encode(), payload)

    def of(self, kind: type[Event]) -> list[dict[str, Any]]:
        return [fields for each, fields in self.told if each is kind]

    @property
    def broken(self) -> list[str]:
        return [fields["what"] for fields in self.of(t.ProtocolBroken)]


@pytest.fixture
def ear() -> Ear:
    heard = Ear()
    heard.connect(DEAD)
    return heard


DEAD = {"node_id": "n", "status": "dead", "inc": "boot.1"}
STATUS = {"node_id": "n", "status": "ready", "inc": "boot.1", "device_type": "d", "capabilities": {}}
HELLO = STATUS | {"status": "connected", "protocol": 1}
RESULT = {"node_id": "n", "result": 1, "timestamp": NOW_S, "task_id": "a", "inc": "boot.1"}
TASK = {"id": "a", "priority": 3, "attempt": 1}
QUESTION = {"task_info": {"command": "init"}, "priority": 5}


def test_what_the_node_core_and_the_master_say_is_as_the_protocol_has_it() -> None:
    heard = Ear()
    core = NodeCore("n", "d", "boot", {"keepalive": 10}, "plant")
    for _ in range(3):
        topic, will, _ = core.will()
        heard.connect(json.loads(will), topic=topic)
        heard.audit.subscribe("n", [(b"plant/n", 1), (b"plant/n/status", 1)])
        heard.audit.subscribe("n", [(b"plant/n/status", 0)])  # TCP carries what it said of itself
        result = core.result_message({"x": 1}, "a", NOW_S)
        assert result is not None
        for topic, payload, retain in (*core.greeting(), result, core.set_status("offline")):
            heard.says(topic, payload, RETAINED if retain else LIVE)
    heard.says("plant/n", protocol.encode_task(dict(TASK), 1), who="master")
    heard.says("plant/n", protocol.encode_init(), who="master")
    heard.says("plant/n/status", protocol.encode_dead("n", "boot.1"), RETAINED, "master")
    assert not heard.broken


def _say(
    topic: str, body: dict[str, Any], flags: int = LIVE, who: str = "n", **changes: Any
) -> Callable[[Ear], None]:
    return lambda ear: ear.says(topic, body | changes, flags, who)


def _twice(topic: str, body: dict[str, Any], who: str = "n") -> Callable[[Ear], None]:
    def say(ear: Ear) -> None:
        ear.says(topic, body, who=who)
        ear.says(topic, body, who=who)

    return say


def _connect(**changes: Any) -> Callable[[Ear], None]:
    inc = changes.pop("inc", "boot.2")
    will = changes.pop("will", DEAD | {"inc": inc})
    return lambda ear: ear.connect(will, **changes)


def _say_all(ear: Ear, count: int) -> None:
    for number in range(count):
        ear.says("plant/results", RESULT | {"task_id": str(number)})


def _progress(fraction: object) -> Callable[[Ear], None]:
    said = {"node_id": "n", "inc": "boot.1", "task_id": "a", "attempt": 1, "n": 1, "text": ""}
    return lambda ear: ear.says("plant/results/x", said | {"progress": fraction}, 0x30)


BREACHES: dict[str, Callable[[Ear], None]] = {
    "progress of more than all": _progress(1.5),
    "progress in words": _progress("half"),
    "a kept session": _connect(clean=False),
    "another client id": _connect(client_id="x"),
    "twice the keepalive": _connect(keepalive_s=20),
    "no will": _connect(will=None),
    "a will that is not retained": _connect(retain=False),
    "a will of QoS 0": _connect(qos=0),
    "a will elsewhere": _connect(topic="n/status"),
    "a will without a word": _connect(payload=b""),
    "a will that says offline": _connect(will=DEAD | {"status": "offline", "inc": "boot.2"}),
    "a will without an incarnation": _connect(will={"node_id": "n", "status": "dead"}),
    "an incarnation again": _connect(inc="boot.1"),
    "an incarnation without a number": _connect(inc="boot"),
    "a DISCONNECT without `offline`": lambda ear: ear.audit.disconnect("n"),
    "any number of messages": lambda ear: _say_all(ear, 31),
    "a subscription of QoS 0": lambda ear: ear.audit.subscribe("n", [(b"plant/n", 0)]),
    "one of QoS 2": lambda ear: ear.audit.subscribe("n", [(b"plant/n/status", 2)]),
    "a subscription outside": lambda ear: ear.audit.subscribe("n", [(b"n", 1)]),
    "QoS 0": _say("plant/n/status", STATUS, 0x31),
    "a topic outside": _say("n/status", STATUS, RETAINED),
    "another's status": _say("plant/m/status", STATUS, RETAINED),
    "a status that is not retained": _say("plant/n/status", STATUS),
    "a status of another incarnation": _say("plant/n/status", STATUS, RETAINED, inc="boot.2"),
    "a status of nobody": _say("plant/n/status", STATUS, RETAINED, node_id="m"),
    "a status of its own death": _say("plant/n/status", STATUS, RETAINED, status="dead"),
    "a retained announcement": _say("plant/initialisation", HELLO, RETAINED),
    "an announcement of another protocol": _say("plant/initialisation", HELLO, protocol=2),
    "a retained result": _say("plant/results", RESULT, RETAINED),
    "a result of 1970": _say("plant/results", RESULT, timestamp=0),
    "a result of tomorrow": _say("plant/results", RESULT, timestamp=NOW_S + 1),
    "a result of no incarnation": _say("plant/results", RESULT, inc=""),
    "a result of another boot": _say("plant/results", RESULT, inc="other.1"),
    "a result of no task": _say("plant/results", RESULT, task_id=""),
    "a result of no attempt": _say("plant/results", RESULT, attempt=True),
    "a result twice": _twice("plant/results", RESULT),
    "no JSON": lambda ear: ear.says("plant/results", b"{"),
    "a retained task": _say("plant/n", TASK, RETAINED, "master"),
    "a task without a priority": lambda ear: ear.says("plant/n", {"id": "a", "attempt": 1}, who="master"),
    "a task of priority 0": _say("plant/n", TASK, LIVE, "master", priority=0),
    "a task outside": _say("n", TASK, LIVE, "master"),
    "a task without an id": lambda ear: ear.says("plant/n", {"priority": 1, "attempt": 1}, who="master"),
    "a task twice": _twice("plant/n", TASK, "master"),
    "a death that is not retained": _say("plant/n/status", DEAD, LIVE, "master"),
    "a death of nobody": lambda ear: ear.says(
        "plant/n/status", {"node_id": "n", "status": "dead"}, RETAINED, "master"
    ),
}


@pytest.mark.parametrize("breach", BREACHES.values(), ids=list(BREACHES))
def test_what_breaks_the_protocol_is_told_once(breach: Callable[[Ear], None], ear: Ear) -> None:
    assert not ear.broken
    breach(ear)
    told = len(ear.broken)
    assert told
    assert len(set(ear.broken)) == told


@pytest.mark.parametrize(
    ("will", "consequence"),
    [
        ("a will that is not retained", "who comes later does not learn of its death"),
        ("a will of QoS 0", "where it gets lost, nobody learns of it"),
        ("a will elsewhere", "nobody learns of its death"),
        ("a will without a word", "it clears its status, and tells no death"),
    ],
)
def test_what_is_wrong_with_a_will_is_said_with_what_comes_of_it(
    will: str, consequence: str, ear: Ear
) -> None:
    BREACHES[will](ear)
    (told,) = ear.broken
    assert told.endswith(f": {consequence}")


def test_how_far_a_task_is_is_no_result_that_lacks_one(ear: Ear) -> None:
    _progress(0.5)(ear)
    assert not ear.broken


def test_a_node_of_somebody_else_may_be_sent_a_task_again(ear: Ear) -> None:
    ear.audit.participant("bare", Role.NODE, "")
    ear.audit.node("bare", node_id="bare", ours=False, keepalive_s=10, knows_time=True)
    _twice("plant/bare", TASK, "master")(ear)
    assert not ear.broken


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_malformed_is_so_for_the_audit_and_for_production(what: str, ear: Ear) -> None:
    topic, data = malformed(what, "n")
    topic = f"plant/{topic}"
    ear.says(topic, data, who="inject-1-probe")
    assert ear.of(t.MalformedHeard) == [{"who": "inject-1-probe", "topic": topic}]
    if topic == "plant/n":
        core = NodeCore("n", "d", "boot", namespace="plant")
        assert core.receive(topic, data) == []
        assert core.rejected == 1
    else:
        with pytest.raises(protocol.Rejected):
            protocol.decode(protocol.Topics("plant"), topic, data)


LONGEST = b'{"id": "a", "fill": "%s"}' % (b"x" * (262_144 - 23))
AT_THE_LIMIT = {
    "lowest": TASK | {"priority": 1},
    "highest": TASK | {"priority": 10},
    "long name": TASK | {"id": "x" * 128},
    "numbered": TASK | {"id": 7},
    "deep": b'{"id": "a", "args": ' + b"[" * 15 + b"]" * 15 + b"}",
    "large": LONGEST,
    "without a priority": {"id": "a"},
}


@pytest.mark.parametrize("task", AT_THE_LIMIT.values(), ids=list(AT_THE_LIMIT))
def test_a_task_at_the_limit_is_one_for_the_audit_and_for_production(task: Any, ear: Ear) -> None:
    data = task if isinstance(task, bytes) else json.dumps(task).encode()
    assert len(LONGEST) == 262_144
    ear.says("plant/n", data, who="inject-1-probe")
    assert not ear.of(t.MalformedHeard)
    core = NodeCore("n", "d", "boot", namespace="plant")
    core.receive("plant/n", data)
    (heard,) = ear.of(t.TaskFromOutside)
    taken = core.take()
    assert taken is not None
    assert (heard["task"], heard["priority"]) == (str(taken["id"]), taken["priority"])


def test_who_was_said_to_be_gone_is_told_until_somebody_says_otherwise(ear: Ear) -> None:
    ear.audit.will("n", "plant/n/status", json.dumps(DEAD).encode())
    ear.says("plant/n/status", STATUS, RETAINED)
    ear.says("plant/n/status", STATUS, RETAINED)
    ear.says("plant/n/status", DEAD, RETAINED, "inject-1-probe")
    assert [kind for kind, _ in ear.told] == [t.SaidGone, t.SaidBack, t.SaidGone]


def test_programs_of_others_are_not_judged() -> None:
    heard = Ear()
    heard.audit.node("n", node_id="n", ours=False, keepalive_s=10, knows_time=False)
    heard.connect(None)
    heard.says("plant/results", {"node_id": "n", "result": 1}, RETAINED)
    assert not heard.broken
    assert heard.of(t.ResultFromOutside) == [{"who": "n", "node": "n", "task": "", "retain": True}]


def test_a_connect_that_was_held_up_comes_after_the_next_ones(ear: Ear) -> None:
    """Found by seed 513 of the swarm of boards: the board had given that attempt up. It comes once."""
    for number in (4, 3, 2, 5):
        ear.connect(DEAD | {"inc": f"boot.{number}"})
    assert not ear.broken
    ear.connect(DEAD | {"inc": "boot.3"})
    assert ear.broken == ["an incarnation that was there before"]
