"""With what boards begin that keep their program in slots: a version, and a key for the next one."""

from __future__ import annotations

from dcompute.update_keys import board_key

FIRST_VERSION = "v1"
FIRST_RELEASE = 1
"""Of the version that boards start with."""


def update_key(node_id: str, namespace: str, secret: bytes = b"the testbed's own, of 32 bytes..") -> bytes:
    """Return what proves updates for a board of the testbed; of another `secret`, what proves none."""
    return board_key(secret, node_id, namespace)
