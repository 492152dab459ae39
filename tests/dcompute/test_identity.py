"""Node ids for programs that name none: stable, unique, and told in words when they are not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dcompute._node.identity import default_node_id, fingerprint
from dcompute._node.rivals import Rivals
from dcompute.node_names import MAX_ID_CHARS, check_node_id

from ..conftest import PATIENCE_S
from .conftest import Eventually, Fleet, TameLink

PROGRAM = "from dcompute._node.identity import default_node_id as new; print(new(), flush=True); input()"


def start(**environment: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_processes_have_different_ids_and_a_freed_one_is_taken_again() -> None:
    first, second = start(), start()
    try:
        assert first[1] != second[1]
        first[0].kill()  # however it ends
        first[0].wait(PATIENCE_S)
        third = start()
        third[0].communicate("\n", timeout=PATIENCE_S)
        assert third[1] != second[1]
    finally:
        for process, _ in (first, second):
            process.kill()
            process.communicate()


def test_no_folder_is_needed_nor_touched(tmp_path: Path) -> None:
    prepared = tmp_path / f"dcompute-slots-{os.getuid()}"
    prepared.mkdir()
    (tmp_path / "precious").write_text("of another user")
    for slot in range(8):
        (prepared / str(slot)).symlink_to(tmp_path / "precious")
    process, node_id = start(TMPDIR=str(tmp_path), HOME="/nowhere")
    process.communicate("\n", timeout=PATIENCE_S)
    assert check_node_id(node_id)
    assert (tmp_path / "precious").read_text() == "of another user"
    process, _ = start(TMPDIR="/nowhere", HOME="/nowhere")
    process.communicate("\n", timeout=PATIENCE_S)
    assert process.returncode == 0


@pytest.mark.parametrize("host", ["plain", "a b/c#+é", "x" * 200, ""])
def test_any_host_name_gives_a_valid_id(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    one, two = default_node_id(), default_node_id()
    assert check_node_id(one) != check_node_id(two)
    assert len(one) <= MAX_ID_CHARS


def test_machines_of_one_host_name_differ_in_any_of_what_tells_them_apart() -> None:
    here = ["0123", "aa:bb", "pid:[1]", "net:[2]"]
    others = {fingerprint([*here[:n], "other", *here[n + 1 :]]) for n in range(4)}
    assert len(others | {fingerprint(here)}) == 5


def test_a_process_in_other_namespaces_has_another_id() -> None:
    """As two containers of one machine that were given one host name."""
    unshare = ["unshare", "--fork", "--pid", "--net", "--mount-proc", sys.executable, "-c", PROGRAM]
    try:
        done = subprocess.run(
            unshare, input="\n", capture_output=True, text=True, timeout=PATIENCE_S, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this machine gives no namespaces: {error}")
    process, ours = start()
    process.communicate("\n", timeout=PATIENCE_S)
    assert done.stdout.strip().split("-")[-2] != ours.split("-")[-2]


def test_a_slot_ends_with_the_process_though_its_fork_lives() -> None:
    """A worker that it forked must not keep its id from the next start."""
    program = """
import os, socket, sys
class Apart(socket.socket):  # slots are the machine's: those of other tests' programs come and go meanwhile
    def bind(self, address):
        super().bind(address + sys.argv[1])
socket.socket = Apart
from dcompute._node.identity import default_node_id
name = default_node_id()
if os.fork():
    print(name, flush=True)
    os._exit(0)
os.close(1)
os.read(0, 1)
"""
    ids = []
    lifeline, end = os.pipe()  # forks live while `end` is open
    try:
        for _ in range(2):
            command = [sys.executable, "-c", program, f"-{os.getpid()}"]
            done = subprocess.run(command, stdin=lifeline, stdout=subprocess.PIPE, text=True, check=True)
            ids.append(done.stdout.strip())
    finally:
        os.close(lifeline)
        os.close(end)
    assert ids[0] == ids[1]


# --- two programs with one id -----------------------------------------------------------------------------


def status(inc: str, word: str = "dead") -> bytes:
    return f'{{"node_id": "n", "status": "{word}", "inc": "{inc}"}}'.encode()


def test_what_our_own_last_life_left_is_no_rival() -> None:
    rivals = Rivals("me")
    for payload in (
        status("before.7", "ready"),
        status("before.7"),
        status("me.1"),
        status("me.2"),
        b"{}",
        b"",
    ):
        assert rivals.look(payload) == ""
    assert rivals.look(b"[" * 100_000) == rivals.look(b"null") == rivals.look(b'{"inc": 3}') == ""


def test_what_comes_back_of_our_own_statuses_need_not_be_read() -> None:
    rivals = Rivals("me")
    assert rivals.is_echo(status("me.1", "busy"))
    for payload in (
        status("me.1"),
        status("me.1", "offline"),
        status("me.1", r"\u0064ead"),
        status("other.1", "ready"),
        b"",
    ):
        assert not rivals.is_echo(payload), payload


def test_one_that_connects_again_and_again_is() -> None:
    rivals = Rivals("me")
    assert rivals.look(status("other.1")) == ""
    assert rivals.look(status("other.2")) == "other.2"
    assert rivals.look(status("other.3")) == "", "said once"


def test_two_programs_with_one_id_are_told_so(
    fleet: Fleet, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = fleet.node(), fleet.node(start=False)
    for node in (one, two):
        TameLink.of(node).wait_s = 0.05
    two.start()
    eventually(lambda: f"{one.node_id}: another program uses this node id" in caplog.text)
    assert "give one of them another node_id" in caplog.text
