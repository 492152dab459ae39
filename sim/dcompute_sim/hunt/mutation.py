"""Breeds scenarios: one that showed something rare, changed, or with a part of another.

What is changed is what random draws seldom get right: that a fault strikes just after another, or at the very
node, or while somebody is in between two states. What a change sets anew it draws as the swarm does. Several
changes are made at a time, and what makes no sense afterwards (`sense`) is drawn again.

Most changes add a fault, until there are as many as the swarm may have; then one goes for each that comes.
A run's cost is that of its fleet and its work (of 66 ms of a seed 19 for its nodes and 36 for its tasks),
what it shows grows with the pairs of its faults at one node: so bred runs have 8 of at most 8 faults where
fresh ones have 4.5, and each is made small before it is changed. With one or two small changes to the parent
they showed no more than fresh ones. Made small in half of the cases only, and with three changes more instead
of four and a half, a hunt showed 1.21 times what random seeds did in the same CPU time; like this 1.32 (one
hunt, 40 s on a busy machine).

A row of faults at one node begins so early that all of them can strike, is tight, strikes nobody who may be
gone for good, and few of it wait for a state. Of 120 children of the same 60 fresh runs each had 4.5 pairs of
faults within five seconds at a node where it had 3.6, 367 different ones where there were 282.

Of two hunts of fifteen seconds each, with rows at half their weight (14) there were 2.7 times as many pairs
of faults within five seconds at a node, weighted as the benchmark's rare sequences are, as random seeds show
in the time; as it is (28) 3.4 times. Rejected, for none gave more: twice that weight, rows of more faults,
and rows that begin where the parent's node took a task or was connecting (2.8 times).

Rejected: to let a row wait for connections that the parent's run did not have, or to pile work on its node:
neither gave more pairs. Rejected: to let faults that wait for the tenth of many tasks wait for the first of
few, as there are fewer. In a quarter of the bred runs a fault waits for an event that never comes; that left
it a quarter. They are judged without it instead (`hunting.run_trial`): so 8 % of a hunt's runs stay undecided
where 21 % did.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Set

from dcompute_sim.hunt import fault_mutations as faults
from dcompute_sim.hunt import fleet_mutations as fleets
from dcompute_sim.hunt.corpus import Entry
from dcompute_sim.hunt.draft import Draft
from dcompute_sim.hunt.sense import is_sensible
from dcompute_sim.scenario import Scenario, Swarm

_TRIES = 20
_MORE_CHANGES = 4.5  # on average, beside the first
_MOST_CHANGES = 8
_SEEDS = 2**31


class Breeder:
    """Makes new scenarios out of kept ones.

    Args:
        swarm: the ranges.
        fixed: ids of entries and names of groups that are not the swarm's: left as they are.
        rng: where all is drawn from.
    """

    def __init__(self, swarm: Swarm, fixed: Set[str], rng: random.Random) -> None:
        self._swarm = swarm
        self._fixed = fixed
        self._rng = rng

    def breed(self, parent: Entry, other: Entry) -> Scenario:
        """Return a scenario within the ranges, made of `parent` and perhaps a part of `other`; of the parent
        with other draws when no change makes sense."""
        for _ in range(_TRIES):
            draft = Draft(self._swarm, self._fixed, self._rng, parent, other)
            fleets.made_small(draft)
            draft.lose_one_each()
            changes = list(MUTATIONS)
            count = 1 + min(int(self._rng.expovariate(1 / _MORE_CHANGES)), _MOST_CHANGES - 1)
            for make in sorted(
                self._rng.choices(changes, list(MUTATIONS.values()), k=count), key=changes.index
            ):
                make(draft)
            bred = draft.scenario
            if bred != parent.scenario and is_sensible(bred, self._swarm, self._fixed):
                return bred
        return parent.scenario.model_copy(update={"seed": self._rng.randrange(_SEEDS)})


MUTATIONS: dict[Callable[[Draft], None], int] = {
    fleets.other_work: 2,
    fleets.other_terms: 1,
    fleets.other_limits: 1,
    fleets.another_network: 1,
    fleets.other_draws: 1,
    faults.one_less: 1,
    faults.another_kind: 2,
    faults.one_more: 8,
    faults.once_again: 2,
    faults.again_there: 6,
    faults.spliced: 3,
    faults.as_long: 1,
    faults.another_victim: 1,
    faults.the_same_victim: 1,
    faults.elsewhere_in_time: 1,
    faults.in_another_order: 1,
    faults.near_another: 3,
    faults.at_a_state: 4,
    faults.in_a_row: 28,
    faults.other_noise: 2,
    fleets.work_elsewhere: 1,
}
"""What can be changed, and how often it is. Those chosen are made in this order: first what there is, then
what befalls it, then when; so nothing that was brought together is torn apart at once."""
