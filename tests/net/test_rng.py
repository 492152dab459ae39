"""The small generator: repeatable, splittable by name, and even enough."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator

from dcompute_sim.rng import Rng


def splitmix64(state: int) -> Iterator[int]:
    """The algorithm as published."""
    mask = 2**64 - 1
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        yield z ^ (z >> 31)


def test_the_first_draws_are_those_of_the_published_algorithm() -> None:
    """SplitMix64: from state 0 as in the reference vectors in use everywhere, and so from a name's state."""
    assert list(itertools.islice(splitmix64(0), 3)) == [
        0xE220A8397B1DCDAF,
        0x6E789E6AA1B965F4,
        0x06C45D188009454F,
    ]
    rng = Rng("a name")
    state = int.from_bytes(hashlib.sha256(b"a name").digest()[:8], "big")
    assert [rng.getrandbits(64) for _ in range(100)] == list(itertools.islice(splitmix64(state), 100))


def test_names_tell_generators_apart_and_nothing_else_does() -> None:
    assert [Rng("a").random()] * 2 == [Rng("a").random(), Rng("a").random()]
    assert len({Rng(f"seed/{number}").random() for number in range(1000)}) == 1000


def test_bits_are_as_many_as_asked() -> None:
    rng = Rng("bits")
    for n_bits in (1, 48, 64, 65, 128):
        drawn = [rng.getrandbits(n_bits) for _ in range(200)]
        assert max(drawn).bit_length() == n_bits
        assert len(set(drawn)) == (2 if n_bits == 1 else 200)


def test_draws_have_the_moments_they_should() -> None:
    rng, n = Rng("moments"), 20_000

    def mean(values: list[float]) -> float:
        return sum(values) / n

    even = [rng.uniform(2, 6) for _ in range(n)]
    assert 2 <= min(even) < 2.01 < 5.99 < max(even) < 6
    assert abs(mean(even) - 4) < 0.05
    bell = [rng.gauss(10, 2) for _ in range(n)]
    assert abs(mean(bell) - 10) < 0.1
    assert abs(math.sqrt(mean([(value - 10) ** 2 for value in bell])) - 2) < 0.1
    assert abs(mean([rng.expovariate(4) for _ in range(n)]) - 0.25) < 0.02
    assert abs(mean([math.log(rng.lognormvariate(1, 0.5)) for _ in range(n)]) - 1) < 0.05
