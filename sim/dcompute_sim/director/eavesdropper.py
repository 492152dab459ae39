"""A client that reads topics, and answers each message with messages of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from dcompute_sim.director.one_connection import KEEPALIVE_S, OneConnection
from dcompute_sim.interfaces.world import Machine


class Eavesdropper(OneConnection):
    """Hears topics, and says something to what it hears.

    Args:
        heard: is told (topic, payload) of each message that is not its own; returns what to publish.
        on_ready: is called once it hears.
        delay_s: how much later it says that.
        retain: whether the broker is to keep it.
    """

    def __init__(
        self,
        machine: Machine,
        client_id: str,
        topics: Sequence[str],
        heard: Callable[[str, bytes], Sequence[tuple[str, bytes]]],
        on_ready: Callable[[], None],
        *,
        delay_s: float = 0.0,
        retain: bool = False,
    ) -> None:
        self._delay_s = delay_s
        self._retain = retain
        self._topics = topics
        self._heard = heard
        self._on_ready = on_ready
        self._own: Counter[bytes] = Counter()  # payloads that will come back to it
        self._driver = machine.driver
        super().__init__(machine, client_id)

    def session_accepted(self) -> None:
        assert self._session is not None
        self._session.subscribe([(topic, 0) for topic in self._topics])
        self._ping()

    def session_subscribed(self) -> None:
        self._on_ready()

    def session_acknowledged(self, mid: int) -> None:
        pass  # nothing that it says is waited for

    def session_message(self, topic: str, payload: bytes, retained: bool) -> None:
        if self._own[payload] > 0:
            self._own[payload] -= 1
            return
        for to, said in self._heard(topic, payload):
            if self._delay_s:
                self._driver.call_later(self._delay_s, partial(self._say_now, to, said))
            else:
                self._say(to, said)

    def _say_now(self, to: str, said: bytes) -> None:
        self._say(to, said)
        if self._session is not None:
            self._session.flush()

    def _say(self, to: str, said: bytes) -> None:
        if self._session is not None:
            self._own[said] += to in self._topics
            self._session.publish(to, said, self._retain, qos=0)

    def _ping(self) -> None:
        """Look after the keepalive, as long as the connection lasts."""
        if self._session is not None:
            self._session.check()
            self._driver.call_later(KEEPALIVE_S / 2, self._ping)
