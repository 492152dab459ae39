"""The key file: what stands in it, who may read it, and that no two boards share a key."""

from __future__ import annotations

import itertools
import stat
import threading
from pathlib import Path

import pytest

from dcompute.update_keys import BadKeyFile, UpdateKeys, board_key


def test_a_file_is_made_for_its_owner_only_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    keys = UpdateKeys.create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    one, other = keys.enroll("a"), keys.enroll("b", "plant-1/hall")
    again = UpdateKeys.read(path)
    assert (again.key("a"), again.key("b", "plant-1/hall")) == (one, other)
    assert (again.boards(), again.boards("plant-1/hall"), again.boards("plant-1")) == (["a"], ["b"], [])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys"]


def test_a_raised_epoch_makes_another_key_for_that_board_alone(tmp_path: Path) -> None:
    keys = UpdateKeys.create(tmp_path / "keys")
    a, b = keys.enroll("a"), keys.enroll("b")
    assert keys.rekey("a") != a
    assert keys.enroll("a") == keys.key("a") == UpdateKeys.read(keys.path).key("a")
    assert keys.key("b") == b


def test_no_two_names_have_one_key() -> None:
    names = [("a", ""), ("a", "a"), ("a", "a/a"), ("aa", ""), ("b", "a"), ("a", "b")]
    made = {
        board_key(bytes(32), node, place, epoch) for (node, place), epoch in itertools.product(names, (1, 2))
    }
    assert len(made) == 2 * len(names)


def test_a_board_without_a_line_is_named_with_what_to_do(tmp_path: Path) -> None:
    keys = UpdateKeys.create(tmp_path / "keys")
    with pytest.raises(BadKeyFile, match=r"keys: no key for hall/a: `dcompute deploy --key-file`"):
        keys.key("a", "hall")


def test_a_file_is_never_replaced_by_a_new_secret(tmp_path: Path) -> None:
    keys = UpdateKeys.create(tmp_path / "keys")
    before = keys.path.read_bytes()
    with pytest.raises(BadKeyFile, match="is there already"):
        UpdateKeys.create(keys.path)
    assert keys.path.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no `secret` of 32 bytes"),
        ("secret 00", "no `secret` of 32 bytes"),
        ("secret zz\n", ":1: not `secret HEX`"),
        (f"secret {'00' * 32}\n\n# ours\na b c\n", ":4: not"),
        (f"secret {'00' * 32}\na/+ 1\n", ":2: not"),
        (f"secret {'00' * 32}\na 0\n", ":2: not"),
        (f"secret {'00' * 32}\na 4294967296\n", ":2: not"),
        (f"secret {'00' * 32}\nsecret {'11' * 32}\n", ":2: not"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_by_its_line_and_the_secret_is_not_shown(
    tmp_path: Path, text: str, fault: str
) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(BadKeyFile) as caught:
        UpdateKeys.read(path)
    assert fault in str(caught.value)
    assert "0000" not in str(caught.value)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    keys = UpdateKeys.create(tmp_path / "keys")
    keys.path.chmod(0o640)
    with pytest.raises(BadKeyFile, match="others may read it: chmod 600"):
        UpdateKeys.read(keys.path)


def test_threads_that_deploy_side_by_side_lose_no_line(tmp_path: Path) -> None:
    keys = UpdateKeys.create(tmp_path / "keys")
    threads = [threading.Thread(target=keys.enroll, args=(f"board-{number}",)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(UpdateKeys.read(keys.path).boards()) == 20
