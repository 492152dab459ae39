"""What nodes say of themselves: device type and capabilities, shared where they are the same, and bounded.

Most nodes of a fleet announce the same; kept once for all of them, that is 450 bytes less for each. What one
node may announce is bounded by its message, and what all of them may, here: beyond that a node keeps the
description that it had.
"""

from __future__ import annotations

from dcompute._master.node_record import NodeRecord
from dcompute.protocol import Announcement, StatusMessage, memory_of

_CAPABILITY_BYTES = 64 << 20  # of all nodes together, in memory


class Descriptions:
    """Describes the nodes of one registry.

    Args:
        counters: the registry's, where it counts what is refused.
    """

    def __init__(self, counters: dict[str, int]) -> None:
        self._counters = counters
        self._newest: tuple[str, dict[str, object]] = ("{}", {})  # what came last, and how it is written
        self._device_type = ""  # likewise
        self._bytes = 0

    def take(self, record: NodeRecord, message: Announcement | StatusMessage) -> None:
        """Take in what a node says of itself."""
        if (
            message.capabilities == record.capabilities
            and message.inc == record.inc
            and message.device_type == record.device_type
        ):
            return  # as in nearly all that come, busy, ready, busy; the text below costs ten times as much
        if message.device_type or isinstance(message, Announcement):
            if message.device_type != self._device_type:
                self._device_type = message.device_type
            record.device_type = self._device_type
        if message.capabilities is None or (
            message.inc == record.inc and message.capabilities == record.capabilities
        ):
            return
        size = message.size if message.capabilities else 0
        total = self._bytes - record.capability_bytes + size
        if total > _CAPABILITY_BYTES:
            self._counters["nodes_refused"] += 1
            return
        self._bytes, record.capability_bytes = total, size
        text = repr(message.capabilities)  # compared as text, for 1 equals True
        if text != self._newest[0]:
            self._newest = (text, message.capabilities)
        record.capabilities = self._newest[1]

    def restored(self, record: NodeRecord) -> None:
        """Count a description that another life of the master knew."""
        record.capability_bytes = memory_of(str(record.capabilities).encode())
        self._bytes += record.capability_bytes

    def forget(self, record: NodeRecord) -> None:
        """Count the description of this node no more."""
        self._bytes -= record.capability_bytes


__all__ = ["Descriptions"]
