"""Safeguards that can be switched off one by one, to see that the checks notice; and the specimens.

Each is a small mixin over the production class that has the safeguard; production code knows nothing of it.
Names come from `--sabotage` (every node and the master) or from a group's `variant` (its nodes).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from dcompute.master_transport import MasterNodeTransport
from dcompute.node_core import NodeCore, TaskQueue
from dcompute.node_transport import ComputeNodeTransport
from dcompute.parts import Effect, MqttLink, NodeRecord, Outgoing, Registry
from dcompute.protocol import ResultMessage
from dcompute_sim.specimens import SPECIMENS


class _NoWill(ComputeNodeTransport):
    """Nodes connect without a last will: nobody is told when they die."""

    def link_will(self) -> Outgoing | None:
        super().link_will()
        return None


class _NoHeldResults(ComputeNodeTransport):
    """A result that cannot be sent at once is lost."""

    def send_result(self, result: Any, task_id: str | int | None = None) -> None:
        if self.is_connected():
            super().send_result(result, task_id)


class _NoPing(MqttLink):
    """Nodes never ping: an idle one looks dead to the broker, and a dead link alive to the node."""

    def _check(self) -> None:
        pass


class _FifoQueue(TaskQueue):
    """Tasks are done in the order they came, whatever their priority."""

    def lane_of(self, task: dict[str, Any]) -> int:
        return 1


class _NoSelfRepair(NodeCore):
    """A node does not correct a `dead` about itself."""

    def repair(self) -> list[tuple[str, bytes, bool]]:
        return []


class _IgnoreIncarnation(Registry):
    """The master believes a `dead` of any connection, however old."""

    def _is_stale(self, record: NodeRecord, inc: str) -> bool:
        return False


class _NoLiveness(Registry):
    """After an outage the master believes what it believed before, for ever."""

    def _doubt(self, record: NodeRecord, now_s: float) -> list[Effect]:
        return []


class _AcceptRepeats(Registry):
    """A result that comes twice counts twice."""

    def _why_ignored(self, message: ResultMessage, retained: bool) -> str:
        reason = super()._why_ignored(message, retained)
        return "" if reason == "duplicate" else reason


_MIXINS: dict[str, tuple[type[Any], ...]] = {
    "no-will": (_NoWill,),
    "no-held-results": (_NoHeldResults,),
    "no-ping": (_NoPing,),
    "fifo-queue": (_FifoQueue,),
    "no-self-repair": (_NoSelfRepair,),
    "ignore-incarnation": (_IgnoreIncarnation,),
    "no-liveness": (_NoLiveness,),
    "accept-repeats": (_AcceptRepeats,),
    **SPECIMENS,
}

SAFEGUARDS: dict[str, str] = {name: (mixins[0].__doc__ or "").strip() for name, mixins in _MIXINS.items()}
"""Every name that `--sabotage` and `variant` take, with what then happens."""


class UnknownSafeguard(ValueError):
    """No such safeguard; the message names those there are."""


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """`names`, if there is a safeguard of each, else UnknownSafeguard."""
    for name in names:
        if name not in _MIXINS:
            raise UnknownSafeguard(f"no safeguard {name!r}; there are: {', '.join(_MIXINS)}")
    return tuple(names)


def _sabotaged(base: type[Any], names: tuple[str, ...], **parts: type[Any]) -> type[Any]:
    """`base` under the mixins made for it, and with these classes for its parts."""
    mixins = [mixin for name in names for mixin in _MIXINS[name] if issubclass(mixin, base)]
    changed = {key: part for key, part in parts.items() if getattr(base, key) is not part}
    return type(base.__name__, (*mixins, base), changed) if mixins or changed else base


@cache
def node_classes(names: tuple[str, ...]) -> tuple[Callable[..., ComputeNodeTransport], type[NodeCore]]:
    """Transport and core of a node without these safeguards."""
    link, queue = _sabotaged(MqttLink, names), _sabotaged(TaskQueue, names)
    return (
        _sabotaged(ComputeNodeTransport, names, link_class=link),
        _sabotaged(NodeCore, names, queue_class=queue),
    )


@cache
def master_classes(names: tuple[str, ...]) -> tuple[Callable[..., MasterNodeTransport], type[Registry]]:
    """Transport and registry of a master without these safeguards."""
    return _sabotaged(MasterNodeTransport, names), _sabotaged(Registry, names)
