"""The asker's half of delivery end to end: which task goes where, what is sent again, when it is over.

A plain state machine: events and times go in (`now_s`, monotonic), a `Batch` comes out: what to write into
the journal, what to send, what to report, **in this order**. The node's half is `node_ring`; the rules are in
docs/protocol.md, "End to end". What is to be known before changing anything here:

* Every message to a node says which numbers are open there. An open number is a promise that its answer is
  still wanted; leaving it out settles it for ever. So a placement leaves `Node.open` only when its answer
  came, or its task is over, or the node's life is.
* A placement is written into the journal before its bytes are handed to the link, with the counter that gave
  it its number. Otherwise a restart would use the number again for another task, and no rule of a node can
  mend that.
* A result is written before it is reported, and before any message whose `open` leaves its number out: the
  node forgets it then. As a batch is written first, both hold by the order of the batch.
* `ran` = no: the same attempt may go anywhere. Otherwise it may have run, and only the next attempt may: a
  redelivered old message of the first one must be told from it. A task that is to run at most `once` is then
  over.
* A life that is over may be back, by a newer connection than any that was seen of it: two programs have one
  id, and throw each other out. What was open there was given up, but its numbers are used up: it goes on
  above them.
* A node without credit remembers nothing that it could repeat, and takes the same attempt for a repeat: what
  it told while we were away is lost. So after an outage of ours it is given the next attempt, and so it is
  when it has said nothing for long: its answer may have been dropped.
* A task that was moved keeps its number where it was. Back in the same life, it is the same number and
  attempt: the node knows whether it ran.

Which task is next, and which node gets it, is `choice`; what is believed of both, `model`.

Rejected: a number of its own for each sending (the node's memory is then not bounded by the credit), and
letting the node forget by age (a message that the link sends again is older than any age).
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop, heappush

from dcompute._plural import number_of
from dcompute.executor.choice import ALONE_AFTER, Choice, unfit
from dcompute.executor.model import (
    FULL_BACKOFF_S,
    RESEND_S,
    SETTLE_S,
    Answer,
    Batch,
    Node,
    Outcome,
    Placement,
    Progress,
    Send,
    Settled,
    Task,
)

LONGEST_RESEND_S = 240.0
IDLE_S = 30.0  # then a node need not keep results; mostly the next task has said so before
LONGEST_BACKOFF_S = 5.0
LOSSES = 5  # attempts whose end is not known, before a task is suspected of killing nodes
MANY_DEADLINES = 1000
_LIVES = 16  # of one node that are remembered


class FleetCore:
    """Decides what is sent to which node, when again, and when a task is over.

    Args:
        settle_s: how long a node that is gone may take to come back before its tasks are moved.
        resend_s: after how long without an answer a task is sent again; then after twice that, and so on.
        losses: how many attempts of a task may end without a trace before it is quarantined.
        idle_s: how long after its last answer a node is told that nothing is open.
    """

    choice_class: type[Choice] = Choice

    def __init__(
        self,
        *,
        settle_s: float = SETTLE_S,
        resend_s: float = RESEND_S,
        losses: int = LOSSES,
        idle_s: float = IDLE_S,
    ) -> None:
        self.tasks: dict[str, Task] = {}
        self.nodes: dict[str, Node] = {}
        self.up = False
        self.choice = self.choice_class()
        self._settle_s = settle_s
        self._resend_s = resend_s
        self._losses = losses
        self._idle_s = idle_s
        self._batch = Batch()
        self._wake_s: float | None = None
        self._place_due_s: float | None = None
        self.deadlines: list[tuple[float, str]] = []

    # --- what is asked of it ------------------------------------------------------------------------------

    def submit(self, *tasks: Task, now_s: float) -> None:
        """Do these tasks; they are in the journal already."""
        for task in tasks:
            self.tasks[task.id] = task
            self.choice.add(task)
            self._note_deadline(task)
        self._place(now_s)

    def _note_deadline(self, task: Task) -> None:
        if task.deadline_s is None:
            return
        if len(self.deadlines) > MANY_DEADLINES and len(self.deadlines) > 2 * len(self.tasks):
            # Those of tasks that are done: with a timeout of an hour they would be an hour's tasks.
            self.deadlines = [entry for entry in self.deadlines if entry[1] in self.tasks]
            heapify(self.deadlines)
        heappush(self.deadlines, (task.deadline_s, task.id))
        self._wake(task.deadline_s)

    def restore(self, task: Task, placed: list[tuple[str, str, int, int, bool]]) -> None:
        """Take up a task of the journal: (node, life, n, attempt, active) of each unsettled placement."""
        self.tasks[task.id] = task
        for node_id, life, n, attempt, active in placed:
            node = self._node(node_id)
            node.life = node.life or life
            if node.life != life:
                continue
            placement = Placement(task, node, n, attempt, active, pause_s=self._resend_s)
            node.open[n] = placement
            task.placements.append(placement)
            node.told = False
        self._note_deadline(task)
        if not task.active():
            self.choice.add(task)

    def restore_counter(self, node_id: str, life: str, top: int) -> None:
        """Take in the highest number that was ever used for this life of the node; before any `restore`."""
        node = self._node(node_id)
        node.life, node.top, node.told = life, top, False

    def cancel(self, task_id: str, now_s: float) -> None:
        """Take in that the task is not wanted. One that is to run `once`, and may be at work, is over only
        when its node has said what became of it."""
        task = self.tasks.get(task_id)
        if task is None:
            return
        if not (task.once and task.active()):
            self._settle(task, Outcome.CANCELLED, now_s)
        elif not task.cancelled:
            task.cancelled = True
            self._batch.writes.append(("cancel", task.id))
            for placement in task.placements:
                self._send(placement, now_s)
        self._place(now_s)

    def reissue(self, task_id: str, now_s: float) -> None:
        """Try the task on another node as well: the first result counts. Not one that is to run `once`."""
        task = self.tasks.get(task_id)
        if task is None or task.once or task.waiting or not task.active():
            return
        self._next_attempt(task)
        self._place(now_s)

    def leave(self) -> None:
        """Take in that this asker goes: nodes of which it wants nothing more need not keep anything for
        it."""
        if self.up:
            for node in self.nodes.values():
                if node.alive and node.credit and not node.open and not node.told:
                    self._send_settle(node)

    # --- what is heard ------------------------------------------------------------------------------------

    def link_up(self, now_s: float) -> None:
        """Connected, and subscribed to the answers: everything may have got lost meanwhile."""
        self.up = True
        for node in self.nodes.values():
            if node.alive:
                if not node.credit:
                    self._renew(*node.open.values())
                self._send_again(node, now_s)
            elif node.open:
                node.gone_at_s = now_s
                self._wake(now_s + node.move_after_s)
        self._place(now_s)

    def link_down(self) -> None:
        """Take in that nothing can be said of any node."""
        self.up = False

    def node_seen(self, node_id: str, inc: str, announced: Mapping[str, object], now_s: float) -> None:
        """Take in that the node is there, in the life and connection that `inc` names."""
        node = self._node(node_id)
        life = inc.rpartition(".")[0] or inc
        credit, largest = (count_in(announced, key) for key in ("credit", "largest"))
        if node.life != life:
            connection, top = node.others.get(life, (-1, 0))
            if _connection(inc) <= connection:
                return  # said before that life was over
            self._end_life(node, now_s)
            node.others.pop(life, None)
            node.life, node.top, node.told, node.alone = life, top, top == 0, False
        again = not node.alive or node.inc != inc
        node.alive, node.inc, node.credit, node.largest = True, inc, credit, largest
        node.announced = dict(announced)
        node.functions = _names(announced.get("functions"))
        node.hands = count_in(announced, "concurrency") or 1
        node.gone_at_s = None
        self.choice.rank(node, now_s)
        if again and self.up:
            if not node.credit:
                self._renew(*(placement for placement in node.open.values() if placement.since_s is None))
            self._send_again(node, now_s)
        self._place(now_s)

    def node_gone(self, node_id: str, now_s: float, *, for_good: bool = False) -> None:
        """Take in that the node is dead, or (`for_good`) went offline."""
        node = self._node(node_id)
        node.alive = False
        node.gone_at_s = now_s
        node.move_after_s = 0.0 if for_good else self._settle_s
        self.choice.rank(node, now_s)
        self._wake(now_s + node.move_after_s)

    def answered(self, answer: Answer, now_s: float) -> None:
        """Take in that a node has answered. What is not, or no longer, open is passed over, but for results:
        of a task that is wanted any result is welcome, whichever attempt it is of. A life that the node's
        status has never named proves nothing: anybody may write to `results/<from>`."""
        node = self.nodes.get(answer.node)
        task = self.tasks.get(answer.task_id)
        life = answer.inc.rpartition(".")[0] or answer.inc
        if node is None or (life != node.life and life not in node.others):
            return
        placement = self._placement_of(node, life, answer) if answer.answer != "boot" else None
        if answer.ok is not None:
            if task is not None:
                self._result(task, placement, answer, now_s)
        elif placement is not None and task is not None:
            self._close(placement, now_s)
            node.top = max(node.top, answer.top)
            if answer.ran == "no":
                self._not_run(task, node, answer.answer, now_s)
            elif placement.active:
                self._lost(task, node, now_s)
        self._place(now_s)

    def progressed(self, progress: Progress, now_s: float) -> bool:
        """Take in that a task is at work. Returns whether it is one that is wanted there."""
        node = self.nodes.get(progress.node)
        life = progress.inc.rpartition(".")[0] or progress.inc
        placement = self._placement_of(node, life, progress) if node is not None else None
        if placement is None or not placement.active:
            return False
        placement.resend_at_s = max(placement.resend_at_s, now_s + placement.pause_s)  # it did arrive
        return True

    def _placement_of(self, node: Node, life: str, said: Answer | Progress) -> Placement | None:
        """Tell what a node speaks of, if that is open there in this life of it."""
        placement = node.open.get(said.n)
        if placement is None or node.life != life:
            return None
        same = placement.task is self.tasks.get(said.task_id) and placement.attempt == said.attempt
        return placement if same else None

    def answered_as_of_old(self, node_id: str, task_id: str, result: object, now_s: float) -> None:
        """Take in a result on the topic `results`, from a node that knows no end to end delivery and has the
        task."""
        task = self.tasks.get(task_id)
        if task is not None and any(placement.node.id == node_id for placement in task.placements):
            self._settle(task, Outcome.RESULT, now_s, result, node_id)
            self._place(now_s)

    def tick(self, now_s: float) -> None:
        """Do what is due; to be called at `wake_s`."""
        self._wake_s = None
        while self.deadlines and self.deadlines[0][0] <= now_s:
            task = self.tasks.get(heappop(self.deadlines)[1])
            if task is not None:
                unsure = task.once and task.active()
                why = unfit(task, self.nodes.values()) if task.waiting else ""
                value = f"not done within its timeout: {why}" if why else None
                self._settle(task, Outcome.UNKNOWN if unsure else Outcome.EXPIRED, now_s, value)
        if self.deadlines:
            self._wake(self.deadlines[0][0])
        for node in self.nodes.values():
            if node.open or not node.told or node.bucket < 0:  # else it is idle, told so, and has room
                self._tend(node, now_s)
        self._place(now_s)

    def wake_s(self) -> float | None:
        """Tell when `tick` has something to do; to be asked after `take_batch`."""
        return self._wake_s

    def take_batch(self) -> Batch:
        """Tell what is to be done now."""
        if self._place_due_s is not None:
            now_s, self._place_due_s = self._place_due_s, None
            self._hand_out(now_s)
        batch, self._batch = self._batch, Batch()
        return batch

    def refuse(self, task_id: str, why: str, now_s: float) -> None:
        """Take in that the task cannot be sent."""
        task = self.tasks.get(task_id)
        if task is not None:
            self._settle(task, Outcome.REFUSED, now_s, why)
            self._place(now_s)

    def waiting(self) -> int:
        """Tell how many tasks wait for a node."""
        return self.choice.waiting

    def unfit(self) -> str:
        """Tell what is to be said of a task for which no living node would do; "" if there is none."""
        if not self.choice.waiting:
            return ""
        nodes = self.nodes.values()
        return next(filter(None, (unfit(task, nodes) for task in self.choice.heads())), "")

    # --- tasks ----------------------------------------------------------------------------------------------

    def _next_attempt(self, task: Task) -> None:
        task.attempt += 1
        self._batch.writes.append(("attempt", task.id, task.attempt, task.lost, task.failed))
        self.choice.add(task)

    def _not_run(self, task: Task, node: Node, answer: str, now_s: float) -> None:
        if answer in ("full", "slots", "leaving"):
            node.rested_at_s = now_s + node.rest_s
            node.rest_s = min(LONGEST_BACKOFF_S, 2 * node.rest_s)
            self.choice.rank(node, now_s)
            self._wake(node.rested_at_s)
        if answer == "cancelled" and task.cancelled:
            self._settle(task, Outcome.CANCELLED, now_s)
        elif answer == "expired" and task.deadline_s is not None:
            self._settle(task, Outcome.EXPIRED, now_s)
        elif not task.active() and not task.waiting:
            self.choice.add(task, again=answer == "recalled")

    def _lost(self, task: Task, node: Node, now_s: float) -> None:
        """Take in that an attempt may have run, and nobody will ever tell."""
        task.lost += 1
        self.choice.reconsider(task)
        if task.once:
            self._settle(task, Outcome.UNKNOWN, now_s, f"it may have run on {node.id}", node.id)
        elif task.active() or task.waiting:
            pass  # another attempt is under way
        elif task.retries is not None and task.lost + task.failed > task.retries:
            self._settle(task, Outcome.NODE_LOST, now_s, f"its node {node.id} was lost", node.id)
        elif task.lost >= self._losses:
            text = f"{number_of(task.lost, 'attempt')} ended without a trace, the last one on {node.id}"
            self._settle(task, Outcome.QUARANTINED, now_s, text, node.id)
        else:
            self._next_attempt(task)

    def _result(self, task: Task, placement: Placement | None, answer: Answer, now_s: float) -> None:
        if answer.ok:
            if placement is not None:
                placement.node.rest_s = FULL_BACKOFF_S
            self._settle(task, Outcome.RESULT, now_s, answer.result, answer.node)
            return
        if placement is None and not task.once:
            return  # of an attempt that was given up
        if placement is not None:
            self._close(placement, now_s)
        task.failed += 1
        if task.retries is None or task.once or task.lost + task.failed > task.retries:
            self._settle(task, Outcome.FAILED, now_s, answer.error, answer.node)
        elif not task.active() and not task.waiting:
            self._next_attempt(task)

    def _settle(
        self, task: Task, outcome: Outcome, now_s: float, value: object = None, node: str = ""
    ) -> None:
        del self.tasks[task.id]
        self.choice.remove(task)
        settled = Settled(task, outcome, value, node)
        self._batch.writes.append(("settled", task.id, outcome.value, value, node))
        self._batch.reports.append(settled)
        for placement in task.placements:
            unanswered = outcome is not Outcome.RESULT or placement.node.id != node
            self._forget(placement, now_s)
            if unanswered and self.up and placement.node.alive and placement.node.credit:
                self._send_settle(placement.node)
        task.placements.clear()

    # --- placements -----------------------------------------------------------------------------------------

    def _close(self, placement: Placement, now_s: float) -> None:
        """Take in that its answer has come."""
        placement.task.placements.remove(placement)
        self.choice.reconsider(placement.task)
        node = placement.node
        self._batch.writes.append(("closed", placement.task.id, node.id, node.life))
        self._forget(placement, now_s)

    def _forget(self, placement: Placement, now_s: float) -> None:
        node = placement.node
        if node.open.pop(placement.n, None) is not placement:
            return
        node.at_work -= placement.begun
        node.guess_begun()
        node.alone = False
        if not node.open:
            node.idle_at_s = now_s + self._idle_s
            self._wake(node.idle_at_s)
        self.choice.rank(node, now_s)

    def _end_life(self, node: Node, now_s: float) -> None:
        """Take in that the node's memory is gone: what was open there may have run."""
        if node.life:
            node.others[node.life] = (_connection(node.inc), node.top)
            if len(node.others) > _LIVES:
                del node.others[next(iter(node.others))]
        closed, node.open, node.at_work = list(node.open.values()), {}, 0
        for placement in closed:
            placement.task.placements.remove(placement)
            self.choice.reconsider(placement.task)
            self._batch.writes.append(("closed", placement.task.id, node.id, node.life))
            if placement.active:
                self._lost(placement.task, node, now_s)

    def _tend(self, node: Node, now_s: float) -> None:
        if node.rested_at_s > now_s:
            self._wake(node.rested_at_s)  # gone or not: it may be back before that
        elif node.bucket < 0:
            self.choice.rank(node, now_s)
        if not self.up:
            return
        if not node.alive:
            if node.gone_at_s is None or not node.open:
                return
            if node.gone_at_s + node.move_after_s > now_s:
                self._wake(node.gone_at_s + node.move_after_s)
                return
            for placement in list(node.open.values()):
                if placement.active and not placement.task.once:
                    placement.active = False
                    self._batch.writes.append(("moved", placement.task.id, node.id, node.life))
                    self._lost(placement.task, node, now_s)
            return
        if not node.open and not node.told and node.credit:
            if node.idle_at_s <= now_s:
                self._send_settle(node)
            else:
                self._wake(node.idle_at_s)
        for placement in list(node.open.values()):
            if not placement.active:
                continue
            if placement.resend_at_s <= now_s:
                if not node.credit and placement.pause_s >= LONGEST_RESEND_S:
                    self._renew(placement)
                placement.pause_s = min(LONGEST_RESEND_S, 2 * placement.pause_s)
                self._send(placement, now_s)
            self._wake(placement.resend_at_s)
            self._speculate(placement, now_s)

    def _speculate(self, placement: Placement, now_s: float) -> None:
        task = placement.task
        if task.speculate_s is None or placement.since_s is None or task.waiting or len(task.placements) > 1:
            return
        due_s = placement.since_s + task.speculate_s
        if due_s > now_s:
            self._wake(due_s)
        else:
            self._next_attempt(task)

    def _send_again(self, node: Node, now_s: float) -> None:
        """Whatever is open there may have got lost, or its answer, or the word that nothing is."""
        node.told = node.top == 0
        if not node.told:
            self._wake(max(now_s, node.idle_at_s))
        for placement in list(node.open.values()):
            task = placement.task
            if not placement.active and task.waiting:
                placement.active = True
                self.choice.remove(task)
                self._batch.writes.append(("back", task.id, node.id, node.life))
            if placement.active:
                self._send(placement, now_s)

    def _renew(self, *placements: Placement) -> None:
        """Ask a node without credit for the next attempt, which it does not take for a repeat."""
        for placement in placements:
            task = placement.task
            if not placement.active and not task.waiting:
                continue  # another attempt is under way
            task.attempt += 1
            placement.attempt = task.attempt
            self._batch.writes.append(("attempt", task.id, task.attempt, task.lost, task.failed))

    # --- sending --------------------------------------------------------------------------------------------

    def _send(self, placement: Placement, now_s: float, *, recall: bool = False) -> None:
        node, task = placement.node, placement.task
        placement.resend_at_s = now_s + placement.pause_s
        self._wake(placement.resend_at_s)
        if not self.up or not node.alive:
            return
        if placement.since_s is None:
            placement.since_s = now_s
        if task.speculate_s is not None:
            self._wake(placement.since_s + task.speculate_s)  # in an outage that time may have come and gone
        left_s = None if task.deadline_s is None else max(0.0, task.deadline_s - now_s)
        self._batch.sends.append(
            Send(
                *(node.id, node.life, placement.n, list(node.open), node.credit > 0),
                *(task, placement.attempt, task.cancelled, recall, left_s),
            )
        )

    def _send_settle(self, node: Node) -> None:
        node.told = not node.open
        self._batch.sends.append(Send(node.id, node.life, node.top, list(node.open), True))

    def _place(self, now_s: float) -> None:
        """Hand out what waits when the batch is taken: once for all that comes in one turn."""
        self._place_due_s = now_s

    def _hand_out(self, now_s: float) -> None:
        """Hand out what waits, and make room for what finds none."""
        if self.up and not self.choice.is_idle():
            for task, node in self.choice.pairs():
                self._place_on(task, node, now_s)
            for placement in self.choice.recalls(now_s):
                self._send(placement, now_s, recall=True)
            if self.choice.recall_due_s is not None:
                self._wake(self.choice.recall_due_s)

    def _place_on(self, task: Task, node: Node, now_s: float) -> None:
        node.top += 1
        placement = Placement(task, node, node.top, task.attempt, pause_s=self._resend_s)
        node.open[node.top] = placement
        task.placements.append(placement)
        node.told = False
        node.guess_begun()
        node.alone = task.lost >= ALONE_AFTER
        self._batch.writes.append(("placed", task.id, node.id, node.life, node.top, task.attempt))
        self.choice.rank(node, now_s)
        self._send(placement, now_s)

    def _node(self, node_id: str) -> Node:
        node = self.nodes.get(node_id)
        if node is None:
            node = self.nodes[node_id] = Node(node_id, move_after_s=self._settle_s)
        return node

    def _wake(self, at_s: float) -> None:
        if self._wake_s is None or at_s < self._wake_s:
            self._wake_s = at_s


def _connection(inc: str) -> int:
    number = inc.rpartition(".")[2]
    return int(number) if number.isascii() and number.isdecimal() else 0


def _names(functions: object) -> frozenset[str] | None:
    if not isinstance(functions, list):
        return None
    whole = [name for name in functions if isinstance(name, str)]
    return frozenset(whole + [name.rpartition(":")[2] for name in whole])


def count_in(announced: Mapping[str, object], key: str) -> int:
    """Tell how many a node announces under `key`; 0 if it is no such number, as true is none."""
    value = announced.get(key)
    return value if type(value) is int and value > 0 else 0
