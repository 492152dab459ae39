"""The master's state machine: which nodes there are, which incarnation each is, who died, what results came.

Rules
1. What comes live is news; what comes retained was true once. A retained sign of life says nothing of a node
   that was heard, or told of by its will, over the present connection: some brokers send what is retained
   behind what replaced it. A retained announcement or result is counted, and that is all.
2. A `dead` or `offline` of another incarnation than the present one is stale: it is the will of a connection
   that is gone. Incarnations are compared for equality only, and an older node, which has none, is taken at
   its word.
3. An incarnation dies once, however many signs of its death come. If it speaks afterwards it is alive, and
   its next death is news.
4. A node that is alive as far as is known, but not heard over the present connection, is in doubt: one whose
   status was read retained, and all of them after the master was away. It is asked (`Probe`), and if it does
   not speak within its bound it is declared dead. Speech is a live status, an announcement, or a result of
   the present incarnation; another incarnation's result is none.
5. The bound, who has to speak by when, and when the next is due: `doubts.py`. Without a broker no node can
   speak, so none is judged: bounds begin at `link_up`.
6. A death that the master declares is published, retained, over the node's last status (`DeclareDead`), for
   those who come later. It comes back to the master as a message like any other: where the node has spoken
   meanwhile, that echo is stale, once. `last_seen` stays when the node was seen, not when it was missed.
7. A result counts once for each task id (of the last `task_memory`), whichever attempt brought it, and only
   from a node that was given the task.
8. A forgotten node stays forgotten, whatever is retained of it or on its way, until it announces itself.
9. A node's status topic is its own, and access rules at the broker can hold everybody else off it; the topics
   `initialisation` and `results` are everybody's, and whoever may write there may write any name. So what is
   said there of a node whose status is known counts only if it names a life (the boot nonce of `inc`) that
   its status has named: who hears nothing of other nodes cannot know that. An announcement of another life
   changes nothing, and the node is asked if its status does not bear it out; a result of another life waits
   for that status (`unproven.py`). A node that was only ever announced is `connected`, dies of nothing,
   and gives way to its first status, whatever that says.
10. What anybody may cause is bounded: nodes known, those only announced, bytes of capabilities
   (`descriptions.py`), results kept for whoever collects, results that wait. Beyond that it is refused and
   counted, what is only announced before what speaks for itself.
11. What a master believed before it crashed (`restore`) is in doubt like everything else at `link_up`: so a
   node that died while neither it nor the broker's memory was there is missed, and named.
12. With `probe_s`, a node that has said nothing for so long is in doubt too (rule 4).
13. A node that was given work and never answers, or that is announced and never tells its status, is
   suspected (`Denial`) to be held off by the broker's access rules: see `unanswered`. No belief follows.

Nothing that a network can send raises: messages come decoded, and what is odd is counted or told as an
effect. There is no clock and no lock (the transport around it has one): times go in, `now_s` monotonic for
bounds, `wall_s` seconds since 1970 for what people read. Effects come out, in order, and are carried out by
who called: so the same code judges in real time, in virtual time and in a test.

Why
* Rule 2: a broker publishes the will of a half-open connection up to 1.5 x keepalive after it fell silent,
  often long after the node is back on another one. Without incarnations that kills the living.
* Rule 4: a master that starts reads `ready` of nodes that died while no broker was there to publish their
  wills (a broker that restarts forgets sessions and wills, and may keep what is retained). Nobody else will
  ever say that they are dead.
* Rule 9: `ready`, announced in the name of a node that had died, hid its death, and its real `dead` was then
  stale; a result in the name of another displaced the genuine one.
* Rule 7: QoS 1 delivers again, and who sends a task again after a death cannot know that it had been done.

Rejected
* Time stamps, or a growing number, in place of the incarnation: a board's clock may be unset, and a count
  that survives a reboot is a write to flash at each boot.
* Judging a node by how long ago its last status came: a node that is idle says nothing for days.
* Dropping a record at a death: its incarnation is what tells the next stale will from news.

Sources: MQTT 3.1.1, 3.1.2.5 (wills); docs/protocol.md, "What the master
believes". `python -m benchmarks mutants` plants faults against these rules.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from dcompute._master.descriptions import Descriptions
from dcompute._master.doubts import Doubts
from dcompute._master.effects import DeclareDead, Denial, Effect, Probe
from dcompute._master.node_record import GONE, NodeRecord, life_of
from dcompute._master.taskbook import TaskBook
from dcompute._master.unanswered import Unanswered
from dcompute._master.unproven import UnprovenResults
from dcompute.events import (
    DeathReported,
    NodeStatusSeen,
    ResultDuplicate,
    ResultReceived,
    ResultRefused,
    StaleDeathIgnored,
)
from dcompute.node_core import DEAD
from dcompute.protocol import Announcement, Message, ResultMessage, StatusCleared, StatusMessage

if TYPE_CHECKING:
    from dcompute.records import NodeInfo, ResultRecord

_LIVES = 4  # of a node, whose results may still come
_ONLY_ANNOUNCED = 1_000  # nodes that never told a status
_DUPLICATE, _NOT_GIVEN = "duplicate", "the task was not given to this node"


class Registry:
    """Decides what a master believes of each node.

    Args:
        liveness_s: how long after an outage an unverified node may stay silent before it is declared dead;
            None takes 1.5 x the keepalive the node announced (60 s if it did not) plus `grace_s`.
        grace_s: time for reconnection backoff, added to the above.
        probe_s: after how long a silence a node is asked whether it is there; None: never.
        result_limit: results kept until collected; beyond it the oldest is dropped and counted.
        result_bytes: likewise, of the memory that they take.
        task_memory: how many task ids are remembered, to accept each result once and to number attempts.
        node_limit: nodes known; others are refused and counted, until one is forgotten; so are those only
            announced that had to give way.
    """

    def __init__(
        self,
        *,
        liveness_s: float | None = None,
        grace_s: float = 20.0,
        probe_s: float | None = None,
        result_limit: int = 100_000,
        result_bytes: int = 256 << 20,
        task_memory: int = 100_000,
        node_limit: int = 20_000,
    ) -> None:
        self.counters = {
            "stale_deaths": 0,
            "duplicate_results": 0,
            "retained_results": 0,
            "retained_announcements": 0,
            "forgotten_ignored": 0,
            "results_dropped": 0,
            "results_refused": 0,
            "nodes_refused": 0,
        }
        self._nodes: dict[str, NodeRecord] = {}
        self._doubts = Doubts(liveness_s, grace_s, probe_s)
        self._descriptions = Descriptions(self.counters)
        self._dead: dict[str, None] = {}  # deaths not collected yet, in order
        self._forgotten: set[str] = set()
        self._tasks = TaskBook(result_limit, result_bytes, task_memory)
        self._node_limit = node_limit
        self._only_announced: dict[str, None] = {}
        self._unanswered = Unanswered()
        self._unproven = UnprovenResults()

    # --- what arrives -----------------------------------------------------------------------------------

    def receive(self, message: Message, *, retained: bool, now_s: float, wall_s: float) -> list[Effect]:
        """Take in a valid message; `retained` says that the broker replayed it at subscription."""
        if not isinstance(message, StatusMessage):
            if isinstance(message, ResultMessage):
                return self._receive_result(message, retained, now_s, wall_s)
            if isinstance(message, Announcement):
                return self._receive_announcement(message, retained, now_s, wall_s)
        if message.node_id in self._forgotten:
            self.counters["forgotten_ignored"] += 1
            return []
        if isinstance(message, StatusCleared):
            return []
        if message.status in GONE:
            return self._receive_gone(message, retained, wall_s)
        return self._receive_alive(message, retained, now_s, wall_s)

    def _receive_announcement(
        self, message: Announcement, retained: bool, now_s: float, wall_s: float
    ) -> list[Effect]:
        """Anybody may say it (rule 9)."""
        if retained:  # of a connection that may be long gone; its status tells
            self.counters["retained_announcements"] += 1
            return []
        self._forgotten.discard(message.node_id)
        record = self._nodes.get(message.node_id)
        if record is None:
            record = self._record(message.node_id)
            if record is None:
                return []
            record.only_announced = True
            self._only_announced[message.node_id] = None
            if len(self._only_announced) > _ONLY_ANNOUNCED:
                self._give_up_announced()
        if record.only_announced:
            self._unanswered.announced(message.node_id, now_s)
            self._descriptions.take(record, message)
            return self._alive(record, message.status, message.inc, wall_s)
        if record.speaks(message.inc):
            self._descriptions.take(record, message)
            return self._heard_alive(record, message.status, message.inc, now_s, wall_s)
        self._doubts.claim(message, now_s)
        return []

    def _receive_alive(
        self, message: StatusMessage, retained: bool, now_s: float, wall_s: float
    ) -> list[Effect]:
        node_id, status, inc = message.node_id, message.status, message.inc
        record = self._speaking(node_id, inc)
        if record is None:
            return []
        if node_id in self._doubts.claims:
            _, claimed = self._doubts.claims.pop(node_id)
            if claimed.inc == inc:
                self._descriptions.take(record, claimed)
        self._descriptions.take(record, message)
        if retained and record.heard:
            return []  # live traffic has overtaken the retained copy
        if retained:
            effects = self._alive(record, status, inc, wall_s)
            effects += self._doubt(record, now_s)
        else:
            effects = self._heard_alive(record, status, inc, now_s, wall_s)
            if what := self._unanswered.told(node_id, status, now_s):
                effects.append(Denial(what))
        if node_id in self._unproven.by_node:
            effects += self._take_unproven(record, now_s, wall_s)
        return effects

    def _speaking(self, node_id: str, inc: str) -> NodeRecord | None:
        """Return the record of a node whose own topic names this incarnation; None if there is no room for
        it."""
        record = self._nodes.get(node_id) or self._record(node_id)
        if record is None:
            return None
        if record.only_announced:
            record.only_announced = False
            del self._only_announced[node_id]
            record.status = record.inc = ""
        life = life_of(inc)
        if inc and life not in record.lives:
            record.lives = (life, *record.lives[: _LIVES - 1])
        return record

    def _heard_alive(
        self, record: NodeRecord, status: str, inc: str, now_s: float, wall_s: float
    ) -> list[Effect]:
        record.heard = True
        record.spoke_s = now_s
        return self._alive(record, status, inc, wall_s)

    def _alive(self, record: NodeRecord, status: str, inc: str, wall_s: float) -> list[Effect]:
        record.last_seen = wall_s
        self._doubts.until.pop(record.node_id, None)
        if record.inc != inc or record.status in GONE:
            record.death_reported = False
        if record.status == status and record.inc == inc and not record.restored:
            return []
        record.restored = False
        record.status = status
        if record.inc != inc:  # else the text that is kept stays, of which the message has a copy
            record.inc = inc
        return [NodeStatusSeen(record.node_id, status, record.inc)]

    def _receive_gone(self, message: StatusMessage, retained: bool, wall_s: float) -> list[Effect]:
        record = self._speaking(message.node_id, message.inc)
        if record is None:
            return []
        if self._is_stale(record, message.inc) or self._is_echo(record, message, retained):
            self.counters["stale_deaths"] += 1
            return [StaleDeathIgnored(message.node_id, message.inc)]
        record.heard = record.heard or not retained
        cause = "will" if message.status == DEAD else "offline"
        return self._gone(record, message.status, message.inc, cause, wall_s)

    def _is_stale(self, record: NodeRecord, inc: str) -> bool:
        """Tell whether it is a will of another connection than the present one, of which that says
        nothing."""
        return bool(inc and record.inc and inc != record.inc)

    def _is_echo(self, record: NodeRecord, message: StatusMessage, retained: bool) -> bool:
        """Say whether it is our own declaration of death, which crossed with a sign of life."""
        if retained or message.status != DEAD or message.inc != record.declared_inc:
            return False
        record.declared_inc = None
        return record.status not in GONE

    def _gone(self, record: NodeRecord, status: str, inc: str, cause: str, wall_s: float) -> list[Effect]:
        self._doubts.until.pop(record.node_id, None)
        self._unanswered.forget(record.node_id)
        record.last_seen = wall_s
        effects: list[Effect] = []
        if record.status != status or record.inc != (inc or record.inc):
            record.status = status
            record.inc = inc or record.inc
            effects.append(NodeStatusSeen(record.node_id, status, record.inc))
        if not record.death_reported:
            record.death_reported = True
            self._dead[record.node_id] = None
            effects.append(DeathReported(record.node_id, record.inc, cause))
        return effects

    def _receive_result(
        self, message: ResultMessage, retained: bool, now_s: float, wall_s: float
    ) -> list[Effect]:
        record = self._nodes.get(message.node_id)
        node_id, task = message.node_id if record is None else record.node_id, message.task_id or ""
        reason = self._why_ignored(message, retained)
        if reason == _DUPLICATE:
            return [ResultDuplicate(node_id, task)]
        if reason == _NOT_GIVEN:
            return [ResultRefused(node_id, task, reason)]
        if reason:
            return []
        if record is not None and not record.only_announced and not record.speaks(message.inc):
            # Of a life that the node's status has not named: not its own, or faster than its status.
            if not (message.inc and self._unproven.keep(message)):
                self.counters["results_refused"] += 1
            return []
        self.spoke(node_id, message.inc, now_s, wall_s)
        self.counters["results_dropped"] += self._tasks.finished(node_id, message, wall_s)
        return [ResultReceived(node_id, task, message.result)]

    def spoke(self, node_id: str, inc: str, now_s: float, wall_s: float) -> None:
        """Take in that the node has sent a result, or an answer to an asker, in this incarnation."""
        self._unanswered.answered(node_id)
        record = self._nodes.get(node_id)
        if record is not None and inc == record.inc:
            record.last_seen = wall_s
            record.spoke_s = now_s
            self._doubts.until.pop(node_id, None)

    def _take_unproven(self, record: NodeRecord, now_s: float, wall_s: float) -> list[Effect]:
        """Take in what waited for the life that the node has named now; the rest was not its own."""
        effects: list[Effect] = []
        for message in self._unproven.take(record.node_id):
            if record.speaks(message.inc):
                effects += self._receive_result(message, False, now_s, wall_s)
            else:
                self.counters["results_refused"] += 1
        return effects

    def refusals(self) -> int:
        """Tell how much was refused that somebody may have made up."""
        return self.counters["nodes_refused"] + self.counters["results_refused"]

    def proves(self, node_id: str, inc: str) -> bool:
        """Tell whether a message in the name of the node can be its own, as far as its status has told."""
        record = self._nodes.get(node_id)
        return record is None or record.only_announced or record.speaks(inc)

    def _why_ignored(self, message: ResultMessage, retained: bool) -> str:
        if retained:
            self.counters["retained_results"] += 1
            return "retained"
        if message.node_id in self._forgotten:
            self.counters["forgotten_ignored"] += 1
            return "forgotten"
        if self._tasks.is_foreign(message):
            self.counters["results_refused"] += 1
            return _NOT_GIVEN
        if self._tasks.is_done(message):
            self.counters["duplicate_results"] += 1
            return _DUPLICATE
        return ""

    # --- outages ----------------------------------------------------------------------------------------

    def link_up(self, now_s: float) -> list[Effect]:
        """Take in that the master is (again) connected and subscribed: what it knows of living nodes is now
        in doubt."""
        effects: list[Effect] = []
        self._doubts.link_up(now_s)
        for record in self._nodes.values():
            if record.status not in GONE and not record.only_announced:
                effects += self._doubt(record, now_s)
        return effects

    def link_down(self) -> None:
        """Take in that the master has no broker: no node can be judged until it has one again."""
        for record in self._nodes.values():
            record.heard = False
            record.declared_inc = None
        self._unanswered.clear()
        self._doubts.clear()

    def restore(self, infos: Iterable[NodeInfo]) -> None:
        """Take up what was believed before a crash, as `belief` gave it; before the first `link_up`."""
        for info in infos:
            record = NodeRecord(**info, death_reported=info["status"] in GONE, restored=True)
            record.lives = (life_of(record.inc),) if record.inc else ()
            self._descriptions.restored(record)
            self._nodes[record.node_id] = record

    def belief(self, node_id: str) -> NodeInfo | None:
        """Tell what is to be remembered of a node: its record, unless it was only announced."""
        record = self._nodes.get(node_id)
        return None if record is None or record.only_announced else record.public()

    def _doubt(self, record: NodeRecord, now_s: float) -> list[Effect]:
        self._doubts.begin(record, now_s)
        return [Probe(record.node_id)]

    def next_deadline_s(self) -> float | None:
        """Tell when `tick` may next have something to do."""
        due_s, answer_s = self._doubts.next_s(), self._unanswered.next_s
        if due_s is None or (answer_s is not None and answer_s < due_s):
            return answer_s
        return due_s

    def tick(self, now_s: float, wall_s: float) -> list[Effect]:
        """Declare dead the unverified nodes whose bound has passed; ask those whose announcement has, and
        those that were quiet too long, or owe an answer."""
        effects: list[Effect] = []
        for node_id in self._doubts.overdue(now_s):
            record = self._nodes[node_id]
            last_seen = record.last_seen
            effects += self._gone(record, DEAD, record.inc, "silent", wall_s)
            record.last_seen = last_seen
            record.declared_inc = record.inc
            effects.append(DeclareDead(node_id, record.inc))
        effects += map(Probe, self._doubts.not_borne_out(now_s))
        for record in self._doubts.quiet(self._nodes.values(), now_s):
            effects += self._doubt(record, now_s)
        ask, suspected = self._unanswered.tick(now_s)
        return [*effects, *map(Probe, ask), *map(Denial, suspected)]

    # --- questions --------------------------------------------------------------------------------------

    def info(self, node_id: str) -> NodeInfo | None:
        """Return one node's record as a copy, None if unknown."""
        record = self._nodes.get(node_id)
        return record.public() if record else None

    def infos(self, status: str | None = None) -> list[NodeInfo]:
        """Return all records (of one status) as copies, in the order the nodes became known."""
        return [r.public() for r in self._nodes.values() if status is None or r.status == status]

    def announced_by(self, node_id: str) -> tuple[str, dict[str, object]]:
        """Return the device type of a node and its capabilities, which are the record's own."""
        record = self._nodes.get(node_id)
        return ("", {}) if record is None else (record.device_type, record.capabilities)

    def status_of(self, node_id: str) -> str | None:
        """Return the node's status, None if unknown."""
        record = self._nodes.get(node_id)
        return record.status if record else None

    def next_attempt(self, task_id: str) -> int:
        """Return 1 for a task not sent yet, one more each time it was `sent`."""
        return self._tasks.next_attempt(task_id)

    def sent(self, task_id: str, attempt: int, node_id: str) -> None:
        """Take in that this attempt is on its way to that node."""
        self._tasks.sent(task_id, attempt, node_id)

    def given(self, node_id: str, now_s: float) -> None:
        """Take in that the node was given work, which it is to answer."""
        self._unanswered.given(node_id, now_s)

    def suspicion(self) -> str:
        """Tell what is said that seems to come to nothing, in words; else ""."""
        return self._unanswered.suspicion()

    def dead_nodes(self, *, empty: bool) -> list[str]:
        """Deaths not collected yet, oldest first; `empty` collects them."""
        dead = list(self._dead)
        if empty:
            self._dead.clear()
        return dead

    def results(self, only: Collection[str] | None, *, remove: bool) -> dict[str, list[ResultRecord]]:
        """Results by node (of the nodes in `only`), as copies; `remove` takes exactly these out."""
        return self._tasks.results(only, remove=remove)

    def put_back(self, results: dict[str, list[ResultRecord]]) -> None:
        """Keep again, before later ones, what `results` took out."""
        self._tasks.put_back(results)

    def forget(self, node_id: str) -> bool:
        """Remove every trace of the node and ignore its status until it announces itself anew."""
        known = node_id in self._nodes
        if known:
            self._drop(node_id)
        self._dead.pop(node_id, None)
        self._tasks.forget(node_id)
        self._forgotten.add(node_id)
        return known

    def _drop(self, node_id: str) -> None:
        self._descriptions.forget(self._nodes.pop(node_id))
        self._unanswered.forget(node_id)
        for table in (self._doubts.until, self._doubts.claims, self._only_announced):
            table.pop(node_id, None)
        self._unproven.take(node_id)

    def _record(self, node_id: str) -> NodeRecord | None:
        """Return the node's record, a new one if need be; None if there is no room for one."""
        record = self._nodes.get(node_id)
        if record is None:
            if len(self._nodes) >= self._node_limit:
                if not self._only_announced:
                    self.counters["nodes_refused"] += 1
                    return None
                self._give_up_announced()
            record = self._nodes[node_id] = NodeRecord(node_id, "")
        return record

    def _give_up_announced(self) -> None:
        """Let go of the node that was announced first and never spoke, as another has its place."""
        self._drop(next(iter(self._only_announced)))
        self.counters["nodes_refused"] += 1
