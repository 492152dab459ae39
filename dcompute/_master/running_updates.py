"""The master's updates over the air on its link: sends what `Updates` decides, and ticks it once a second.

`begin` and `progress` may be called from any thread, the rest only on the driver's loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from dcompute._mqtt.link import MqttLink
from dcompute._mqtt.paho_session import QOS, Subscription
from dcompute._ota.progress import NodeUpdate, UpdateProgress, Updates
from dcompute.bundle import Bundle
from dcompute.drivers import Driver, Timer
from dcompute.events import MasterObserver, UpdateMoved
from dcompute.protocol import Topics, update_topic, updates_topic

if TYPE_CHECKING:
    from dcompute.records import NodeInfo

_TICK_S = 1.0


class MasterUpdates:
    """Carries out the updates of a master's nodes on its link.

    Args:
        lock: the master's; held whenever the state of the updates is read or changed.
        node_info: a node's record, None if unknown.
        tell: is told of each change of state, as the master's observer is.
    """

    def __init__(
        self,
        driver: Driver,
        link: MqttLink,
        topics: Topics,
        lock: AbstractContextManager[object],
        node_info: Callable[[str], NodeInfo | None],
        tell: MasterObserver,
    ) -> None:
        self._driver = driver
        self._link = link
        self._topics = topics
        self._lock = lock
        self._node_info = node_info
        self._tell = tell
        self._updates = Updates()
        self._followed = False  # before the first update nothing is subscribed to for them
        self._running = False
        self._timer: Timer | None = None

    # --- from any thread --------------------------------------------------------------------------------

    def begin(
        self, node_id: str, bundle: Bundle, key: bytes, *, back: bool, taken: bool, patience_s: float
    ) -> None:
        """Begin an update; one of the same node that is under way is given up for it."""
        update = NodeUpdate(
            node_id,
            bundle,
            key,
            now_s=self._driver.now_s(),
            nonce=lambda: self._driver.random.getrandbits(128).to_bytes(16, "big"),
            back=back,
            taken=taken,
            patience_s=patience_s,
        )
        with self._lock:
            self._updates.begin(update)
        self._driver.call_on_loop(self._follow)
        self._driver.call_on_loop(lambda: self.look_at(node_id))

    def progress(self) -> list[UpdateProgress]:
        """Tell how far each update is, ended ones included."""
        with self._lock:
            return self._updates.progress()

    # --- on the loop ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take in that the master has started: what is under way goes on."""
        self._running = True
        if self._timer is None:
            self._tick()

    def stop(self) -> None:
        """Take in that the master has stopped; nothing is sent or judged until it starts again."""
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def link_extras(self) -> Sequence[Subscription]:
        """Tell what every new connection is to subscribe to."""
        return ((updates_topic(self._topics), QOS),) if self._followed else ()

    def look_at(self, node_id: str) -> None:
        """Take in that what is known of the node now may be all that an update of it has waited for."""
        if not self._followed:
            return
        with self._lock:
            info = self._node_info(node_id)
            if info is not None:
                self._send(self._updates.seen(info, self._driver.now_s()))

    def is_report(self, topic: str) -> bool:
        """Tell whether messages on `topic` are for `receive`."""
        return self._followed and topic == updates_topic(self._topics)

    def receive(self, payload: bytes) -> None:
        """Take in what a node is said to have told of its update. Raises Rejected for what is not proven."""
        with self._lock:
            self._send(self._updates.received(payload, self._driver.now_s()))

    def _follow(self) -> None:
        if not self._followed:
            self._followed = True
            self._link.subscribe_also((updates_topic(self._topics), QOS))
        if self._timer is None:
            self._tick()

    def _tick(self) -> None:
        """Once a second, as long as an update is under way."""
        self._timer = None
        with self._lock:
            if self._running and self._updates.under_way():
                self._send(self._updates.tick(self._driver.now_s()))
                self._timer = self._driver.call_later(_TICK_S, self._tick)

    def _send(self, messages: Sequence[tuple[str, bytes]]) -> None:
        for progress in self._updates.news():
            self._tell(UpdateMoved(progress.node_id, progress.version, str(progress.state), progress.reason))
        self._link.send_now(
            [(update_topic(self._topics, node), payload, False) for node, payload in messages]
        )
