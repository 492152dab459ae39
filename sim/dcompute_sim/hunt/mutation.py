"""Breeds scenarios: one that showed something rare, changed, or with a part of another.

What is changed is what random draws seldom get right: that a fault strikes just after another, or at the very
node, or while somebody is in between two states. What a change sets anew it draws as the swarm does. What
makes no sense afterwards (`sense`) is drawn again.

Each child is made small, is struck by a few faults more (until there are as many as the swarm may have; then
one goes for each that comes), is changed in one or two other ways, and last of all what befalls it is brought
together: in a row at one node, or step by step. A run's cost is that of its fleet and its work, what it shows
grows with the pairs of its faults at one node: so bred runs have 8 of at most 8 faults where fresh ones have
4.5, and cost half. That is always done, for of changes drawn by weight alone, five or six to a child, the
later ones often undid what the earlier ones had brought together: for the same cost of 40 children each, of
one corpus, those made like this showed 1.4 times as many new features; in half a minute of a hunt there were
1.4 times as many rare pairs of faults at a node.

A row of faults at one node begins so early that all of them can strike, is tight, strikes nobody who may be
gone for good, and few of it wait for a state that the parent's run had. Step by step each waits for a state
that only the one before leads to, which rows of three and four ends of connections need: a hunt met rare rows
of three ends 1.5 to 2 times as often in the same time, where without it a hunt met them no more often than
random seeds do. All faults of a child are used so, in a row at one node, in another at the next; every other
row is of the one kind that ends a connection and nothing else (`reset`), for of rows of kinds drawn at random
two of three stopped where a short silence ended nothing. In 40 s of CPU a hunt met 34 rows of four ends of
which one or two came while the node subscribed, where with one row a child, of which half were alike, it met
12, and random seeds 9; 46 different rows of four where there were 22.

Rejected, for no more came of it (40 children each, of one corpus): to go on where the parent's run showed
something new, all before that left as it was. Of what was new a third came too late in its run to be followed
by anything, and the children, not made small, cost 1.2 to 1.8 times as much: half the rows of ends. Rejected:
weights that learn which change brings most. What rows and steps bring differs by less than what two samples
of either do. Rejected: to pile work on the node of a row, and to let faults that wait for the tenth of many
tasks wait for the first of few, as there are fewer.

In a quarter of the bred runs a fault waits for an event that never comes; they are judged without it
(`hunting.run_trial`). Faults that strike for good are never dropped for others: a run in which nobody's death
is told is undecided. So about a tenth of the bred runs is. In a fleet made small fewer may stay away, so some
of these come back: else five of six children made no sense, and most of a hunt's own time went into them.
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
MORE_FAULTS = 3
"""That befall each child, until there are as many as may be; then one goes for each that comes."""
_CHANGES = 1.5  # on average, before they are rounded down: mostly one or none
_MOST_CHANGES = 6
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
            self._change(draft)
            bred = draft.scenario
            if bred != parent.scenario and is_sensible(bred, self._swarm, self._fixed):
                return bred
        return parent.scenario.model_copy(update={"seed": self._rng.randrange(_SEEDS)})

    def _change(self, draft: Draft) -> None:
        """Make it small, let more befall it, change a little, and bring together what befalls it."""
        fleets.made_small(draft)
        draft.lose_few()
        for _ in range(MORE_FAULTS):
            faults.one_more(draft)
        changes = list(MUTATIONS)
        count = min(int(self._rng.expovariate(1 / _CHANGES)), _MOST_CHANGES)
        for make in sorted(self._rng.choices(changes, list(MUTATIONS.values()), k=count), key=changes.index):
            make(draft)
        draft.lose_few()
        (bring_together,) = self._rng.choices(list(TOGETHER), list(TOGETHER.values()))
        bring_together(draft)


MUTATIONS: dict[Callable[[Draft], None], int] = {
    fleets.other_work: 2,
    fleets.other_terms: 1,
    fleets.other_limits: 1,
    fleets.another_network: 1,
    fleets.other_draws: 1,
    faults.one_less: 1,
    faults.another_kind: 2,
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
    faults.other_noise: 2,
    fleets.work_elsewhere: 1,
}
"""What can be changed, and how often it is. Those chosen are made in this order: first what there is, then
what befalls it, then when; so nothing that was brought together is torn apart at once."""

TOGETHER: dict[Callable[[Draft], None], int] = {
    faults.in_a_row: 1,
    faults.step_by_step: 1,
}
"""How what befalls a child is brought together, of which one is done to each, after all other changes."""
