"""Goes through the states of a world: all of them, nearest first, or along random walks."""

from __future__ import annotations

import pickle
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from dcompute_sim.end_to_end.small_world import BrokenInvariant, SmallWorld, Step


@dataclass(frozen=True)
class Found:
    """What came of it: how much was looked at, whether that was all, and what was wrong."""

    states: int
    transitions: int
    complete: bool
    violation: str = ""
    path: tuple[Step, ...] = ()

    def story(self) -> str:
        """Return the violation and how it came to that, a line a step."""
        return "\n".join([self.violation, *(f"  {step}" for step in self.path)])


def explore(make: Callable[[], SmallWorld], *, most: int = 10**9, within_s: float | None = None) -> Found:
    """Explore all states within the world's bounds, nearest first, until a violation.

    Args:
        most: transitions; beyond it the rest is left out.
        within_s: likewise, of wall time.
    """
    began_s = time.monotonic()
    root = make()
    seen = {hash(root.key())}
    todo: deque[tuple[bytes, tuple[Step, ...]]] = deque([(pickle.dumps(root, 5), ())])
    transitions = 0
    while todo:
        if transitions >= most or (within_s is not None and time.monotonic() - began_s > within_s):
            return Found(len(seen), transitions, False)
        state, path = todo.popleft()
        steps = list(pickle.loads(state).steps())
        if not steps or transitions % 16 == 0:
            world: SmallWorld = pickle.loads(state)
            try:
                world.settle_down()
            except BrokenInvariant as error:
                return Found(len(seen), transitions, False, str(error), (*path, ("settle down",)))
        for step in steps:
            world = pickle.loads(state)
            transitions += 1
            try:
                world.do(step)
            except BrokenInvariant as error:
                return Found(len(seen), transitions, False, str(error), (*path, step))
            key = hash(world.key())
            if key not in seen:
                seen.add(key)
                todo.append((pickle.dumps(world, 5), (*path, step)))
    return Found(len(seen), transitions, True)


def walk(make: Callable[[], SmallWorld], rng: random.Random, length: int = 80) -> Found:
    """Walk at random so many steps, then end the faults."""
    world = make()
    path: list[Step] = []
    try:
        for _ in range(length):
            steps = list(world.steps())
            if not steps:
                break
            path.append(rng.choice(steps))
            world.do(path[-1])
        path.append(("settle down",))
        world.settle_down()
    except BrokenInvariant as error:
        return Found(0, len(path), False, str(error), tuple(path))
    return Found(0, len(path), True)
