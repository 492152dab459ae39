"""Prioritised tasks for microcontrollers and servers over MQTT; production code, free of the testbed.

    from dcompute import ComputeNodeTransport, MasterNodeTransport, Worker

Names are loaded when they are first asked for, so that a node pays for no more than it uses. What is named
neither here nor in a module without an underscore is private and may change without notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcompute import executor
from dcompute._lazy import lazy

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


__getattr__ = lazy(
    globals(),
    {
        ".asyncio_driver": ("AsyncioDriver",),
        ".bundle": ("BadBundle", "Bundle"),
        ".errors": ("Backlogged", "DeadNode", "Forked", "NodeUnavailable", "NotSent", "UnknownNode"),
        **{f".executor{home}": names for home, names in executor.HOMES.items()},
        ".functions": ("Functions",),
        ".master_transport": ("MasterNodeTransport",),
        ".node_core": ("Rejected",),
        ".node_transport": ("ComputeNodeTransport",),
        ".records": ("NodeInfo", "NodeResult", "ResultRecord"),
        ".security": ("Tls",),
        ".update_keys": ("BadKeyFile", "UpdateKeys"),
        ".updates": ("UpdateProgress", "UpdateState"),
        ".worker": ("Worker", "is_cancelled", "progress"),
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
