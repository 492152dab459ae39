"""The list of rare sequences that `python -m benchmarks hunt` counts."""

from __future__ import annotations

from dcompute_sim.faults import KINDS

from benchmarks.rare import LISTED, rare_sequences


def test_what_is_listed_can_still_be_met() -> None:
    """A kind of fault that is called otherwise by now would be met by nobody: fewer hits say less."""
    listed = rare_sequences()
    assert len(set(listed)) == len(listed) == LISTED
    for struck in (fault for pair in listed for fault in pair):
        assert struck[0] in KINDS
        assert struck[1] in ("disconnected", "connecting", "subscribing", "busy", "idle", "")
