"""A board's key for updates over the air: given with a deploy, and another one with --rekey."""

from __future__ import annotations

from pathlib import Path

from dcompute.update_keys import UpdateKeys

from .conftest import Command, Desk


def test_a_key_of_its_own_and_then_a_new_one(desk: Desk, command: Command, deployed: Path) -> None:
    root, kept = desk.root("flash", deployed), desk.folder / "keys"
    words = ("--port", desk.plug_in(root).address, "--version", "one", "--no-wait", "--key-file", kept)
    assert "nothing to copy" in command(*words).out
    assert kept.stat().st_mode & 0o777 == 0o600
    first = desk.flash(root)["update.key"]
    assert first == UpdateKeys.read(kept).key("kiln")
    assert "key a new one" in command(*words, "--rekey").out
    second = desk.flash(root)["update.key"]
    assert second == UpdateKeys.read(kept).key("kiln") != first
