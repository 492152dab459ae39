"""Whether what should come back over a connection does come back: denial, noticed.

MQTT 3.1.1 has no word for denial: brokers acknowledge what their access rules forbid, and drop it. So after
HEARD_S without a word who listens says something to itself, if nobody need have said anything, and after as
long again takes it that it may not.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from dcompute._log import log
from dcompute.node_names import check_node_id
from dcompute.protocol import HEARD_S, Topics

if TYPE_CHECKING:
    from dcompute._mqtt.link import MqttLink
    from dcompute.drivers import Driver


class Hearing:
    """What transports and executors have in common here; a base without state of its own to begin with."""

    _driver: Driver
    _link: MqttLink
    _heard = False
    _asked_to_hear = False
    _denied = ""

    def _expect_to_hear(self) -> None:
        """Take in that something is due on this connection; `_has_heard` says that it came."""
        self._heard = self._asked_to_hear = False
        self._look_later()

    def _has_heard(self) -> None:
        self._heard = True
        self._denied = ""

    def _look_later(self) -> None:
        self._driver.call_later(HEARD_S, partial(self._look_whether_heard, self._link.connections))

    def _look_whether_heard(self, connection: int) -> None:
        if self._heard or not self._link.is_up() or self._link.connections != connection:
            return
        if not self._asked_to_hear and self._ask_to_hear():
            self._asked_to_hear = True
            self._look_later()
            return
        who, self._denied = self._denial()
        log.warning("%s: %s", who, self._denied)

    def _ask_to_hear(self) -> bool:
        """Say something that is to come back; whether that was said."""
        return False

    def _denial(self) -> tuple[str, str]:
        """Tell who is kept off what, in words."""
        raise NotImplementedError


def own_status(topics: Topics, name: str) -> str:
    """Tell where who hears all statuses says something to itself: of a fleet without nodes nothing else
    comes. An empty status, not retained, means nothing to anybody."""
    try:
        return topics.status_of(check_node_id(name))
    except ValueError:
        return topics.status_of("master")


def nothing_comes(topics: Topics, name: str) -> str:
    """Tell what such a one says when that does not come."""
    return (
        f"nothing comes, not even what is sent to {own_status(topics, name)}: the broker's access rules seem "
        f"not to let this user write and read {topics.status_of('+')}"
    )
