"""Updates over the air: who gets which version when; the master of the run does the rest."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from simpy import Event

from dcompute_sim import trace as t
from dcompute_sim.director.master_program import TransportMaster
from dcompute_sim.director.versions import bundle_of, is_broken_on
from dcompute_sim.faults.schedule import Candidate, pick
from dcompute_sim.first_version import FIRST_RELEASE, FIRST_VERSION, update_key
from dcompute_sim.interfaces.node import Node
from dcompute_sim.interfaces.world import Engine
from dcompute_sim.recorder import Recorder
from dcompute_sim.scenario import Scenario, rng_for
from dcompute_sim.scenario.updates import Rollout, Update

if TYPE_CHECKING:
    from dcompute.bundle import Bundle

_LOOK_S = 0.5
_ANOTHER_SECRET = bytes(32)


class Updates:
    """All updates of a concrete scenario."""

    def __init__(
        self,
        engine: Engine,
        recorder: Recorder,
        scenario: Scenario,
        nodes: Mapping[str, Node],
        master: TransportMaster,
    ) -> None:
        self._env = engine.env
        self._recorder = recorder
        self._scenario = scenario
        self._master = master
        self._releases: dict[str, int] = {}  # that each board must have come to, as the scenario declares
        self._before: dict[tuple[str, str | None], str] = {}  # the version a board ran, by update
        self._groups = {name: node.group_name for name, node in nodes.items()}
        self._boards = [node for node in nodes.values() if scenario.fleet[node.group_name].layout == "slots"]

    def start(self) -> None:
        """Let every update wait for its moment."""
        for index, update in enumerate(self._scenario.updates):
            self._env.process(self._when_due(index, update))

    def _when_due(self, index: int, update: Update) -> Generator[Event, object, None]:
        yield self._env.timeout(max(0.0, update.at - self._env.now))
        candidates = [Candidate(node.name, node.group_name, node.status) for node in self._boards]
        release = FIRST_RELEASE + 1 + index if update.release is None else update.release
        bundle = bundle_of(update, release)
        names = pick(update.select, candidates, rng_for(self._scenario, f"update/{update.id}"))
        if update.campaign is not None:
            yield from self._in_waves(update, update.campaign, names, bundle, release)
            return
        for name in names:
            self._offer(name, update, bundle, release)

    def _in_waves(
        self, update: Update, rollout: Rollout, names: list[str], bundle: Bundle, release: int
    ) -> Generator[Event, object, None]:
        """Carry out a campaign. What is known of it outlives a master that crashes, as the command's file
        does."""
        from dcompute.updates import Campaign, WavePlan, waves_of

        canaries = rollout.canaries if isinstance(rollout.canaries, int) else tuple(rollout.canaries)
        self._recorder.add(
            t.CampaignStarted,
            version=update.version,
            nodes=names,
            first=canaries if isinstance(canaries, int) else len(canaries),
            canaries=() if isinstance(canaries, int) else canaries,
            wave=rollout.wave,
            pause_s=rollout.pause,
            abort=rollout.abort,
            back=rollout.back,
            tries=rollout.tries,
        )
        plan = WavePlan(canaries, rollout.wave, rollout.pause, rollout.abort, rollout.tries)
        waves = waves_of(names, plan)
        campaign = Campaign(update.version, release, "", waves, plan, can_return=rollout.back)
        kept, boots = campaign.to_json(), self._master.boots
        there: list[str] = []
        back: list[str] = []
        under_way: set[str] = set()
        while not campaign.over:
            if self._master.boots != boots:
                boots = self._master.boots
                campaign = Campaign.from_json(kept)
                there, back = campaign.resumed()
            if self._master.transport is not None:
                there += campaign.begin(self._env.now)
                back += campaign.back()
                for name in there:
                    self._offer(name, update, bundle, release, taken=name in campaign.taken)
                for name in back:
                    self._send_back(name, update, taken=name in campaign.taken)
                under_way |= {*there, *back}
                there, back = [], []
                for name, progress in self._master.progress().items():
                    if name not in under_way:
                        continue
                    if progress.over:
                        under_way.discard(name)
                        campaign.ended(replace(progress, node_id=name))
                    elif progress.taken:
                        campaign.took(name)
                kept = campaign.to_json()
            yield self._env.timeout(_LOOK_S)
        counts = {str(fate): count for fate, count in campaign.counts().items()}
        self._recorder.add(
            t.CampaignEnded,
            version=update.version,
            aborted=campaign.aborted,
            done=counts.get("done", 0),
            failed=counts.get("failed", 0),
            untouched=counts.get("waiting", 0),
        )

    def _offer(self, name: str, update: Update, bundle: Bundle, release: int, *, taken: bool = False) -> None:
        node_id = self._scenario.fleet[self._groups[name]].node_id(name)
        broken = update.broken if update.broken and is_broken_on(node_id, update.broken_share) else None
        before = self._master.told_by(name, "version")
        self._recorder.add(
            t.UpdateStarted,
            node=name,
            version=update.version,
            before=self._before.setdefault((name, update.id), before),
            broken=broken or "",
            signed=update.signed,
            release=release,
            release_before=self._releases.get(name, FIRST_RELEASE),
        )
        if update.signed == "right" and not broken and update.campaign is None:
            self._releases[name] = max(release, self._releases.get(name, FIRST_RELEASE))
        secret = {} if update.signed == "right" else {"secret": _ANOTHER_SECRET}
        key = update_key(node_id, self._scenario.namespace, **secret)
        # What a board of somebody's own runs has a release that nobody here knows.
        back = update.release is None and self._scenario.fleet[self._groups[name]].kind == "board"
        if update.campaign is None:
            self._master.update(name, bundle, key, back=back, patience_s=update.patience)
        else:  # a master that crashes knows of it what the campaign had written down
            self._master.begin_update(name, bundle, key, back=back, patience_s=update.patience, taken=taken)

    def _send_back(self, name: str, update: Update, *, taken: bool) -> None:
        """Send them back, after an abort, to the version before."""
        from dcompute.bundle import Bundle, product_folder

        group = self._scenario.fleet[self._groups[name]]
        before = self._before.get((name, update.id), "") or FIRST_VERSION
        confirm_s = round(update.confirm)
        bundle = Bundle.from_folder(
            product_folder(), before, confirm_s, self._releases.get(name, FIRST_RELEASE)
        )
        told = {"node": name, "version": before, "before": before}
        self._recorder.add(t.UpdateStarted, **told, release=bundle.release, release_before=bundle.release - 1)
        key = update_key(group.node_id(name), self._scenario.namespace)
        self._master.begin_update(name, bundle, key, back=True, patience_s=update.patience, taken=taken)

    def finish(self) -> None:
        """Write down, at the end of the run, which version each board tells, and which one it gave up."""
        for node in self._boards:
            told = {about: self._master.told_by(node.name, about) for about in ("version", "failed")}
            self._recorder.add(t.FinalVersion, node=node.name, **told)
