"""An attacker who is the network, let loose on both ends of an update: the master's code and the board's own
files.

The board's side is firmware/update/ and firmware/next_slot.py themselves, run by CPython on a flash in
memory; what a launcher does (trial, confirmation, going back) is a few lines here, and tested for real
elsewhere. The attacker drops, delays, repeats and reorders every message, knows what was sent in an earlier
life of the board (offers, pieces and hellos of a version that was withdrawn), holds a sister board's key, and
says what it likes under that; boards reconnect, reboot, fail trials. Two masters are there: one brings
version 2, one was forgotten and still offers version 0.

`explore` goes through every order of moves, breadth first, within a number of transitions; `walk` goes deep
at random. Each check taken away must be missed: `WEAKENED`.
"""

from __future__ import annotations

import builtins
import copy
import hashlib
import io
import json
import os
import random
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dcompute._ota import messages
from dcompute._ota.messages import BadMessage, Code, Hello
from dcompute.bundle import Bundle
from dcompute.update_keys import board_key
from dcompute.updates import NodeUpdate, UpdateState

TRANSITIONS = int(os.environ.get("DCOMPUTE_ATTACKER_TRANSITIONS", "4000"))
WALKS, MOVES = TRANSITIONS // 20, 60
ROOT = Path(__file__).resolve().parents[2]
FIRMWARE, PRODUCTION = ROOT / "firmware", ROOT / "dcompute"
NODE = "board"
KEY, SISTER = board_key(bytes(32), NODE), board_key(bytes(32), "sister")
CONFIG = b"NODE_ID = 'board'\n"
V0, V1, V2, V5 = (Bundle(f"v{n}", {"main.py": b"print(%d)\n" % n * 40}, release=n) for n in (0, 1, 2, 5))
EVIL = b"evil" * 40


class Violation(AssertionError):
    """Something happened that an attacker must not bring about."""


class Reset(Exception):
    """The board restarts."""


# --- the board
# ------------------------------------------------------------------------------------------------


class Launcher:
    """What slot_launcher.py knows of the slots, and what it does at a start."""

    root = "/"

    def __init__(self) -> None:
        self.current, self.fallback, self.trial = "a", "-", False
        self.failed = None
        self.tries = 0
        self.version, self.release = "v1", 1

    def folder(self, slot: str) -> str:
        return f"/{slot}/"

    def store(self, current: str, fallback: str, tries: int) -> None:
        self.current, self.fallback, self.tries = current, fallback, tries


class Board:
    """One board: its flash, and the life between two resets."""

    def __init__(self) -> None:
        self.flash = {f"/a/{path}": data for path, data in V1.files.items()}
        self.flash |= {"/a/config.py": CONFIG, "/a/version.json": V1.manifest(), "/update.key": KEY}
        self.now_ms = 1000
        self.drawn = 0
        self.said: list[bytes] = []
        self.launcher = Launcher()
        self.lives = 0
        self.started: list[bytes] = []  # the offers whose sessions began
        self.boot()

    def boot(self) -> None:
        launcher = self.launcher
        about = json.loads(self.flash[f"/{launcher.current}/version.json"])
        launcher.version, launcher.release = about["version"], about["release"]
        launcher.trial = launcher.fallback != "-"
        self.lives += 1
        core = types.SimpleNamespace(
            node_id=NODE, topics=types.SimpleNamespace(prefix=""), capabilities={}, status="ready",
            waiting=lambda: 0, set_status=lambda status: ("board/status", b"", True),
        )  # fmt: skip
        outbox = types.SimpleNamespace(results=[], add_status=self._add)
        link = types.SimpleNamespace(core=core, outbox=outbox, state=Lock(), say=lambda text: None)
        client = types.SimpleNamespace(publish=self._publish, disconnect=lambda: None)
        self.slot: Any = module("next_slot").NextSlot(launcher, link, client)

    def _add(self, message: tuple[str, bytes, bool]) -> None:
        self.said.append(message[1])

    def _publish(self, topic: str, payload: bytes, retain: bool, qos: int) -> int:
        if topic == "updates":
            self.said.append(payload)
        return 1

    def take(self, payload: bytes) -> None:
        """A message on its update topic, as slot.py passes it on; then what it does when all is sent."""
        global NOW
        NOW = self
        session = self.slot.offered
        try:
            if len(payload) > 20:
                self.slot.take_in(memoryview(bytearray(payload)))
            while self.slot.step:
                self.slot.take_in(b"")
            if self.slot.offered != session:
                self.started.append(self.slot.offered)
            if self.slot.then and not self.launcher.trial:
                self.slot.then(self.slot)
        except Reset:
            self.boot()

    def reconnect(self) -> None:
        self.slot.nonce = None

    def confirm(self) -> None:
        """The broker has acknowledged all that a board on trial had to say."""
        self.launcher.store(self.launcher.current, "-", 0)
        self.launcher.trial = False

    def fail(self) -> None:
        """The version on trial did not come up."""
        launcher = self.launcher
        digest = messages.digest_of(self.flash.pop(f"/{launcher.current}/version.json"))
        self.flash["/failed"] = f"{digest.hex()} {launcher.version}".encode()
        launcher.store(launcher.fallback, "-", 0)
        self.boot()

    def running(self) -> bytes:
        return messages.digest_of(self.flash[f"/{self.launcher.current}/version.json"])

    def wait(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)
        if self.slot.nonce and self.now_ms - self.slot.nonce_ms > 600_000:
            self.slot.nonce = None  # as slot.py does at each turn


class Lock:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


NOW: Board  # whose flash and clock the modules below see
SOURCES: dict[str, str] = {}
MODULES: dict[str, types.ModuleType] = {}


class _Written(io.BytesIO):
    """A file open for writing: on the flash when it is closed."""

    def __init__(self, board: Board, path: str, before: bytes) -> None:
        super().__init__()
        self.write(before)
        self._board, self._path = board, path

    def close(self) -> None:
        if not self.closed:
            self._board.flash[self._path] = self.getvalue()
        super().close()


def _open(path: str, mode: str = "r") -> Any:
    if "w" in mode or "a" in mode:
        return _Written(NOW, path, NOW.flash.get(path, b"") if "a" in mode else b"")
    if path not in NOW.flash:
        raise OSError(2)
    data = NOW.flash[path]
    return io.BytesIO(data) if "b" in mode else io.StringIO(data.decode())


def _urandom(count: int) -> bytes:
    NOW.drawn += 1
    return hashlib.sha256(b"board %d" % NOW.drawn).digest()[:count]


def _stat(path: str) -> tuple[int, ...]:
    if path not in NOW.flash:
        raise OSError(2)
    return (0, 0, 0, 0, 0, 0, len(NOW.flash[path]))


def _remove(path: str) -> None:
    _stat(path)
    del NOW.flash[path]


def _rename(old: str, new: str) -> None:
    _stat(old)
    NOW.flash[new] = NOW.flash.pop(old)


def _ilistdir(folder: str) -> list[tuple[str, int]]:
    inside = sorted(path[len(folder) :] for path in NOW.flash if path.startswith(folder))
    return [(path, 0x8000) for path in inside]


def _reset() -> None:
    raise Reset


_STAND_INS: dict[str, dict[str, Any]] = {
    "micropython": {"const": lambda value: value},
    "time": {
        "ticks_ms": lambda: NOW.now_ms,
        "ticks_diff": lambda a, b: a - b,
        "sleep_ms": lambda ms: None,
    },
    "os": {
        "urandom": _urandom,
        "stat": _stat,
        "statvfs": lambda path: (4096, 4096, 0, 0, 1000),
        "mkdir": lambda path: None,
        "rmdir": lambda path: None,
        "remove": _remove,
        "rename": _rename,
        "ilistdir": _ilistdir,
    },
    "gc": {"collect": lambda: None, "mem_free": lambda: 50_000},
    "sys": {"modules": {}},
    "machine": {"reset": _reset},
}


def module(name: str) -> types.ModuleType:
    """A file of the firmware as a module."""
    if name not in MODULES:
        made = MODULES[name] = types.ModuleType(name)
        vars(made)["__builtins__"] = {**vars(builtins), "__import__": _import, "open": _open}
        exec(compile(SOURCES[name], f"firmware/{name}", "exec"), vars(made))
    return MODULES[name]


def _import(name: str, *rest: Any) -> Any:
    stand_in = _STAND_INS.get(name)
    if stand_in is not None:
        return types.SimpleNamespace(**stand_in)
    if name == "update" or name.startswith("update."):
        found, step = module(name), name.partition(".")[2]
        if step:
            setattr(module("update"), step, found)  # as a package has what was loaded of it
        named = rest[2] if len(rest) > 2 else None
        return found if named or not step else module("update")
    return __import__(name)


@pytest.fixture(autouse=True)
def sources() -> Iterator[dict[str, str]]:
    """The firmware's files, for a test to weaken."""
    SOURCES.clear()
    MODULES.clear()
    SOURCES["next_slot"] = (FIRMWARE / "next_slot.py").read_text()
    for path in (FIRMWARE / "update").glob("*.py"):
        name = "update" if path.stem == "__init__" else f"update.{path.stem}"
        SOURCES[name] = path.read_text()
    yield SOURCES
    MODULES.clear()


# --- the world
# ------------------------------------------------------------------------------------------------


class Nonces:
    """A master's challenges."""

    def __init__(self, name: bytes) -> None:
        self._name, self._count = name, 0

    def __call__(self) -> bytes:
        self._count += 1
        return hashlib.sha256(self._name + b"%d" % self._count).digest()[:16]


class World:
    """Two masters, a board, and whatever was ever said between them."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.board = Board()
        self.masters = [
            NodeUpdate(NODE, bundle, KEY, now_s=0, nonce=Nonces(name), patience_s=1e9)
            for bundle, name in ((V2, b"new"), (V0, b"forgotten"))
        ]
        self.to_board: list[bytes] = []
        self.to_masters: list[bytes] = []
        self.asked = [bytes(16)] * 2  # Nm of the present probe, by master
        self.offers: dict[bytes, bytes] = {}  # by Nm
        self.truths: dict[bytes, set[tuple[bytes, bool, bytes]]] = {}  # by Nm: what the board was since then
        self.reported: set[tuple[int, str]] = set()
        self._remember_an_earlier_life()

    def _remember_an_earlier_life(self) -> None:
        """Version 5 was offered, ran, and was withdrawn; all of it was recorded."""
        for key in (KEY, SISTER):
            nonce, board_nonce = b"old probe 123456", b"old challenge 16"
            running = messages.digest_of(V1.manifest())
            hello = Hello(nonce, board_nonce, False, bytes(16), 1, running, bytes(16), 0)
            offer = messages.offer(key, hello, V5.manifest(), back=False)
            session = messages.session_key(key, hello, offer)
            self.to_board += [messages.probe(key, nonce), offer]
            self.to_board.append(messages.piece(session, 1, V5.files["main.py"], end=True))
            self.to_board.append(messages.piece(session, 1, EVIL, end=True))
            facts = bytes([0]) + (2).to_bytes(4, "big") + messages.digest_of(V2.manifest()) + bytes(36)
            head = bytes([len(NODE)]) + NODE.encode()
            self.to_masters.append(messages.tagged(key, b"DCU2H" + head + nonce + board_nonce + facts))
        self.old = len(self.to_board)

    # --- moves ---

    def moves(self) -> list[Callable[[], None]]:
        """All that can happen next."""
        moves: list[Callable[[], None]] = [
            partial(self.probe, n) for n, master in enumerate(self.masters) if not master.progress().over
        ]
        moves += [partial(self.tell_board, message) for message in dict.fromkeys(self.to_board)]
        moves += [partial(self.tell_masters, message) for message in dict.fromkeys(self.to_masters)]
        moves += [self.forge_for_board, self.forge_for_masters, self.board.reconnect, self.reboot]
        moves += [partial(self.wait, 61), partial(self.wait, 601)]
        if self.board.launcher.trial:
            moves += [self.board.confirm, self.board.fail]
        return moves

    def likely(self, rng: random.Random) -> Callable[[], None]:
        """A move, the next honest one more often than not: walks get far."""
        newest: list[Callable[[], None]] = [
            partial(self.tell_board, self.to_board[-1]),
            partial(self.tell_masters, self.to_masters[-1]),
        ]
        if self.board.launcher.trial:
            newest += [self.board.confirm, self.board.fail, partial(self.probe, 0)]
        if rng.random() < 0.6:
            return rng.choice(newest)
        return rng.choice(self.moves())

    def probe(self, number: int) -> None:
        self.wait(16)
        self._sent(number, self.masters[number].tick(self.now_s))

    def tell_board(self, message: bytes) -> None:
        heard = len(self.board.said)
        self.board.take(message)
        self.to_masters += self.board.said[heard:]

    def tell_masters(self, message: bytes) -> None:
        for number, master in enumerate(self.masters):
            before = master.state
            try:
                sent = master.received(message, self.now_s)
            except BadMessage:
                continue
            self._sent(number, sent)
            if master.state is not before:
                self._judge_state(number)

    def forge_for_board(self) -> None:
        """Under a sister's key: an offer that names the board's own challenge, and a piece for its
        question."""
        nonce = self.board.slot.nonce or bytes(16)
        hello = Hello(bytes(16), nonce, False, bytes(16), 1, bytes(16), bytes(16), 0)
        number = getattr(self.board.slot, "number", 0)
        for message in (
            messages.offer(SISTER, hello, V5.manifest(), back=True),
            messages.piece(SISTER, number, EVIL, end=False),
        ):
            self.tell_board(message)

    def forge_for_masters(self) -> None:
        """Under a sister's key: that the new version runs, and that the update has failed."""
        for number, master in enumerate(self.masters):
            running = messages.digest_of(master.bundle.manifest())
            head = bytes([len(NODE)]) + NODE.encode()
            facts = bytes([0]) + (9).to_bytes(4, "big") + running + bytes(36)
            self.tell_masters(
                messages.tagged(SISTER, b"DCU2H" + head + self.asked[number] + bytes(16) + facts)
            )
            self.tell_masters(messages.tagged(SISTER, b"DCU2S" + head + bytes([Code.FAILED]) + b"forged"))

    def reboot(self) -> None:
        self.board.boot()

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.board.wait(seconds)

    # --- what must hold ---

    def _sent(self, number: int, sent: list[bytes]) -> None:
        for message in sent:
            if message.startswith(b"DCU2Q"):
                self.asked[number] = message[5:21]
                self.truths[message[5:21]] = set()
            if message[:5] == b"DCU2O" and self.offers.setdefault(message[5:21], message) != message:
                raise Violation("two offers for one challenge: a keystream was used twice")
            self.to_board.append(message)

    def _judge_state(self, number: int) -> None:
        master = self.masters[number]
        target = messages.digest_of(master.bundle.manifest())
        was = self.truths.get(self.asked[number], set())
        if master.state is UpdateState.CONFIRMED and not any(
            running == target and not trial for running, trial, _ in was
        ):
            raise Violation("confirmed, and it was not so since the question")
        if master.state is UpdateState.ROLLED_BACK and not any(
            failed == target and not trial for _, trial, failed in was
        ):
            raise Violation("rolled back, and it was not so since the question")
        if master.state in (UpdateState.FAILED, UpdateState.REFUSED) and master.reason == "forged":
            raise Violation("a failure that the board did not tell")

    def judge(self) -> None:
        """Look at the board after a move."""
        board, flash = self.board, self.board.flash
        failed = bytes.fromhex(flash["/failed"][:32].decode()) if "/failed" in flash else bytes(16)
        for was in self.truths.values():
            was.add((board.running(), board.launcher.trial, failed))
        if board.launcher.version not in ("v1", "v2"):
            raise Violation(f"the board runs {board.launcher.version}")
        slot = board.slot
        if slot.take and slot.target != messages.digest_of(V2.manifest()):
            raise Violation("the board asks for files of a version that is not for it")
        if not set(board.started) <= {hashlib.sha256(offer).digest() for offer in self.offers.values()}:
            raise Violation("an offer that no master made began a session")
        if len(set(board.started)) != len(board.started):
            raise Violation("an offer began two sessions")
        part = flash.get("/b/part", b"") or flash.get("/a/part", b"")
        if not V2.files["main.py"].startswith(part):
            raise Violation("bytes that no master sent lie on the flash")


SHARED = (V0, V1, V2, V5)


def copy_of(world: World) -> World:
    return copy.deepcopy(world, {id(bundle): bundle for bundle in SHARED})


def explore(transitions: int) -> int:
    """Every order of moves, breadth first; the depth that was reached in full."""
    waiting = deque([(World(), 0)])
    count = depth = 0
    while waiting:
        world, depth = waiting.popleft()
        for number in range(len(world.moves())):
            next_one = copy_of(world)
            next_one.moves()[number]()
            next_one.judge()
            waiting.append((next_one, depth + 1))
            count += 1
            if count >= transitions:
                return depth
    return depth


def walk(seeds: range) -> set[UpdateState]:
    """Deep and at random; the states that the new version's master reached."""
    ends = set()
    for seed in seeds:
        rng = random.Random(seed)
        world = World()
        for _ in range(MOVES):
            world.likely(rng)()
            world.judge()
        ends.add(world.masters[0].state)
    return ends


def test_an_attacker_brings_nothing_about_in_any_order_of_moves() -> None:
    assert explore(TRANSITIONS) >= 2


def test_an_attacker_brings_nothing_about_however_long() -> None:
    ends = walk(range(WALKS))
    assert {UpdateState.CONFIRMED, UpdateState.ROLLED_BACK} <= ends, "the walks get to the end of updates"


# --- each check, taken away
# -----------------------------------------------------------------------------------

Weaken = Callable[[pytest.MonkeyPatch, dict[str, str]], None]


def in_firmware(name: str, old: str, new: str) -> Weaken:
    def weaken(patch: pytest.MonkeyPatch, sources: dict[str, str]) -> None:
        assert sources[name].count(old) == 1, f"firmware/{name} has changed: where is this check now?"
        sources[name] = sources[name].replace(old, new)

    return weaken


def hello_tag(patch: pytest.MonkeyPatch, sources: dict[str, str]) -> None:
    honest = messages.read_hello
    patch.setattr(
        messages,
        "read_hello",
        lambda m, node, key: honest(messages.tagged(key, m[: -messages.TAG_BYTES]), node, key),
    )


def session_tag(patch: pytest.MonkeyPatch, sources: dict[str, str]) -> None:
    honest = messages.read_want
    patch.setattr(
        messages,
        "read_want",
        lambda m, node, key: honest(messages.tagged(key, m[: -messages.TAG_BYTES]), node, key),
    )


def in_master(old: str, new: str) -> Weaken:
    """The master's code with one line changed."""

    def weaken(patch: pytest.MonkeyPatch, sources: dict[str, str]) -> None:
        text = (PRODUCTION / "_ota" / "progress.py").read_text()
        assert text.count(old) == 1, "dcompute/_ota/progress.py has changed: where is this check now?"
        changed = types.ModuleType("weakened")
        patch.setitem(sys.modules, "weakened", changed)
        exec(compile(text.replace(old, new), "weakened", "exec"), vars(changed))
        patch.setitem(globals(), "NodeUpdate", changed.NodeUpdate)
        patch.setitem(globals(), "UpdateState", changed.UpdateState)

    return weaken


def own_keys(patch: pytest.MonkeyPatch, sources: dict[str, str]) -> None:
    patch.setitem(globals(), "SISTER", KEY)


WEAKENED: dict[str, Weaken] = {
    "the hello's tag": hello_tag,
    "the hello's challenge": in_master("hello.nonce != self._nm", "False"),
    "the flag of a trial": in_master("if hello.trial:", "if False:"),
    "tags of wants and states": session_tag,
    "one offer for each challenge": in_master("if not self._offer:", "if True:"),
    "a key for each board": own_keys,
    "the offer's challenge": in_firmware("update.step1_proof", "payload[21:37] != slot.nonce", "False"),
    "the renewal of the challenge": in_firmware("update.step1_proof", "    slot.nonce = None\n", ""),
    "the offer's tag": in_firmware("update.step1_proof", "not is_proven(key, payload)", "False"),
    "the piece's tag": in_firmware("update.step6_pieces", "not is_proven(slot.session, message)", "False"),
    "the release": in_firmware(
        "update.step3_offer", "slot.release <= slot.launcher.release and not slot.back", "False"
    ),
}


@pytest.mark.parametrize("check", WEAKENED)
def test_a_check_taken_away_is_missed(
    monkeypatch: pytest.MonkeyPatch, sources: dict[str, str], check: str
) -> None:
    WEAKENED[check](monkeypatch, sources)
    with pytest.raises(Violation):
        look_for_long()


def look_for_long() -> None:
    explore(1000)
    walk(range(2000))
