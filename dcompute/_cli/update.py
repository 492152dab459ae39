"""What `dcompute update` does: brings boards to a version in waves, shows how far each is, keeps that."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dcompute._cli.update_options import Versions, Waves
from dcompute._log import printable
from dcompute._ota.bundle_check import complaints
from dcompute._ota.campaign import BadCampaign, Campaign, Fate, waves_of
from dcompute._ota.messages import digest_of
from dcompute._ota.progress import UpdateProgress, UpdateState
from dcompute._plural import number_of
from dcompute.bundle import BadBundle, Bundle
from dcompute.update_keys import UpdateKeys

_LOOK_S = 0.2
_SHOWN = 12  # ids in a line


@dataclass
class Printer:
    """Shows progress: a line for each change of state; in a terminal also how much each board has."""

    say: Callable[[str], object]
    _states: dict[str, UpdateState] = field(default_factory=dict)
    _tenths: dict[str, int] = field(default_factory=dict)

    def show(self, progress: UpdateProgress) -> None:
        tenth = 10 * progress.sent_bytes // max(1, progress.size_bytes)
        changed = self._states.get(progress.node_id) is not progress.state
        moved = progress.state is UpdateState.SENDING and self._tenths.get(progress.node_id) != tenth
        if changed or (moved and sys.stdout.isatty()):
            self._states[progress.node_id], self._tenths[progress.node_id] = progress.state, tenth
            self.say(line(progress))


def line(progress: UpdateProgress) -> str:
    """Return one node's progress in words."""
    words = f"{progress.node_id}: {progress.state}"
    if progress.state is UpdateState.SENDING:
        words += f" {progress.sent_bytes} of {progress.size_bytes} bytes"
    elif progress.state is UpdateState.CONFIRMED:
        words += f", runs {progress.version}"
    return printable(f"{words}: {progress.reason}" if progress.reason else words)


def kept_campaign(state: Path | None) -> Campaign | None:
    """Return the campaign that a file keeps. Raises BadCampaign if it keeps none, OSError."""
    if state is None or not state.exists():
        return None
    try:
        return Campaign.from_json(state.read_text(encoding="utf-8"))
    except BadCampaign as error:
        raise BadCampaign(f"{state}: {error}") from None


class Unkept(RuntimeError):
    """What a campaign has come to cannot be written down, so nothing more of it is begun."""


@dataclass(frozen=True)
class Prepared:
    """A campaign and all it takes. `before`: the version that boards go back to after an abort."""

    campaign: Campaign
    keys: Mapping[str, bytes]
    bundle: Bundle
    before: Bundle | None

    def preview(self, say: Callable[[str], object]) -> None:
        """Say which board comes when."""
        for number, wave in enumerate(self.campaign.waves, 1):
            left = [name for name in wave if self.campaign.fates[name] is not Fate.DONE]
            more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
            say(f"wave {number}: {number_of(len(left), 'board')}: {', '.join(left[:_SHOWN])}{more}")


def prepare(
    versions: Versions, waves: Waves, key_file: Path, nodes: list[str] | None, namespace: str
) -> Prepared:
    """Read the files, and go on with the campaign that is kept or make a new one.

    Args:
        nodes: ids of the boards; None: all in the key file.

    Raises:
        ValueError: for what makes no sense, and for boards without keys.
        OSError: a file cannot be read.
    """
    kept = kept_campaign(waves.state)
    bundle, before = versions.new(kept), versions.before()
    wrong = [] if versions.unchecked else complaints(bundle)
    if wrong:
        raise BadBundle("\n".join(["the version cannot work (--unchecked sends it all the same):", *wrong]))
    keys = UpdateKeys.read(key_file)
    known = keys.boards(namespace)
    chosen = known if nodes is None else list(dict.fromkeys(nodes))
    if not chosen:
        raise ValueError(f"{key_file}: no board in it in namespace {namespace!r}")
    if unknown := [name for name in chosen if name not in known]:
        shown = ", ".join(known[:_SHOWN]) + (
            f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
        )
        raise ValueError(f"{key_file}: no key for {', '.join(unknown)}; it has those of {shown or 'nobody'}")
    plan, digest = waves.plan(can_return=before is not None), digest_of(bundle.manifest()).hex()
    if kept is not None and kept.digest != digest:
        raise BadCampaign(
            f"the state file keeps a campaign with version {kept.version}, release {kept.release}, of other "
            "files: give those, or name another file"
        )
    campaign = kept or Campaign(
        bundle.version, bundle.release, digest, waves_of(chosen, plan), plan, before is not None
    )
    if waves.retry_boxed:
        campaign.release_boxed()
    return Prepared(campaign, {name: keys.key(name, namespace) for name in campaign.fates}, bundle, before)


class Updating(Protocol):
    """What a campaign needs of a master's transport."""

    def update_node(
        self, node_id: str, bundle: Bundle, key: bytes, *, back: bool, taken: bool, patience_s: float
    ) -> object:
        """Begin an update."""

    def updates(self) -> list[UpdateProgress]:
        """Tell how far each is."""


class Runner:
    """Carries out a campaign on a master's transport.

    Args:
        back: also to a release that is not above the one that runs.
        patience_s: how long a board may make no progress until it counts as failed.
        state: where the campaign is kept, before each step is taken.
        now_s: a clock that never goes back.
        rest: lets so many seconds pass.
    """

    def __init__(
        self,
        master: Updating,
        prepared: Prepared,
        say: Callable[[str], object],
        *,
        back: bool,
        patience_s: float,
        state: Path | None,
        now_s: Callable[[], float] = time.monotonic,
        rest: Callable[[float], object] = time.sleep,
    ) -> None:
        self._master = master
        self._now_s, self._rest = now_s, rest
        self._campaign, self._keys = prepared.campaign, prepared.keys
        self._bundle, self._before = prepared.bundle, prepared.before
        self._say = say
        self._back, self._patience_s = back, patience_s
        self._state = state
        self._open: set[str] = set()
        self._counts: dict[Fate, int] = {}

    def run(self) -> bool:
        """Go on until nothing more is to be done; whether all boards run the new version."""
        campaign, bundle = self._campaign, self._bundle
        self._say(
            f"version {bundle.version}, release {bundle.release}: {number_of(len(bundle.files), 'file')}, "
            f"{bundle.size_bytes} bytes, for {len(campaign.fates)}"
        )
        there, back = campaign.resumed()
        printer = Printer(self._say)
        while True:
            there += campaign.begin(self._now_s())
            back += campaign.back()
            if there or back:
                self._keep()
            self._begin(there, back)
            there, back = [], []
            for progress in self._master.updates():
                printer.show(progress)
                if progress.node_id not in self._open:
                    continue
                if progress.over:
                    self._open.discard(progress.node_id)
                    campaign.ended(progress)
                    self._keep()
                elif progress.taken and campaign.took(progress.node_id):
                    self._keep()
            if campaign.over:
                break
            self._rest(_LOOK_S)
        return self._sum_up()

    def _begin(self, there: list[str], back: list[str]) -> None:
        for names, bundle, going_back in ((there, self._bundle, self._back), (back, self._before, True)):
            if names and bundle is None:
                raise BadCampaign("boards are to go back: say to what with --previous")
            for name in names:
                assert bundle is not None
                self._open.add(name)
                self._master.update_node(
                    name,
                    bundle,
                    self._keys[name],
                    back=going_back,
                    taken=name in self._campaign.taken,
                    patience_s=self._patience_s,
                )

    def _keep(self) -> None:
        if self._state is not None:
            new = self._state.with_name(f"{self._state.name}.new")
            try:
                new.write_text(self._campaign.to_json(), encoding="utf-8")
                new.replace(self._state)
            except OSError as error:
                raise Unkept(f"{self._state} cannot be written: {error.strerror}") from None
        counts = self._campaign.counts()
        if counts != self._counts and len(self._campaign.waves) > 1:
            self._counts = counts
            self._say(", ".join(f"{count} {fate}" for fate, count in counts.items()))

    def _sum_up(self) -> bool:
        campaign, bundle = self._campaign, self._bundle
        counts = campaign.counts()
        done = counts.get(Fate.DONE, 0)
        if campaign.aborted:
            untouched = number_of(counts.get(Fate.WAITING, 0), "board was", "boards were")
            self._say(f"aborted: {campaign.aborted}; {untouched} not touched")
        self._say(f"{done} of {len(campaign.fates)} run {bundle.version}")
        for fate in (Fate.FAILED, Fate.BOXED):
            for name in [name for name, found in campaign.fates.items() if found is fate]:
                passed = "passed over" if fate is Fate.BOXED else "does not run it"
                self._say(f"{name}: {passed}: {campaign.reasons.get(name) or 'no reason given'}")
        missed = [name for name, fate in campaign.fates.items() if fate in (Fate.FAILED, Fate.BOXED)]
        if (
            missed and not campaign.aborted
        ):  # another release would be another version, sent to all of them again
            nodes = " ".join(f"--node {name}" for name in missed[:_SHOWN])
            self._say(f"again, for the rest: {nodes} --version {bundle.version} --release {bundle.release}")
        return done == len(campaign.fates)
