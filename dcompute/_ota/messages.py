"""The messages of an update over the air, byte for byte, on the master's side.

| # | from | bytes | under |
|---|---|---|---|
| 1 | master: probe | `DCU2Q` Nm[16] tag | K |
| 2 | board: hello | `DCU2H` L8(node) Nm[16] Nb[16] facts tag | K |
| 3 | master: offer | `DCU2O` Nm[16] Nb[16] flags[1] from[4] manifest (encrypted) tag | K |
| 4 | board: want | `DCU2W` L8(node) n[4] at[4] path tag | Ks |
| 5 | master: piece | `DCU2P` n[4] end[1] data (encrypted) tag | Ks |
| 6 | board: state | `DCU2S` L8(node) code[1] reason tag | Ks |

The facts of a hello: flags[1] release[4] running[16] failed[16] session[16] free_heap[4].

Rules, and what each is there for:

* A tag is the first 16 bytes of HMAC-SHA256 over *every* byte before it, the magic word included, so no
  message can be taken for one of another kind. The protocol before this one signed `inc`, a newline and the
  manifest: a claimed `inc` that contained a newline and the head of a manifest made both ends agree on bytes
  that meant something else to each.
* At most one field is of a length that no byte says, and it is always the last: there is one way to read a
  message.
* Nm and Nb are the challenges of both sides, drawn anew; whatever is under K names both, so nothing recorded
  is worth anything later. Ks is derived from the offer's tag: pieces and states of one offer mean nothing
  under another.
* Manifest and pieces are encrypted (a config.py may be in them). A keystream is used once: the manifest's is
  that of (Nm, Nb), and there is one offer for each Nm, repeated byte for byte; a piece's is that of (Ks, n),
  and there is one piece for each n.

Numbers are big-endian; L8 is a length byte and the bytes; K is the board's key (`dcompute.update_keys`).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import IntEnum

from dcompute.node_core import Rejected

NONCE_BYTES = 16
TAG_BYTES = 16
DIGEST_BYTES = 16
PIECE_BYTES = 512  # a board takes messages of at least 1 KiB

_PROBE, _HELLO, _OFFER, _WANT, _PIECE, _STATE = (
    b"DCU2" + kind for kind in (b"Q", b"H", b"O", b"W", b"P", b"S")
)
_MAGIC_BYTES = 5
_TRIAL, _SESSION = 1, 2  # flags of a hello
_BACK = 1  # flag of an offer


class BadMessage(Rejected):
    """No message of a board's update: wrong length, kind or tag. The text says which."""


class Code(IntEnum):
    """How far a board says it is."""

    REFUSED = 1
    FAILED = 2
    STAGED = 3
    SWITCHING = 4


@dataclass(frozen=True)
class Hello:
    """What a board says of itself in answer to a probe.

    Attributes:
        board_nonce: Nb, which an offer has to name.
        trial: it runs a version that is not confirmed yet.
        session: digest of the version that is being taken in; zeros for none.
        release: of the version that runs; 0 where its manifest has none.
        running: digest of the running version's manifest.
        failed: digest of the version that was rolled back last; zeros for none.
        free_heap_bytes: after a collection.
    """

    nonce: bytes
    board_nonce: bytes
    trial: bool
    session: bytes
    release: int
    running: bytes
    failed: bytes
    free_heap_bytes: int


@dataclass(frozen=True)
class Want:
    """A board asks for the bytes of a file from `at` on, as its `number`th question under this offer."""

    number: int
    at: int
    path: str


@dataclass(frozen=True)
class Told:
    """A board says how it goes."""

    code: Code
    reason: str


def sender_of(message: bytes) -> str:
    """Return the node that a board's message names, unproven. Raises BadMessage."""
    if message[:_MAGIC_BYTES] not in (_HELLO, _WANT, _STATE) or len(message) <= _MAGIC_BYTES:
        raise BadMessage("no message of a board's update")
    end = _MAGIC_BYTES + 1 + message[_MAGIC_BYTES]
    try:
        return message[_MAGIC_BYTES + 1 : end].decode("ascii")
    except UnicodeDecodeError:
        raise BadMessage("an invalid node id") from None


def digest_of(manifest: bytes) -> bytes:
    """Tell what `running`, `failed` and `session` call a version by."""
    return hashlib.sha256(manifest).digest()[:DIGEST_BYTES]


def probe(key: bytes, nonce: bytes) -> bytes:
    """Ask a board what it runs."""
    return tagged(key, _PROBE + nonce)


def read_hello(message: bytes, node_id: str, key: bytes) -> Hello:
    """Return a board's answer to a probe. Raises BadMessage."""
    body = _proven(message, _HELLO, node_id, key)
    if len(body) != 2 * NONCE_BYTES + 1 + 4 + 3 * DIGEST_BYTES + 4:
        raise BadMessage("a hello of another length")
    parts = _split(body, NONCE_BYTES, NONCE_BYTES, 1, 4, DIGEST_BYTES, DIGEST_BYTES, DIGEST_BYTES, 4)
    nonce, board_nonce, flags, release, running, failed, session, free = parts
    return Hello(
        nonce,
        board_nonce,
        bool(flags[0] & _TRIAL),
        session if flags[0] & _SESSION else bytes(DIGEST_BYTES),
        int.from_bytes(release, "big"),
        running,
        failed,
        int.from_bytes(free, "big"),
    )


def offer(key: bytes, hello: Hello, manifest: bytes, *, back: bool) -> bytes:
    """Offer a version to the board that said `hello`; `back`: although its release is not above."""
    stream = hmac.new(key, b"DCU2E" + hello.nonce + hello.board_nonce, hashlib.sha256).digest()
    head = _OFFER + hello.nonce + hello.board_nonce + bytes([_BACK if back else 0])
    return tagged(key, head + hello.release.to_bytes(4, "big") + _xor(manifest, stream, b""))


def session_key(key: bytes, hello: Hello, offered: bytes) -> bytes:
    """Ks: what proves wants, pieces and states under this offer."""
    tag = offered[-TAG_BYTES:]
    return hmac.new(key, b"DCU2K" + hello.nonce + hello.board_nonce + tag, hashlib.sha256).digest()


def read_want(message: bytes, node_id: str, session: bytes) -> Want | Told:
    """Tell what a board says under an offer. Raises BadMessage."""
    if message[:_MAGIC_BYTES] == _STATE:
        body = _proven(message, _STATE, node_id, session)
        try:
            return Told(Code(body[0]), body[1:].decode(errors="replace"))
        except (IndexError, ValueError):
            raise BadMessage("a state that there is not") from None
    body = _proven(message, _WANT, node_id, session)
    if len(body) < 8:
        raise BadMessage("a want of another length")
    number, at = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
    return Want(number, at, body[8:].decode(errors="replace"))


def piece(session: bytes, number: int, data: bytes, *, end: bool) -> bytes:
    """Return the answer to the want of that number; `end`: the file has no more bytes."""
    counter = number.to_bytes(4, "big")
    stream = hmac.new(session, b"E", hashlib.sha256).digest()
    return tagged(session, _PIECE + counter + bytes([end]) + _xor(data, stream, counter))


def tagged(key: bytes, message: bytes) -> bytes:
    """Append the tag that proves the message under `key`."""
    return message + hmac.new(key, message, hashlib.sha256).digest()[:TAG_BYTES]


def _proven(message: bytes, magic: bytes, node_id: str, key: bytes) -> bytes:
    """Tell what stands between a board's name and the tag, if both are as they should be."""
    head = magic + bytes([len(node_id)]) + node_id.encode()
    if not message.startswith(head) or len(message) < len(head) + TAG_BYTES:
        raise BadMessage("another kind of message, or of another board")
    if not hmac.compare_digest(tagged(key, message[:-TAG_BYTES]), message):
        raise BadMessage("not under this board's key")
    return message[len(head) : -TAG_BYTES]


def _split(body: bytes, *sizes: int) -> list[bytes]:
    parts, at = [], 0
    for size in sizes:
        parts.append(body[at : at + size])
        at += size
    return parts


def _xor(data: bytes, stream: bytes, suffix: bytes) -> bytes:
    """Return `data` under the keystream SHA256(stream | block number | suffix)."""
    count = -(-len(data) // 32)
    pad = b"".join(
        hashlib.sha256(stream + block.to_bytes(4, "big") + suffix).digest() for block in range(count)
    )
    mixed = int.from_bytes(data, "big") ^ int.from_bytes(pad[: len(data)], "big")
    return mixed.to_bytes(len(data), "big")
