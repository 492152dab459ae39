"""The board's side of an update: what it takes, what it refuses, and that a refusal changes nothing."""

from __future__ import annotations

from typing import Any

from dcompute.update import State


def test_a_board_is_updated_twice(bench: Any, make_version: Any) -> None:
    board = bench()
    board.start()
    assert board.status()["capabilities"]["version"] == "v1"
    for version, slot in (("v2", "b - 0"), ("v3", "a - 0")):
        update = board.begin(make_version(version))
        board.until(lambda update=update: update.progress().over)
        assert (update.state, update.reason) == (State.CONFIRMED, "")
        board.run_s(2)
        assert board.status()["status"] == "ready"
        assert board.slot() == slot
    assert board.crashes == []
    assert board.stops == ["reset", "reset"]
