"""One version of a board's program: its files, the name of them all, the number that orders versions.

The same for a deploy over the serial line and an update over the air. A board that keeps its program in slots
holds each version in a folder of its own; `version.json` in it is the manifest, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dcompute._plural import number_of

VERSION_FILE = "version.json"
CONFIG_FILE = "config.py"
PROGRAM_FILE = "main.py"
CONFIRM_S = 120
MAX_VERSION_CHARS = 64
MAX_RELEASE = 2**32 - 1
OTA = 2
MAX_PATH_CHARS = 64
_VERSION_CHARS = 12  # of the digest, when nobody names the version
LAUNCHER_FILE = "slot_launcher.py"
UPDATE_KEY_FILE = "update.key"  # of the root, written over the serial line only
LAUNCHER = {"launcher.py": LAUNCHER_FILE, "launcher_main.py": PROGRAM_FILE}  # the firmware's file: the root's
_OF_PEOPLE = {"config_example.py", "package.json", "README.md"}
NOT_IN_A_SLOT = {VERSION_FILE, UPDATE_KEY_FILE, "boot.py", LAUNCHER_FILE, *LAUNCHER, *_OF_PEOPLE}
_PACKAGE = Path(__file__).parent


class BadBundle(ValueError):
    """These files cannot be put on a board as one version; the message names file or setting."""


@dataclass(frozen=True)
class Bundle:
    """A version of a board's program.

    Attributes:
        version: what the board tells of itself once it runs it; "" takes the first digits of the digest.
        files: contents by path within the slot, with slashes.
        confirm_s: seconds a board gives the version to reach the broker before it goes back to the one
            before.
        release: an update over the air only goes to a higher one, so that a recorded or mislaid version
            cannot bring an old fault back.

    Raises:
        BadBundle: without a `main.py`, or for a version or path no board can take.
    """

    version: str
    files: Mapping[str, bytes]
    confirm_s: int = CONFIRM_S
    release: int = 0

    def __post_init__(self) -> None:
        if PROGRAM_FILE not in self.files:
            raise BadBundle(f"no {PROGRAM_FILE} in {number_of(len(self.files), 'file')}: nothing would start")
        for path in self.files:
            check_path(path)
        if not self.version:
            object.__setattr__(self, "version", digest_version(self.files))
        if len(self.version) > MAX_VERSION_CHARS or not self.version.isprintable():
            raise BadBundle(
                f"version {self.version[:80]!r}: 1 to {MAX_VERSION_CHARS} printable characters, please"
            )
        if not 10 <= self.confirm_s <= 3600:
            raise BadBundle(f"confirm_s {self.confirm_s}: from 10 to 3600 seconds, please")
        if not 0 <= self.release <= MAX_RELEASE:
            raise BadBundle(f"release {self.release}: from 0 to {MAX_RELEASE}, please")

    @classmethod
    def from_folder(
        cls, folder: Path, version: str = "", confirm_s: int = CONFIRM_S, release: int | None = None
    ) -> Bundle:
        """Read what lies in `folder`: what its package.json names if there is one, else all of it.

        A packed version (`dcompute deploy pack`), which has a `version.json`, must be as that says, and keeps
        its release and, unless another is given, its name. Else the release, when not given, is the present
        second: packed later is newer. BadBundle if it cannot be read or is no program; OSError from reading
        its files.
        """
        if not folder.is_dir():
            raise BadBundle(f"bundle {folder}: no such folder")
        sources = packaged(folder) if (folder / "package.json").is_file() else all_files(folder)
        files = {path: source.read_bytes() for path, source in sources.items() if path not in NOT_IN_A_SLOT}
        try:
            if VERSION_FILE in sources:
                name, packed = _as_packed(sources[VERSION_FILE], files)
                return cls(version or name, files, confirm_s, packed if release is None else release)
            if release is None:
                release = int(time.time())
            return cls(version, files, confirm_s, release)
        except BadBundle as error:
            raise BadBundle(f"bundle {folder}: {error}") from None

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(map(len, self.files.values()))

    def manifest(self) -> bytes:
        """Tell what `version.json` on the board says, byte for byte: canonical JSON.

        `version`, `release`, `confirm_s`, `bytes` (of all files), `files`: `file_digest` by path, and `ota`:
        the protocol of updates (docs/protocol.md).
        """
        described = {
            "ota": OTA,
            "release": self.release,
            "version": self.version,
            "confirm_s": self.confirm_s,
            "bytes": self.size_bytes,
            "files": {path: file_digest(data) for path, data in self.files.items()},
        }
        return json.dumps(described, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def file_digest(data: bytes) -> str:
    """Tell what a manifest knows a file by: the first 16 bytes of its sha256, in hex.

    Nobody can make a second file that has them, and the other half would be 3 KB of a small board's heap.
    """
    return hashlib.sha256(data).hexdigest()[:32]


def digest_version(files: Mapping[str, bytes]) -> str:
    """Return the name of a version that was given none: the same files, config.py aside, have the same."""
    lines = [
        f"{path} {hashlib.sha256(data).hexdigest()}\n"
        for path, data in sorted(files.items())
        if path != CONFIG_FILE
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:_VERSION_CHARS]


def check_path(path: str) -> str:
    """Return `path` if it stays within a slot and is not what a slot keeps for itself, else BadBundle."""
    parts = path.split("/")
    if (
        not 0 < len(path) <= MAX_PATH_CHARS
        or any(part in ("", ".", "..") for part in parts)
        or "\\" in path
        or not path.isprintable()
    ):
        raise BadBundle(f"file {path[:80]!r}: a path of 1 to {MAX_PATH_CHARS} characters inside the slot")
    if path in (VERSION_FILE, "offer", "part"):
        raise BadBundle(f"file {path}: a slot keeps this name for itself")
    return path


def product_folder() -> Path:
    """Return the folder with dcompute's own firmware, in a checkout or in the wheel. BadBundle if in
    neither."""
    root = _PACKAGE.parent
    for folder in (root / "firmware", _PACKAGE / "_data" / "firmware"):
        if (folder / "package.json").is_file():
            return folder
    raise BadBundle(f"dcompute's firmware is not beside {_PACKAGE}: a broken installation?")


def packaged(folder: Path) -> dict[str, Path]:
    """Tell what `mip install` of the folder would put on a board: the `urls` of its package.json."""
    description = folder / "package.json"
    try:
        urls = json.loads(description.read_text())["urls"]
        placed = {str(target): _source(folder, str(url)) for target, url in urls}
    except (ValueError, KeyError, TypeError) as error:
        raise BadBundle(f"firmware {description}: not as `mip` wants it ({error!r})") from None
    missing = [str(source) for source in placed.values() if not source.is_file()]
    if missing:
        raise BadBundle(f"firmware {description}: no such file: {', '.join(missing)}")
    return placed


def _source(folder: Path, url: str) -> Path:
    """Return the file an entry names. In the wheel, the node core lies in the installed package, not beside
    it."""
    source = folder / url
    if url.startswith("../dcompute/") and not source.is_file():
        return _PACKAGE / url.removeprefix("../dcompute/")
    return source


def _as_packed(described: Path, files: Mapping[str, bytes]) -> tuple[str, int]:
    """Version and release of a packed folder. BadBundle if its files are not as it says."""
    try:
        about = json.loads(described.read_text(encoding="utf-8"))
        version, release, wanted = str(about["version"]), int(about.get("release", 0)), dict(about["files"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadBundle(f"{VERSION_FILE} is no manifest ({error!r}); pack it again") from None
    odd = sorted(p for p in {*wanted, *files} if p not in files or wanted.get(p) != file_digest(files[p]))
    if odd:
        raise BadBundle(
            f"was tampered with or damaged: {', '.join(odd)} {'is' if len(odd) == 1 else 'are'} not what "
            f"{VERSION_FILE} says"
        )
    return version, release


def all_files(folder: Path) -> dict[str, Path]:
    """Return by name on the flash every file of a folder that is no package, but for compiled ones."""
    sources = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path for path in sources if "__pycache__" not in path.parts}
