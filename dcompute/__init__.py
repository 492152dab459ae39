"""Prioritised tasks for microcontrollers and servers over MQTT; production code, free of the testbed.

    from dcompute import ComputeNodeTransport, MasterNodeTransport, Worker

Names are loaded when they are first asked for, so that a node pays for no more than it uses. What is named
neither here nor in a module without an underscore is private and may change without notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dcompute.asyncio_driver import AsyncioDriver
    from dcompute.bundle import BadBundle, Bundle
    from dcompute.errors import Backlogged, DeadNode, Forked, NodeUnavailable, NotSent, UnknownNode
    from dcompute.executor import (
        Expired,
        FleetExecutor,
        FleetFuture,
        JournalError,
        MapResults,
        NodeLost,
        OutcomeUnknown,
        Quarantined,
        Refused,
        TaskError,
        TaskFailed,
    )
    from dcompute.functions import Functions
    from dcompute.master_transport import MasterNodeTransport
    from dcompute.node_core import Rejected
    from dcompute.node_transport import ComputeNodeTransport
    from dcompute.records import NodeInfo, NodeResult, ResultRecord
    from dcompute.security import Tls
    from dcompute.update_keys import BadKeyFile, UpdateKeys
    from dcompute.updates import UpdateProgress, UpdateState
    from dcompute.worker import Worker, is_cancelled, progress

__version__ = "0.1.0"

_HOME = {
    "AsyncioDriver": "dcompute.asyncio_driver",
    "Backlogged": "dcompute.errors",
    "BadBundle": "dcompute.bundle",
    "BadKeyFile": "dcompute.update_keys",
    "Bundle": "dcompute.bundle",
    "ComputeNodeTransport": "dcompute.node_transport",
    "DeadNode": "dcompute.errors",
    "Functions": "dcompute.functions",
    "Forked": "dcompute.errors",
    "MasterNodeTransport": "dcompute.master_transport",
    "NodeInfo": "dcompute.records",
    "NodeResult": "dcompute.records",
    "NodeUnavailable": "dcompute.errors",
    "NotSent": "dcompute.errors",
    "Rejected": "dcompute.node_core",
    "ResultRecord": "dcompute.records",
    "Tls": "dcompute.security",
    "UnknownNode": "dcompute.errors",
    "UpdateKeys": "dcompute.update_keys",
    "UpdateProgress": "dcompute.updates",
    "UpdateState": "dcompute.updates",
    "Worker": "dcompute.worker",
    "is_cancelled": "dcompute.worker",
    "progress": "dcompute.worker",
}

_HOME |= dict.fromkeys(
    (
        "Expired",
        "FleetExecutor",
        "FleetFuture",
        "JournalError",
        "MapResults",
        "NodeLost",
        "OutcomeUnknown",
        "Quarantined",
        "Refused",
        "TaskError",
        "TaskFailed",
    ),
    "dcompute.executor",
)

__all__ = [  # noqa: RUF022 - by what a reader looks for first
    "FleetExecutor",
    "MasterNodeTransport",
    "ComputeNodeTransport",
    "Worker",
    "Functions",
    "FleetFuture",
    "MapResults",
    "NodeInfo",
    "ResultRecord",
    "NodeResult",
    "is_cancelled",
    "progress",
    "Tls",
    "AsyncioDriver",
    "Bundle",
    "UpdateKeys",
    "UpdateProgress",
    "UpdateState",
    "NodeUnavailable",
    "UnknownNode",
    "DeadNode",
    "Backlogged",
    "TaskError",
    "TaskFailed",
    "NodeLost",
    "OutcomeUnknown",
    "Quarantined",
    "Expired",
    "Refused",
    "JournalError",
    "NotSent",
    "Forked",
    "Rejected",
    "BadBundle",
    "BadKeyFile",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
