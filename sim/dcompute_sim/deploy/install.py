"""Carries out a plan on a board's flash, and takes it back; a power cut may come between any two steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from dcompute.bundle import UPDATE_KEY_FILE, VERSION_FILE, Bundle, file_digest
from dcompute_sim.deploy.board_plan import BoardPlan
from dcompute_sim.deploy.deploy_errors import Damaged
from dcompute_sim.deploy.probe import Survey, survey
from dcompute_sim.deploy.slots import (
    BOOT_BEFORE_FILE,
    BOOT_FILE,
    FAILED_FILE,
    LAUNCHER_PATH,
    LIBRARY,
    MAIN_BEFORE_FILE,
    MAIN_FILE,
    NONE,
    SLOT_FILE,
    Launcher,
    SlotLine,
    is_launcher,
)
from dcompute_sim.hardware.serial_link import SerialLink

Sent = Callable[[int, int], None]

_HELPERS = """
import os
def _rm(path):
    try:
        os.remove(path)
    except OSError:
        pass
def _mkdir(path):
    try:
        os.stat(path)
    except OSError:
        os.mkdir(path)
def _put(path, text):
    with open(path + ".new", "w") as f:
        f.write(text)
    os.rename(path + ".new", path)
def _add(path, text):
    with open(path, "a") as f:
        f.write(text)
def _cp(old, new):
    buf = memoryview(bytearray(4096))
    with open(old, "rb") as a, open(new, "wb") as b:
        while True:
            n = a.readinto(buf)
            if not n:
                break
            b.write(buf[:n])
def _rmtree(path):
    try:
        found = list(os.ilistdir(path))
    except OSError:
        return
    for entry in found:
        if entry[1] & 0x4000:
            _rmtree(path + "/" + entry[0])
        else:
            os.remove(path + "/" + entry[0])
    os.rmdir(path)
"""


class Installer:
    """Changes one board's flash. Its methods raise what `SerialLink` raises."""

    def __init__(self, link: SerialLink) -> None:
        self._link = link
        link.run(_HELPERS)

    def fill_slot(self, bundle: Bundle, plan: BoardPlan, sent: Sent) -> None:
        """Put the version into its slot, complete and checked; the board goes on booting what it booted.

        Args:
            sent: told (bytes sent over the line so far, of how many).
        """
        if plan.withdraw is not None:
            self._put(SLOT_FILE, f"{plan.withdraw}\n")
        self._call("_rm", FAILED_FILE)
        folder = f"/{plan.slot}"
        if plan.write_manifest:  # from here on the slot is no version
            self._call("_rm", f"{folder}/{VERSION_FILE}")
        for path in plan.remove:
            self._call("_rm", f"{folder}/{path}")
        self._make_folders(folder, bundle.files)
        for path, source in plan.duplicate:
            self._call("_cp", source, f"{folder}/{path}")
        total = sum(len(bundle.files[path]) for path in plan.send)
        done = 0
        for path in plan.send:

            def arrived(more: int, before: int = done) -> None:
                sent(before + more, total)

            self._link.write_file(f"{folder}/{path}", bundle.files[path], arrived)
            done += len(bundle.files[path])
        found = survey(self._link).slot_files(plan.slot)
        wanted = {path: file_digest(data) for path, data in bundle.files.items()}
        odd = sorted(path for path in {*found, *wanted} if found.get(path) != wanted.get(path))
        if odd:
            raise Damaged(f"{self._link.port}: {', '.join(odd)} arrived damaged (a bad cable?)")
        if plan.write_manifest:
            self._put_bytes(f"{folder}/{VERSION_FILE}", bundle.manifest())

    def switch(self, plan: BoardPlan, launcher: Launcher, boot: bytes) -> None:
        """Make the filled slot the one that boots, by one rename: of main.py where no launcher is yet.

        On FAT a rename onto a file is two steps with nothing there between; boot.py, which comes first, takes
        the second if a power cut kept the board from it. boot.py itself is replaced while main.py can do
        without: it is ours, or none. To somebody else's, lines are added, which is one step on FAT, too.
        """
        for wanted, path, kept in (
            (plan.save_main, MAIN_FILE, MAIN_BEFORE_FILE),
            (plan.save_boot, BOOT_FILE, BOOT_BEFORE_FILE),
        ):
            if wanted:
                self._call("_cp", path, f"{kept}.new")
                self._call("os.rename", f"{kept}.new", kept)
        if plan.install_boot:
            self._put_bytes(BOOT_FILE, boot)
        elif plan.add_to_boot:
            self._call("_add", BOOT_FILE, plan.add_to_boot.decode())
        if plan.line is not None:
            self._put(SLOT_FILE, f"{plan.line}\n")
        if plan.install_launcher:
            self._put_bytes(LAUNCHER_PATH, launcher.module)
            self._put_bytes(MAIN_FILE, launcher.main)

    def undo(self, plan: BoardPlan, before: Survey) -> None:
        """Make the board boot what it booted before `switch`, and free the slot."""
        if is_launcher(before.main):
            if plan.line is None or plan.line.fallback == NONE:
                return  # nothing was there to go back to
            self._put(SLOT_FILE, f"{SlotLine(plan.line.fallback)}\n")
        else:
            self._restore_root(before, plan.install_boot)
        self.clear(plan.slot)

    def clear(self, slot: str) -> None:
        """Empty a slot that is not in use; it stops being a version before it stops being whole."""
        self._call("_rm", f"/{slot}/{VERSION_FILE}")
        self._call("_rmtree", f"/{slot}")

    def point_to(self, line: SlotLine) -> None:
        """Switch to a slot that is whole."""
        self._put(SLOT_FILE, f"{line}\n")

    def put_key(self, key: bytes) -> None:
        """Write what proves updates over the air to this board; outside the slots, so no version brings
        one."""
        self._put_bytes(f"/{UPDATE_KEY_FILE}", key)

    def add_library(self, files: dict[str, bytes]) -> None:
        """Put modules into /lib, each whole or not at all."""
        self._call("_mkdir", LIBRARY)
        self._make_folders(LIBRARY, files)
        for path, data in files.items():
            self._put_bytes(f"{LIBRARY}/{path}", data)

    def _restore_root(self, before: Survey, boot_too: bool) -> None:
        roots = [(MAIN_FILE, before.main), (BOOT_FILE, before.boot)]
        for path, was in roots if boot_too else roots[:1]:
            if was is None:
                self._call("_rm", path)
            else:
                self._put_bytes(path, was)
        self._call("_rm", SLOT_FILE)
        for path in (MAIN_BEFORE_FILE, BOOT_BEFORE_FILE, LAUNCHER_PATH):
            if path not in before.files:
                self._call("_rm", path)

    def _make_folders(self, root: str, paths: Iterable[str]) -> None:
        folders = {parent for path in paths for parent in PurePosixPath(path).parents}
        self._call("_mkdir", root)
        for folder in sorted(str(folder) for folder in folders if str(folder) != "."):
            self._call("_mkdir", f"{root}/{folder}")

    def _put(self, path: str, text: str) -> None:
        self._call("_put", path, text)

    def _put_bytes(self, path: str, data: bytes) -> None:
        self._link.write_file(f"{path}.new", data)
        self._call("os.rename", f"{path}.new", path)

    def _call(self, function: str, *arguments: str) -> None:
        self._link.run(f"{function}({', '.join(map(repr, arguments))})")
