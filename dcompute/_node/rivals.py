"""Whether another program uses our node id: each throws the other out, and nobody says why.

A node sees its own status topic. What it sees there with the incarnation of another program may be left from
its own program's last life, once; two different incarnations of others are another program that connects
again and again.
"""

from __future__ import annotations

import json

from dcompute.node_core import DEAD, OFFLINE

_WORTH_READING = (DEAD.encode(), OFFLINE.encode(), b"\\")  # what is escaped may be any of them


class Rivals:
    """The incarnations of others that were seen under our id."""

    __slots__ = ("_boot_nonce", "_seen", "found")

    def __init__(self, boot_nonce: str) -> None:
        self._boot_nonce = boot_nonce
        self._seen = ""
        self.found = False

    def is_echo(self, payload: bytes) -> bool:
        """Tell whether a status on our topic is one of our own, and not of an end: as nearly all that come
        are, of which there is nothing to learn. False where that takes reading it."""
        # `word in payload` asks first whether that is a number, which fails with an error: ten times slower.
        ours = payload.find(self._boot_nonce.encode()) >= 0
        return ours and max(map(payload.find, _WORTH_READING)) < 0

    def look(self, payload: bytes) -> str:
        """Take in a status of our own topic; return a rival's incarnation once one is certain."""
        try:
            inc = json.loads(payload).get("inc")
        except (ValueError, AttributeError, RecursionError):
            return ""
        if not isinstance(inc, str) or not inc or inc.startswith(f"{self._boot_nonce}.") or inc == self._seen:
            return ""
        seen, self._seen = self._seen, inc
        if not seen or self.found:
            return ""
        self.found = True
        return inc
