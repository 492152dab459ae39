"""Small seeded generators: a fleet has thousands, and `random.Random` keeps 2.5 KB of state each.

SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014): 64 bits of
state, every one of which reaches every output bit; passes BigCrush. The distributions are the textbook ones.
"""

from __future__ import annotations

import hashlib
import math

_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15


class Rng:
    """A generator seeded by name; equal names, equal draws."""

    __slots__ = ("_state",)

    def __init__(self, name: str) -> None:
        self._state = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")

    def random(self) -> float:
        """Draw evenly from [0, 1), 53 bits of it."""
        self._state = state = (self._state + _GAMMA) & _MASK  # `_next`, without a call: most draws are these
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ state >> 27) * 0x94D049BB133111EB & _MASK
        return ((state ^ state >> 31) >> 11) * 2.0**-53

    def getrandbits(self, n_bits: int) -> int:
        """Return an integer of so many random bits."""
        value = 0
        for _ in range(0, n_bits, 64):
            value = value << 64 | self._next()
        return value >> (-n_bits % 64)

    def uniform(self, low: float, high: float) -> float:
        """Draw evenly between two values."""
        return low + (high - low) * self.random()

    def gauss(self, mean: float, sd: float) -> float:
        """Draw from the bell curve (Box and Muller)."""
        radius = math.sqrt(-2.0 * math.log(1.0 - self.random()))
        return mean + sd * radius * math.cos(math.tau * self.random())

    def expovariate(self, rate: float) -> float:
        """Draw times between independent events, so many a second."""
        return -math.log(1.0 - self.random()) / rate

    def lognormvariate(self, mean: float, sd: float) -> float:
        """Draw what has a logarithm on the bell curve."""
        return math.exp(self.gauss(mean, sd))

    def _next(self) -> int:
        self._state = state = (self._state + _GAMMA) & _MASK
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ state >> 27) * 0x94D049BB133111EB & _MASK
        return state ^ state >> 31
