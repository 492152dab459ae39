"""One version of a board's program: its files, the name of them all, the signature that proves them.

The same for a deploy over the serial line and an update over the air. A board that keeps its program in slots
holds each version in a folder of its own; `version.json` in it is the manifest, byte for byte.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

VERSION_FILE = "version.json"
CONFIG_FILE = "config.py"
PROGRAM_FILE = "main.py"
CONFIRM_S = 120
MAX_VERSION_CHARS = 64
MAX_PATH_CHARS = 64
_VERSION_CHARS = 12  # of the digest, when nobody names the version
LAUNCHER_FILE = "slot_launcher.py"
LAUNCHER = {"launcher.py": LAUNCHER_FILE, "launcher_main.py": PROGRAM_FILE}  # the firmware's file: the root's
_OF_PEOPLE = {"config_example.py", "package.json", "README.md"}
NOT_IN_A_SLOT = {VERSION_FILE, "boot.py", LAUNCHER_FILE, *LAUNCHER, *_OF_PEOPLE}
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

    Raises:
        BadBundle: without a `main.py`, or for a version or path no board can take.
    """

    version: str
    files: Mapping[str, bytes]
    confirm_s: int = CONFIRM_S

    def __post_init__(self) -> None:
        if PROGRAM_FILE not in self.files:
            raise BadBundle(f"no {PROGRAM_FILE} among the {len(self.files)} files: nothing would start")
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

    @classmethod
    def from_folder(cls, folder: Path, version: str = "", confirm_s: int = CONFIRM_S) -> Bundle:
        """What lies in `folder`: what its package.json names if there is one, else all of it.

        BadBundle if it cannot be read or is no program; OSError from reading its files.
        """
        if not folder.is_dir():
            raise BadBundle(f"bundle {folder}: no such folder")
        sources = packaged(folder) if (folder / "package.json").is_file() else _all_files(folder)
        files = {path: source.read_bytes() for path, source in sources.items() if path not in NOT_IN_A_SLOT}
        try:
            return cls(version, files, confirm_s)
        except BadBundle as error:
            raise BadBundle(f"bundle {folder}: {error}") from None

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(map(len, self.files.values()))

    def manifest(self) -> bytes:
        """What `version.json` on the board says, and what a signature covers: canonical JSON.

        `version`, `confirm_s`, `bytes` (of all files) and `files`: sha256 in hex by path.
        """
        described = {
            "version": self.version,
            "confirm_s": self.confirm_s,
            "bytes": self.size_bytes,
            "files": {path: hashlib.sha256(data).hexdigest() for path, data in self.files.items()},
        }
        return json.dumps(described, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def sign(self, key: bytes, inc: str) -> str:
        """HMAC-SHA256 in hex over the board's incarnation and the manifest: good for that connection only."""
        return hmac.new(key, inc.encode() + b"\n" + self.manifest(), hashlib.sha256).hexdigest()

    def verify(self, key: bytes, inc: str, signature: str) -> bool:
        """Whether `signature` is that of this bundle for this incarnation."""
        return hmac.compare_digest(self.sign(key, inc).encode(), signature.encode())


def digest_version(files: Mapping[str, bytes]) -> str:
    """The name of a version that was given none: the same files, config.py aside, have the same."""
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
    """The folder with dcompute's own firmware, in a checkout or in the wheel. BadBundle if in neither."""
    root = _PACKAGE.parent
    for folder in (root / "firmware", _PACKAGE / "_data" / "firmware"):
        if (folder / "package.json").is_file():
            return folder
    raise BadBundle(f"dcompute's firmware is not beside {_PACKAGE}: a broken installation?")


def packaged(folder: Path) -> dict[str, Path]:
    """What `mip install` of the folder would put on a board: the `urls` of its package.json."""
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
    """The file an entry names. In the wheel, the node core lies in the installed package, not beside it."""
    source = folder / url
    if url.startswith("../dcompute/") and not source.is_file():
        return _PACKAGE / url.removeprefix("../dcompute/")
    return source


def _all_files(folder: Path) -> dict[str, Path]:
    sources = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path for path in sources if "__pycache__" not in path.parts}
