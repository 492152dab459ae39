"""`dcompute deploy` against virtual boards and a real broker: what is copied, what runs, and the way back."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path
from typing import Any

from dcompute_sim.deploy.board_config import DeployTarget, Watchpoint
from dcompute_sim.deploy.follow import Follower
from dcompute_sim.deploy.ready_watch import Watchers

from dcompute.master_transport import MasterNodeTransport

from ..conftest import PATIENCE_S
from .conftest import Command, Desk

OWN_TASKS = "def handle(task):\n    return 'mine'\n"
OWN_MAIN = "print('an older program')\n"


def answer_of(port: int, node_id: str) -> Any:
    """What a node makes of a task."""
    with MasterNodeTransport("127.0.0.1", port) as master:
        give_up = time.monotonic() + PATIENCE_S
        while node_id not in [info["node_id"] for info in master.get_nodes_by_status("ready")]:
            assert time.monotonic() < give_up
            time.sleep(0.01)
        master.send_task(node_id, {"function": "add", "args": [1, 2]})
        while not (results := master.get_results(node_id)):
            assert time.monotonic() < give_up
            time.sleep(0.01)
        return results[node_id][0]["result"]["output"]


def life_of(port: int, node_id: str) -> str:
    """What all incarnations of a node since its last reset share."""
    with MasterNodeTransport("127.0.0.1", port) as master:
        give_up = time.monotonic() + PATIENCE_S
        while not isinstance(info := master.get_node_info(node_id), dict) or not info["inc"]:
            assert time.monotonic() < give_up
            time.sleep(0.01)
        return str(info["inc"]).split(".")[0]


def test_a_fresh_board_gets_everything_and_works(desk: Desk, command: Command) -> None:
    root = desk.root("flash")
    board = desk.plug_in(root)
    said = command("--fleet", desk.fleet(kiln=board.address), "--all")
    flash = desk.flash(root)
    assert flash["slot"] == b"a - 0\n"  # nothing to fall back to, so no trial
    manifest = json.loads(flash["a/version.json"])
    assert set(manifest["files"]) == {path[2:] for path in flash if path.startswith("a/")} - {"version.json"}
    assert f"kiln: {manifest['version']}: ready" in said.out
    assert answer_of(desk.port, "kiln") == 3


def test_a_flat_board_keeps_its_program_as_the_way_back(desk: Desk, command: Command) -> None:
    root = desk.root("flash", {"main.py": OWN_MAIN, "boot.py": "import gc\n", "data.txt": "kept"})
    board = desk.plug_in(root)
    fleet = desk.fleet(kiln=board.address)
    command("--fleet", fleet, "--all")
    desk.until(lambda: (root / "slot").read_bytes() == b"a - 0\n")  # tried, and confirmed after its `ready`
    flash = desk.flash(root)
    assert flash["main_before.py"].decode() == OWN_MAIN
    assert flash["boot.py"] == b"import gc\n"  # somebody's own stays
    assert flash["data.txt"] == b"kept"
    command("rollback", "--fleet", fleet, "--all", "--no-wait")
    assert desk.flash(root)["slot"] == b". - 0\n"
    desk.until(lambda: board.idle)  # its program ends at once


def test_nothing_is_copied_twice_and_one_changed_file_alone(
    desk: Desk, command: Command, deployed: Path
) -> None:
    root = desk.root("flash", deployed)
    fleet = desk.fleet(kiln=desk.plug_in(root).address)
    before = desk.flash(root)
    said = command("--fleet", fleet, "--all", "--version", "one")
    assert "nothing to copy" in said.out
    assert desk.flash(root) == before

    own = desk.folder / "tasks.py"
    own.write_text(OWN_TASKS)
    said = command("--fleet", fleet, "--all", "--version", "two", "--file", own)
    assert "1 file to slot b" in said.out
    desk.until(lambda: (root / "slot").read_bytes() == b"b - 0\n")  # confirmed soon after its `ready`
    after = desk.flash(root)
    assert after["b/tasks.py"].decode() == OWN_TASKS
    assert {path: data for path, data in after.items() if path.startswith("a/")} == {
        path: data for path, data in before.items() if path.startswith("a/")
    }
    assert answer_of(desk.port, "kiln") == "mine"

    said = command("rollback", "--fleet", fleet, "--all")
    assert "kiln: one: ready" in said.out
    assert desk.flash(root)["slot"] == b"a - 0\n"
    said = command("--fleet", fleet, "--all", "--version", "two", "--file", own)  # it is still there
    assert "0 files to slot b" in said.out


def test_status_asks_without_a_reset_and_looks_when_told_to(
    desk: Desk, command: Command, deployed: Path
) -> None:
    root = desk.root("flash", deployed)
    fresh = desk.plug_in(desk.root("fresh"), 2)
    (root / "failed").write_text(f"{'0' * 32} two")  # as the launcher writes when it goes back
    fleet = desk.fleet(kiln=desk.plug_in(root).address, lathe=fresh.address)
    desk.until_ready("kiln")
    before = desk.flash(root)
    broker, life = ("--broker", f"mqtt://127.0.0.1:{desk.port}"), life_of(desk.port, "kiln")
    said = command("status", "--fleet", fleet, "--all", *broker)
    asked = {line.split()[0]: line.split()[2:] for line in said.out.splitlines() if line.strip()}
    assert asked["kiln"] == ["one,", "two", "failed", "ready"]
    assert asked["lathe"] == ["-", "unknown"]
    assert "--look" in command("status", "--port", fresh.address, *broker, status=2).out
    assert life_of(desk.port, "kiln") == life
    said = command("status", "--fleet", fleet, "--all", "--look", *broker)
    words = {line.split()[0]: line for line in said.out.splitlines() if line.strip()}
    assert "one (a)," in words["kiln"]
    assert "ready" in words["kiln"]  # as it was before it was stopped
    assert "two failed" in words["kiln"]
    assert "nothing" in words["lathe"]
    assert desk.flash(root) == before
    assert answer_of(desk.port, "kiln") == 3  # it runs again


def test_a_dry_run_changes_nothing(desk: Desk, command: Command) -> None:
    root = desk.root("flash", {"main.py": OWN_MAIN})
    board = desk.plug_in(root)
    before = desk.flash(root)
    said = command("--fleet", desk.fleet(kiln=board.address), "--all", "--dry-run")
    assert re.search(r"would copy: \d+ files to slot a, launcher", said.out)
    assert desk.flash(root) == before
    desk.until(lambda: board.idle)


def test_three_boards_side_by_side_one_of_which_is_not_there(desk: Desk, command: Command) -> None:
    boards = {name: desk.plug_in(desk.root(name), n) for n, name in enumerate(("kiln", "lathe", "saw"))}
    fleet = desk.fleet(**{name: board.address for name, board in boards.items()}, gone="/dev/tty-none")
    said = command("--fleet", fleet, "--all", "--compile", status=3)
    for name in boards:
        assert f"{name}: done" in said.out
        assert (desk.folder / name / "a" / "node_program.mpy").is_file()
    assert "gone: there is no port /dev/tty-none" in said.out


def test_eight_boards_named_by_their_chips_from_one_file_of_ports(desk: Desk, command: Command) -> None:
    boards = [desk.plug_in(desk.root(f"flash-{n}"), 10 + n) for n in range(8)]
    ports = desk.folder / "ports"
    ports.write_text("".join(f"{board.address}\n" for board in boards))
    said = command("--port", ports, "--config", desk.config(NODE_ID=None), "--compile", "--version", "eight")
    assert said.out.count("eight: ready") == 8
    with MasterNodeTransport("127.0.0.1", desk.port) as master:
        desk.until(
            lambda: [master.get_node_info(f"0200000000{10 + n:02x}") for n in range(8)].count(None) == 0
        )


def test_a_board_without_umqtt_is_given_it(desk: Desk, command: Command) -> None:
    forget = "import sys\nfor n in ('umqtt', 'umqtt.simple'):\n    sys.modules.pop(n, None)\n"
    root = desk.root("flash", {"boot.py": forget})
    command("--fleet", desk.fleet(kiln=desk.plug_in(root).address), "--all")
    assert "lib/umqtt/simple.py" in desk.flash(root)


def test_a_single_board_by_its_port_and_its_own_config(desk: Desk, command: Command, deployed: Path) -> None:
    root = desk.root("flash", deployed)
    board = desk.plug_in(root)
    own = desk.folder / "tasks.py"
    own.write_text(OWN_TASKS)
    command("--port", board.address, "--file", own)
    desk.until(lambda: (root / "slot").read_bytes() == b"b - 0\n")  # soon after its `ready`
    flash = desk.flash(root)
    assert flash["b/config.py"] == flash["a/config.py"]


def test_what_boards_print_and_the_broker_hears_is_followed(
    desk: Desk, command: Command, deployed: Path
) -> None:
    board = desk.plug_in(desk.root("flash", deployed))
    lines: list[str] = []
    follower = Follower([DeployTarget("kiln", board.address)], lines.append)
    watchers = Watchers(follower.news)
    watchers.at(Watchpoint("127.0.0.1", desk.port))
    thread = threading.Thread(target=follower.run, args=(None, True))
    thread.start()
    try:
        desk.until(lambda: any("kiln: [" in line and "connected to 127.0.0.1" in line for line in lines))
        desk.until(lambda: any("@kiln: status ready" in line for line in lines))
    finally:
        follower.stop()
        thread.join()
        watchers.close()
    fleet = desk.fleet(kiln=board.address)
    command("logs", "--fleet", fleet, "--all", "--seconds", "0.1")
    command("monitor", "--fleet", fleet, "--all", "--seconds", "0.1")
    command("logs", "--port", "/dev/ttyNONE", status=3)
