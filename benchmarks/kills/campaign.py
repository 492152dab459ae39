"""Tasks done while processes are killed and paused at random.

One thread, and one list of what is to happen when: a fault each while, and what it leaves behind (a process
to be started again, or to go on) a while later. So a fault may meet any state of the others, also their start
and their absence.
"""

from __future__ import annotations

import heapq
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

from benchmarks.kills.ledger import Findings, is_once, judge
from benchmarks.kills.participants import Participant, broker, program

NODES = 8
PATIENCE_S = 900.0  # for a busy machine; on a quiet one it is a minute or two


@dataclass(frozen=True)
class Faults:
    """How often each happens, beside the others."""

    node_kill: int = 0
    node_pause: int = 0
    asker_kill: int = 0
    asker_pause: int = 0
    broker_kill: int = 0
    broker_pause: int = 0


class Work:
    """How many tasks were begun so far, read off the nodes' files as they grow."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}  # bytes
        self._begun = 0

    def done(self) -> int:
        """Look again."""
        for path in self._folder.iterdir() if self._folder.exists() else ():
            at = self._read.get(path, 0)
            if path.stat().st_size > at:
                with path.open("rb") as file:
                    file.seek(at)
                    new = file.read()
                self._read[path] = at + len(new)
                self._begun += new.count(b"\n")
        return self._begun


class Campaign:
    """A run: `tasks` tasks that take `each_s` seconds each, and a fault each `every_s` (from, to) seconds.

    Args:
        every_tasks: how many tasks have to be begun for each fault, on average: on a busy machine, where
            programs take long to start, faults would otherwise be over before there is any work.
        longest_away_s: until what was killed is started again.
        longest_pause_s: 6 s are longer than the broker waits for a silent client, sometimes.
        enough: after so many faults there are no more; None: as long as there is work.
        faults_s: nor are there after so many seconds.
    """

    def __init__(
        self,
        broker_kind: str,
        tasks: int,
        faults: Faults,
        seed: int,
        *,
        each_s: float,
        every_s: tuple[float, float],
        every_tasks: float = 0.0,
        longest_away_s: float = 1.0,
        longest_pause_s: float = 6.0,
        enough: int | None = None,
        faults_s: float = float("inf"),
        nodes: int = NODES,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.tasks = tasks
        self._broker_kind = broker_kind
        self._names = [name for name, weight in asdict(faults).items() for _ in range(weight)]
        self._random = random.Random(seed)
        self._each_s = each_s
        self._every_s = every_s
        self._every_tasks = every_tasks
        self._longest_away_s = longest_away_s
        self._longest_pause_s = longest_pause_s
        self._enough = enough
        self._faults_s = faults_s
        self._node_count = nodes
        self._patience_s = patience_s
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._done: Counter[str] = Counter()

    def run(self) -> Findings:
        """Do it, and judge it. RuntimeError if it does not come to an end."""
        began_s = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="dcompute-kills-") as place:
            folder = Path(place)
            participants = self._participants(folder)
            try:
                for participant in participants:
                    participant.start()
                self._inflict(*participants)
            finally:
                for participant in reversed(participants):
                    participant.end()
            once = {number for number in range(self.tasks) if is_once(number)}
            found = judge(folder / "executed", folder / "told", self.tasks, once)
        found.faults = self._done
        found.took_s = time.monotonic() - began_s
        return found

    def _participants(self, folder: Path) -> tuple[Participant, ...]:
        self._folder = folder
        broker_, port = broker(self._broker_kind, folder)
        log = folder / "log"
        told, journal = folder / "told", folder / "work.sqlite"
        asker = program("asker", log, port, told, journal, self.tasks, self._each_s, tells=told)
        names = [f"n{number}" for number in range(self._node_count)]
        return (broker_, asker, *(program("node", log, port, name, folder / "executed") for name in names))

    def _inflict(self, broker_: Participant, asker: Participant, *nodes: Participant) -> None:
        began_s = time.monotonic()
        give_up_s, peace_s = began_s + self._patience_s, began_s + self._faults_s
        next_s = began_s + self._random.uniform(*self._every_s)
        work, due_work = Work(self._folder / "executed"), 0.0
        while asker.status() is None or self._due:
            now_s = time.monotonic()
            if now_s > give_up_s:
                raise RuntimeError(f"not done after {self._patience_s:g} s, with {dict(self._done)}")
            while self._due and self._due[0][0] <= now_s:
                heapq.heappop(self._due)[2]()
            if (
                next_s <= now_s < peace_s
                and work.done() >= due_work
                and asker.status() is None
                and sum(self._done.values()) != self._enough
            ):
                name = self._random.choice(self._names)
                who, _, what = name.partition("_")
                victim = {"broker": broker_, "asker": asker, "node": self._random.choice(nodes)}[who]
                if self._strike(victim, what):
                    self._done[name] += 1
                    due_work += self._random.uniform(0, 2 * self._every_tasks)
                next_s = now_s + self._random.uniform(*self._every_s)
            time.sleep(0.005)
        if asker.status():
            raise RuntimeError(f"the executor ended with status {asker.status()}: {asker.said()}")

    def _strike(self, victim: Participant, what: str) -> bool:
        """Whether there was somebody to strike."""
        if not victim.has_begun() or victim.paused:
            return False
        if what == "kill":
            victim.kill()
            self._later(self._random.uniform(0, self._longest_away_s), victim.start)
        else:
            victim.pause()
            self._later(self._random.uniform(0.1, self._longest_pause_s), victim.resume)
        return True

    def _later(self, delay_s: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time.monotonic() + delay_s, next(self._order), call))
