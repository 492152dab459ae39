"""The password file that mosquitto and our own brokers share."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from dcompute_sim.brokers.passwords import PasswordFileError, hash_password, load, set_user, verify


def test_a_password_verifies_and_others_do_not() -> None:
    stored = hash_password("päss:word$")
    assert verify("päss:word$".encode(), stored)
    assert not verify(b"pass:word$", stored)
    assert hash_password("päss:word$") != stored  # the salt is fresh


@pytest.mark.parametrize(
    "stored", ["", "plain", "$6$salt$hash", "$7$x$YQ==$YQ==", "$7$1$?$YQ==", "$7$0$YQ==$YQ=="]
)
def test_strange_hashes_let_nobody_in(stored: str) -> None:
    assert not verify(b"", stored)


def test_what_mosquitto_passwd_writes_verifies(tmp_path: Path) -> None:
    program = shutil.which("mosquitto_passwd", path="/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    assert program, "install mosquitto, as .ci/run does"
    file = tmp_path / "passwords"
    subprocess.run([program, "-b", "-c", str(file), "tester", "secret"], check=True, capture_output=True)
    assert verify(b"secret", load(file)["tester"])


def test_setting_adds_and_replaces(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    set_user(file, "one", "1")
    set_user(file, "two", "2")
    set_user(file, "one", "new")
    users = load(file)
    assert list(users) == ["one", "two"]
    assert verify(b"new", users["one"])
    assert verify(b"2", users["two"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("user", ["", "a:b", "#a", " a", "a\nb", "a+b", "a/b"])
def test_user_names_that_would_break_the_file(tmp_path: Path, user: str) -> None:
    with pytest.raises(PasswordFileError, match="user name"):
        set_user(tmp_path / "passwords", user, "x")


def test_errors_name_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    file.write_text(f"# comment\n\nuser:{hash_password('x')}\nother:plain\n")
    with pytest.raises(PasswordFileError, match=r"passwords:4: .*dcompute broker passwd"):
        load(file)
    file.write_text(f":{hash_password('x')}\n")
    with pytest.raises(PasswordFileError, match="passwords:1: no user name"):
        load(file)
    with pytest.raises(PasswordFileError, match="cannot be read"):
        load(tmp_path / "nowhere")
