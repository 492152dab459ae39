"""The operator's secret that proves updates over the air, and the keys of boards derived from it.

One file holds the secret and a line for each board; whoever has it can put any program on these boards, so it
stays with the operator: mode 0600, never in a repository, never on a board.

    secret 8f1c...            # 32 random bytes in hexadecimal
    board-7 1                 # node, epoch
    plant-1/board-8 2         # namespace/node, epoch

Each board has a key of its own (`/update.key`, written by `dcompute deploy` over the serial line), so a
stolen board gives nothing away of the others. Its epoch is raised (`deploy --rekey`) when a key may have
leaked; the secret itself is replaced by making a new file and deploying to every board over the serial line.

Rejected: one key for the fleet (a stolen board opens all of it); a passphrase (what a person can remember, a
recorded offer lets anybody guess offline); a list of random keys (one more secret to lose for each board).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import threading
from pathlib import Path

from dcompute.node_names import check_node_id

SECRET_BYTES = 32
KEY_BYTES = 32
MAX_EPOCH = 2**32 - 1
_PURPOSE = b"DCU2B"


class BadKeyFile(ValueError):
    """The key file cannot be used; the message names file, line and what to do. Never shows the secret."""


class UpdateKeys:
    """The keys in one file. Safe to use from several threads.

    Make one with `create` or `read`.
    """

    def __init__(self, path: Path, secret: bytes, epochs: dict[str, int]) -> None:
        self.path = path
        self._secret = secret
        self._epochs = epochs
        self._lock = threading.Lock()

    @classmethod
    def create(cls, path: Path) -> UpdateKeys:
        """Make a new file with a new secret. Raises BadKeyFile if there is one already, OSError."""
        keys = cls(path, secrets.token_bytes(SECRET_BYTES), {})
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            raise BadKeyFile(f"{path}: is there already; boards that know its keys need it") from None
        try:
            keys._write()
        except OSError:
            path.unlink()  # nothing is in it, and nobody knows its keys
            raise
        return keys

    @classmethod
    def read(cls, path: Path) -> UpdateKeys:
        """Read a key file. Raises BadKeyFile with the line's number; OSError if it cannot be read."""
        with path.open("rb") as file:
            if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise BadKeyFile(f"{path}: others may read it: chmod 600 {path}")
            text = file.read().decode(errors="replace")
        secret = b""
        epochs: dict[str, int] = {}
        for number, line in enumerate(text.splitlines(), 1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            try:
                name, value = words
                if name == "secret" and not secret:
                    secret = bytes.fromhex(value)
                else:
                    epochs[check_board_name(name)] = _epoch(value)
            except ValueError:  # the line itself is not shown: it may be the secret
                raise BadKeyFile(
                    f"{path}:{number}: not `secret HEX`, nor `node epoch` or `namespace/node epoch`"
                ) from None
        if len(secret) != SECRET_BYTES:
            raise BadKeyFile(f"{path}: no `secret` of {SECRET_BYTES} bytes in it")
        return cls(path, secret, epochs)

    def boards(self, namespace: str = "") -> list[str]:
        """Return the node ids that have a key in this namespace, in order."""
        with self._lock:
            names = [name.rpartition("/") for name in self._epochs]
        return sorted(node for place, _, node in names if place == namespace.rstrip("/"))

    def key(self, node_id: str, namespace: str = "") -> bytes:
        """Return the board's present key. Raises BadKeyFile for a board without a line."""
        name = board_name(node_id, namespace)
        with self._lock:
            epoch = self._epochs.get(name)
        if epoch is None:
            raise BadKeyFile(f"{self.path}: no key for {name}: `dcompute deploy --key-file` gives it one")
        return board_key(self._secret, node_id, namespace, epoch)

    def enroll(self, node_id: str, namespace: str = "") -> bytes:
        """Return the board's key, a new line written for it if it has none. OSError."""
        with self._lock:
            name = board_name(node_id, namespace)
            if name not in self._epochs:
                self._epochs[name] = 1
                self._write()
        return self.key(node_id, namespace)

    def rekey(self, node_id: str, namespace: str = "") -> bytes:
        """Raise the board's epoch and return its new key: the one it had is worth nothing any more. OSError.

        The file changes first: a board that could not be reached afterwards is deployed to once more.
        """
        with self._lock:
            name = board_name(node_id, namespace)
            self._epochs[name] = self._epochs.get(name, 0) + 1
            self._write()
        return self.key(node_id, namespace)

    def _write(self) -> None:
        lines = [f"secret {self._secret.hex()}"]
        lines += [f"{name} {epoch}" for name, epoch in sorted(self._epochs.items())]
        new = self.path.with_name(f"{self.path.name}.new")
        new.unlink(missing_ok=True)
        try:
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write("\n".join(lines) + "\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
        except OSError:
            new.unlink(missing_ok=True)
            raise


def board_name(node_id: str, namespace: str) -> str:
    """Tell what a board is called in the file; `namespace` may end in the slash that topics have."""
    return f"{namespace.rstrip('/')}/{node_id}" if namespace else node_id


def check_board_name(name: str) -> str:
    """Return `name` if each of its levels is made as node ids are, else raise ValueError."""
    for level in name.split("/"):
        check_node_id(level)
    return name


def board_key(secret: bytes, node_id: str, namespace: str = "", epoch: int = 1) -> bytes:
    """Return a board's key: HMAC-SHA256 over purpose, epoch and name, each with its length, so that no two
    agree."""
    place = namespace.rstrip("/").encode()
    node = node_id.encode()
    about = epoch.to_bytes(4, "big") + bytes([len(place)]) + place + bytes([len(node)]) + node
    return hmac.new(secret, _PURPOSE + about, hashlib.sha256).digest()


def _epoch(text: str) -> int:
    epoch = int(text)
    if not 1 <= epoch <= MAX_EPOCH:
        raise ValueError
    return epoch
