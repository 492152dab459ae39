"""What `dcompute update` does: offers boards a version, shows how far each is and who did not make it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dcompute._ota.progress import UpdateProgress, UpdateState
from dcompute.bundle import BadBundle, Bundle, product_folder
from dcompute.master_transport import MasterNodeTransport

LISTEN_S = 3.0  # until a fresh client has been sent every retained status
_LOOK_S = 0.2


def read_bundle(folder: Path | None, version: str, confirm_s: int) -> Bundle:
    """The version in `folder`, or our own firmware. BadBundle, OSError if there is none."""
    return Bundle.from_folder(folder or product_folder(), version, confirm_s)


def read_key(file: Path | None, text: str | None) -> bytes | None:
    """The fleet's key: from a file (less the newline at its end), else `text`. ValueError if empty."""
    if file is not None:
        text = file.read_text(encoding="utf-8").rstrip("\r\n")
    if text is not None and not text:
        raise ValueError("the update key is empty")
    return None if text is None else text.encode()


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


def boards_of(master: MasterNodeTransport) -> list[str]:
    """The nodes there are whose program is in slots."""
    infos = master.get_node_info()
    assert isinstance(infos, list)
    return sorted(
        info["node_id"]
        for info in infos
        if "version" in info["capabilities"] and info["status"] not in ("dead", "offline")
    )


def run(
    master: MasterNodeTransport,
    nodes: Sequence[str],
    bundle: Bundle,
    key: bytes | None,
    say: Callable[[str], object],
    patience_s: float,
) -> bool:
    """Update `nodes` (none given: all boards there are) and wait; whether all run the new version."""
    if not nodes:
        time.sleep(LISTEN_S)
        nodes = boards_of(master)
        if not nodes:
            say("no board whose program is in slots is there (`dcompute deploy` puts it there)")
            return False
    say(f"version {bundle.version}: {len(bundle.files)} files, {bundle.size_bytes} bytes, for {len(nodes)}")
    for node_id in nodes:
        master.update_node(node_id, bundle, key, patience_s=patience_s)
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
    return not failed


__all__ = ["BadBundle", "Printer", "boards_of", "line", "read_bundle", "read_key", "run"]
