"""The production classes, changed by mutants; what nodes and the master of a run are made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from dcompute.executor.core import FleetCore
from dcompute.master_transport import MasterNodeTransport
from dcompute.node_core import NodeCore, TaskQueue
from dcompute.node_transport import ComputeNodeTransport
from dcompute.parts import MqttLink, Registry
from dcompute_sim.mutants.catalogue import MUTANTS


@cache
def node_classes(names: tuple[str, ...]) -> tuple[Callable[..., ComputeNodeTransport], type[NodeCore]]:
    """Return transport and core of a python node with these mutants."""
    link, queue = _mutated(MqttLink, names), _mutated(TaskQueue, names)
    return (
        _mutated(ComputeNodeTransport, names, link_class=link),
        _mutated(NodeCore, names, queue_class=queue),
    )


@cache
def master_classes(names: tuple[str, ...]) -> tuple[Callable[..., MasterNodeTransport], type[Registry]]:
    """Return transport and registry of a master with these mutants."""
    return _mutated(MasterNodeTransport, names), _mutated(Registry, names)


@cache
def core_class(names: tuple[str, ...]) -> type[FleetCore]:
    """Return the core of an executor with these mutants."""
    return _mutated(FleetCore, names)


def _mutated(base: type[Any], names: tuple[str, ...], **parts: type[Any]) -> type[Any]:
    """Return `base` under the mixins made for it, and with these classes for its parts."""
    mixins = [mixin for name in names for mixin in MUTANTS[name].classes if issubclass(mixin, base)]
    changed = {key: part for key, part in parts.items() if getattr(base, key) is not part}
    return type(base.__name__, (*mixins, base), changed) if mixins or changed else base
