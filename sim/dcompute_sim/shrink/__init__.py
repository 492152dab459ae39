"""A failing run becomes the smallest explicit scenario that still fails for the same reason.

Rules:

* A run is made explicit first: whom a fault hit and when, as the trace tells it, takes the place of what was
  drawn (`pinning`). From then on what is taken away moves nothing else (`scenario.entry_ids`).
* A smaller scenario counts only if the same expectation fails for the same reason (`failure`): the words of
  its summary without their numbers, and what the events that broke it say.
* It counts only if it fails because of what is under test. A run cut off in the middle of its work leaves
  tasks unfinished with any program. So the quiet time at the end is never cut; and where a mutant is under
  test, the healthy program must not fail the same (`control`).
* Where loss or jitter are left, chance decides what a change does to a run: a candidate counts if it fails
  under any of five seeds; of two in the first pass, and when it only makes plainer or shorter what stays.
  Several faults that have to meet are tried under five even without: pauses between attempts to connect are
  drawn as well. A row of faults at one node, as a hunt finds, took 144 runs; like this 81 to 129.
* What can go, and in which order, is in `reductions`: each is a coroutine that proposes alternatives and is
  sent the one that still failed. The search (`search`) tries them, several side by side, but takes the first
  in order, so that the number of processes changes nothing about the outcome.

Rejected: to shrink the seed's draws, as hypothesis does with its choice sequence. A swarm's draws depend on
those before them, so one that goes moves all that follow; and what people want is a scenario, not a seed.
"""
