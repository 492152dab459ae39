"""What is on a board, in a row of a table."""

from __future__ import annotations

from pathlib import Path

from dcompute_sim.deploy.board_config import DeployTarget
from dcompute_sim.deploy.board_plan import line_back, running
from dcompute_sim.deploy.probe import Probe, Survey
from dcompute_sim.deploy.progress import label
from dcompute_sim.deploy.ready_watch import ReadySeen
from dcompute_sim.deploy.slots import FLAT, is_launcher

ASKED = ("board", "port", "runs", "at the broker")
LOOKED = ("board", "port", "MicroPython", "runs", "can go back to", "flash free", "at the broker")


def asked_row(target: DeployTarget, known: ReadySeen) -> tuple[str, ...]:
    """Return what stands under ASKED for one board."""
    runs = known.version or "-"
    if known.failed:
        runs += f", {known.failed} failed"
    absent = target.port.startswith("/") and not Path(target.port).exists()
    return label(target), f"{target.port} (absent)" if absent else target.port, runs, known.status


def looked_row(target: DeployTarget, board: Probe, seen: Survey, known: ReadySeen) -> tuple[str, ...]:
    """Return what stands under LOOKED for one board."""
    back = line_back(seen)
    return (
        label(target),
        target.port,
        f"{board.version_text} {board.platform}",
        _runs(seen),
        "-" if back is None else _version(seen, back.current),
        f"{board.free_bytes // 1024} of {board.size_bytes // 1024} KiB",
        known.status + (f" ({known.version})" if known.version else ""),
    )


def _runs(seen: Survey) -> str:
    if not is_launcher(seen.main):
        return "nothing" if seen.main is None else "a program that was not deployed"
    now = running(seen)
    text = _version(seen, now.current)
    if now.on_trial:
        return f"{text}, on trial"
    return f"{text}, {seen.failed} failed" if seen.failed else text


def _version(seen: Survey, slot: str) -> str:
    if slot == FLAT:
        return "the program before"
    version = seen.version(slot)
    return f"{version} ({slot})" if version else f"damaged ({slot})"
