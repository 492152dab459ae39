"""Updates over the air: who gets which version when; the master of the run does the rest."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simpy import Event

from dcompute_sim import trace as t
from dcompute_sim.director.master_handle import MasterHandle
from dcompute_sim.faults.schedule import Candidate, pick
from dcompute_sim.interfaces.node import FIRST_RELEASE, Node, update_key
from dcompute_sim.interfaces.world import Engine
from dcompute_sim.recorder import Recorder
from dcompute_sim.scenario import Scenario, rng_for
from dcompute_sim.scenario.updates import Update

if TYPE_CHECKING:
    from dcompute.bundle import Bundle

_NO_WIFI = b"""
class Wifi:
    def __init__(self, *_):
        pass

    def join(self):
        return False

    is_connected = reset = join
"""
_BROKEN: dict[str, tuple[str, bytes]] = {
    "crash": ("main.py", b"raise RuntimeError('a broken version')\n"),
    "hang": ("main.py", b"import time\nwhile True:\n    time.sleep(10)\n"),
    "no-wifi": ("wifi.py", _NO_WIFI),
}
_ANOTHER_SECRET = bytes(32)


class Updates:
    """All updates of a concrete scenario."""

    def __init__(
        self,
        engine: Engine,
        recorder: Recorder,
        scenario: Scenario,
        nodes: Mapping[str, Node],
        master: MasterHandle,
    ) -> None:
        self._env = engine.env
        self._recorder = recorder
        self._scenario = scenario
        self._master = master
        self._releases: dict[str, int] = {}  # that each board must have come to, as the scenario declares
        self._groups = {name: node.group_name for name, node in nodes.items()}
        self._boards = [node for node in nodes.values() if scenario.fleet[node.group_name].layout == "slots"]

    def start(self) -> None:
        """Let every update wait for its moment."""
        for index, update in enumerate(self._scenario.updates):
            self._env.process(self._when_due(index, update))

    def _when_due(self, index: int, update: Update) -> Generator[Event, Any, None]:
        yield self._env.timeout(max(0.0, update.at - self._env.now))
        candidates = [Candidate(node.name, node.group_name, node.status) for node in self._boards]
        release = FIRST_RELEASE + 1 + index if update.release is None else update.release
        bundle = bundle_of(update, release)
        for name in pick(update.select, candidates, rng_for(self._scenario, f"update/{update.id}")):
            self._recorder.add(
                t.UpdateStarted,
                node=name,
                version=update.version,
                before=self._master.version_of(name),
                broken=update.broken or "",
                signed=update.signed,
                release=release,
                release_before=self._releases.get(name, FIRST_RELEASE),
            )
            if update.signed == "right" and not update.broken:
                self._releases[name] = max(release, self._releases.get(name, FIRST_RELEASE))
            secret = {} if update.signed == "right" else {"secret": _ANOTHER_SECRET}
            key = update_key(
                self._scenario.fleet[self._groups[name]].node_id(name), self._scenario.namespace, **secret
            )
            # What a board of somebody's own runs has a release that nobody here knows.
            back = update.release is None and self._scenario.fleet[self._groups[name]].kind == "board"
            self._master.update(name, bundle, key, back=back)

    def finish(self) -> None:
        """At the end of the run: write down which version each board tells."""
        for node in self._boards:
            self._recorder.add(t.FinalVersion, node=node.name, version=self._master.version_of(node.name))


def bundle_of(update: Update, release: int) -> Bundle:
    """Make the version, broken as it is to be."""
    from dcompute.bundle import Bundle, product_folder  # here: most runs update nothing

    folder = Path(update.bundle) if update.bundle else product_folder()
    bundle = Bundle.from_folder(folder, update.version, round(update.confirm), release)
    if update.broken is None:
        return bundle
    path, data = _BROKEN[update.broken]
    return replace(bundle, files={**bundle.files, path: data})
