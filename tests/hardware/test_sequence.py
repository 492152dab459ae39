"""The whole way of docs/hardware.md, run as it stands there: empty boards, an update, a power cut."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from ..conftest import free_port

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "hardware.md"
HEADING = "## The whole way, on a desk with nothing on it"
PATIENCE_S = 240.0
NODES = [f"esp-{n}" for n in range(1, 9)]


def written(text: str, folder: Path) -> str:
    """Write the section's files into `folder`; the commands."""
    section = text.partition(HEADING)[2].partition("\n## ")[0]
    for name, body in re.findall(r"```yaml\n# (\S+)\n(.*?)```", section, re.S):
        (folder / name).write_text(body)
    (commands,) = re.findall(r"```sh\n(.*?)```", section, re.S)
    return str(commands)


def test_the_whole_way_as_the_document_says_it(tmp_path: Path) -> None:
    text = DOCUMENT.read_text(encoding="utf-8").replace("1883", str(free_port()))
    commands = written(text, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"fleet.yaml", "boards.yaml", "desk.yaml"}
    out = tmp_path / "out"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with out.open("wb") as log:
        shell = subprocess.Popen(
            ["bash", "-c", commands],
            cwd=tmp_path,
            env={**os.environ, "PATH": path, "COLUMNS": "120"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = shell.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            status = -1
        finally:
            end(shell)
    said = out.read_text(errors="replace")
    assert status == 0, said
    before, _, after = said.partition("Again: dcompute run desk.yaml")
    for node in NODES:
        assert re.search(rf"^{node}: 1: ready", before, re.M), said
    assert "held: 8 of 8 expectations held" in before, said
    versions = {node: version_of(node, after) for node in NODES}
    assert all(versions[node] == "2" for node in NODES[:7]), (versions, said)
    assert versions["esp-8"] in ("1", "2"), (versions, said)


def version_of(node: str, said: str) -> str:
    """The version that a node runs by the table of `deploy status`; "" if that names none."""
    row = re.search(rf"^ *{node} +/dev/\S+ +1\.\S+ \S+ +(\S+) \([ab]\)", said, re.M)
    return row[1] if row else ""


def end(shell: subprocess.Popen[bytes]) -> None:
    """Whatever the commands left running is in their session, and nobody else is."""
    if shell.poll() is None:
        shell.kill()
        shell.wait()
    for process in session_of(shell.pid):
        os.kill(process, signal.SIGKILL)


def session_of(leader: int) -> list[int]:
    """The processes of a session that are still there."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader:
            found.append(int(stat.parent.name))
    return found
