"""MasterNodeTransport: hands prioritised tasks to nodes, collects results, learns at once who died."""

from __future__ import annotations

import ssl
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, overload

from dcompute._log import guarded, is_power_of_two, log
from dcompute._master.effects import DeclareDead, Denial, Effect, Probe
from dcompute._master.node_record import GONE
from dcompute._master.registry import Registry
from dcompute._mqtt.hearing import nothing_comes, own_status
from dcompute._mqtt.link import MqttLink
from dcompute._mqtt.link_owner import Outgoing
from dcompute._mqtt.paho_session import QOS, SessionSettings, Subscription
from dcompute._mqtt.shared import shared_driver
from dcompute._mqtt.transport import Transport
from dcompute._plain import copy_json, plain
from dcompute._plural import number_of
from dcompute.drivers import Address, Driver, Timer
from dcompute.errors import Backlogged, DeadNode, JournalError, NodeUnavailable, UnknownNode
from dcompute.events import (
    BrokerDropped,
    DeathReported,
    MasterConnected,
    MasterDisconnected,
    MasterEvent,
    MasterObserver,
    MessageRejected,
    NodeStatusSeen,
    ResultReceived,
    TaskSent,
    TaskSetAside,
)
from dcompute.node_core import DEFAULT_PRIORITY
from dcompute.node_core import decode as decode_object
from dcompute.node_names import check_node_id
from dcompute.protocol import (
    PATIENCE_S,
    Rejected,
    ResultMessage,
    Topics,
    encode_dead,
    encode_init,
    encode_task,
    status_memory,
    task_fields,
)
from dcompute.security import Tls, tls_context

if TYPE_CHECKING:
    from pathlib import Path

    from dcompute._master.node_memory import NodeMemory
    from dcompute._master.running_updates import MasterUpdates
    from dcompute._ota.progress import UpdateProgress
    from dcompute.bundle import Bundle
    from dcompute.records import NodeInfo, NodeResult, ResultRecord

BROKER_DROPPED = "$SYS/broker/publish/messages/dropped"

JOURNAL_RETRY_S = 5.0

DeadNodesCallback = Callable[[list[str]], object]
ResultsCallback = Callable[[list["NodeResult"]], object]


class MasterNodeTransport(Transport):
    """The master's side. All methods may be called from any thread.

    Args:
        broker_host, broker_port: where the broker is; attributes of these names tell it.
        username, password: MQTT credentials.
        tls: True (the system's trust), a `Tls` with files, or a ready `ssl.SSLContext`.
        keepalive: seconds of this client's own connection.
        namespace: common topic prefix of master and nodes, none by default.
        client_id: MQTT client id; None makes one.
        liveness_s: how long a node may stay silent after an outage of broker or master before it is
            declared dead; None takes 1.5 x the node's own keepalive plus 20 s for its reconnection.
        probe_s: after how long a silence a node is asked whether it is there, to be declared dead if it stays
            silent. Of use where a broker may lose wills (the far end of a bridge, a cluster); it costs a
            question and a status for each node in each `probe_s`. None: never.
        journal: a file in which it is written down who is there, so that a node that dies while neither this
            master nor the broker's memory is there to notice is missed by the next with the same file.
        result_limit: results kept until collected, 256 MiB of them at most; beyond it the oldest of the node
            that has the most is dropped and counted.
        node_limit: nodes known at a time; further ones are refused and counted, until one is forgotten.
        hold_limit: tasks held for the broker; beyond it `send_task` raises Backlogged.
        driver: whose loop to run on; None shares one background loop among all transports of the process.
        observer: is told what happens (`dcompute.events`); called on the loop, must not block.
        registry_class: the state machine that judges what arrives.

    Raises:
        ValueError: for a bad namespace, keepalive or TLS file.
        JournalError: the journal is damaged, or another process has it open.
    """

    link_class: type[MqttLink] = MqttLink

    def __init__(
        self,
        broker_host: str = "localhost",
        broker_port: int = 1883,
        *,
        username: str | None = None,
        password: str | None = None,
        tls: bool | Tls | ssl.SSLContext | None = None,
        keepalive: int = 60,
        namespace: str = "",
        client_id: str | None = None,
        liveness_s: float | None = None,
        probe_s: float | None = None,
        journal: str | Path | NodeMemory | None = None,
        result_limit: int = 100_000,
        node_limit: int = 20_000,
        hold_limit: int = 100_000,
        driver: Driver | None = None,
        observer: MasterObserver | None = None,
        registry_class: type[Registry] = Registry,
    ) -> None:
        self.broker_host = broker_host
        self.broker_port = broker_port
        super().__init__(driver or shared_driver(), at_exit=driver is None)
        self._observer = observer
        self._topics = Topics(namespace)
        self._read = status_memory(self._topics)
        self._lock = threading.RLock()
        self._registry = registry_class(
            liveness_s=liveness_s, probe_s=probe_s, result_limit=result_limit, node_limit=node_limit
        )
        self._memory: NodeMemory | None = None
        if journal is not None:
            from dcompute._master.node_memory import NodeMemory  # SQLite, for which others have no use

            self._memory = journal if isinstance(journal, NodeMemory) else NodeMemory(journal)
            self._registry.restore(self._memory.infos())
        self._client_id = client_id or f"master-{self._driver.random.getrandbits(48):012x}"
        self._link = self.link_class(
            self._driver,
            Address(broker_host, broker_port, tls_context(tls)),
            SessionSettings(self._client_id, keepalive, username, password),
            self,
            hold_limit=hold_limit,
            drop_oldest=False,
        )
        self._timer: Timer | None = None
        self._timer_at_s = 0.0
        self._on_deaths: DeadNodesCallback | None = None
        self._deaths: list[str] = []
        self._on_results: ResultsCallback | None = None
        self._results_due = False
        self._started = False
        self._rejected = 0
        self._suspicions = 0
        self._dropped_before: int | None = None
        self._broker_dropped = 0
        self._updates: MasterUpdates | None = None  # made, and its modules loaded, with the first update

    # --- life -------------------------------------------------------------------------------------------

    def _starting(self) -> None:
        if self._memory is not None:
            self._memory.open()
        self._started = True
        if self._updates is not None:
            self._driver.call_on_loop(self._updates.start)

    def _stopping(self) -> None:
        self._started = False
        if self._updates is not None:
            self._driver.call_on_loop(self._updates.stop)
        self._judge_nobody()
        if self._memory is not None:
            self._write_beliefs()
            self._memory.close()

    def _judge_nobody(self) -> None:
        """Judge nobody: without a link, silence says nothing about a node."""
        with self._lock:
            self._registry.link_down()

    def _task_of(self, message: Outgoing) -> str | None:
        _, payload, retain = message
        return None if retain else str(decode_object(payload).get("id", ""))

    @property
    def last_error(self) -> str:
        """As of every transport; and what seems to come to nothing of what was said to nodes."""
        return super().last_error or self._registry.suspicion()

    def __str__(self) -> str:
        return "master"

    # --- tasks and results ------------------------------------------------------------------------------

    def send_task(
        self, node_id: str, task_data: Mapping[str, object], priority: int = DEFAULT_PRIORITY
    ) -> str:
        """Give a task to a node; returns the task's id.

        The dict is copied. It gets an `id` if it has none, and `priority` (10 is the highest) unless it has
        its own. Sending a task of the same id again makes it the next `attempt`. While the link is down the
        task is held.

        Raises:
            ValueError: for a priority outside 1..10, a task that is no JSON or too large, a bad node or task
            id. UnknownNode, DeadNode: the node never announced itself, or is dead or offline.
            Backlogged: too many tasks wait for the broker.
            RuntimeError: before `start()`. Forked: in a child process.
        """
        self._check_process()
        check_node_id(node_id)
        if not isinstance(task_data, Mapping):
            raise ValueError(f"a task is a dict, not {type(task_data).__name__}")
        # Before the lock: it may run the user's code.
        task = task_fields(plain(dict(task_data)), priority, "")
        if not self._started:
            raise RuntimeError("the master is not started: call start() first")
        with self._lock:
            status = self._registry.status_of(node_id)
            if status is None:
                raise UnknownNode(f"no node {node_id!r} has announced itself")
            if status in GONE:
                raise DeadNode(f"node {node_id!r} is {status}")
            task_id: str = task["id"] or str(uuid.UUID(int=self._driver.random.getrandbits(128), version=4))
            task["id"] = task_id
            attempt = self._registry.next_attempt(task_id)
            payload = encode_task(task, attempt)
            message = (self._topics.task_of(node_id), payload, False)
            if not self._link.send(message, task["priority"]):
                raise Backlogged(
                    f"{number_of(self._link.held(), 'message waits', 'messages wait')} for "
                    f"the broker: {self.last_error}"
                )
            self._registry.sent(task_id, attempt, node_id)
            if self._link.is_up():
                self._registry.given(node_id, self._driver.now_s())
                self._driver.call_on_loop(self._arm_tick)
        self._tell(TaskSent(node_id, task_id, task["priority"], attempt, len(payload)))
        return task_id

    def get_results(
        self, node_id_dict: str | Collection[str] | None = None, disposable: bool = False
    ) -> dict[str, list[ResultRecord]]:
        """Results by node: `{node_id: [record, ...]}`.

        Args:
            node_id_dict: one node id, or a list, set or dict of ids; None for all.
            disposable: remove exactly what is returned.
        """
        only = {node_id_dict} if isinstance(node_id_dict, str) else node_id_dict
        only = None if only is None else set(only)
        with self._lock:
            found = self._registry.results(only, remove=disposable)
        return found if disposable else copy_json(found)

    # --- nodes ------------------------------------------------------------------------------------------

    @overload
    def get_node_info(self, node_id: None = None) -> list[NodeInfo]: ...

    @overload
    def get_node_info(self, node_id: str) -> NodeInfo | None: ...

    def get_node_info(self, node_id: str | None = None) -> NodeInfo | list[NodeInfo] | None:
        """Return one node's record, None if unknown; without `node_id` a list of all. Copies, free to
        change."""
        with self._lock:
            found = self._registry.infos() if node_id is None else self._registry.info(node_id)
        _unshare(found if isinstance(found, list) else [found] if found else [])
        return found

    def get_nodes_by_status(self, status: str = "ready") -> list[NodeInfo]:
        """Return the records of all nodes of one status."""
        with self._lock:
            found = self._registry.infos(status)
        _unshare(found)
        return found

    def get_dead_nodes(self, disposable: bool = False) -> list[str]:
        """Ids of the nodes that died (or went offline) and were not collected yet; True collects them."""
        with self._lock:
            return self._registry.dead_nodes(empty=disposable)

    def set_dead_nodes_callback(self, callback: DeadNodesCallback | None) -> None:
        """Call `callback([node ids])`, once for each death, on one dispatcher thread.

        A node that goes offline counts too, as its tasks will not be done; `get_node_info` tells which it
        was. An exception in the callback is logged and stops nothing.
        """
        self._on_deaths = callback

    def set_results_callback(self, callback: ResultsCallback | None) -> None:
        """Call `callback([results])` with what has arrived, on the dispatcher thread; None: keep them again.

        A result is a dict as in `get_results`, with its `node_id`; those of one node come in the order they
        arrived. What the callback is given is not kept for `get_results`, unless it raises: that is logged,
        and the results are kept as if there were no callback. Those that were kept before are given first.
        """
        self._on_results = callback
        with self._lock:
            self._results_arrived()

    def forget_node(self, node_id: str) -> None:
        """Remove the node from every list, stop following its status and clear its retained status.

        A new connection of that node brings it back.
        """
        check_node_id(node_id)
        with self._lock:
            self._registry.forget(node_id)
            self._note(node_id)
        if self._started:
            self._link.send((self._topics.status_of(node_id), b"", True))

    # --- updates over the air ---------------------------------------------------------------------------

    def update_node(
        self,
        node_id: str,
        bundle: Bundle,
        key: bytes,
        *,
        back: bool = False,
        taken: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Begin to bring a board to another version of its program; `updates` tells how it goes.

        The node need not be there now. An update of the same node that is under way is given up for this one.

        Args:
            key: the board's own, from `dcompute.UpdateKeys`; it proves each side to the other.
            back: go to this version although its release is not above the one that runs.
            taken: the board took this version (`UpdateProgress.taken`) before the master was started anew; if
                it has gone back since, that is told, and it is not offered once more.
            patience_s: how long nothing may move before it counts as failed.

        Raises:
            ValueError: for a bad node id. RuntimeError: before `start()`.
        """
        check_node_id(node_id)
        if not self._started:
            raise RuntimeError("the master is not started: call start() first")
        from dcompute._master.running_updates import MasterUpdates

        with self._lock:
            if self._updates is None:
                self._updates = MasterUpdates(
                    self._driver, self._link, self._topics, self._lock, self._registry.info, self._tell
                )
                self._driver.call_on_loop(self._updates.start)
        self._updates.begin(node_id, bundle, key, back=back, taken=taken, patience_s=patience_s)

    def updates(self) -> list[UpdateProgress]:
        """Tell how far each update is, ended ones included."""
        return [] if self._updates is None else self._updates.progress()

    def counters(self) -> dict[str, int]:
        """Tell what was ignored, rejected, dropped and held so far."""
        with self._lock:
            return {
                **self._registry.counters,
                "messages_rejected": self._rejected,
                "messages_held": self._link.held(),
                "broker_dropped": self._broker_dropped,
                "connections": self._link.connections,
            }

    # --- the link's owner, on the loop ------------------------------------------------------------------

    def link_will(self) -> Outgoing | None:
        return None

    def link_topics(self) -> Sequence[Subscription]:
        # Statuses at QoS 0: a broker queues so many QoS 1 messages for a subscriber (stock mosquitto 1,020)
        # and drops the rest, so that a master beside 3,000 nodes knew of a third and heard of a third of
        # their deaths. What TCP carries has no such limit, and a new connection reads the retained copies.
        # Initialisations likewise: brokers keep the order of one quality only, and behind 20 messages in
        # flight an older node's `connected` would come after its `ready`, and be believed.
        said_of_nodes = ((self._topics.status_of("+"), 0), (self._topics.initialisation, 0))
        return (*said_of_nodes, (self._topics.results, QOS))

    def link_extras(self) -> Sequence[Subscription]:
        of_updates = () if self._updates is None else self._updates.link_extras()
        return ((BROKER_DROPPED, 0), *of_updates)

    def link_up(self) -> Sequence[Outgoing]:
        self._tell(MasterConnected())
        self._expect_to_hear()
        with self._lock:
            self._apply(self._registry.link_up(self._driver.now_s()))
        return ()

    def link_message(self, topic: str, payload: bytes, retained: bool) -> None:
        try:
            if topic == BROKER_DROPPED:
                self._look_at_dropped(payload)
                return
            if not self._heard:
                self._has_heard()
            if self._updates is not None and self._updates.is_report(topic):
                self._updates.receive(payload)
                return
            message = self._read(topic, payload)
        except Rejected as error:
            self._rejected += 1
            if is_power_of_two(self._rejected):
                log.warning(
                    "master: rejected a message on %.80r: %s (%d so far)", topic, error, self._rejected
                )
            self._tell(MessageRejected(topic, str(error)))
            return
        with self._lock:
            before = self._registry.refusals()
            effects = self._registry.receive(
                message, retained=retained, now_s=self._driver.now_s(), wall_s=self._driver.wall_s()
            )
            self._apply(effects)
            count = self._registry.refusals()
        if count > before and is_power_of_two(count):
            log.warning(
                "master: refused what came in the name of %s: not proven its own, or no room for more nodes, "
                "capabilities, results; does somebody make it up? (%d such so far)",
                *(message.node_id, count),
            )

    def _ask_to_hear(self) -> bool:
        self._link.send_now([(own_status(self._topics, self._client_id), b"", False)])
        return True

    def _denial(self) -> tuple[str, str]:
        return "master", nothing_comes(self._topics, self._client_id)

    def link_refused(self, message: Outgoing, held: bool, reason: str) -> Outgoing | None:
        topic, payload, retain = message
        log.error("master: set aside a message of %d bytes on %s: %s", len(payload), topic, reason)
        if not held or retain:
            return None
        task = decode_object(payload)
        node_id, task_id = topic.removeprefix(self._topics.prefix), str(task["id"])
        failure = {"error": f"the task of {len(payload):,} bytes cannot be sent: {reason}"}
        self._tell(TaskSetAside(node_id, task_id, reason))
        with self._lock:
            info = self._registry.info(node_id) or {"inc": ""}
            answer = ResultMessage(node_id, failure, None, task_id, task["attempt"], info["inc"])
            now = {"now_s": self._driver.now_s(), "wall_s": self._driver.wall_s()}
            self._apply(self._registry.receive(answer, retained=False, **now))
        return None

    def link_down(self, reason: str) -> None:
        log.warning("master: connection lost: %s; reconnecting", reason)
        self._dropped_before = None  # it may be another broker next
        self._judge_nobody()
        self._tell(MasterDisconnected(reason))

    def link_dropped(self, message: Outgoing) -> None:
        raise AssertionError("the master's link refuses, it does not drop")

    def _look_at_dropped(self, payload: bytes) -> None:
        """Warn when the broker's count of messages that it dropped has grown while we are connected."""
        if not payload.isdigit() or len(payload) > 20:
            raise Rejected("not a count")
        before, self._dropped_before = self._dropped_before, int(payload)
        if before is None or self._dropped_before <= before:
            return
        count = self._dropped_before - before
        self._broker_dropped += count
        log.warning(
            "master: the broker has dropped %s: its queue for some subscriber was full (mosquitto: "
            "max_queued_messages); tasks or results may be lost",
            number_of(count, "message"),
        )
        self._tell(BrokerDropped(count))

    def link_failed(self, reason: str) -> None:
        log.warning("master: cannot connect: %s; trying again", reason)

    # --- what the registry wants ------------------------------------------------------------------------

    def _apply(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:  # the most frequent first
                case NodeStatusSeen(node_id):
                    self._tell(effect)
                    self._note(node_id)
                    if self._updates is not None:
                        self._updates.look_at(node_id)
                case Probe(node_id):
                    self._link.send_now([(self._topics.task_of(node_id), encode_init(), False)])
                case DeclareDead(node_id, inc):
                    log.warning("master: node %s did not speak within its bound: declared dead", node_id)
                    self._link.send((self._topics.status_of(node_id), encode_dead(node_id, inc), True))
                case Denial(what):
                    self._suspicions += 1
                    if is_power_of_two(self._suspicions):
                        log.warning("master: %s (%d such so far)", what, self._suspicions)
                case DeathReported(node_id):
                    self._tell(effect)
                    self._deaths.append(node_id)
                    if len(self._deaths) == 1:
                        self._driver.deliver(self._deliver_deaths)
                case ResultReceived():
                    self._tell(effect)
                    self._results_arrived()
                case _:
                    self._tell(effect)
        self._arm_tick()

    def _note(self, node_id: str) -> None:
        if self._memory is not None and self._memory.note(node_id, self._registry.belief(node_id)):
            self._driver.call_on_loop(partial(self._write_soon, 0.0))

    def _write_soon(self, delay_s: float) -> None:
        self._driver.call_later(delay_s, self._write_beliefs)

    def _write_beliefs(self) -> None:
        assert self._memory is not None
        try:
            self._memory.write()
        except JournalError as error:
            log.error("master: %s", error)
            if self._started:
                self._write_soon(JOURNAL_RETRY_S)

    def _deliver_deaths(self) -> None:
        with self._lock:
            deaths, self._deaths = self._deaths, []
        if deaths and self._on_deaths is not None:
            self._on_deaths(deaths)

    def _results_arrived(self) -> None:
        if self._on_results is not None and not self._results_due:
            self._results_due = True
            self._driver.deliver(self._deliver_results)

    def _deliver_results(self) -> None:
        callback = self._on_results
        with self._lock:
            self._results_due = False
            if callback is None:
                return
            kept = self._registry.results(None, remove=True)
        results: list[NodeResult] = [
            {"node_id": node_id, **record} for node_id, records in kept.items() for record in records
        ]
        if not results:
            return
        try:
            callback(results)
        except BaseException:
            with self._lock:
                self._registry.put_back(kept)
            raise

    def _arm_tick(self) -> None:
        due_s = self._registry.next_deadline_s()
        if due_s is None or (self._timer is not None and self._timer_at_s <= due_s):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at_s = due_s
        self._timer = self._driver.call_later(max(due_s - self._driver.now_s(), 0.001), self._tick)

    def _tick(self) -> None:
        self._timer = None
        with self._lock:
            self._apply(self._registry.tick(self._driver.now_s(), self._driver.wall_s()))

    def _tell(self, event: MasterEvent) -> None:
        if self._observer is not None:
            guarded("a master's observer", self._observer, event)


def _unshare(infos: Iterable[NodeInfo]) -> None:
    """Give the records capabilities of their own, as they have everything else."""
    for info in infos:
        info["capabilities"] = copy_json(info["capabilities"])


__all__ = ["Backlogged", "DeadNode", "MasterNodeTransport", "NodeUnavailable", "UnknownNode"]
