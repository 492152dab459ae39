"""Many boards at once: the table, how each ended, and the exit status of it all."""

from __future__ import annotations

import io

from dcompute_sim.deploy.board_config import DeployTarget
from dcompute_sim.deploy.deploy_errors import DeployError, InvalidInput, SomethingMissing
from dcompute_sim.deploy.deployment import DeployOutcome, Say
from dcompute_sim.deploy.progress import Progress, for_all, status_of
from rich.console import Console

BOARDS = [DeployTarget("kiln", "/dev/a"), DeployTarget("", "/dev/b")]


def work(target: DeployTarget, say: Say) -> DeployOutcome:
    say("copy", "1 of 2 KiB [half]")
    if not target.name:
        raise DeployError("it does not come up")
    return DeployOutcome("two", "ready")


def test_a_live_table_on_a_terminal() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80)
    results = for_all(BOARDS, Progress(console, BOARDS), work)
    last = out.getvalue()[-1000:]
    assert all(word in last for word in ("kiln", "/dev/b", "done", "failed"))
    assert isinstance(results[0][1], DeployOutcome)
    assert status_of(results) == 1


def test_lines_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    for_all(BOARDS, Progress(Console(file=out, width=20), BOARDS), work)
    assert sorted(out.getvalue().splitlines()) == [
        "/dev/b: copy 1 of 2 KiB [half]",
        "/dev/b: failed",
        "kiln: copy 1 of 2 KiB [half]",
        "kiln: done two",
    ]


def test_that_a_board_failed_weighs_most() -> None:
    kiln = BOARDS[0]
    missing, invalid, failed = SomethingMissing(""), InvalidInput(""), DeployError("")
    assert status_of([(kiln, DeployOutcome("", ""))]) == 0
    assert status_of([(kiln, missing), (kiln, invalid)]) == 3
    assert status_of([(kiln, missing), (kiln, failed)]) == 1
