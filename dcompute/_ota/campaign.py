"""An update of a whole fleet, in waves: who is next, when it stops, and what is kept of it. No I/O, no clock.

Rules:

1. Canaries first; then wave after wave. A wave begins when every board of the one before has ended and a
   pause has passed.
2. Only what the *version* did to a board counts against it: a board that took the offer and then refused,
   failed or went back. When more than the allowed share of the boards that took it did so, the campaign is
   aborted: nobody new is begun, and boards under way end by themselves.
3. A board that never answered says nothing of the version. It is tried again after the last wave, as often as
   `tries` says; then it is in the penalty box, named at the end, and not tried again until somebody asks for
   it.
4. After an abort boards that run the new version go back, if the version before was given, one and all.
5. What is known is a value (`to_json`), written down by the caller before a board is begun. A campaign that
   is read again begins at once with the boards that were under way: an update of a board that runs the
   version already ends as confirmed, so doing it again harms nobody. One that has gone back from it while the
   master was away must not get it once more: that a board took it is kept as soon as it is known (`took`).

Rejected: a wave that begins while the last boards of the one before are still on trial (faster, and touches
twice as many with a version that does not come up); counting boards that are switched off as failures (a
fleet with 10 % of its boards in a drawer could never be updated).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from dcompute._ota.progress import UpdateProgress, UpdateState
from dcompute._plural import noun, number_of

TRIES = 2


class Fate(StrEnum):
    """How a board stands in a campaign."""

    WAITING = "waiting"
    UNDER_WAY = "under way"
    DONE = "done"  # it runs the new version
    FAILED = "failed"  # it took the version and does not run it
    SILENT = "silent"  # it never answered
    RETURNING = "returning"  # to the version before, after an abort
    RETURNED = "returned"
    BOXED = "boxed"  # in the penalty box


class BadCampaign(ValueError):
    """The campaign cannot be: what was given, or what was read, makes no sense. The text says what."""


@dataclass(frozen=True)
class WavePlan:
    """How fast, and how much may go wrong.

    Attributes:
        canaries: how many boards, or their names, before all others.
        wave: boards a wave; below 1: that share of the fleet.
        pause_s: between the end of one wave and the next.
        abort_share: of the boards that took the version, so many may fail; more, and it is aborted.
        tries: how often a board that does not answer is tried before it is in the penalty box.
    """

    canaries: int | tuple[str, ...] = 1
    wave: float = 0.1
    pause_s: float = 60.0
    abort_share: float = 0.1
    tries: int = TRIES

    def __post_init__(self) -> None:
        if self.wave <= 0 or (self.wave > 1 and self.wave != int(self.wave)):
            raise BadCampaign(f"wave {self.wave:g}: a share such as 10%, or a number of boards")
        if not 0 <= self.abort_share <= 1:
            raise BadCampaign(f"abort share {self.abort_share:g}: from 0 to 100%")
        if self.pause_s < 0 or self.tries < 1:
            raise BadCampaign("a pause is no less than 0 s, and there is at least one try")


def waves_of(nodes: Iterable[str], plan: WavePlan) -> list[list[str]]:
    """Return the boards by wave, canaries first. Raises BadCampaign for a canary that is not among them."""
    fleet = sorted(dict.fromkeys(nodes))
    if isinstance(plan.canaries, int):
        first = fleet[: plan.canaries]
    else:
        first = list(dict.fromkeys(plan.canaries))
        unknown = [name for name in first if name not in fleet]
        if unknown:
            raise BadCampaign(f"canary {', '.join(unknown)}: not among the boards: {', '.join(fleet[:20])}")
    rest = [name for name in fleet if name not in first]
    size = max(1, math.floor(plan.wave * len(fleet)) if plan.wave < 1 else int(plan.wave))
    waves = [rest[start : start + size] for start in range(0, len(rest), size)]
    return [first, *waves] if first else waves


@dataclass
class Campaign:
    """One campaign. What it wants done are the boards that `begin` and `back` name; what came of it is told
    by `ended`.

    Args:
        digest: of the version's manifest, in hex: a campaign that is read again must be of the same.
        can_return: the version before was given, so that boards can be sent back to it.
    """

    version: str
    release: int
    digest: str
    waves: list[list[str]]
    plan: WavePlan
    can_return: bool = False
    fates: dict[str, Fate] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    aborted: str = ""
    taken: set[str] = field(default_factory=set)  # of the boards under way or returning: who took the offer
    _rested_s: float | None = None  # when the present wave ended

    def __post_init__(self) -> None:
        for wave in self.waves:
            for name in wave:
                self.fates.setdefault(name, Fate.WAITING)

    # --- what is to be done -----------------------------------------------------------------------------

    def begin(self, now_s: float) -> list[str]:
        """Return the boards whose update is to be begun now. They are under way from now on."""
        if self.aborted or any(fate is Fate.UNDER_WAY for fate in self.fates.values()):
            self._rested_s = None
            return []
        wave = next((w for w in self.waves if any(self.fates[n] is Fate.WAITING for n in w)), None)
        chosen = [n for n in wave if self.fates[n] is Fate.WAITING] if wave else self._of(Fate.SILENT)
        if not chosen:
            return []
        touched = any(fate is not Fate.WAITING for fate in self.fates.values())
        if self._rested_s is None:
            self._rested_s = now_s
        if touched and now_s - self._rested_s < self.plan.pause_s:
            return []
        self._rested_s = None
        for name in chosen:
            self.fates[name] = Fate.UNDER_WAY
            self.tries[name] = self.tries.get(name, 0) + 1
        return chosen

    def back(self) -> list[str]:
        """Return the boards that are to be sent back to the version before now. They are returning from now
        on."""
        if not (self.aborted and self.can_return) or self._of(Fate.UNDER_WAY):
            return []
        chosen = self._of(Fate.DONE)
        for name in chosen:
            self.fates[name] = Fate.RETURNING
            self.taken.discard(name)
        return chosen

    def resumed(self) -> tuple[list[str], list[str]]:
        """Return the boards to begin at once, and those to send back at once, after it was read again."""
        return self._of(Fate.UNDER_WAY), self._of(Fate.RETURNING)

    # --- what has happened ------------------------------------------------------------------------------

    def took(self, name: str) -> bool:
        """Take in that a board has taken what it was offered. Returns whether that is news, to be written
        down."""
        news = name not in self.taken
        self.taken.add(name)
        return news

    def ended(self, progress: UpdateProgress) -> None:
        """Take in that an update, there or back, is over."""
        name = progress.node_id
        fate = self.fates.get(name)
        self.reasons[name] = progress.reason
        if fate is Fate.RETURNING:
            back = progress.state is UpdateState.CONFIRMED
            self.fates[name] = Fate.RETURNED if back else Fate.FAILED
        elif fate is not Fate.UNDER_WAY:
            return
        elif progress.state is UpdateState.CONFIRMED:
            self.fates[name] = Fate.DONE
        elif progress.taken or progress.state is UpdateState.REFUSED:
            self.fates[name] = Fate.FAILED
        else:
            self.fates[name] = Fate.BOXED if self.tries[name] >= self.plan.tries else Fate.SILENT
        failed, took = len(self._of(Fate.FAILED)), len(self.touched())
        if not self.aborted and took and failed / took > self.plan.abort_share:
            self.aborted = (
                f"{failed} of the {number_of(took, 'board')} that took it "
                f"{noun(failed, 'does', 'do')} not run it"
            )

    # --- how it stands ----------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether nothing more is to be done."""
        open_ones = {Fate.UNDER_WAY, Fate.RETURNING}
        if not self.aborted:
            open_ones |= {Fate.WAITING, Fate.SILENT}
        elif self.can_return:
            open_ones.add(Fate.DONE)
        return not any(fate in open_ones for fate in self.fates.values())

    def touched(self) -> list[str]:
        """Return the boards that took the version, whatever came of it; of those under way it is not known
        yet."""
        took = (Fate.DONE, Fate.FAILED, Fate.RETURNING, Fate.RETURNED)
        return [name for name, fate in self.fates.items() if fate in took]

    def counts(self) -> dict[Fate, int]:
        """Tell how many boards stand how."""
        return {fate: count for fate in Fate if (count := len(self._of(fate)))}

    def release_boxed(self) -> None:
        """Let boards out of the penalty box."""
        for name in self._of(Fate.BOXED):
            self.fates[name] = Fate.SILENT
            self.tries[name] = 0

    def _of(self, fate: Fate) -> list[str]:
        return [name for name, found in self.fates.items() if found is fate]

    # --- kept -------------------------------------------------------------------------------------------

    def to_json(self) -> str:
        """Return all that is to be kept; `from_json` reads it."""
        known: dict[str, object] = {
            "version": self.version,
            "release": self.release,
            "digest": self.digest,
            "plan": asdict(self.plan),
            "waves": self.waves,
            "can_return": self.can_return,
            "aborted": self.aborted,
            "boards": {
                name: [str(fate), self.tries.get(name, 0), self.reasons.get(name, ""), name in self.taken]
                for name, fate in self.fates.items()
            },
        }
        return json.dumps(known, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Campaign:
        """Return the campaign that was written down. Raises BadCampaign for anything else."""
        try:
            known = json.loads(text)
            plan = dict(known["plan"])
            if isinstance(plan["canaries"], Sequence):
                plan["canaries"] = tuple(plan["canaries"])
            boards: Mapping[str, list[Any]] = known["boards"]
            return cls(
                known["version"],
                int(known["release"]),
                known["digest"],
                [[str(name) for name in wave] for wave in known["waves"]],
                WavePlan(**plan),
                bool(known["can_return"]),
                {name: Fate(row[0]) for name, row in boards.items()},
                {name: int(row[1]) for name, row in boards.items()},
                {name: str(row[2]) for name, row in boards.items() if row[2]},
                str(known["aborted"]),
                {name for name, row in boards.items() if row[3:] == [True]},
            )
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise BadCampaign(f"it is no campaign that was written down ({error!r})") from None
