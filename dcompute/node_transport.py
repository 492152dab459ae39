"""ComputeNodeTransport: a compute node on CPython. Takes prioritised tasks, sends results back."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from dcompute._log import guarded, is_power_of_two, log
from dcompute._mqtt.link import MqttLink
from dcompute._mqtt.link_owner import Outgoing
from dcompute._mqtt.paho_session import QOS, SessionSettings, Subscription
from dcompute._mqtt.shared import shared_driver
from dcompute._mqtt.transport import Transport
from dcompute._node.identity import default_node_id
from dcompute._node.rivals import Rivals
from dcompute._node.signals import ShutdownSignals, SignalSafeLock
from dcompute._plain import plain
from dcompute.drivers import Address, Driver
from dcompute.events import (
    MessageRejected,
    NodeConnected,
    NodeConnectFailed,
    NodeConnecting,
    NodeDisconnected,
    NodeEvent,
    NodeObserver,
    NodeSubscribing,
    ResultDropped,
    ResultSetAside,
    node_event,
)
from dcompute.node_core import MAX_PAYLOAD_BYTES, OFFLINE, READY, NodeCore, check_status, decode, encode
from dcompute.protocol import check_capabilities, check_device_type
from dcompute.security import Tls, tls_context

_STATUSES_WAITING = 8  # for the loop; when it lags, only the newest beyond these matters

_CREDIT = 16  # enough to keep a node busy over a round trip, little enough to move when it dies
_ASKERS = 8
_PROGRESS_EVERY_S = 0.1
_NONE: Mapping[str, float] = {}  # one for all nodes, most of which never report progress: 64 bytes each
_SET_ASIDE = "ResultSetAside"  # the type of the error that takes its place


class ComputeNodeTransport(Transport):
    """A compute node.

    Its last will says `dead`; SIGINT and SIGTERM publish `offline` and disconnect cleanly before they end the
    program in the usual way. Whatever happens to the link, it comes back by itself.

    Args:
        broker_host, broker_port: where the broker is; attributes of these names tell it.
        node_id: 1 to 64 characters of A-Z a-z 0-9 _ . : -; None takes one that is stable for this machine
            (`<host name>-<slot>`).
        device_type: free text told to the master.
        capabilities: a small JSON object told to the master; `keepalive` is added to it.
        username, password: MQTT credentials.
        tls: True (the system's trust), a `Tls` with files, or a ready `ssl.SSLContext`.
        keepalive: seconds; the broker declares a silent node dead after 1.5 times this.
        namespace: common topic prefix of master and nodes, none by default.
        queue_limit: tasks that may wait; more are dropped and counted.
        credit: how many unsettled tasks one FleetExecutor may have here; 0 takes no part in delivery end to
            end, None takes what fits the queue, 16 at most.
        hold_limit: results held while the link is down; beyond it the oldest is dropped and counted.
        keep_bytes: of results for FleetExecutors, kept until they are settled; beyond it the oldest has to be
            worked out again, should it have got lost.
        install_signal_handlers: False leaves SIGINT and SIGTERM alone.
        driver: whose loop to run on; None shares one background loop among all transports of the process.
        observer: is told what happens (`dcompute.events`), from whichever thread; must not block.
        core_class: the node's state machine.

    Raises:
        ValueError: for a bad node id, device type, capabilities, namespace, keepalive or TLS file.
    """

    link_class: type[MqttLink] = MqttLink

    def __init__(
        self,
        broker_host: str = "localhost",
        broker_port: int = 1883,
        node_id: str | None = None,
        *,
        device_type: str = "python",
        capabilities: Mapping[str, object] | None = None,
        username: str | None = None,
        password: str | None = None,
        tls: bool | Tls | ssl.SSLContext | None = None,
        keepalive: int = 60,
        namespace: str = "",
        queue_limit: int = 1000,
        credit: int | None = None,
        hold_limit: int = 10_000,
        keep_bytes: int = 16 * 1024 * 1024,
        install_signal_handlers: bool = True,
        driver: Driver | None = None,
        observer: NodeObserver | None = None,
        core_class: type[NodeCore] = NodeCore,
    ) -> None:
        self.broker_host = broker_host
        self.broker_port = broker_port
        super().__init__(driver or shared_driver(), at_exit=driver is None)
        self._observer = observer
        signal_safe = SignalSafeLock() if install_signal_handlers else None
        self._lock: AbstractContextManager[object] = threading.RLock() if signal_safe is None else signal_safe
        credit, slots = _shares(credit, queue_limit)
        announced: dict[str, object] = {"keepalive": keepalive}
        if credit:
            announced |= {"credit": credit, "slots": slots, "largest": MAX_PAYLOAD_BYTES}
        boot_nonce = f"{self._driver.random.getrandbits(48):012x}"
        self._core = core_class(
            node_id or default_node_id(),
            check_device_type(device_type),
            boot_nonce,
            check_capabilities({**(capabilities or {}), **announced}),
            namespace,
            queue_limit,
            ring_size=(credit, slots, keep_bytes) if credit else None,
        )
        if observer is not None:
            self._core.on_event = self._tell_of_core
        self._statuses: list[Outgoing] = []  # published, but not yet handed to the loop
        self._leaving = False
        self._link = self.link_class(
            self._driver,
            Address(broker_host, broker_port, tls_context(tls)),
            SessionSettings(self._core.node_id, keepalive, username, password),
            self,
            hold_limit=hold_limit,
            drop_oldest=True,
        )
        self._signals = None if signal_safe is None else ShutdownSignals(self.stop, signal_safe)
        self._on_task: Callable[[], None] | None = None
        self._on_cancel: Callable[[str], None] | None = None
        self._on_task_inline = False
        self._rivals = Rivals(boot_nonce)
        self._progress_at_s: Mapping[str, float] = _NONE  # of tasks at work, when it was last said
        self._waiting_for_task = 0
        self._task_came: SimpleQueue[None] | None = None  # a token for each who waited when a task came

    @property
    def node_id(self) -> str:
        """This node's id, which is also its MQTT client id."""
        return self._core.node_id

    @property
    def status(self) -> str:
        """The status last published (or to be published at the next connection)."""
        return self._core.status

    @property
    def inc(self) -> str:
        """The present incarnation: `<boot nonce>.<connection number>`; "" before the first connection."""
        return self._core.inc

    def _starting(self) -> None:
        with self._lock:
            if self._leaving:
                self._leaving = False
                self._core.set_status(READY)
                if self._core.ring is not None:
                    self._core.ring.leaving = False
        if self._signals is not None:
            self._signals.install()

    def publish_status(self, status: str) -> None:
        """Publish `status` (retained). While the link is down it is published at the next connection.

        Published faster than the broker takes them, those between the first few and the newest are left out.

        Once the node is shutting down its last word is `offline`, and this has no effect. Raises ValueError
        if `status` is not text of 1 to 64 characters, Forked in a child process.
        """
        self._check_process()
        with self._lock:
            check_status(status)
            if self._leaving:
                return
            waiting = self._statuses
            due = not waiting
            if len(waiting) >= _STATUSES_WAITING:
                waiting.pop()
            waiting.append(self._core.set_status(status))
        if due:
            self._driver.call_on_loop(self._send_statuses)

    def _send_statuses(self) -> None:
        """Send them in the order they were published, whichever threads did."""
        with self._lock:
            statuses, self._statuses = self._statuses, []
        self._link.send_now(statuses)

    def send_result(self, result: object, task_id: str | int | None = None) -> None:
        """Send a result (any JSON value), now or when the link is back, in order.

        Without `task_id`, the result's own `task_id` field names the task, if it has one.

        Raises:
            ValueError: if it is not JSON or too large; what its own classes' methods raise goes through.
            Forked: in a child process.
        """
        self._check_process()
        value = plain(result)  # before the lock: this may run the user's code
        with self._lock:
            message = self._core.result_message(value, task_id, self._driver.wall_s())
            if message is None:
                return
            if message[0] == self._core.topics.results:
                self._link.send(message)
            else:  # its asker will ask for it, should it get lost
                self._link.send_once([message])

    def send_failure(self, error: str, traceback: str, task_id: str | int) -> None:
        """Say that a task failed.

        Args:
            error: `<type>: <message>`.
        """
        ring = self._core.ring
        failure = {"error": error, "traceback": traceback}
        if ring is not None and str(task_id) in ring.at_work:
            self.send_result({**failure, "task_id": str(task_id)})
        else:
            self.send_result(failure, task_id)

    def send_progress(self, task_id: str | int, fraction: float, text: str = "") -> None:
        """Say how far a task at work is, to the FleetExecutor that it is of; no other would understand.

        It may get lost, and is left out when the last one of the task was a moment ago.

        Args:
            fraction: 0 to 1.
        """
        now_s = self._driver.now_s()
        with self._lock:
            ring = self._core.ring
            entry = ring.at_work.get(str(task_id)) if ring is not None else None
            if entry is None or now_s < self._progress_at_s.get(entry.id, 0.0) + _PROGRESS_EVERY_S:
                return
            if len(self._progress_at_s) > 2 * len(ring.at_work):
                self._progress_at_s = {
                    key: at_s for key, at_s in self._progress_at_s.items() if key in ring.at_work
                }
            self._progress_at_s = {**self._progress_at_s, entry.id: now_s}
            self._link.send_once([ring.progress(entry, fraction, text)])

    def get_task(self, timeout: float = 0.0) -> dict[str, Any] | None:
        """Take the waiting task of highest priority, first in first out within one; None when there is none.

        Args:
            timeout: how many seconds to wait for one; on the driver's own loop nothing can be waited for.

        Raises:
            Forked: in a child process.
        """
        self._check_process()
        task = self._take_task()
        if task is not None or timeout <= 0:
            return task
        give_up_s = time.monotonic() + timeout
        with self._lock:
            self._waiting_for_task += 1
            came = self._task_came = self._task_came or SimpleQueue()
        try:
            while (task := self._take_task()) is None and not self._leaving:
                left_s = give_up_s - time.monotonic()
                if left_s <= 0:
                    break
                with suppress(Empty):
                    came.get(timeout=left_s)
        finally:
            with self._lock:
                self._waiting_for_task -= 1
        return task

    def _take_task(self) -> dict[str, Any] | None:
        with self._lock:
            ring = self._core.ring
            expired = ring.expire(self._now_ms()) if ring is not None and ring.deadlines else ()
            task = self._core.take()
        if expired:
            self._link.send_once(expired)
        return task

    def _now_ms(self) -> int:
        return int(self._driver.now_s() * 1000)

    def set_cancel_callback(self, callback: Callable[[str], None] | None) -> None:
        """Call `callback(task id)` on the dispatcher thread when a task at work is not wanted any more."""
        self._on_cancel = callback

    def give_back(self) -> None:
        """Refuse, from now on, the tasks of FleetExecutors, those that wait included: others will do them."""
        with self._lock:
            self._link.send_once(self._given_back())

    def _given_back(self) -> list[Outgoing]:
        return self._core.ring.give_back() if self._core.ring is not None else []

    def _wake_waiting(self) -> None:
        if self._task_came is not None:
            for _ in range(self._waiting_for_task):
                self._task_came.put(None)

    def set_task_callback(self, callback: Callable[[], None] | None, *, inline: bool = False) -> None:
        """Call `callback` whenever a task has arrived, on the dispatcher thread.

        Args:
            inline: call it on the loop itself, where no other callback delays it; it must not block.
        """
        self._on_task = callback
        self._on_task_inline = inline

    def counters(self) -> dict[str, int]:
        """Tell what was received, rejected, dropped, repaired and held so far."""
        core = self._core
        return {
            "tasks_received": core.received,
            "tasks_waiting": core.waiting(),
            "tasks_dropped": core.dropped,
            "task_repeats": core.duplicates,
            "messages_rejected": core.rejected,
            "status_repairs": core.repairs,
            "messages_held": self._link.held(),
            "messages_dropped": self._link.dropped,
            "connections": self._link.connections,
        }

    def _graceful_shutdown_(self, timeout_s: float = 2.0) -> None:
        """Do as `stop`: the name that programs written for the first version call."""
        self.stop(timeout_s)

    def _stopping(self) -> None:
        if self._signals is not None:
            self._signals.remove()

    def _last_words(self) -> Sequence[Outgoing]:
        with self._lock:
            if self._leaving:
                return ()
            self._leaving = True
            last = [*self._given_back(), *self._statuses, self._core.set_status(OFFLINE)]
            self._statuses = []
        self._wake_waiting()
        return last

    def _task_of(self, message: Outgoing) -> str | None:
        topic, payload, _ = message
        if not topic.startswith(self._core.topics.results):
            return None
        body = decode(payload)
        return str(body.get("task_id", "")) if "result" in body else None

    def __str__(self) -> str:
        return f"node {self.node_id}"

    # --- the link's owner, on the loop ------------------------------------------------------------------

    def link_will(self) -> Outgoing | None:
        with self._lock:
            will = self._core.will()
        self._tell(NodeConnecting(self._core.inc))
        return will

    def link_topics(self) -> Sequence[Subscription]:
        self._tell(NodeSubscribing(self._core.inc))
        # What it said of itself at QoS 0: TCP carries that, and the next connection says it anew. Its PUBACKs
        # would be a third of what a node sends.
        return ((self._core.task_topic, QOS), (self._core.status_topic, 0))

    def link_extras(self) -> Sequence[Subscription]:
        return ()

    def link_up(self) -> Sequence[Outgoing]:
        self._tell(NodeConnected(self._core.inc))
        self._expect_to_hear()
        with self._lock:
            self._statuses = []  # the greeting has the newest, and these may be of an older incarnation
            return self._core.greeting()

    def link_message(self, topic: str, payload: bytes, retained: bool) -> None:
        if retained and topic == self._core.task_topic:  # it was meant for a connection that is gone
            self._core.rejected += 1
            self._tell(MessageRejected(topic, "a retained task is no new work"))
            self._warn_of_rejection(topic, payload)
            return
        if topic == self._core.status_topic:
            if not self._heard and self._core.inc.encode() in payload:
                self._has_heard()
            if self._rivals.is_echo(payload):
                return
            self._look_for_rivals(payload)
        with self._lock:
            if self._leaving:
                return  # what a master still asks or sends is answered by `offline`
            before = self._core.received
            rejected = self._core.rejected
            answers = self._core.receive(topic, payload, self._now_ms())
            cancelled: list[str] = []
            if self._core.ring is not None and self._core.ring.cancelled:
                cancelled, self._core.ring.cancelled = self._core.ring.cancelled, []
            arrived = self._core.received > before
        for answer in answers:
            if answer[2]:
                self._link.send_now([answer])
            else:
                self._link.send_once([answer])
        if self._on_cancel is not None:
            for task_id in cancelled:
                self._driver.deliver(partial(self._on_cancel, task_id))
        if arrived:
            self._wake_waiting()
        if arrived and self._on_task is not None:
            if self._on_task_inline:
                guarded("a task callback", self._on_task)
            else:
                self._driver.deliver(self._on_task)
        if self._core.rejected > rejected:
            self._warn_of_rejection(topic, payload)

    def _ask_to_hear(self) -> bool:
        """Say its status anew, which may have been set aside for closes that were the network's."""
        if not self._link.pardon():
            return False
        with self._lock:
            status = self._core.status_message()
        self._link.send_now([status])
        return True

    def _denial(self) -> tuple[str, str]:
        return self.node_id, (
            f"the broker takes the status of {self.node_id} but does not give it back: its access rules seem "
            f"not to let this user write and read {self._core.status_topic}"
        )

    def _look_for_rivals(self, payload: bytes) -> None:
        inc = self._rivals.look(payload)
        if inc:
            log.error(
                "%s: another program uses this node id (its incarnation is %s): the broker throws one out "
                "for the other; give one of them another node_id",
                self.node_id,
                inc,
            )

    def _warn_of_rejection(self, topic: str, payload: bytes) -> None:
        if is_power_of_two(self._core.rejected):
            log.warning("%s: rejected a message on %s (%d bytes)", self.node_id, topic, len(payload))

    def link_down(self, reason: str) -> None:
        with self._lock:
            self._core.lost()
        log.warning("%s: connection lost: %s; reconnecting", self.node_id, reason)
        self._tell(NodeDisconnected(self._core.inc, reason))

    def link_failed(self, reason: str) -> None:
        log.warning("%s: cannot connect: %s; trying again", self.node_id, reason)
        self._tell(NodeConnectFailed(self._core.inc, reason))

    def link_dropped(self, message: Outgoing) -> None:
        if is_power_of_two(self._link.dropped):
            log.warning("%s: too many results held, dropped the oldest %d", self.node_id, self._link.dropped)
        self._tell(ResultDropped(message[1]))

    def link_refused(self, message: Outgoing, held: bool, reason: str) -> Outgoing | None:
        topic, payload, retain = message
        log.error("%s: set aside a message of %d bytes on %s: %s", self.node_id, len(payload), topic, reason)
        body = decode(payload)
        if not held or "result" not in body:
            return None
        self._tell(ResultSetAside(body.get("task_id", ""), reason))
        error = f"the result of {len(payload):,} bytes cannot be sent: {reason}"
        if topic == self._core.topics.results:
            if body["result"] == {"error": error}:  # not even that
                return None
            return (topic, encode({**body, "result": {"error": error}}), retain)
        if body.get("error", {}).get("type") == _SET_ASIDE:
            return None
        failure = {"type": _SET_ASIDE, "message": error, "traceback": ""}
        instead = encode({**body, "ok": False, "result": None, "error": failure})
        with self._lock:
            self._keep_instead(payload, instead)
        return (topic, instead, retain)

    def _keep_instead(self, payload: bytes, instead: bytes) -> None:
        """Answer with `instead` when an asker asks for what was set aside."""
        for known in self._core.ring.askers.values():
            for entry in known.may.values():
                if entry is not None and entry.held == payload:
                    self._core.ring.drop(entry)
                    entry.held = instead

    def _tell_of_core(self, name: str, fields: dict[str, Any]) -> None:
        assert self._observer is not None, "the core is asked to tell only then"
        guarded("a node's observer", self._observer, node_event(name, fields))

    def _tell(self, event: NodeEvent) -> None:
        if self._observer is not None:
            guarded("a node's observer", self._observer, event)


def _shares(credit: int | None, queue_limit: int) -> tuple[int, int]:
    """Return how many unsettled tasks an asker may have here, and for how many askers the queue has room."""
    if credit is None:
        credit = max(1, min(_CREDIT, queue_limit // _ASKERS))
    return credit, max(1, min(_ASKERS, queue_limit // max(1, credit)))
