"""Plans: whatever is on the flash, nothing that the board may boot from is written to."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from dcompute_sim.deploy.board_plan import make_plan, running
from dcompute_sim.deploy.probe import File, Probe, Survey
from dcompute_sim.deploy.slots import FLAT, LAUNCHER_PATH, NONE, SLOTS, Launcher, SlotLine, finishing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcompute.bundle import Bundle, file_digest, product_folder

LEISURELY = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MAIN = b"# main.py of a board that keeps its program in slots\n"
LAUNCHER = Launcher(MAIN, b"# the launcher\n", finishing((product_folder() / "boot.py").read_bytes()))
BOARD = Probe("micropython", (1, 25, 0), "esp32", "", 0, "00", True, 4096, 1 << 20, 1 << 21, 1 << 17)
NAMES = ("main.py", "tasks.py", "lib/part.py")
contents = st.dictionaries(st.sampled_from(NAMES), st.binary(max_size=2), min_size=1)
lines = st.one_of(
    st.none(),
    st.builds(SlotLine, st.sampled_from((*SLOTS, FLAT)), st.sampled_from((*SLOTS, FLAT, NONE)), st.just(2)),
)


def file(data: bytes) -> File:
    return File(len(data), file_digest(data))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Survey, Bundle]:
    """Any flash: slots whole, damaged, begun or empty, with a launcher or without; and a version to come."""
    files: dict[str, File] = {}
    manifests: dict[str, dict[str, Any]] = {}
    wanted = {"main.py": b"new", **draw(contents)}
    nothing: st.SearchStrategy[dict[str, bytes]] = st.just({})
    for slot in SLOTS:
        inside: dict[str, bytes] = draw(st.one_of(nothing, contents, st.just(wanted)))
        files |= {f"/{slot}/{path}": file(data) for path, data in inside.items()}
        if draw(st.booleans()) and inside:
            described = {"main.py": b"", **draw(st.one_of(st.just(inside), contents))}
            if draw(st.booleans()):
                described = {**described, **inside}
            manifests[slot] = json.loads(Bundle(draw(st.sampled_from(("one", "two"))), described).manifest())
    if draw(st.booleans()):
        files["/main_before.py"] = file(b"before")
    main = draw(st.sampled_from((None, b"print()", MAIN, MAIN + b"# an older one")))
    if draw(st.booleans()):
        files[LAUNCHER_PATH] = file(LAUNCHER.module)
    return Survey(files, draw(lines), manifests, main, None), Bundle("two", wanted)


@LEISURELY
@given(cases())
def test_what_boots_is_never_written_to(case: tuple[Survey, Bundle]) -> None:
    seen, bundle = case
    plan = make_plan(bundle, LAUNCHER, b"", seen, BOARD)
    launched = seen.main is not None and seen.main.startswith(MAIN)
    writes = bool(plan.send or plan.duplicate or plan.remove or plan.write_manifest)
    now = running(seen) if launched else SlotLine(NONE)
    if writes and plan.withdraw is None:
        assert plan.slot not in (now.current, now.fallback)
    if plan.withdraw is not None:  # the version on trial makes room, and the proven one runs
        assert (plan.withdraw.current, plan.withdraw.on_trial) == (now.fallback, False)
        assert plan.slot == now.current
    if plan.line is not None:
        assert plan.line.current == plan.slot
        assert plan.line.fallback in (NONE, now.proven if launched else FLAT)


@pytest.mark.parametrize(
    ("fat", "boot", "installed", "added"),
    [
        (True, b"own()\n", False, True),
        (False, b"own()\n", False, False),
        (True, b"own()\n" + LAUNCHER.finishing, False, False),
        (True, b"# MicroPython's own\n", True, False),
        (True, None, True, False),
    ],
)
def test_on_fat_somebody_elses_boot_file_is_added_to_once(
    fat: bool, boot: bytes | None, installed: bool, added: bool
) -> None:
    seen = Survey({}, None, {}, b"print()", boot)
    plan = make_plan(Bundle("one", {"main.py": b""}), LAUNCHER, b"", seen, replace(BOARD, fat=fat))
    assert (plan.install_boot, plan.add_to_boot) == (installed, LAUNCHER.finishing if added else b"")


@LEISURELY
@given(cases())
def test_every_file_of_the_version_is_accounted_for_once(case: tuple[Survey, Bundle]) -> None:
    seen, bundle = case
    plan = make_plan(bundle, LAUNCHER, b"", seen, BOARD)
    parts = [*plan.keep, *(path for path, _ in plan.duplicate), *plan.send]
    assert sorted(parts) == sorted(bundle.files)
    wanted = json.loads(bundle.manifest())["files"]
    assert all(seen.files[source].digest == wanted[path] for path, source in plan.duplicate)
    assert not set(plan.remove) & set(bundle.files)


def test_a_version_that_runs_already_needs_nothing() -> None:
    bundle = Bundle("two", {"main.py": b"new"})
    files = {"/a/main.py": file(b"new"), LAUNCHER_PATH: file(LAUNCHER.module)}
    seen = Survey(files, SlotLine("a"), {"a": json.loads(bundle.manifest())}, MAIN, b"")
    assert not make_plan(bundle, LAUNCHER, b"", seen, BOARD).changes
    older = replace(seen, files=files | {LAUNCHER_PATH: file(b"an older one")})
    assert make_plan(bundle, LAUNCHER, b"", older, BOARD).install_launcher
    renamed = make_plan(Bundle("three", bundle.files), LAUNCHER, b"", seen, BOARD)
    assert (renamed.send, renamed.slot) == ((), "b")  # the same files by another name, copied on the board
