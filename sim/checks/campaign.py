"""The verdict on many runs of one scenario (many seeds): every expectation failed in none and held in some.

One random run often leaves an expectation untested: no node happened to die, so no death could be reported.
That makes the run inconclusive, but not the campaign, if other runs did test it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sim.checks.base import Status
from sim.checks.verdict import EXIT_STATUS, Verdict


@dataclass(slots=True)
class Tally:
    """How one expectation fared. `first_failed`: the name of the first run in which it failed."""

    held: int = 0
    failed: int = 0
    inconclusive: int = 0
    first_failed: str = ""

    @property
    def status(self) -> Status:
        if self.failed:
            return Status.FAILED
        return Status.HELD if self.held else Status.INCONCLUSIVE


@dataclass(slots=True)
class Campaign:
    """Verdicts, added up."""

    runs: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)

    def add(self, run: str, verdict: Verdict) -> None:
        """Take in one more run; `run` tells it apart, such as its replay command."""
        self.runs += 1
        for result in verdict.results:
            tally = self.tallies.setdefault(result.label, Tally())
            match result.outcome.status:
                case Status.HELD:
                    tally.held += 1
                case Status.FAILED:
                    tally.failed += 1
                    tally.first_failed = tally.first_failed or run
                case Status.INCONCLUSIVE:
                    tally.inconclusive += 1

    @property
    def status(self) -> Status:
        """Failed if anything failed anywhere; inconclusive if something was tested nowhere."""
        found = {tally.status for tally in self.tallies.values()}
        if Status.FAILED in found:
            return Status.FAILED
        return Status.INCONCLUSIVE if Status.INCONCLUSIVE in found or not self.runs else Status.HELD

    @property
    def exit_status(self) -> int:
        """0 all held, 1 one failed, 2 inconclusive."""
        return EXIT_STATUS[self.status]
