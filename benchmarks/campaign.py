"""A campaign with a version of which three boards in ten do not come up: how many it touches, what is left.

`simulated`: `dcompute update`'s own code in simulated time, over 1,000 boards that speak the protocol to the
byte (`simulated_boards.py`), with its state in a file. `on_boards`: the command itself, in real time, over
twelve virtual boards and a broker. In both it is killed twice on the way, and the same command goes on.
`tests/update/test_campaign.py` runs a share of either.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcompute_sim.brokers.mosquitto import MosquittoBroker
from dcompute_sim.fwbuild.firmware_files import product
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.emulated_config import emulated_config
from dcompute_sim.micropython.process import FirmwareProcess
from dcompute_sim.micropython.provision import provision

from benchmarks.figures import Figure
from benchmarks.simulated_boards import SimulatedBoard
from dcompute._cli.update import Runner, prepare
from dcompute._cli.update_options import Versions, Waves
from dcompute.bundle import Bundle
from dcompute.master_transport import MasterNodeTransport
from dcompute.records import NodeInfo
from dcompute.update_keys import UpdateKeys
from dcompute.updates import NodeUpdate, UpdateProgress, Updates, messages

FLEET, SEEDS, BOARDS = 1_000, 20, 12
_BROKEN_SHARE = 0.3
_TOUCHED_SHARE = 0.05
_STEP_S = 0.1
_OLD = Bundle("v1", {"main.py": b"print('one')\n" * 60, "tasks.py": b"# one\n"}, 20, 1)
_NEW = Bundle("v2", {"main.py": b"print('two')\n" * 60, "tasks.py": b"# two\n"}, 20, 2)


@dataclass(frozen=True)
class Campaigned:
    """What became of a campaign. `twice`: boards that were brought to the version again after they had gone
    back from it."""

    touched: int
    on_old: int
    twice: int
    kills: int
    took_s: float


class Killed(Exception):
    """The master is gone, with all that it had not written down."""


# --- simulated --------------------------------------------------------------------------------------------


class SimulatedFleet:
    """Boards and time. While no master is there, boards go on."""

    def __init__(self, boards: Iterable[SimulatedBoard]) -> None:
        self.boards = {board.node_id: board for board in boards}
        self.now_s = 0.0
        self.stirring: set[str] = set()  # those that an update was begun of: the others do nothing

    def step(self) -> list[str]:
        """A little time passes; the boards that have come up in it."""
        self.now_s += _STEP_S
        return [name for name in sorted(self.stirring) if self.boards[name].tick(self.now_s)]


class SimulatedMaster:
    """A master's transport as a campaign needs it: the updates' own state machines, and a fleet to talk to.

    Args:
        kill_s: when it is killed.
    """

    def __init__(self, fleet: SimulatedFleet, rng: random.Random, kill_s: float) -> None:
        self._fleet, self._rng, self._kill_s = fleet, rng, kill_s
        self._updates = Updates()
        self._ticked_s = fleet.now_s

    def update_node(
        self, node_id: str, bundle: Bundle, key: bytes, *, back: bool, taken: bool, patience_s: float
    ) -> None:
        update = NodeUpdate(
            node_id,
            bundle,
            key,
            now_s=self._fleet.now_s,
            nonce=lambda: self._rng.randbytes(16),
            back=back,
            taken=taken,
            patience_s=patience_s,
        )
        self._updates.begin(update)
        self._fleet.stirring.add(node_id)
        self._see(node_id)

    def updates(self) -> list[UpdateProgress]:
        return self._updates.progress()

    def rest(self, seconds: float) -> None:
        """Let time pass. Raises Killed."""
        end_s = self._fleet.now_s + seconds
        while self._fleet.now_s < end_s:
            if self._fleet.now_s >= self._kill_s:
                raise Killed
            for name in self._fleet.step():
                self._see(name)
            if self._fleet.now_s - self._ticked_s >= 1:
                self._ticked_s = self._fleet.now_s
                self._talk(self._updates.tick(self._fleet.now_s))

    def _see(self, node_id: str) -> None:
        board = self._fleet.boards[node_id]
        if board.is_up:
            said = {"version": board.version}
            about = NodeInfo(
                node_id=node_id, status="ready", device_type="", last_seen=0.0, inc="", capabilities=said
            )
            self._talk(self._updates.seen(about, self._fleet.now_s))

    def _talk(self, sent: list[tuple[str, bytes]]) -> None:
        """To and fro, until nobody has anything more to say."""
        while sent:
            answers = [
                a for name, said in sent for a in self._fleet.boards[name].hear(said, self._fleet.now_s)
            ]
            sent = [s for answer in answers for s in self._updates.received(answer, self._fleet.now_s)]


def simulated(seed: int, count: int, folder: Path) -> Campaigned:
    """One campaign over so many boards. The master dies amid it, and once more soon after it has gone on:
    while boards are on trial still, or go back."""
    rng = random.Random(seed)
    before, after = folder / "before", folder / "after"
    for bundle, place in ((_OLD, before), (_NEW, after)):
        place.mkdir()
        for path, data in bundle.files.items():
            (place / path).write_bytes(data)
        (place / "version.json").write_bytes(bundle.manifest())
    names = [f"b-{number:04}" for number in range(count)]
    with UpdateKeys.create(folder / "keys").path.open("a") as file:  # at one stroke: `enroll` syncs each
        file.writelines(f"{name} 1\n" for name in names)
    keys = UpdateKeys.read(folder / "keys")
    fleet = SimulatedFleet(
        SimulatedBoard(
            name,
            keys.key(name),
            "v1",
            messages.digest_of(_OLD.manifest()),
            broken=frozenset({"v2"}) if rng.random() < _BROKEN_SHARE else frozenset(),
            silent=rng.random() < 0.02,
        )
        for name in names
    )
    versions = Versions(after, confirm_s=20, previous=before, unchecked=True)
    waves = Waves("10", "2%", pause_s=5, abort="5%", state=folder / "campaign.json")
    kills = 0
    while True:
        prepared = prepare(versions, waves, keys.path, None, "")
        lives_s = rng.uniform(0.1, (45, 4.5, 0)[kills]) if kills < 2 else float("inf")
        master = SimulatedMaster(fleet, rng, fleet.now_s + lives_s)
        runner = Runner(
            master,
            prepared,
            lambda words: None,
            back=False,
            patience_s=60,
            state=waves.state,
            now_s=lambda: fleet.now_s,
            rest=master.rest,
        )
        try:
            runner.run()
            break
        except Killed:
            kills += 1
            away_s = fleet.now_s + rng.uniform(0.1, 120)
            while fleet.now_s < away_s:
                fleet.step()
    boards = fleet.boards.values()
    return Campaigned(
        touched=sum("v2" in board.took for board in boards),
        on_old=sum(board.version == "v1" for board in boards),
        twice=sum(board.took.count("v2") > 1 and bool(board.broken) for board in boards),
        kills=kills,
        took_s=fleet.now_s,
    )


# --- on boards --------------------------------------------------------------------------------------------


class _Unheard:
    """Nobody listens to what the boards print."""

    def started(self, boot: int, reset_cause: int) -> None: ...
    def stopped(self, how: str) -> None: ...
    def output(self, line: str) -> None: ...
    def event(self, name: str, fields: dict[str, Any]) -> None: ...


async def on_boards(count: int, folder: Path, kill_at: tuple[str, ...], *, canaries: int = 1) -> Campaigned:
    """One campaign over so many virtual boards, in real time, of which every third does not come up with the
    new version; the last canary is the first of them.

    Args:
        kill_at: the command is killed as soon as it says the first of these; then, started again, the next.
    """
    began_s = time.monotonic()
    keys = UpdateKeys.create(folder / "keys")
    names = [f"board-{number:02}" for number in range(count)]
    broken = names[canaries - 1 :: 3]
    before, after = folder / "before", folder / "after"
    _write_versions(before, after, broken)
    broker = MosquittoBroker()
    await broker.start()
    master = MasterNodeTransport("127.0.0.1", broker.port)
    boards = [_board(broker.port, number, name, keys.enroll(name)) for number, name in enumerate(names)]
    try:
        for board in boards:
            board.start()
        await asyncio.to_thread(master.start)
        await _until(lambda: len(master.get_nodes_by_status("ready")) == count)
        command = [
            *(sys.executable, "-m", "dcompute", "update", "--all", "--key-file", str(keys.path)),
            *("--broker", f"mqtt://127.0.0.1:{broker.port}", "--bundle", str(after), "--version", "v2"),
            *("--release", "2", "--confirm", "20", "--previous", str(before), "--pause", "1"),
            *("--canaries", str(canaries), "--wave", "1", "--abort", "5%"),
            *("--state", str(folder / "campaign.json")),
        ]
        kills, said = 0, ""
        for until in (*kill_at, ""):
            more, killed = await _command(command, until)
            said, kills = said + more, kills + killed
        touched = set(re.findall(r"(?m)^(board-\d+): (?:sending|staged|switching)", said))
        switched = {name: said.partition(f"{name}: switching")[2] for name in broken}

        def on_old() -> int:
            return sum(i["capabilities"].get("version") == "v1" for i in master.get_nodes_by_status("ready"))

        with contextlib.suppress(TimeoutError):
            await _until(lambda: on_old() == count)
        if "not touched" not in said:
            raise RuntimeError(f"the campaign went on: {said}")
        return Campaigned(
            touched=len(touched),
            on_old=on_old(),
            twice=sum(f"{name}: sending" in later for name, later in switched.items()),
            kills=kills,
            took_s=time.monotonic() - began_s,
        )
    finally:
        master.kill()
        for board in boards:
            board.close()
        await broker.stop()


def _write_versions(before: Path, after: Path, broken: list[str]) -> None:
    """Write our firmware as two versions, the second of which does not come up on the boards `broken`."""
    old = Bundle.from_folder(product(), "v1", release=1)
    guard = f"import config\nif config.NODE_ID in {broken}: raise RuntimeError('broken')\n"
    new = {**old.files, "main.py": guard.encode() + old.files["main.py"]}
    for place, files in ((before, {**old.files, "version.json": old.manifest()}), (after, new)):
        for path, data in files.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(data)


def _board(port: int, number: int, name: str, key: bytes) -> FirmwareProcess:
    about = Board(
        bytes(5) + bytes([number]),
        [product()],
        emulated_config("127.0.0.1", port, NODE_ID=name),
        slots=True,
        version="v1",
        release=1,
        update_key=key,
    )
    return FirmwareProcess(provision(), about, _Unheard())


async def _until(condition: Callable[[], bool], within_s: float = 120.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.05)


async def _command(command: list[str], until: str) -> tuple[str, bool]:
    """Run it, and kill it as soon as it says `until`, if that is something; what it said."""
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    said = ""
    async with asyncio.timeout(300):
        async for line in process.stdout:
            said += line.decode()
            if until and until in said:
                process.kill()
                await process.wait()
                return said, True
        await process.wait()
    return said, False


def measure() -> list[Figure]:
    """All figures."""
    runs = []
    for seed in range(SEEDS):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(simulated(seed, FLEET, Path(folder)))
    what = f"{FLEET:,} simulated boards, {SEEDS} campaigns"
    with tempfile.TemporaryDirectory() as folder:
        real = asyncio.run(on_boards(BOARDS, Path(folder), (": sending", ": switching")))
    return [
        Figure(
            f"{what}: touched at most", max(r.touched for r in runs), "", "at_most", FLEET * _TOUCHED_SHARE
        ),
        Figure(
            f"{what}: left on another version than before",
            max(FLEET - r.on_old for r in runs),
            "",
            "at_most",
            0,
        ),
        Figure(f"{what}: brought to it again after going back", sum(r.twice for r in runs), "", "at_most", 0),
        Figure(f"{what}: the master killed, each", min(r.kills for r in runs), "", "at_least", 2),
        Figure(f"{what}: simulated time, longest", max(r.took_s for r in runs), "s"),
        Figure(f"{BOARDS} virtual boards in real time: touched (the canary)", real.touched, "", "at_most", 1),
        Figure(f"{BOARDS} virtual boards: left on another version", BOARDS - real.on_old, "", "at_most", 0),
        Figure(f"{BOARDS} virtual boards: brought to it again", real.twice, "", "at_most", 0),
        Figure(f"{BOARDS} virtual boards: the master killed", real.kills, "", "at_least", 2),
        Figure(f"{BOARDS} virtual boards: took", real.took_s, "s"),
    ]
