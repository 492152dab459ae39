"""What is worth breeding from: runs that showed something new, and how much each is worth now.

Energy goes to what is rare for its cost: of what a run was the first to show, each feature counts as one over
the number of runs that have shown it since; divided by its events, and by how often it was bred from already.
So what all runs show by now is left alone, and what a run found in vain is not tried for ever. All levels of
features together have the same share of it: of paths there are a hundred for each end of a connection, every
run shows new ones, and alone they would make all runs worth the same.
"""

from __future__ import annotations

import bisect
import itertools
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from dcompute_sim.hunt.features import Feature
from dcompute_sim.hunt.moments import Moment
from dcompute_sim.scenario import Scenario

_REWEIGHED = 50  # runs after which the energies are computed anew: each time would cost more than the runs


@dataclass
class Entry:
    """A run to breed from.

    Attributes:
        scenario: explicit.
        news: what it was the first to show.
        events: what it cost.
        moments: at which a fault could strike.
        families: the numbers of the fresh runs that it was bred from, over however many generations; its own.
        bred: how often it was chosen.
    """

    scenario: Scenario
    news: Sequence[Feature]
    events: int
    moments: Sequence[Moment]
    families: Set[int]
    bred: int = 0


class Corpus:
    """All runs to breed from, and how often each feature was shown."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.shown: Counter[Feature] = Counter()
        self._cumulated: list[float] = []
        self._weights: Mapping[str, float] = {}  # by level
        self._stale = 0

    def news(self, features: Iterable[Feature]) -> list[Feature]:
        """Count what a run shows; what of it is new, in order."""
        news = []
        for feature in features:
            self.shown[feature] += 1
            if self.shown[feature] == 1:
                news.append(feature)
        return sorted(news)

    def keep(self, entry: Entry) -> None:
        """Keep it, to be chosen from now on."""
        self.entries.append(entry)
        if not self._weights:
            self._weigh()
        before = self._cumulated[-1] if self._cumulated else 0.0
        self._cumulated.append(before + self._energy(entry))

    def choose(self, rng: random.Random) -> Entry:
        """Choose one of the entries, the rather the more energy it has."""
        self._stale += 1
        if self._stale >= _REWEIGHED:
            self._stale = 0
            self._weigh()
            self._cumulated = list(itertools.accumulate(map(self._energy, self.entries)))
        at = bisect.bisect(self._cumulated, rng.random() * self._cumulated[-1])
        entry = self.entries[min(at, len(self.entries) - 1)]
        entry.bred += 1
        return entry

    def _weigh(self) -> None:
        """Let each level have the same share."""
        rarities = Counter[str]()
        for entry in self.entries:
            for feature in entry.news:
                rarities[feature[0]] += 1 / self.shown[feature]  # type: ignore[assignment]
        self._weights = {level: 1 / rarity for level, rarity in rarities.items()}

    def _energy(self, entry: Entry) -> float:
        rarity = sum(self._weights.get(feature[0], 0.0) / self.shown[feature] for feature in entry.news)
        return rarity / entry.events / (1 + entry.bred)
