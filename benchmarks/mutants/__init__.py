"""How much the testbed notices: mutants of production code, each against all that ships.

    python -m benchmarks mutants                        # all of them
    python -m benchmarks mutants --part firmware --only 'fw-*' --only 'dcompute/_ota/*'

Each mutant is one small change, applied to a copy of `dcompute/` and `firmware/`; a process of its own then
runs the shipped scenarios and swarm seeds until one has the verdict `failed` (or ends with an error, as
whoever runs it sees). What is only `inconclusive` has not noticed. Nor has what came to no verdict within two
minutes of a processor (of which a loaded machine takes away nothing), as runs all have an end: that is a row
of its own, and a question to the testbed. The share that is
noticed is the figure by which the checks and scenarios are judged.

The trial that a mutant names is tried first, and before it what noticed it in the last run, so that the
benchmark is quick when little has changed. What became of each is kept in `runs/mutants.json`: what was
judged of this very tree is not judged again, and a run that was cut short goes on. A trial that does not hold
on the healthy code can notice nothing; what it says is passed over, with a warning. `equivalent` mutants,
which nobody could notice, carry the reason and are not counted.
"""
