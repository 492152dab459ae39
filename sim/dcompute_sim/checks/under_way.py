"""Which tasks without a result were still under way when the run ended: nobody has lost those, as far as is
known.

A run has an end, and work has not. A task is under way if somebody was going on with it:

1. its node had it, at work or in the queue, had lived since, and said `busy` last (a node that says `ready`
   beside a task that it has is one that has forgotten it);
2. its executor had not lost patience: it sends the same again when an answer is overdue, after `resend`
   and then after twice that, and so on, and has broken no promise before;
3. its executor did not run, or had no broker: it goes on where it was when it is back;
4. without an executor, nobody sends again, so what is left is experience: it was on its way for less than
   twice the longest time that a task to this node took in this run.

Whatever else has no result is lost. Of a loss shortly before the end this cannot say that it is one; it says
then that it does not know.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from dcompute_sim import trace as t
from dcompute_sim.checks.tasks import Task

_LONGEST_RESEND_S = 240.0  # of an executor
_ALMOST_S = 0.1  # a resend comes a turn of the loop late


class UnderWay:
    """What a whole trace tells of how far tasks were at its end."""

    def __init__(self, trace: Sequence[t.Event]) -> None:
        self._end_s = trace[-1].t_s if trace else 0.0
        self._started_s: dict[str, float] = {}  # nodes that run, and since when
        self._status: dict[str, str] = {}  # that each said last
        self._resend_s: dict[str, float] = {}  # of executors that run
        self._connected: set[str] = set()  # of those, the ones that have a broker
        self._gave_up: set[tuple[str, str]] = set()  # (task, node): refused there, or withdrawn
        self._longest_s: dict[str, float] = defaultdict(float)  # that a task to this node took
        sent_s: dict[str, float] = {}
        for event in trace:
            match event:
                case t.NodeStarted():
                    self._started_s[event.node] = event.t_s
                case t.NodeStopped() if event.how != "hang":
                    self._started_s.pop(event.node, None)
                case t.StatusPublished():
                    self._status[event.node] = event.status
                case t.ExecutorStarted():
                    self._resend_s[event.asker] = event.resend_s
                case t.ExecutorStopped():
                    self._resend_s.pop(event.asker, None)
                    self._connected.discard(event.asker)
                case t.ExecutorConnected():
                    self._connected.add(event.asker)
                case t.ExecutorDisconnected():
                    self._connected.discard(event.asker)
                case t.TaskSent():
                    sent_s[event.task] = event.t_s
                    self._gave_up.discard((event.task, event.node))
                case t.TaskDropped() | t.TaskWithdrawn():
                    self._gave_up.add((event.task, event.node))
                case t.ResultReceived() if event.task in sent_s:
                    took_s = event.t_s - sent_s[event.task]
                    self._longest_s[event.node] = max(self._longest_s[event.node], took_s)

    def why(self, name: str, task: Task) -> str:
        """Return who was going on with the task of this name, which was sent; "" if nobody was."""
        last = task.sent[-1]
        if self._node_has_it(name, task, last):
            return f"at work or in the queue at {last.node}"
        age_s = self._end_s - last.t_s
        if not last.asker:
            return "on the way" if age_s < 2 * self._longest_s[last.node] else ""
        if last.asker not in self._connected:
            return f"with the executor of {last.asker}, which had no broker or did not run"
        return "on the way" if age_s < self._patience_s(task, last) + _ALMOST_S else ""

    def _node_has_it(self, name: str, task: Task, last: t.TaskSent) -> bool:
        node = last.node
        first_s = min(sent.t_s for sent in task.sent if (sent.node, sent.attempt) == (node, last.attempt))
        came_s = [event.t_s for event in task.received if event.node == node and event.t_s >= first_s]
        done_s = [event.t_s for event in task.finished if event.node == node]
        done_s += [event.t_s for event in task.held if event.node == node]
        return (
            bool(came_s)
            and max(done_s, default=-1.0) < first_s
            and self._status.get(node) == "busy"
            and self._started_s.get(node, self._end_s) <= came_s[-1]
            and (name, node) not in self._gave_up
        )

    def _patience_s(self, task: Task, last: t.TaskSent) -> float:
        """Tell how long the executor waits for an answer: twice as long each time that it waited in vain."""
        same = [sent.t_s for sent in task.sent if (sent.node, sent.attempt) == (last.node, last.attempt)]
        patience_s = self._resend_s[last.asker]
        for before_s, after_s in pairwise(same):
            if after_s - before_s >= patience_s - _ALMOST_S:
                patience_s = min(_LONGEST_RESEND_S, 2 * patience_s)
        return patience_s
