"""A file that is replaced is the old one or the new one, never half of either, never readable by others."""

from __future__ import annotations

from pathlib import Path

import pytest
from dcompute_sim.whole_file import write_whole


def test_whoever_had_it_open_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "ports"
    write_whole(path, b"old")
    with path.open("rb") as reader:
        write_whole(path, b"new and longer")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new and longer"
    assert list(tmp_path.iterdir()) == [path]


def test_the_rest_of_a_writer_that_was_killed_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    (tmp_path / ".passwords.new").write_bytes(b"half")
    (tmp_path / ".passwords.new").chmod(0o644)
    write_whole(path, b"secret", 0o600)
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write_whole(path, b"old")
    (tmp_path / ".state.new").mkdir()
    with pytest.raises(OSError, match=r"\.state\.new"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
