"""Who may do what by an acl_file: decided as mosquitto does (mosquitto.conf(5); measured with 2.0.11).

Rules
1. What no line allows is denied. `topic` lines are asked before `pattern` lines, and of each sort those that
   `deny` before those that allow.
2. `topic` lines before the first `user` are for who gives no name, those after it for that user. `pattern`
   lines are for everybody, but one with `%u` not for who gives no name, and none for a name or client id with
   `+` or `#` in it (CVE-2017-7650).
3. mosquitto grants every subscription, and withholds each message that the subscriber may not read: its
   SUBACK says nothing. Brokers that answer a subscription with failure look at its filter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dcompute_sim.brokers.access import covers
from dcompute_sim.scenario.acl import AclLine


class AclRules:
    """The rules of one file."""

    def __init__(self, lines: Sequence[AclLine]) -> None:
        self._patterns = [line for line in lines if line.is_pattern]
        self._topics: dict[str, list[AclLine]] = {}
        for line in lines:
            if not line.is_pattern:
                self._topics.setdefault(line.user, []).append(line)

    def may_publish(self, user: str | None, client_id: str, topic: str) -> bool:
        """Tell whether a message on `topic` is taken from this client."""
        return self._allows(user, client_id, topic, publishes=True)

    def may_read(self, user: str | None, client_id: str, topic: str) -> bool:
        """Tell whether a message on `topic` is handed to this client; of a filter, whether all that it can
        bring is."""
        return self._allows(user, client_id, topic, publishes=False)

    def _allows(self, user: str | None, client_id: str, topic: str, *, publishes: bool) -> bool:
        for lines in (self._topics.get(user or "", ()), self._patterns_of(user, client_id)):
            fitting = [line for line in lines if covers(line.topics, topic)]
            if any(line.denies for line in fitting):
                return False
            if any(line.writes if publishes else line.reads for line in fitting):
                return True
        return False

    def _patterns_of(self, user: str | None, client_id: str) -> list[AclLine]:
        if {"+", "#"} & {*client_id, *(user or "")}:
            return []
        lines = [line for line in self._patterns if user is not None or "%u" not in line.topics]
        return [
            replace(line, topics=line.topics.replace("%c", client_id).replace("%u", user or ""))
            for line in lines
        ]
