"""What a board is and what lies on its flash: asked of the board itself, once it obeys."""

from __future__ import annotations

import ast
import json
from collections.abc import Collection
from dataclasses import dataclass

from dcompute.bundle import CONFIG_FILE, LAUNCHER_FILE, VERSION_FILE
from dcompute_sim.deploy.deploy_errors import DeployError
from dcompute_sim.deploy.slots import FAILED_FILE, SLOTS, SlotLine
from dcompute_sim.fwbuild.firmware_files import OLDEST_MICROPYTHON
from dcompute_sim.hardware.serial_link import SerialLink

_ASK = """
import gc, os, sys
from binascii import hexlify
gc.collect()
try:
    import machine
    uid = hexlify(machine.unique_id()).decode()
except (ImportError, AttributeError):
    uid = ""
try:
    import umqtt.simple
    umqtt = True
except ImportError:
    umqtt = False
try:
    os.stat("/?")
except OSError as error:
    fat = error.errno == 22  # to FAT that is no name
i = sys.implementation
v = os.statvfs("/")
print(repr((i[0], tuple(i[1])[:3], sys.platform, os.uname()[4], getattr(i, "_mpy", 0), uid, umqtt,
    v[0], v[0] * v[3], v[0] * v[2], gc.mem_free(), fat)))
"""

# Bounded memory: a line a file, each hashed in pieces.
_SURVEY = """
import hashlib, os
from binascii import hexlify
buf = memoryview(bytearray(512))
def say(path):
    h = hashlib.sha256()
    size = 0
    with open(path, "rb") as f:
        while True:
            n = f.readinto(buf)
            if not n:
                break
            h.update(buf[:n])
            size += n
    print(repr((path, size, hexlify(h.digest()[:16]).decode())))
def walk(folder):
    try:
        found = list(os.ilistdir(folder))
    except OSError:
        return
    for entry in found:
        path = folder + "/" + entry[0]
        if entry[1] & 0x4000:
            walk(path)
        else:
            say(path)
for slot in SLOTS:
    walk("/" + slot)
for path in NAMES:
    try:
        if not os.stat(path)[0] & 0x4000:
            say(path)
    except OSError:
        pass
"""


@dataclass(frozen=True)
class Probe:
    """A board's answers.

    Attributes:
        mpy: `sys.implementation._mpy`; 0: it loads no .mpy files.
        umqtt: whether `umqtt.simple` can be imported.
        free_bytes, size_bytes: of its filesystem, which gives out blocks of `block_bytes`.
        heap_free_bytes: with nothing but the prompt.
        fat: the filesystem is FAT, which replaces a file in steps; else littlefs.
    """

    name: str
    version: tuple[int, ...]
    platform: str
    machine: str
    mpy: int
    uid: str
    umqtt: bool
    block_bytes: int
    free_bytes: int
    size_bytes: int
    heap_free_bytes: int
    fat: bool = False

    @property
    def version_text(self) -> str:
        return ".".join(map(str, self.version))


@dataclass(frozen=True)
class File:
    """A file on the flash."""

    size_bytes: int
    digest: str


@dataclass(frozen=True)
class Survey:
    """What is on the flash.

    Attributes:
        files: by absolute path: all of both slots, and of the root those that were asked for.
        slot_line: what `/slot` says; None: nothing sensible.
        manifests: of each slot whose version.json can be read.
        main, boot: the text of the root's main.py and boot.py; None: there is none.
        failed: the version that did not come up, so that the launcher went back to the one before.
    """

    files: dict[str, File]
    slot_line: SlotLine | None
    manifests: dict[str, dict[str, object]]
    main: bytes | None
    boot: bytes | None
    failed: str = ""

    def slot_files(self, slot: str) -> dict[str, str]:
        """Return the digest by path within the slot, version.json aside."""
        start = f"/{slot}/"
        inside = {path[len(start) :]: f.digest for path, f in self.files.items() if path.startswith(start)}
        inside.pop(VERSION_FILE, None)
        return inside

    def is_whole(self, slot: str) -> bool:
        """Say whether every file of the slot is just what its version.json says.

        A version that came over the air says nothing of its config.py: it is that of the version before.
        """
        if slot not in self.manifests:
            return False
        said, found = self.manifests[slot].get("files"), self.slot_files(slot)
        if isinstance(said, dict) and CONFIG_FILE not in said:
            found.pop(CONFIG_FILE, None)
        return bool(said == found)

    def version(self, slot: str) -> str | None:
        """Return the version in a slot; None if it holds none that is whole."""
        return str(self.manifests[slot].get("version")) if self.is_whole(slot) else None


def probe(link: SerialLink) -> Probe:
    """Ask the board what it is. DeployError when it is nothing our firmware can run on."""
    try:
        answers = ast.literal_eval(link.run(_ASK).strip())
        found = Probe(*answers)
    except (ValueError, SyntaxError, TypeError) as error:
        raise DeployError(f"{link.port}: the board's answers make no sense ({error})") from None
    if found.name != "micropython":
        raise DeployError(
            f"{link.port}: runs {found.name}, not MicroPython: flash MicroPython (docs/hardware.md)"
        )
    if found.version < OLDEST_MICROPYTHON:
        oldest = ".".join(map(str, OLDEST_MICROPYTHON))
        raise DeployError(
            f"{link.port}: MicroPython {found.version_text} is older than {oldest}: "
            "flash a newer one (docs/hardware.md); nothing was changed"
        )
    return found


def survey(link: SerialLink, names: Collection[str] = ()) -> Survey:
    """Look at the flash; `names` are paths within a slot, which may lie in the root too."""
    root = (
        "main.py",
        LAUNCHER_FILE,
        "boot.py",
        "boot_before.py",
        "main_before.py",
        CONFIG_FILE,
        "slot",
        "failed",
    )
    wanted = sorted({f"/{name}" for name in (*names, *root)})
    said = link.run(f"SLOTS={SLOTS!r}\nNAMES={wanted!r}\n{_SURVEY}")
    files = {}
    for line in said.splitlines():
        path, size, digest = ast.literal_eval(line)
        files[path] = File(size, digest)
    manifests = {}
    for slot in SLOTS:
        about = _manifest(link, f"/{slot}/{VERSION_FILE}", files)
        if about is not None:
            manifests[slot] = about
    return Survey(
        files,
        SlotLine.parse(link.read_file("/slot")) if "/slot" in files else None,
        manifests,
        link.read_file("/main.py") if "/main.py" in files else None,
        link.read_file("/boot.py") if "/boot.py" in files else None,
        link.read_file(FAILED_FILE).decode(errors="replace")[33:] if FAILED_FILE in files else "",
    )


def _manifest(link: SerialLink, path: str, files: dict[str, File]) -> dict[str, object] | None:
    if path not in files:
        return None
    try:
        about = json.loads(link.read_file(path))
    except ValueError:
        return None
    return about if isinstance(about, dict) and isinstance(about.get("files"), dict) else None
