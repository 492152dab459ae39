"""The amqtt that is installed is the one the corrections were written against."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from dcompute_sim.brokers.embedded import guard
from dcompute_sim.brokers.embedded.guard import Fingerprint


def test_amqtt_is_what_was_reviewed() -> None:
    changed = guard.changes(guard.REVIEWED, guard.fingerprints())
    if changed:
        pytest.fail(
            f"amqtt {version('amqtt')} differs from the reviewed one where the corrections lean on it; see "
            "sim/dcompute_sim/brokers/embedded/guard.py for what to do:\n  " + "\n  ".join(changed)
        )


def test_every_kind_of_change_is_named() -> None:
    def taken(self: object, packet: bytes) -> None: ...

    def taken_otherwise(self: object, packet: bytes) -> bool:
        return bool(packet)

    def more(self: object, packet: bytes, flags: int) -> None: ...

    reviewed = {name: guard.fingerprint(taken) for name in ("same", "source", "parameters", "gone")}
    installed = {
        "same": guard.fingerprint(taken),
        "source": guard.fingerprint(taken_otherwise),
        "parameters": guard.fingerprint(more),
        "new": Fingerprint("", ""),
    }
    assert guard.changes(reviewed, installed) == [
        "gone: no longer leant on",
        "new: not reviewed yet",
        "parameters: its parameters were (self packet), are (self packet flags)",
        "source: its source changed",
    ]
