"""What `dcompute update` does: offers boards a version, shows how far each is and who did not make it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dcompute._ota.progress import UpdateProgress, UpdateState
from dcompute.bundle import Bundle, product_folder
from dcompute.master_transport import MasterNodeTransport

_LOOK_S = 0.2


def read_bundle(folder: Path | None, version: str, confirm_s: int, release: int | None) -> Bundle:
    """The version in `folder`, or our own firmware. BadBundle, OSError if there is none."""
    return Bundle.from_folder(folder or product_folder(), version, confirm_s, release)


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
    """One node's progress in words."""
    words = f"{progress.node_id}: {progress.state}"
    if progress.state is UpdateState.SENDING:
        words += f" {progress.sent_bytes} of {progress.size_bytes} bytes"
    elif progress.state is UpdateState.CONFIRMED:
        words += f", runs {progress.version}"
    return f"{words}: {progress.reason}" if progress.reason else words


def run(
    master: MasterNodeTransport,
    keys: Mapping[str, bytes],
    bundle: Bundle,
    say: Callable[[str], object],
    *,
    back: bool,
    patience_s: float,
) -> bool:
    """Update the nodes that have these keys, and wait; whether all run the new version."""
    say(f"version {bundle.version}: {len(bundle.files)} files, {bundle.size_bytes} bytes, for {len(keys)}")
    for node_id, key in keys.items():
        master.update_node(node_id, bundle, key, back=back, patience_s=patience_s)
    printer = Printer(say)
    while True:
        updates = master.updates()
        for progress in updates:
            printer.show(progress)
        if all(progress.over for progress in updates):
            break
        time.sleep(_LOOK_S)
    failed = [progress for progress in updates if progress.state is not UpdateState.CONFIRMED]
    say(f"{len(updates) - len(failed)} of {len(updates)} run {bundle.version}")
    if failed:  # the release is part of the version: with another one it would be sent to all of them again
        missed = " ".join(f"--node {progress.node_id}" for progress in failed)
        say(f"again, for the rest: {missed} --version {bundle.version} --release {bundle.release}")
    return not failed
