"""What an executor does on its driver's loop: its link, turn by turn.

A turn is: take in what has come, let the core decide, commit, send, report. In this order, for what is sent
before it is written down is sent as something new after a crash, and a result that is reported before it is
written is worked out again. So while the journal refuses, nothing is sent or reported; all of it goes when
the journal writes again. What arrives in one turn of the loop is one commit and one write to the socket: for
small tasks that is most of what they cost.

Tasks and answers go at QoS 0: they are acknowledged end to end, and sent again when in doubt, so a broker's
PUBACK would say nothing that matters, and cost two packets of four. (The link sends at QoS 1 after all what
the broker may close the connection over, to find out, and holds it over connections for that; what it holds
is not sent again beside that. A second copy would have to be found out as well, and so on with each outage.)

A node that announces no credit is older than end-to-end delivery, or somebody else's program: its tasks go
at QoS 1, as a master's do, for on the way there nothing else acknowledges them. It answers on `results`, to
nobody in particular. That topic is subscribed to when the first such node is seen, as it carries everybody's
answers.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence

from dcompute._log import guarded, is_power_of_two, log
from dcompute._master.effects import DeclareDead, Denial, Effect, Probe
from dcompute._master.node_memory import Changes, row_of
from dcompute._master.node_record import GONE
from dcompute._master.registry import Registry
from dcompute._mqtt.hearing import Hearing, nothing_comes, own_status
from dcompute._mqtt.link import MqttLink
from dcompute._mqtt.link_owner import Outgoing
from dcompute._mqtt.paho_session import SessionSettings, Subscription
from dcompute.drivers import Address, Driver, Timer
from dcompute.errors import JournalError
from dcompute.events import (
    AttemptFailed,
    DeathReported,
    ExecutorEvent,
    ExecutorObserver,
    MasterConnected,
    MasterDisconnected,
    MessageRejected,
    NodeStatusSeen,
    ResultDuplicate,
    ResultReceived,
    TaskSent,
)
from dcompute.executor.core import FleetCore
from dcompute.executor.journal import Journal
from dcompute.executor.model import Answer, Batch, Progress, Settled
from dcompute.executor.wire import read_answer, write_message
from dcompute.node_core import OFFLINE
from dcompute.node_wire import HIGHEST_PRIORITY
from dcompute.protocol import Rejected, ResultMessage, Topics, encode_init, status_memory

JOURNAL_RETRY_S = 1.0
HOLD_LIMIT = 10_000  # messages held without a connection; the oldest goes first, as it is sent again anyway


class FleetLoop(Hearing):
    """The link of an executor, below the core that decides and the futures of whoever asked.

    Args:
        driver: on whose loop it runs.
        address: where the broker is.
        settings: its session there.
        name: who asks.
        topics: those of the namespace.
        core: what decides; from `start` on it is touched on the loop only.
        journal: what has to be written before anything is sent or reported; None writes nothing.
        registry: what decides who is there.
        over: told of a task that is settled, once that is written down; on the loop, as the others are.
        node_changed: told what a node announces, and with None that it is gone.
        observer: is told what happens on the wire.
        nothing_left: told when a turn ended with no task waiting, at a node or to be reported.
        progressed: told how far a task at work is.
        died: told of each death, once.
    """

    def __init__(
        self,
        driver: Driver,
        address: Address,
        settings: SessionSettings,
        name: str,
        topics: Topics,
        core: FleetCore,
        journal: Journal | None,
        registry: Registry,
        *,
        over: Callable[[Settled], None],
        node_changed: Callable[[str, Mapping[str, object] | None], None],
        nothing_left: Callable[[], None],
        progressed: Callable[[Progress], None],
        died: Callable[[str], None],
        observer: ExecutorObserver | None,
    ) -> None:
        self._driver = driver
        self._topics = topics
        self._read = status_memory(topics)
        self._name = name
        self._core = core
        self._journal = journal
        self._over = over
        self._node_changed = node_changed
        self._nothing_left = nothing_left
        self._progressed = progressed
        self._died = died
        self._changes = Changes()
        self._beliefs: dict[str, tuple[object, ...]] = {}  # to be written down
        self._observer = observer
        self._answers = f"{topics.results}/{name}"
        self._registry = registry
        self._link = MqttLink(driver, address, settings, self, hold_limit=HOLD_LIMIT, drop_oldest=True)
        self._lock = threading.Lock()
        self._inbox: list[Callable[[float], None]] = []
        self._turn_due = False
        self._withheld: Batch | None = None  # what the journal has refused so far
        self._large: dict[tuple[str, str, int], bytes] = {}  # (node, life, n) -> payload
        self._journal_error = ""
        self._unfit = ""
        self._seen: dict[str, tuple[object, ...]] = {}
        self._listens_to_old = False
        self._timer: Timer | None = None
        self._timer_at_s = 0.0
        self._suspicions = 0
        self._closed = False

    # --- from any thread ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect, and stay connected."""
        self._driver.call_on_loop(lambda: self._link.start(lambda: None))

    def later(self, call: Callable[[float], None]) -> None:
        """Have `call(now_s)` ask the core for something, in a turn of its own or with others."""
        with self._lock:
            due = bool(self._inbox)
            self._inbox.append(call)
        if not due:
            self._driver.call_on_loop(self._turn)

    def say(self, topic: str, payload: bytes) -> None:
        """Publish what is only true now."""
        self._link.send_once([(topic, payload, False)])

    def close(self, timeout_s: float) -> None:
        """Disconnect, and wait until that is done; what was asked for before is still written down."""
        self._driver.wait(self._last_turn, timeout_s)
        self._driver.wait(lambda done: self._link.close([], timeout_s, done), timeout_s + 1)
        self._driver.wait(self._stop_timer, timeout_s)

    @property
    def last_error(self) -> str:
        """Why nothing goes on: the link is not up, the journal cannot be written, what is sent, or what is to
        come, seems to be denied, or a task is for no node that is there; else ""."""
        denied = self._denied or self._registry.suspicion()
        return self._journal_error or self._link.last_error or denied or self._unfit

    def is_connected(self) -> bool:
        """Tell whether it is connected and subscribed."""
        return self._link.is_up()

    # --- turns, on the loop ---------------------------------------------------------------------------------

    def _last_turn(self, done: Callable[[], None]) -> None:
        self._core.leave()
        self._turn()
        self._closed = True
        done()

    def _stop_timer(self, done: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        done()

    def _schedule(self) -> None:
        if not self._turn_due:
            self._turn_due = True
            self._driver.call_later(0, self._turn)

    def _turn(self) -> None:
        self._turn_due = False
        with self._lock:
            inbox, self._inbox = self._inbox, []
        now_s = self._driver.now_s()
        for call in inbox:
            call(now_s)
        if not self._closed:
            batch = self._core.take_batch()
            batch.writes += self._beliefs.values()
            self._beliefs.clear()
            if not batch.sends:  # of what waits nothing has found a node
                self._unfit = self._core.unfit()
            self._carry_out(batch)
            self._arm()
            if not self._core.tasks and self._withheld is None:
                self._nothing_left()

    def _carry_out(self, batch: Batch) -> None:
        """Commit, send, report: in this order, or nothing of it yet."""
        held, self._withheld = self._withheld, None
        if held is not None:
            held.writes += batch.writes
            held.sends += batch.sends
            held.reports += batch.reports
            batch = held
        if not batch:
            return
        if self._journal is not None and batch.writes:
            try:
                self._journal.write(batch.writes)
            except JournalError as error:
                self._withheld = batch
                self._driver.call_later(JOURNAL_RETRY_S, self._turn)
                if not self._journal_error:
                    log.error("%s; nothing is sent or reported until it can be written", error)
                self._journal_error = str(error)
                return
            self._journal_error = ""
        once: list[tuple[Outgoing, int]] = []
        once_bytes = self._link.once_bytes()
        held_large: dict[tuple[str, str, int], bytes] | None = None
        now_s = self._driver.now_s()
        for send in batch.sends:
            payload, task = write_message(send, self._name), send.task
            if send.ring and len(payload) > once_bytes and not (send.cancel or send.recall):
                held_large = self._held_large() if held_large is None else held_large
                if held_large.setdefault((send.node, send.life, send.n), payload) is not payload:
                    continue  # what that says is open was so, which is as good
            message = (self._topics.task_of(send.node), payload, False)
            priority = task.priority if task is not None else 0
            if send.recall:  # it is for what is more urgent
                priority = HIGHEST_PRIORITY
            if send.ring:
                once.append((message, priority))
            else:
                self._link.send(message, priority)
            if task is not None:
                self._registry.given(send.node, now_s)
            if self._observer is not None and task is not None and not (send.cancel or send.recall):
                self._tell(TaskSent(send.node, task.id, task.priority, send.attempt, len(payload)))
        if held_large is not None:
            self._large = held_large
        self._link.send_once_each(once)
        for settled in batch.reports:
            self._over(settled)

    def _held_large(self) -> dict[tuple[str, str, int], bytes]:
        """Return the large messages that the link still has, to be sent again by itself."""
        held = {payload for _, payload, _ in self._link.unsent()}
        return {key: payload for key, payload in self._large.items() if payload in held}

    def _arm(self) -> None:
        due_s, bound_s = self._core.wake_s(), self._registry.next_deadline_s()
        if due_s is None or (bound_s is not None and bound_s < due_s):
            due_s = bound_s
        if due_s is None or (self._timer is not None and self._timer_at_s <= due_s):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at_s = due_s
        # At least a millisecond: rounding may put the due time a hair before now, for ever.
        delay_s = max(0.001, self._timer_at_s - self._driver.now_s())
        self._timer = self._driver.call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now_s = self._driver.now_s()
        bound_s = self._registry.next_deadline_s()
        if bound_s is not None and bound_s <= now_s:
            self._apply(self._registry.tick(now_s, self._driver.wall_s()))
        self._core.tick(now_s)
        self._turn()

    # --- the link's owner, on the loop ----------------------------------------------------------------------

    def link_will(self) -> Outgoing | None:
        return None

    def link_topics(self) -> Sequence[Subscription]:
        topics = [(self._answers, 1), (self._topics.status_of("+"), 0), (self._topics.initialisation, 0)]
        return [*topics, (self._topics.results, 1)] if self._listens_to_old else topics

    def link_extras(self) -> Sequence[Subscription]:
        return ()

    def link_up(self) -> Sequence[Outgoing]:
        self._tell(MasterConnected())
        self._expect_to_hear()
        now_s = self._driver.now_s()
        self._apply(self._registry.link_up(now_s))
        self._core.link_up(now_s)
        self._schedule()
        return ()

    def link_message(self, topic: str, payload: bytes, retained: bool) -> None:
        if not self._heard:
            self._has_heard()
        now_s = self._driver.now_s()
        try:
            if topic == self._answers:
                if not retained:
                    self._take_answer(read_answer(payload), now_s)
                    self._schedule()
            else:
                message = self._read(topic, payload)
                if not isinstance(message, ResultMessage):
                    effects = self._registry.receive(
                        message, retained=retained, now_s=now_s, wall_s=self._driver.wall_s()
                    )
                    self._apply(effects)
                elif not retained and self._registry.proves(message.node_id, message.inc):
                    self._answered_as_of_old(message, now_s)
                    self._schedule()
        except Rejected as error:
            log.warning("executor: rejected a message on %.80r: %s", topic, error)
            self._tell(MessageRejected(topic, str(error)))
        if not self._turn_due:
            self._arm()  # the registry may have a bound to keep

    def _take_answer(self, answer: Answer | Progress, now_s: float) -> None:
        self._registry.spoke(answer.node, answer.inc, now_s, self._driver.wall_s())
        if not isinstance(answer, Answer):
            if self._core.progressed(answer, now_s):
                self._progressed(answer)
            return
        task_id = answer.task_id
        wanted = task_id in self._core.tasks
        self._core.answered(answer, now_s)
        if answer.ok is None or self._observer is None:
            return
        if not wanted:
            self._tell(ResultDuplicate(answer.node, task_id))
        elif task_id in self._core.tasks:
            self._tell(AttemptFailed(answer.node, task_id))
        else:
            self._tell(ResultReceived(answer.node, task_id, answer.result))

    def _answered_as_of_old(self, message: ResultMessage, now_s: float) -> None:
        node, task_id = message.node_id, message.task_id or ""
        wanted = task_id in self._core.tasks  # else it is somebody else's, or nobody's
        self._core.answered_as_of_old(node, task_id, message.result, now_s)
        self._registry.spoke(node, message.inc, now_s, self._driver.wall_s())
        if wanted and task_id not in self._core.tasks:
            self._tell(ResultReceived(node, task_id, message.result))

    def _tell(self, event: ExecutorEvent) -> None:
        if self._observer is not None:
            guarded("an executor's observer", self._observer, event)

    def link_down(self, reason: str) -> None:
        log.warning("executor: connection lost: %s; reconnecting", reason)
        self._tell(MasterDisconnected(reason))
        self._registry.link_down()
        self._core.link_down()

    def link_failed(self, reason: str) -> None:
        log.warning("executor: cannot connect: %s; trying again", reason)

    def link_dropped(self, message: Outgoing) -> None:
        pass  # it is sent again when its answer does not come

    def link_refused(self, message: Outgoing, held: bool, reason: str) -> Outgoing | None:
        topic, payload, _ = message
        try:
            task_id = str(json.loads(payload)["id"])
        except (ValueError, KeyError):
            return None
        log.error("executor: task %s of %d bytes on %s: %s", task_id, len(payload), topic, reason)
        self._core.refuse(task_id, f"{len(payload):,} bytes: {reason}", self._driver.now_s())
        self._schedule()
        return None

    def _apply(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case NodeStatusSeen(node_id, status, inc):
                    self._take_in(node_id, status, inc)
                    if self._journal is not None and self._changes.differ(node_id, status, inc):
                        self._believe(node_id)
                case Probe(node_id):
                    self._link.send_now([(self._topics.task_of(node_id), encode_init(), False)])
                case DeclareDead(node_id, _):
                    log.warning("executor: node %s did not speak within its bound", node_id)
                case DeathReported(node_id):
                    self._died(node_id)
                case Denial(what):
                    self._suspicions += 1
                    if is_power_of_two(self._suspicions):
                        log.warning("executor: %s (%d such so far)", what, self._suspicions)

    def _believe(self, node_id: str) -> None:
        """Have what is known of the node written down."""
        belief = self._registry.belief(node_id)
        if belief is not None:
            self._changes.look(node_id, belief)
            self._beliefs[node_id] = ("node", *row_of(belief))
            self._schedule()

    def _ask_to_hear(self) -> bool:
        self._link.send_now([(own_status(self._topics, self._name), b"", False)])
        return True

    def _denial(self) -> tuple[str, str]:
        return "executor", nothing_comes(self._topics, self._name)

    def _take_in(self, node_id: str, status: str, inc: str) -> None:
        if status in GONE:
            self._seen.pop(node_id, None)
            now_s = self._driver.now_s()
            self._core.node_gone(node_id, now_s, for_good=status == OFFLINE)
            self._node_changed(node_id, None)
            self._schedule()
            return
        device_type, capabilities = self._registry.announced_by(node_id)
        seen = (inc, device_type, capabilities)
        if self._seen.get(node_id) == seen:
            return  # busy or ready: its window says more
        self._seen[node_id] = seen
        self._schedule()
        announced = {**capabilities, "device_type": device_type}
        self._core.node_seen(node_id, inc, announced, self._driver.now_s())
        if not announced.get("credit") and not self._listens_to_old:
            self._listens_to_old = True
            self._link.subscribe_also((self._topics.results, 1))
            log.warning(
                "executor: node %s (and any like it) does not acknowledge end to end: its tasks are done at "
                "least once, one at a time, and none there that is to run once",
                node_id,
            )
        self._node_changed(node_id, announced)
