"""The chance that the next run shows anything new, from what runs so far showed that no other did.

Rules:

1. Good and Turing: how often the unseen comes is told by how often something came that was seen only once.
   For runs, each of which shows many features: the chance that one more shows a new one is about the share of
   runs so far that show one which no other run has shown. It is the leave-one-out estimate of that very
   chance, and without bias for runs that are drawn alike (I. J. Good, The population frequencies of species,
   1953; for runs as sets of features: the incidence-based estimators of A. Chao and R. Colwell).
2. That holds of fresh seeds, which are drawn alike, and not of bred runs, which repeat what their parents
   showed. So a fresh run and all that was bred of it count as one: what only they show, no other run has
   shown. Else breeding from a rare run would make it seem common, and end the hunt while it finds most.
3. Of bred runs, whose draw changes as the hunt goes on, no such estimate is sound. For them it is the share
   of the last `WINDOW` that did show something new.
4. What too few runs were done for is not known, and is not told as a number.

The bias that comes from counting bred runs among the drawn ones: M. Boehme, D. Liyanage, V. Wuestholz,
Estimating residual risk in greybox fuzzing, 2021.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Set

from dcompute_sim.hunt.features import Feature

WINDOW = 400
"""Bred runs that it takes to know."""
_NOBODY: frozenset[int] = frozenset()


class Estimate:
    """Takes in runs, says how likely news is."""

    def __init__(self) -> None:
        self._owners: dict[Feature, Set[int]] = {}  # the families that every run belongs to that showed it
        self._holder: dict[Feature, int] = {}  # the fresh run that shows it, if its family alone does
        self._own: dict[int, int] = {}  # by fresh run: how many features it holds
        self._holding = 0
        self._bred: deque[bool] = deque(maxlen=WINDOW)

    def fresh(self, run: int, features: Iterable[Feature]) -> None:
        """Count what a fresh run, by its number, has shown."""
        self._own[run] = 0
        family = frozenset([run])
        for feature in features:
            if feature in self._owners:
                self._owners[feature] = _NOBODY
                self._release(feature)
            else:
                self._owners[feature] = family
                self._holder[feature] = run
                self._own[run] += 1
        self._holding += self._own[run] > 0

    def bred(self, families: Set[int], features: Iterable[Feature]) -> None:
        """Count what a run that was bred from these families has shown."""
        news = False
        for feature in features:
            owners = self._owners.get(feature)
            if owners is None:
                self._owners[feature] = families
                news = True
            elif owners and not owners <= families:
                self._owners[feature] = owners & families
                if self._holder.get(feature, -1) not in families:
                    self._release(feature)
        self._bred.append(news)

    def given(self, features: Iterable[Feature]) -> None:
        """Know what a run of an earlier hunt has shown: it is no news of this one."""
        for feature in features:
            self._owners[feature] = _NOBODY
            self._release(feature)

    @property
    def of_fresh(self) -> float | None:
        """The chance that one more fresh run shows anything new; None while there was none."""
        return self._holding / len(self._own) if self._own else None

    @property
    def of_bred(self) -> float | None:
        """The same of a bred run, as far as the last of them tell; None until there were enough."""
        return sum(self._bred) / WINDOW if self.bred_runs == WINDOW else None

    @property
    def bred_runs(self) -> int:
        """On how many of them `of_bred` rests."""
        return len(self._bred)

    @property
    def chance(self) -> float | None:
        """Of the next run, whichever of the two it is; None while it is not known of both."""
        fresh, bred = self.of_fresh, self.of_bred
        return None if fresh is None or bred is None else (fresh + bred) / 2

    def _release(self, feature: Feature) -> None:
        run = self._holder.pop(feature, None)
        if run is not None:
            self._own[run] -= 1
            self._holding -= self._own[run] == 0
