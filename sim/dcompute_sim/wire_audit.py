"""Holds what clients say to the broker against docs/protocol.md, as somebody would who has only that page.

Rules
1. Nothing of `dcompute` is used here: topics, limits and fields are written anew from the page. What both
   ends of our own wire had wrong in the same way would else be right.
2. Our programs (nodes of ours, their clones, the master) are judged, word by word; what they must not say is
   told as `protocol_broken`, each kind once. Of strangers and other people's programs it is only told what
   they may have caused: valid tasks, and who was said to be gone.
3. It hears what the broker takes in, so what was sent into a silence is not judged, and nothing that it does
   changes the run.

Beside the form of each message: an incarnation is new at every CONNECT, also after a reboot, and is that of
the connection in every status; a result names one of the same boot, a time that the node has lived through
(a python node; a board's clock may be unset, and is in the year 2000 then), and is not sent twice on one
connection: its PUBACK answers it.

Rejected: to hear at the sender, which costs the framing of every byte once more; an event for each message,
which would double every trace.
"""

from __future__ import annotations

import json
import re
import zlib
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from dcompute_sim import trace as t
from dcompute_sim.brokers.model.packets import RETAIN, Connect
from dcompute_sim.trace import Role

_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_RESERVED = ("initialisation", "results", "updates")
_INC = re.compile(r"([^.]{1,120})\.([1-9][0-9]{0,15})")
_LARGEST = 262_144
_DEEPEST = 16
_DEFAULT_PRIORITY = 5
_GONE = ("dead", "offline")
_QUEUE = ("submitted", "done", "failed", "waiting", "at_nodes", "nodes")
_ASKERS = frozenset({"n", "open", "boot"})  # of who is acknowledged end to end
_FIRST_TASKS = 100  # of a connection: what the master held for it
_IN_FLIGHT = 30  # messages: 20, and half as many again of statuses, which overtake
_STATUSES = 4
_REMEMBERED = 16  # messages of a connection; what is repeated without need is repeated soon
_LATE_AT_MOST = 100  # connections of which the CONNECT may still be on its way
_BOARDS_BEGIN_S = 946_684_800  # 2000-01-01, where an ESP32's clock is at power-on
_PIECE = b"DCU2P"  # of a version that a board takes in
_DROPS_TOPIC = "$SYS/broker/publish/messages/dropped"

Tell = Callable[..., None]
"""Takes the type of an event and its fields."""

_decode = msgspec.json.Decoder().decode


@dataclass(slots=True)
class _Speaker:
    """One who connects. `judged`: a program of ours."""

    name: str
    is_master: bool
    node: str  # whose id it uses; "" when it is no node
    judged: bool
    keepalive_s: int = 0
    knows_time: bool = False
    inc: str = ""
    since_s: float = 0.0  # its first connection of this boot
    status: str = ""  # that it has said on this connection
    connections: int = 0
    tasks: int = 0  # that it has published on this connection
    round_trip_s: float = 0.0
    # A fleet of thousands has as many of these, so what most of them hardly use is small.
    lately_s: list[float] = field(default_factory=list)  # when it published, within the last round trip
    said: array[int] = field(default_factory=lambda: array("I"))
    statuses: tuple[bytes, ...] = ()  # of this connection, looked at already


class WireAudit:
    """Hears what crosses the broker.

    Args:
        tell: adds an event to the trace.
        wall_s: the clock that nodes have.
        namespace: of the scenario.
    """

    def __init__(self, tell: Tell, wall_s: Callable[[], float], namespace: str) -> None:
        self._tell = tell
        self._wall_s = wall_s
        self._prefix = namespace + "/" if namespace else ""
        self._speakers: dict[str, _Speaker] = {}
        self._names: dict[str, str] = {}  # of nodes, by their ids
        self._numbers: dict[tuple[str, str], int] = {}  # (node, boot nonce) -> its highest connection
        self._skipped: dict[tuple[str, str], set[int]] = {}  # connections below it that were not heard of yet
        self._gone: set[str] = set()  # nodes of which that was said last
        self._told: set[tuple[str, str]] = set()
        self._heard = 0

    def participant(self, name: str, role: Role, node: str) -> None:
        """Know somebody who takes part; what kind of node it is, `node` tells, before or after."""
        if name not in self._speakers:
            whose = name if role is Role.NODE else node
            if (original := self._speakers.get(node)) is not None:  # a clone's
                whose = original.node
            judged = role in (Role.NODE, Role.CLONE, Role.MASTER)
            self._speakers[name] = _Speaker(name, role is Role.MASTER, whose, judged)

    def node(
        self,
        name: str,
        *,
        node_id: str,
        ours: bool,
        keepalive_s: float,
        knows_time: bool,
        round_trip_s: float = 0.0,
    ) -> None:
        """Know what is to be expected of a node. `round_trip_s`: what its link takes at least."""
        speaker = self._speakers[name]
        if speaker.node == name:  # no clone's
            speaker.node = node_id
            self._names[node_id] = name
        speaker.judged = ours
        speaker.keepalive_s = max(1, round(keepalive_s))
        speaker.knows_time = knows_time
        speaker.round_trip_s = round_trip_s

    def close(self) -> None:
        """Tell, at the end of the run, how much was heard."""
        self._tell(t.WireHeard, messages=self._heard)

    # --- what the broker hears --------------------------------------------------------------------------

    def connect(self, name: str, connect: Connect) -> None:
        """Hear a CONNECT that was accepted."""
        speaker = self._speakers.get(name)
        if speaker is None or not speaker.judged:
            return
        self._heard += 1
        speaker.said = array("I")
        speaker.statuses = ()
        speaker.lately_s.clear()
        speaker.status = ""
        speaker.connections += 1
        speaker.tasks = 0
        if not connect.clean:
            self._broken(speaker, "", "keeps its session")
        if speaker.is_master:
            if connect.will is not None:
                self._broken(speaker, "", "a master with a will")
            return
        if connect.client_id != speaker.node:
            self._broken(speaker, "", "its client id is not its node id")
        if connect.keepalive_s != speaker.keepalive_s:
            self._broken(speaker, "", f"keepalive {connect.keepalive_s}, not {speaker.keepalive_s}")
        will = connect.will
        if will is None:
            self._broken(speaker, "", "no will")
            return
        topic = will.topic.decode()
        if topic != f"{self._prefix}{speaker.node}/status":
            self._broken(speaker, topic, "its will is not on its status topic: nobody learns of its death")
        if not will.retain:
            told = "its will is not retained: who comes later does not learn of its death"
            self._broken(speaker, topic, told)
        if will.qos != 1:
            self._broken(
                speaker, topic, f"its will has QoS {will.qos}, not 1: where it gets lost, nobody learns of it"
            )
        if not will.payload:
            self._broken(speaker, topic, "its will has no word: it clears its status, and tells no death")
            return
        body = self._object(speaker, topic, will.payload)
        if body.get("node_id") != speaker.node or body.get("status") != "dead":
            self._broken(speaker, topic, "its will does not say that it is dead")
        self._begin(speaker, topic, body.get("inc"))

    def subscribe(self, name: str, wanted: Sequence[tuple[bytes, int]]) -> None:
        """Hear a SUBSCRIBE that was taken in."""
        speaker = self._speakers.get(name)
        if speaker is None or not speaker.judged:
            return
        prefix = self._prefix
        if speaker.is_master:
            known: dict[str, tuple[int, ...]] = {
                f"{prefix}+/status": (0,),
                f"{prefix}initialisation": (0,),
                f"{prefix}results": (1,),
                f"{prefix}updates": (1,),
                _DROPS_TOPIC: (0,),
            }
        else:
            node = prefix + speaker.node
            known = {node: (1,), f"{node}/status": (0, 1), f"{node}/update": (1,)}
        for topic_filter, qos in wanted:
            topic = topic_filter.decode()
            answers = speaker.is_master and qos == 1 and topic.startswith(f"{prefix}results/")
            if qos not in known.get(topic, ()) and not answers:
                self._broken(speaker, topic, f"subscribes to it with QoS {qos}")

    def publish(self, name: str, flags: int, topic_bytes: bytes, payload: bytes) -> None:
        """Hear a PUBLISH that was taken in. `flags`: of its first byte."""
        speaker = self._speakers.get(name)
        if speaker is None:
            return
        topic = topic_bytes.decode(errors="replace")
        retain = bool(flags & RETAIN)
        if not speaker.judged:
            self._of_others(speaker, topic, payload, retain)
            return
        self._heard += 1
        inside = topic
        if prefix := self._prefix:
            inside = topic[len(prefix) :] if topic.startswith(prefix) else ""
        if (
            flags & 0x06 != 0x02
            and not inside.startswith("results/")
            # What is asked for again if it is lost may be of QoS 0.
            and not (speaker.is_master and self._object(speaker, topic, payload).keys() >= _ASKERS)
        ):
            self._broken(speaker, topic, "not QoS 1")
        if speaker.round_trip_s:
            self._count_flying(speaker, topic)
        if speaker.is_master:
            self._of_master(speaker, topic, inside, payload, retain)
        else:
            self._of_node(speaker, topic, inside, payload, retain)

    def disconnect(self, name: str) -> None:
        """Hear a DISCONNECT, which drops the will."""
        speaker = self._speakers.get(name)
        if speaker is not None and speaker.judged and speaker.node and speaker.status != "offline":
            self._broken(speaker, "", "drops its will (DISCONNECT) and has not said `offline`")

    def will(self, name: str, topic: str, payload: bytes) -> None:
        """Hear the will of somebody, as the broker publishes it."""
        self._stranger_said(name, topic, payload)

    # --- nodes ------------------------------------------------------------------------------------------

    def _of_node(self, speaker: _Speaker, topic: str, inside: str, payload: bytes, retain: bool) -> None:
        if inside == f"{speaker.node}/status":
            if not retain:
                self._broken(speaker, topic, "a status that is not retained")
            if payload in speaker.statuses and speaker.node not in self._gone:  # busy, ready, busy, ...
                speaker.status = "one of these"
                return
            body = self._object(speaker, topic, payload)
            self._of_connection(speaker, topic, body)
            status = body.get("status")
            if not isinstance(status, str) or not 0 < len(status) <= 64 or status == "dead":
                self._broken(speaker, topic, "calls itself dead, or by no status")
            speaker.status = str(status)
            if len(speaker.statuses) < _STATUSES and status not in _GONE:
                speaker.statuses += (payload,)
            self._said(speaker.name, speaker.node, body)
        elif inside == "results" or inside.startswith("results/"):
            if retain:
                self._broken(speaker, topic, "a retained result")
            if inside == "results":  # an executor asks for the same again when in doubt
                self._once(speaker, topic, payload)
                if not speaker.status:
                    self._broken(speaker, topic, "a result before its status")
            self._result(speaker, topic, self._object(speaker, topic, payload))
        elif inside == "initialisation":
            if retain:
                self._broken(speaker, topic, "a retained initialisation")
            body = self._object(speaker, topic, payload)
            self._of_connection(speaker, topic, body)
            if body.get("status") != "connected" or body.get("protocol") != 1:
                self._broken(speaker, topic, "not `connected` by protocol 1")
        elif inside != "updates" or retain:
            self._broken(speaker, topic, "publishes where nodes have nothing to say")

    def _of_connection(self, speaker: _Speaker, topic: str, body: dict[str, object]) -> None:
        if body.get("node_id") != speaker.node:
            self._broken(speaker, topic, "not under its node id")
        if body.get("inc") != speaker.inc:
            self._broken(speaker, topic, "not of the incarnation of its connection")
        if not isinstance(body.get("device_type"), str) or not isinstance(body.get("capabilities"), dict):
            self._broken(speaker, topic, "no device_type, or no capabilities")

    def _result(self, speaker: _Speaker, topic: str, body: dict[str, object]) -> None:
        if body.get("node_id") != speaker.node:
            self._broken(speaker, topic, "not under its node id")
        task = body.get("task_id")
        if not isinstance(task, str) or not 0 < len(task) <= 128:
            self._broken(speaker, topic, "a result that names no task")
        attempt = body.get("attempt", 1)
        if type(attempt) is not int or attempt < 1:
            self._broken(speaker, topic, "a result of no attempt")
        if body.get("inc") != speaker.inc or not speaker.inc:
            named, current = _parts(body.get("inc")), _parts(speaker.inc)
            if named is None or current is None or named[0] != current[0] or named[1] > current[1]:
                self._broken(speaker, topic, "a result of no incarnation of this boot")
        if "answer" in body:
            if body["answer"] == "gone":
                self._tell(t.ResultForgotten, node=speaker.name, task=str(task), attempt=attempt)
            return
        if "progress" in body:
            fraction = body["progress"]
            if type(fraction) not in (int, float) or not 0 <= fraction <= 1:  # type: ignore[operator]
                self._broken(speaker, topic, "progress that is no number from 0 to 1")
            return
        timestamp = body.get("timestamp")
        if "result" not in body or isinstance(timestamp, bool) or not isinstance(timestamp, (int, float)):
            self._broken(speaker, topic, "no result, or no timestamp")
        elif speaker.knows_time and not speaker.since_s <= timestamp <= self._wall_s():
            self._broken(speaker, topic, "a timestamp of another time than its own")
        elif timestamp < _BOARDS_BEGIN_S:
            self._broken(speaker, topic, "a timestamp of an age in which no clock of a node is")

    def _begin(self, speaker: _Speaker, topic: str, inc: object) -> None:
        """Begin with a new connection: its incarnation is new, and of one boot they count up. The CONNECT of
        an attempt that was given up may have been held up on its way, and come after the next one's."""
        parts = _parts(inc)
        before = _parts(speaker.inc)
        if parts is None:
            self._broken(speaker, topic, "a will without an incarnation")
            speaker.inc = ""
            return
        nonce, number = parts
        key = speaker.node, nonce
        highest = self._numbers.get(key, 0)
        if number > highest:
            if number > highest + 1:
                first = max(highest + 1, number - _LATE_AT_MOST)
                self._skipped.setdefault(key, set()).update(range(first, number))
            self._numbers[key] = number
        elif number in self._skipped.get(key, ()):
            self._skipped[key].remove(number)
        else:
            self._broken(speaker, topic, "an incarnation that was there before")
        if before is None or before[0] != nonce:
            speaker.since_s = self._wall_s()
        speaker.inc = str(inc)

    # --- the master -------------------------------------------------------------------------------------

    def _of_master(self, speaker: _Speaker, topic: str, inside: str, payload: bytes, retain: bool) -> None:
        node, _, what = inside.partition("/")
        if node == "results" and what.endswith("/queue"):
            self._of_queue(speaker, topic, payload, retain)
        elif not _is_id(node) or what not in ("", "status", "update"):
            self._broken(speaker, topic, "publishes where a master has nothing to say")
        elif what == "status":
            if not payload:  # the node is forgotten; not retained, the master asks whether it hears itself
                return
            if not retain:
                self._broken(speaker, topic, "a status that is not retained")
            body = self._object(speaker, topic, payload)
            if body.get("node_id") != node or body.get("status") != "dead" or "inc" not in body:
                self._broken(speaker, topic, "declares something else than the death of an incarnation")
            self._said(speaker.name, node, body)
        elif retain:
            self._broken(speaker, topic, "a retained task or update")
        elif what and payload.startswith(_PIECE):  # a question counts once; asked again it has a new number
            self._once(speaker, topic, payload)
        elif not what:
            body = self._object(speaker, topic, payload)
            if body.keys() >= _ASKERS:  # an executor's, which says the same again as often as it is in doubt
                if not body.get("settle") and not _is_for_node(body):
                    self._broken(speaker, topic, "a task that no node must take")
                return
            if "id" not in body:
                if body.get("task_info") != {"command": "init"}:
                    self._broken(speaker, topic, "a task without an id")
                return
            given_to = self._speakers.get(self._name_of(node))
            if given_to is not None and given_to.judged:  # others acknowledge nothing: executors send again
                self._once(speaker, topic, payload)
            speaker.tasks += 1
            if speaker.connections > 1 and speaker.tasks <= _FIRST_TASKS:
                attempt = body.get("attempt", 1)
                self._tell(t.TaskHeard, node=self._name_of(node), task=str(body["id"]), attempt=attempt)
            if not _is_for_node(body) or not {"priority", "attempt"} <= body.keys():
                self._broken(speaker, topic, "a task that no node must take")

    def _of_queue(self, speaker: _Speaker, topic: str, payload: bytes, retain: bool) -> None:
        if retain:
            self._broken(speaker, topic, "a retained queue: it is old as soon as it is said")
        body = self._object(speaker, topic, payload)
        counts = {key: body.get(key) for key in _QUEUE}
        by_priority = body.get("by_priority")
        named = f"{self._prefix}results/{body.get('asker')}/queue" == topic
        if not named or not isinstance(by_priority, dict) or not all(type(n) is int for n in counts.values()):
            self._broken(speaker, topic, "a queue without counts, or of somebody else")
        else:
            self._tell(t.QueueTold, asker=speaker.name, by_priority=by_priority, **counts)

    # --- others -----------------------------------------------------------------------------------------

    def _of_others(self, speaker: _Speaker, topic: str, payload: bytes, retain: bool) -> None:
        if not topic.startswith(self._prefix):
            return
        inside = topic[len(self._prefix) :]
        body = _object(payload)
        if inside == "results":
            valid = body is not None and _is_result(body)
            if valid and body is not None:
                self._tell(
                    t.ResultFromOutside,
                    who=speaker.name,
                    node=self._name_of(str(body["node_id"])),
                    task=_named(body),
                    retain=retain,
                )
        elif inside == "initialisation":
            valid = body is not None and _is_announcement(body)
        elif inside.endswith("/status"):
            node = inside.removesuffix("/status")
            valid = _is_id(node) and (not payload or (body is not None and _is_status(body, node)))
            if body is not None and (valid or body.get("status") in _GONE):  # a node understands that word
                self._said(speaker.name, node, body)
        elif _is_id(inside):
            valid = body is not None and _is_for_node(body)
            if valid and body is not None and not body.keys() >= _ASKERS and not _is_question(body):
                attempt = body.get("attempt")
                self._tell(
                    t.TaskFromOutside,
                    who=speaker.name,
                    node=self._name_of(inside),
                    task=str(body.get("id", "")),
                    priority=body.get("priority", _DEFAULT_PRIORITY),
                    attempt=attempt if type(attempt) is int else 1,
                    retain=retain,
                )
        else:
            return
        if not valid:
            self._tell(t.MalformedHeard, who=speaker.name, topic=topic)

    def _stranger_said(self, who: str, topic: str, payload: bytes) -> None:
        node = topic[len(self._prefix) : -len("/status")]
        if topic.startswith(self._prefix) and topic.endswith("/status") and _is_id(node):
            self._said(who, node, _object(payload) or {})

    def _said(self, who: str, node: str, body: dict[str, object]) -> None:
        """Keep what somebody has said of a node, to all."""
        status = body.get("status")
        if status in _GONE:
            inc = body.get("inc")
            self._gone.add(node)
            named = inc if isinstance(inc, str) else ""
            self._tell(t.SaidGone, who=who, node=self._name_of(node), status=status, inc=named)
        elif isinstance(status, str) and node in self._gone:
            self._gone.discard(node)
            self._tell(t.SaidBack, who=who, node=self._name_of(node))

    def _name_of(self, node_id: str) -> str:
        return self._names.get(node_id, node_id)

    # --- judging ----------------------------------------------------------------------------------------

    def _object(self, speaker: _Speaker, topic: str, payload: bytes) -> dict[str, object]:
        try:
            body = _decode(payload)
        except msgspec.DecodeError:
            body = None
        if not isinstance(body, dict) or len(payload) > _LARGEST:
            self._broken(speaker, topic, "no JSON object, or too large a one")
            return {}
        return body

    def _count_flying(self, speaker: _Speaker, topic: str) -> None:
        """Count what is on its way: a client cannot have had an answer before its link's round trip is
        over."""
        lately_s, now_s = speaker.lately_s, self._wall_s()
        while lately_s and now_s - lately_s[0] >= 0.99 * speaker.round_trip_s:
            lately_s.pop(0)
        lately_s.append(now_s)
        if len(lately_s) > _IN_FLIGHT:
            lately_s.pop(0)
            self._broken(speaker, topic, f"more than {_IN_FLIGHT} messages on their way")

    def _once(self, speaker: _Speaker, topic: str, payload: bytes) -> None:
        print_ = zlib.crc32(payload, zlib.crc32(topic.encode()))
        if print_ in speaker.said:
            self._broken(speaker, topic, "says the same again on one connection")
        speaker.said.append(print_)
        if len(speaker.said) > _REMEMBERED:
            speaker.said.pop(0)

    def _broken(self, speaker: _Speaker, topic: str, what: str) -> None:
        if (speaker.name, what) not in self._told:
            self._told.add((speaker.name, what))
            self._tell(t.ProtocolBroken, who=speaker.name, topic=topic, what=what)


def _refuse(name: str) -> None:
    raise ValueError(name)


_loads = json.JSONDecoder(parse_constant=_refuse).decode


def _parts(inc: object) -> tuple[str, int] | None:
    """Boot nonce and number of an incarnation."""
    found = _INC.fullmatch(inc) if isinstance(inc, str) else None
    return (found[1], int(found[2])) if found else None


def _is_id(name: str) -> bool:
    return bool(_ID.fullmatch(name)) and name not in _RESERVED


def _object(payload: bytes) -> dict[str, object] | None:
    """Return the JSON object in a stranger's bytes, if the protocol's limits let it be one."""
    if len(payload) > _LARGEST:
        return None
    try:
        body = _loads(payload.decode())
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) and _depth(body) <= _DEEPEST else None


def _depth(value: object) -> int:
    """Return how deep brackets are nested."""
    deepest, level = 0, [value]
    while level := [each for each in level if isinstance(each, (dict, list))]:
        deepest += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return deepest


def _is_for_node(body: dict[str, object]) -> bool:
    priority, task = body.get("priority", _DEFAULT_PRIORITY), body.get("id", "-")
    return type(priority) is int and 1 <= priority <= 10 and _is_task_id(task)


def _is_question(body: dict[str, object]) -> bool:
    return "id" not in body and body.get("task_info") == {"command": "init"}


def _is_task_id(task: object) -> bool:
    return type(task) in (int, str) and 0 < len(str(task)) <= 128


def _is_status(body: dict[str, object], node: str) -> bool:
    return body.get("node_id") == node and _is_word(body.get("status")) and _has_fields(body)


def _is_announcement(body: dict[str, object]) -> bool:
    node = body.get("node_id")
    word = _is_word(body.get("status", "connected"))
    return isinstance(node, str) and _is_id(node) and word and _has_fields(body)


def _is_result(body: dict[str, object]) -> bool:
    node, timestamp, task = body.get("node_id"), body.get("timestamp"), body.get("task_id")
    known = isinstance(node, str) and _is_id(node) and "result" in body
    timed = timestamp is None or type(timestamp) in (int, float)
    return known and timed and (task is None or _is_task_id(task)) and isinstance(body.get("inc", ""), str)


def _is_word(status: object) -> bool:
    return isinstance(status, str) and 0 < len(status) <= 64


def _has_fields(body: dict[str, object]) -> bool:
    inc, device, capabilities = body.get("inc", ""), body.get("device_type", ""), body.get("capabilities")
    texts = isinstance(inc, str) and isinstance(device, str)
    return texts and (capabilities is None or isinstance(capabilities, dict))


def _named(result: dict[str, object]) -> str:
    """Return the task that a result says it answers."""
    inner = result["result"]
    within = inner.get("task_id") if isinstance(inner, dict) else None
    named = result.get("task_id")
    return str(named if named is not None else within if _is_task_id(within) else "")
