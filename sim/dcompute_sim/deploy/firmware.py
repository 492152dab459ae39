"""What is put on the boards: dcompute's firmware or a folder of one's own, as it is or compiled."""

from __future__ import annotations

import ast
import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from dcompute.bundle import CONFIG_FILE, CONFIRM_S, VERSION_FILE, BadBundle, Bundle, product_folder
from dcompute.node_core import Topics
from dcompute.node_names import check_node_id
from dcompute_sim.deploy import slots
from dcompute_sim.deploy.board_config import Settings, config_text
from dcompute_sim.deploy.deploy_errors import InvalidInput, SomethingMissing
from dcompute_sim.fwbuild.build_errors import FirmwareError
from dcompute_sim.fwbuild.compile import compile_firmware
from dcompute_sim.micropython.compiled import shim_sources
from dcompute_sim.micropython.provision import Progress, mpy_cross
from dcompute_sim.micropython.unavailable import EmulatorUnavailable
from dcompute_sim.whole_file import write_whole
from dcompute_sim.yamlfile.problems import nearest

_RULES = "settings.py"  # the firmware's own rules of config.py
_SLIP = 0.8  # how alike two names are of which one is a slip for the other


@dataclass(frozen=True)
class Firmware:
    """One version for all boards; each adds its config.py.

    Attributes:
        files: by path in the slot.
        version: its name; "" takes the digest of the files.
        boot: the boot.py that comes with it.
        launcher: what starts it from a slot.
        known_settings: the keys its config.py may have.
    """

    files: Mapping[str, bytes]
    version: str
    confirm_s: int
    boot: bytes
    launcher: slots.Launcher
    known_settings: frozenset[str]
    rules: str = field(repr=False)

    def bundle(self, config: Settings | bytes) -> Bundle:
        """Return the version with this config.py, given as settings (checked here) or as the file a board
        has.

        Raises InvalidInput naming the setting that the firmware would refuse.
        """
        if not isinstance(config, bytes):
            self.check(config)
            config = config_text(config).encode()
        return Bundle(self.name, {**self.files, CONFIG_FILE: config}, self.confirm_s)

    @property
    def name(self) -> str:
        """The version, as nodes tell it."""
        return self.version or Bundle("", self.files).version

    @property
    def mpy_version(self) -> int | None:
        """Of the compiled files: what a board's MicroPython must load; None if there are none."""
        found = {data[1] for path, data in self.files.items() if path.endswith(".mpy") and data[:1] == b"M"}
        return max(found) if found else None

    def check(self, config: Settings) -> None:
        """Let the firmware's own rules judge a config.py. Raises InvalidInput with its complaint.

        A name that no setting has may belong to the user's own tasks.py; one that is nearly that of a setting
        which is not there is a slip.
        """
        if not any(path.split(".")[0] == "settings" for path in self.files):
            return  # other firmware, other rules
        rules: Any = ModuleType("settings")
        rules.open = self._open
        rules.print = lambda *_: None
        try:
            exec(compile(self.rules, _RULES, "exec"), rules.__dict__)
            rules.load(SimpleNamespace(**config))
            if config.get("NODE_ID"):
                check_node_id(str(config["NODE_ID"]))
            Topics(str(config.get("NAMESPACE") or ""))
        except ValueError as error:
            raise InvalidInput("; ".join([str(error), *self._slips(config)])) from None
        if slips := self._slips(config):
            raise InvalidInput(f"config.py: {'; '.join(slips)}")

    def _slips(self, config: Settings) -> list[str]:
        absent = self.known_settings - config.keys()
        unknown = [key for key in config if key not in self.known_settings]
        meant = {key: nearest(key.upper(), sorted(absent), cutoff=_SLIP) for key in unknown}
        return [f"{key} is no setting: did you mean {near}?" for key, near in meant.items() if near]

    def _open(self, path: str, mode: str = "rb") -> io.BytesIO:
        """Open a file that config.py names: one of the board's."""
        if path not in self.files:
            raise FileNotFoundError(f"{path} is not among the files that go on the board")
        return io.BytesIO(self.files[path])


def gather(
    folder: Path | None = None,
    extra: Sequence[Path] = (),
    *,
    version: str = "",
    compiled: bool = False,
    confirm_s: int = CONFIRM_S,
    progress: Progress | None = None,
) -> Firmware:
    """Read the firmware.

    Args:
        folder: None is dcompute's own; one with a `version.json` must be just what that says.
        extra: files that are put over it, as one's own tasks.py.
        compiled: with mpy-cross; for dcompute's own only.

    Raises:
        InvalidInput: the files are no firmware, or were tampered with. SomethingMissing: no mpy-cross.
    """
    product = product_folder()
    try:
        bundle = (
            _compiled(folder, extra, version, progress)
            if compiled
            else Bundle.from_folder(folder or product, version)
        )
        files = {path: data for path, data in bundle.files.items() if path != CONFIG_FILE}
        if not compiled:
            files |= {path.name: path.read_bytes() for path in extra}
        if extra and not version:
            bundle = Bundle("", files)
        example = _first(folder, product, "config_example.py").read_text()
        boot = _first(folder, product, "boot.py").read_bytes()
        finishing = slots.finishing((product / "boot.py").read_bytes())
        return Firmware(
            files,
            version or bundle.version,
            confirm_s,
            boot if slots.finishes(boot) else boot + finishing,
            slots.Launcher(
                (product / "launcher_main.py").read_bytes(), (product / "launcher.py").read_bytes(), finishing
            ),
            _assigned(example),
            (product / _RULES).read_text(),
        )
    except (BadBundle, FirmwareError) as error:
        raise InvalidInput(str(error)) from None
    except OSError as error:
        raise InvalidInput(f"firmware: {error}") from None


def pack(firmware: Firmware, target: Path) -> list[Path]:
    """Write the firmware as a folder that says what it is, for `gather` to take elsewhere and to check."""
    manifest = Bundle(firmware.name, firmware.files, firmware.confirm_s).manifest()
    written = []
    for path, data in {**firmware.files, "boot.py": firmware.boot, VERSION_FILE: manifest}.items():
        place = target / path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_whole(place, data)
        except OSError as error:
            raise SomethingMissing(f"{place} cannot be written: {error.strerror}") from None
        written.append(place)
    return written


def _compiled(folder: Path | None, extra: Sequence[Path], version: str, progress: Progress | None) -> Bundle:
    if folder is not None:
        raise InvalidInput("--compile is for dcompute's own firmware; add your tasks with --file tasks.py")
    try:
        compiler = mpy_cross(progress)
    except EmulatorUnavailable as error:
        raise SomethingMissing(str(error)) from None
    with tempfile.TemporaryDirectory(prefix="dcompute-compiled-") as scratch:
        compile_firmware(compiler, Path(scratch), extra, shim_sources())
        return Bundle.from_folder(Path(scratch), version)


def _first(folder: Path | None, product: Path, name: str) -> Path:
    return folder / name if folder is not None and (folder / name).is_file() else product / name


def _assigned(source: str) -> frozenset[str]:
    """Return the names that a module's top level assigns."""
    statements = [statement for statement in ast.parse(source).body if isinstance(statement, ast.Assign)]
    return frozenset(target.id for s in statements for target in s.targets if isinstance(target, ast.Name))
