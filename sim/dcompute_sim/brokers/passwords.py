"""A broker's password file: one format for every broker we start, the one `mosquitto_passwd` writes.

A line is `user:$7$<iterations>$<salt>$<hash>`, salt and hash in base64,
the hash being PBKDF2-HMAC-SHA512 of 64 bytes. What a user is, and so what it may do at our own brokers,
stands in a comment, which mosquitto passes over: `#role <user> <role> [<namespace>]`; who has none is a node.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from pathlib import Path

from dcompute.node_names import check_namespace, check_node_id
from dcompute_sim.brokers.access import Grant, UserRole
from dcompute_sim.whole_file import write_whole

# A fleet logs in all at once: 1,000 nodes must not cost a broker minutes. mosquitto's own default is 101.
_ITERATIONS = 1_000
_SALT_BYTES = 12  # the only length mosquitto 2.0.11 accepts
_HASH_BYTES = 64
_ROLE = "#role "


class PasswordFileError(ValueError):
    """A password file or a user name that cannot be used; the message names file and line."""


def hash_password(password: str) -> str:
    """Return the password with a fresh salt, as it stands in the file behind `user:`."""
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = _derive(password.encode(), salt, _ITERATIONS)
    return f"$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def verify(password: bytes, stored: str) -> bool:
    """Say whether `password`, the bytes of a CONNECT, is the one `stored` was made from; False as well for a
    hash of another kind."""
    try:
        salt, iterations, digest = _parse(stored)
    except ValueError:
        return False
    return hmac.compare_digest(digest, _derive(password, salt, iterations))


def load(path: Path) -> dict[str, str]:
    """Read which user has which stored hash."""
    users = {}
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        user, colon, stored = line.strip().partition(":")
        try:
            _parse(stored)
        except ValueError:
            raise PasswordFileError(
                f"{path}:{number}: not a `user:$7$...` line; write it by `dcompute broker passwd {path} USER`"
            ) from None
        if not (user and colon):
            raise PasswordFileError(f"{path}:{number}: no user name before the colon")
        users[user] = stored
    return users


def load_grants(path: Path) -> dict[str, Grant]:
    """Read what each user is: a node without a namespace if the file does not say."""
    grants = {user: Grant(user) for user in load(path)}
    for number, line in enumerate(_lines(path), start=1):
        if not line.startswith(_ROLE):
            continue
        try:
            user, role, namespace = [*line.removeprefix(_ROLE).split(), ""][:3]
            grants[user] = Grant(user, UserRole(role), check_namespace(namespace))
        except ValueError as error:
            raise PasswordFileError(
                f"{path}:{number}: not a `#role USER ROLE [NAMESPACE]` line ({error}); roles are "
                + ", ".join(UserRole)
            ) from None
    return grants


def set_user(
    path: Path, user: str, password: str, role: UserRole = UserRole.NODE, namespace: str = ""
) -> None:
    """Add the user or replace its password and role. The file is replaced whole, readable by its owner only.

    Raises PasswordFileError for a name that cannot be a user's, or a node's user that cannot be its id.
    """
    if not user or user.startswith("#") or not user.isprintable() or set(user) & set(": +/"):
        raise PasswordFileError(
            f"user name {user!r}: has to be printable, without any of ':+/', leading '#' or blanks"
        )
    try:
        if role in (UserRole.NODE, UserRole.EXECUTOR):
            check_node_id(user)
        check_namespace(namespace)
    except ValueError as error:
        raise PasswordFileError(f"a {role} is known to the broker by its id: {error}") from None
    users = load(path) if path.exists() else {}
    grants = load_grants(path) if path.exists() else {}
    users[user] = hash_password(password)
    grants[user] = Grant(user, role, namespace)
    lines = [
        f"{_ROLE}{name} {grants[name].role} {grants[name].namespace}".rstrip() + f"\n{name}:{stored}\n"
        for name, stored in users.items()
    ]
    write_whole(path, "".join(lines).encode(), 0o600)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PasswordFileError(f"{path}: cannot be read as a password file: {error}") from None


def _derive(password: bytes, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha512", password, salt, iterations, dklen=_HASH_BYTES)


def _parse(stored: str) -> tuple[bytes, int, bytes]:
    """Return salt, iterations and hash of one stored password; ValueError when it is not of our format."""
    empty, kind, iterations, salt, digest = stored.split("$")
    if empty or kind != "7" or int(iterations) < 1:
        raise ValueError(stored)
    try:
        return base64.b64decode(salt, validate=True), int(iterations), base64.b64decode(digest, validate=True)
    except binascii.Error as error:
        raise ValueError(stored) from error
