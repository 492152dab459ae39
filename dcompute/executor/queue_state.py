"""What an executor says of its queue to whoever watches (`dcompute top`): every two seconds, unretained.

The queue is in the executor's process alone. It comes to those who watch over the broker, which all of them
have, rather than on a port that would have to be known, and let through; and it is said without being asked
for, as a question would need a topic on which every executor listens. It costs one message of some 150 bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from dcompute.drivers import Driver, Timer
from dcompute.node_core import Rejected, decode, encode
from dcompute.node_names import check_node_id
from dcompute.node_wire import HIGHEST_PRIORITY, LOWEST_PRIORITY

TELL_S = 2.0
_PRIORITIES = {str(priority) for priority in range(LOWEST_PRIORITY, HIGHEST_PRIORITY + 1)}


@dataclass(frozen=True, slots=True)
class QueueState:
    """How many tasks of an executor are where, and how many nodes it sees.

    `done` are those that are over, `failed` those of them without a result that were not cancelled;
    `by_priority` counts what is not done.
    """

    asker: str
    submitted: int = 0
    done: int = 0
    failed: int = 0
    waiting: int = 0
    at_nodes: int = 0
    nodes: int = 0
    by_priority: dict[str, int] = field(default_factory=dict)


def encode_queue(state: QueueState) -> bytes:
    """Return the payload for `queue_topic`."""
    return encode(asdict(state))


def decode_queue(payload: bytes) -> QueueState:
    """Tell what an executor said. Raises Rejected."""
    said = decode(payload)
    try:
        asker = check_node_id(said.pop("asker", None))
    except ValueError as error:
        raise Rejected(str(error)) from None
    by_priority = said.pop("by_priority", {})
    counts = {key: value for key, value in said.items() if key in QueueState.__slots__}
    if not isinstance(by_priority, dict) or not by_priority.keys() <= _PRIORITIES:
        raise Rejected("a queue with a priority that is none")
    if not all(map(_is_count, [*counts.values(), *by_priority.values()])):
        raise Rejected("a queue in which something is no count")
    return QueueState(asker, by_priority=by_priority, **counts)


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


class QueueTeller:
    """Says it again and again, on the driver's loop.

    Args:
        tell: publishes the state there.
    """

    def __init__(self, driver: Driver, tell: Callable[[], None], every_s: float) -> None:
        self._driver = driver
        self._tell = tell
        self._every_s = every_s
        self._timer: Timer | None = None
        self._stopped = False

    def start(self) -> None:
        """Begin; no effect with an interval of 0."""
        if self._every_s > 0:
            self._driver.call_on_loop(self._again)

    def stop(self) -> None:
        """Say no more."""
        self._stopped = True
        self._driver.call_on_loop(self._cancel)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _again(self) -> None:
        if not self._stopped:
            self._tell()
            self._timer = self._driver.call_later(self._every_s, self._again)
