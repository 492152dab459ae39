"""What a node does with a result, and when."""

from __future__ import annotations

from dcompute.node_core import NodeCore
from dcompute.node_transport import ComputeNodeTransport
from dcompute.parts import MqttLink
from dcompute_sim.mutants.catalogue import Edit, register

_EPOCH_OF_ESP32_S = 946_684_800.0  # 2000-01-01
_CORE = "dcompute/node_core.py"


class _NoHeldResults(ComputeNodeTransport):
    """A result that cannot be sent at once is lost."""

    def send_result(self, result: object, task_id: str | int | None = None) -> None:
        if self.is_connected():
            super().send_result(result, task_id)


class _RetainedResults(NodeCore):
    """Circumstance: results are retained, as older nodes send them: a new subscriber gets an old one."""

    def result_message(
        self, result: object, task_id: object, timestamp: float
    ) -> tuple[str, bytes, bool] | None:
        message = super().result_message(result, task_id, timestamp)
        return message and (message[0], message[1], True)


class _ClockUnset(NodeCore):
    """Circumstance: the node's clock was never set: it counts from its boot in the year 2000."""

    _boot_s: float | None = None

    def result_message(
        self, result: object, task_id: object, timestamp: float
    ) -> tuple[str, bytes, bool] | None:
        if self._boot_s is None:
            self._boot_s = timestamp
        uptime_s = timestamp - self._boot_s
        return super().result_message(result, task_id, _EPOCH_OF_ESP32_S + uptime_s)


class _PoliteCrash(ComputeNodeTransport):
    """A failed task ends the program, which cleans up with a DISCONNECT: the broker drops the will."""

    def send_result(self, result: object, task_id: str | int | None = None) -> None:
        if isinstance(result, dict) and "error" in result:
            self._link.close([], 1.0, lambda: None)
        else:
            super().send_result(result, task_id)


class _LengthInCharacters(MqttLink):
    """Packets are as long as their text has characters; the bytes beyond become the next packet."""

    def _publish(self, message: tuple[str, bytes, bool], *, held: int | None) -> None:
        topic, payload, retain = message
        characters = len(payload.decode())
        super()._publish((topic, payload[:characters], retain), held=held)
        if characters < len(payload):
            assert self._session is not None
            assert self._channel is not None
            self._session.flush()
            self._channel.write(payload[characters:])


class _EndlessWait(MqttLink):
    """A result waits for the PUBACK of what was sent before it, without end."""

    def _pump(self) -> None:
        if self._in_flight:
            self._pump_due = False
        else:
            super()._pump()

    def _check(self) -> None:
        for sent in self._in_flight.values():
            sent.at_s = self._driver.now_s()
        super()._check()


class _Unacknowledged(MqttLink):
    """Circumstance: on a node's first connection no PUBACK ever comes."""

    def session_acknowledged(self, mid: int) -> None:
        if self.connections > 1:
            super().session_acknowledged(mid)


class _SilentFailure(ComputeNodeTransport):
    """A task that fails is answered by nothing."""

    def send_result(self, result: object, task_id: str | int | None = None) -> None:
        if not (isinstance(result, dict) and "error" in result):
            super().send_result(result, task_id)


class _OtherTaskId(ComputeNodeTransport):
    """A result goes under the id of the task before."""

    _before: str | int | None = None

    def send_result(self, result: object, task_id: str | int | None = None) -> None:
        before, self._before = self._before or task_id, task_id
        super().send_result(result, before)


register(
    "silent-failure",
    _SilentFailure,
    Edit(
        "main.py",
        "            send(node, result)\n",
        '            if "error" not in result:\n                send(node, result)\n',
    ),
)
register(
    "other-task-id",
    _OtherTaskId,
    Edit(
        "main.py",
        'result = {"task_id": task["id"]}\n',
        'result = {"task_id": getattr(node, "before", task["id"])}\n            node.before = task["id"]\n',
    ),
)
register(
    "no-held-results",
    _NoHeldResults,
    Edit(
        "compute_node.py",
        "if message:  # somebody waits for it",
        "if message and link.online:",
    ),
)
register(
    "retained-results",
    _RetainedResults,
    Edit(
        _CORE, "return (self.topics.results, payload, False)", "return (self.topics.results, payload, True)"
    ),
)
register("clock-unset", _ClockUnset)
register(
    "polite-crash",
    _PoliteCrash,
    Edit(
        "main.py",
        "            execute(task, result)\n",
        "            execute(task, result)\n"
        '            if "error" in result:\n'
        "                node._thread_wanted = False\n"
        "                node._link.close()\n"
        "                while True:\n"
        "                    time.sleep(3600)\n",
    ),
)
register(
    "length-in-characters",
    _LengthInCharacters,
    Edit(
        "mqtt_client.py",
        "packets.publish_head(topic, len(msg), retain",
        'packets.publish_head(topic, len(str(msg, "utf-8")), retain',
    ),
)
register(
    "endless-wait",
    _EndlessWait,
    Edit(
        "link.py",
        "elif self.outbox.sending and self._waited_ms() > 2 * self._client.answer_ms:",
        "elif False:",
    ),
)
register(
    "unacknowledged",
    _Unacknowledged,
    Edit(
        "link.py",
        "            self.outbox.acknowledged(packet_id)\n",
        '            if not self.core.inc.endswith(".1"):\n'
        "                self.outbox.acknowledged(packet_id)\n",
    ),
)
