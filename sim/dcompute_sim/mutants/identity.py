"""What a node calls itself, and what it says of itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from dcompute.drivers import Address, Driver
from dcompute.node_core import NodeCore
from dcompute.parts import LinkOwner, MqttLink, SessionSettings
from dcompute_sim.mutants.catalogue import Edit, register

_CORE = "dcompute/node_core.py"
_NO_REPAIR = Edit(_CORE, "return self.repair()", "return []")


class _NoSelfRepair(NodeCore):
    """A node does not correct a `dead` about itself."""

    def repair(self) -> list[tuple[str, bytes, bool]]:
        return []


class _RandomClientId(MqttLink):
    """A new client id at every boot, no incarnations, no look at the own status: an old will wins."""

    def __init__(
        self, driver: Driver, address: Address, settings: SessionSettings, owner: LinkOwner, **limits: Any
    ) -> None:
        client_id = f"esp-{driver.random.getrandbits(32):08x}"
        super().__init__(driver, address, replace(settings, client_id=client_id), owner, **limits)


class _BareStatus(NodeCore):
    """Statuses of the first protocol: a node id and a status, nothing else."""

    def _status_payload(self, status: str) -> bytes:
        return json.dumps({"node_id": self.node_id, "status": status}).encode()

    def repair(self) -> list[tuple[str, bytes, bool]]:
        return []


class _UnretainedStatus(NodeCore):
    """Only the last will is retained: a `dead` outlives the recovery."""

    def status_message(self) -> tuple[str, bytes, bool]:
        topic, payload, _ = super().status_message()
        return (topic, payload, False)


class _ConstantNonce(NodeCore):
    """The boot nonce is the same at every start: connections of different boots have the same names."""

    def __init__(self, node_id: str, device_type: str, boot_nonce: str, *rest: Any, **more: Any) -> None:
        super().__init__(node_id, device_type, "00000001", *rest, **more)


register(
    "constant-nonce",
    _ConstantNonce,
    Edit("node_setup.py", 'nonce = "%08x" % random.getrandbits(32)', 'nonce = "00000001"'),
)
register("no-self-repair", _NoSelfRepair, _NO_REPAIR)
register(
    "random-client-id",
    _RandomClientId,
    _BareStatus,
    _NO_REPAIR,
    Edit(
        "compute_node.py",
        "MqttClient(\n            self.node_id,",
        'MqttClient(\n            "esp-" + core.boot_nonce,',
    ),
    Edit(
        _CORE,
        '{"node_id": self.node_id, "status": status, "inc": self.inc}',
        '{"node_id": self.node_id, "status": status}',
    ),
)
register(
    "unretained-status",
    _UnretainedStatus,
    Edit(_CORE, "self._status_payload(self.status), True)", "self._status_payload(self.status), False)"),
)
