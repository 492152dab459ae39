"""The names on a board's flash, and the one line that says which version runs (firmware/launcher.py).

Rules:

1. A version lies in a folder of its own, `/a` or `/b`, whole: program, config.py, and its manifest
   `version.json`, which is written last and removed first. A folder with a manifest is right; one without
   is not there.
2. `/slot` says `<current> <fallback> <tries>` in one line. Nothing but this line decides what starts. It is
   changed by writing another file and renaming it, which a power cut leaves done or undone, never half.
3. With a fallback the current version is on trial. The launcher counts `tries` down before each start and
   goes back at 0; the version itself crosses the fallback out when the broker has acknowledged its `ready`.
4. FAT renames onto a file in steps: the old one is removed, then the new one has its name. What a power cut
   leaves of that in the root, boot.py finishes, before anything else; so it is there first.
5. `.` is the root, for a program that was there before slots: its main.py waits as `/main_before.py`. So a
   first deploy can be taken back like any other.
6. Deploys over the serial line and updates over the air do the same, in the same order; only who writes
   differs.

Rejected: two files (which slot, which state), for there is no order of writing two that a cut in between
does not break. Rejected: ESP32's own OTA partitions, which hold firmware images, not files, and need a
build of MicroPython that has them. Rejected: to delete the old version at once; the way back is what a
trial is for.
"""

from __future__ import annotations

from dataclasses import dataclass

from dcompute.bundle import LAUNCHER_FILE

SLOTS = ("a", "b")
FLAT = "."  # the flash's root, with the main_before.py that was there before slots
NONE = "-"
TRIES = 2  # starts that a new version has to reach the broker

SLOT_FILE = "/slot"
FAILED_FILE = "/failed"  # the version that the launcher went back from
MAIN_FILE = "/main.py"
LAUNCHER_PATH = f"/{LAUNCHER_FILE}"
MAIN_BEFORE_FILE = "/main_before.py"
BOOT_BEFORE_FILE = "/boot_before.py"  # one that never came to its end, so that main.py never ran
BOOT_FILE = "/boot.py"
LIBRARY = "/lib"

_LAUNCHER_MARK = b"main.py of a board that keeps its program in slots"
_FINISHING_MARK = b"# FAT replaces a file by removing it first."


@dataclass(frozen=True)
class Launcher:
    """What starts a slot: the root's main.py, and the module that this imports.

    `finishing`: what is added to another boot.py, for it to finish what a power cut left half done on FAT.
    """

    main: bytes
    module: bytes
    finishing: bytes


@dataclass(frozen=True)
class SlotLine:
    """`<current> <fallback> <tries>`: on trial while there is a fallback."""

    current: str
    fallback: str = NONE
    tries: int = 0

    def __str__(self) -> str:
        return f"{self.current} {self.fallback} {self.tries}"

    @property
    def on_trial(self) -> bool:
        return self.fallback != NONE

    @property
    def proven(self) -> str:
        """What runs if the version on trial fails."""
        return self.fallback if self.on_trial else self.current

    @classmethod
    def parse(cls, data: bytes) -> SlotLine | None:
        """Read the line; None for what the launcher would not take either."""
        words = data.decode(errors="replace").split()
        known = (*SLOTS, FLAT)
        if len(words) != 3 or words[0] not in known or words[1] not in (*known, NONE):
            return None
        return cls(words[0], words[1], int(words[2])) if words[2].isdigit() else None


def finishing(boot: bytes) -> bytes:
    """Return what another boot.py needs of ours to finish what a power cut left half done."""
    return b"\nimport os\n\n" + boot[boot.index(_FINISHING_MARK) :].partition(b"\n\n")[0] + b"\n"


def finishes(boot: bytes) -> bool:
    """Say whether a boot.py does so."""
    return _FINISHING_MARK in boot


def is_launcher(main: bytes | None) -> bool:
    """Say whether a main.py is the launcher, of this release or another."""
    return main is not None and _LAUNCHER_MARK in main[:200]
