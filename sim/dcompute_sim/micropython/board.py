"""What one emulated ESP32 is made of, and the folder that is its flash; the same in any time."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

from dcompute_sim.chips.chip_timing import ChipTiming
from dcompute_sim.fwbuild.build_errors import FirmwareError
from dcompute_sim.micropython import flash
from dcompute_sim.micropython.address_space import fixed_addresses
from dcompute_sim.micropython.provision import Emulator
from dcompute_sim.micropython.unavailable import EmulatorUnavailable

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = range(1, 6)

Kernel = Literal["real", "lockstep"]

_OWN_FRAME = '  File "shims/'
_MOUNTED = re.compile(r"/\.\d/")  # what is flash on a chip, by its place in the path (shims/_os.py)
_PROBE_HEAP_BYTES = 1024 * 1024
_TRIMMED_BYTES = 512  # what the modules take differs a little; a board that starts gives back what is over


DEFAULT_HEAP_BYTES = 128 * 1024
"""What an ESP32 without PSRAM has for MicroPython, about; of emulated boards and virtual ones alike."""


@dataclass(frozen=True)
class Board:
    """One ESP32 and what is on it.

    Attributes:
        uid: six bytes, `machine.unique_id()` and the WLAN's MAC.
        files: what is on the flash: folders (their contents, or what their package.json names) and single
            files; later ones win.
        config: written to `config.py` as `NAME = value` lines.
        entry: the program to run after `boot.py`; None: `main.py` if there is one, as a board does.
        heap_bytes: what the firmware has, in the chip's bytes: an emulator whose words have 64 bits gives it
            twice as many, as its objects are twice as large. What the emulator itself takes comes on top.
        radio: the WLAN's surroundings at power-on; keys as in `shims/network.py`, class Radio.
        clock_start_us: the RTC at power-on, microseconds since 2000.
        ticks_start_ms: where `time.ticks_ms()` begins; it wraps at 2**30.
        address: what DHCP gives it; None: one made of the uid.
        seed: of `random` and `os.urandom` in virtual time.
        timing: in virtual time, what booting, importing, computing take, and the current; None: no more than
            the emulator needs.
        overlay: files, by name, that take the place of those on the flash.
        extra: files, by name, that lie beside them on the flash.
        stand_ins: folder of modules that are found before those on the flash; its `stand_ins.py`, if there
            is one, runs before boot.py.
        broker_at: under which names and addresses the program has, beside its config.py, the run's broker.
        wiring: what is connected to its pins and buses, by the part of the chip it is for, then by pin,
            address or number (shims/frozen/_wiring.py); None: nothing is said of that.
        tells_boot: tell (`booted`) when its boot.py is over, by a module of the emulator's that runs then;
            else nobody knows of one that waits for ever.
        slots: keep the files as a deployed version in a slot, with the launcher as `main.py`.
        version: of the files in the slot; "" takes the one they give themselves.
        release: likewise, what orders it among others.
        update_key: proves updates over the air; none are taken without.
    """

    uid: bytes
    files: Sequence[Path]
    config: Mapping[str, object] = field(default_factory=dict)
    entry: str | None = None
    heap_bytes: int = DEFAULT_HEAP_BYTES
    radio: Mapping[str, object] = field(default_factory=dict)
    clock_start_us: int = 0
    ticks_start_ms: int = 0
    seed: int = 0
    address: str | None = None
    timing: ChipTiming | None = None
    overlay: Mapping[str, bytes] = field(default_factory=dict)
    extra: Mapping[str, bytes] = field(default_factory=dict)
    stand_ins: Path | None = None
    wiring: Mapping[str, object] | None = None
    broker_at: Sequence[str] = ()
    tells_boot: bool = False
    slots: bool = False
    version: str = ""
    release: int = 0
    update_key: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if len(self.uid) != 6:
            raise FirmwareError(f"a board's uid is 6 bytes, not {len(self.uid)}")

    def write_flash(self, root: Path) -> None:
        """Lay out the board's files under `root`, its working folder."""
        if self.slots:
            flash.write_slots(
                self.files,
                self.config,
                root,
                self.version,
                self.overlay,
                release=self.release,
                update_key=self.update_key,
            )
        else:
            flash.write(self.files, self.config, root, self.overlay)
        for name, content in self.extra.items():
            (root / name).write_bytes(content)
        if self.entry and not (root / self.entry).is_file():
            raise FirmwareError(f"firmware entry {self.entry}: not among {', '.join(map(str, self.files))}")

    def printed(self, lines: Iterable[str], root: Path, emulator: Emulator) -> Iterator[str]:
        """Yield lines that it printed as a chip prints them: in a traceback without the frames of the
        emulator's own modules, and without the names of folders of this machine, which differ from run to
        run."""
        folders = {root: "", emulator.shims: "shims/", emulator.umqtt: ""}
        if self.stand_ins is not None:
            folders |= dict.fromkeys((self.stand_ins, Path("/.0")), "stand_ins/")
        for line in lines:
            for folder, name in folders.items():
                line = line.replace(f"{folder}/", name)
            if not line.startswith(_OWN_FRAME):
                yield _MOUNTED.sub("", line)

    def power_on(
        self,
        reset_cause: int,
        umqtt: Path,
        kept: Mapping[str, object] | None = None,
        measure: bool = False,
        console: bool = False,
    ) -> bytes:
        """Return the line that tells a starting process all it needs.

        `kept`: what outlived its last end (`Kept.start`); `measure`: it shall only say what heap is in use.
        """
        entries = [("boot.py", False), (self.entry or "main.py", self.entry is not None)]
        if self.tells_boot:
            entries.insert(1, ("_booted.py", False))
        path = ["", ".frozen", "lib", str(umqtt)]
        if self.stand_ins is not None:
            path.insert(0, str(self.stand_ins))
            entries.insert(0, ("stand_ins.py", False))
        line = {
            "uid": self.uid.hex(),
            "address": self.address or f"10.0.{self.uid[-2]}.{self.uid[-1]}",
            "heap_bytes": self.heap_bytes,
            "reset_cause": reset_cause,
            "clock_start_us": self.clock_start_us,
            "kept": {},
            "wiring": self.wiring,
            "broker_at": self._broker_at(),
            "on_for_us": 0,
            "ticks_start_ms": self.ticks_start_ms,
            "radio": dict(self.radio),
            "path": path,
            "entry": entries,
            "seed": self.seed,
            "timing": None if self.timing is None else _costs(self.timing, self.heap_bytes),
            "measure": measure,
        }
        line |= kept or {}
        if console:
            line["console"] = {"routes": []}
        return json.dumps(line).encode() + b"\n"

    def _broker_at(self) -> tuple[object, ...] | None:
        if not self.broker_at:
            return None
        return self.config["MQTT_HOST"], self.config["MQTT_PORT"], tuple(self.broker_at)


def _costs(timing: ChipTiming, heap_bytes: int) -> dict[str, int]:
    """Return what the board itself charges: nanoseconds a branch, microseconds all else."""
    return {
        "branch_ns": round(timing.branches * 1e6),
        "allocate_us": round(timing.allocate * 1e6),
        "compile_us": round(timing.compile * 1e6),
        "load_us": round(timing.load * 1e6),
        "collect_us": round(timing.collect_s(heap_bytes) * 1e6),
        # MicroPython's perf_bench takes a byte of heap each microsecond (the median of its programs, on an
        # ESP32); half of the heap is taken for the program's own.
        "collect_every_us": heap_bytes // 2,
        "tls_us": round(timing.tls * 1e6),
        "erase_us": round(timing.erase * 1e6),
        "commit_us": round(timing.commit * 1e6),
        "compact_us": round(timing.compact * 1e6),
    }


def command(
    emulator: Emulator, board: Board, kernel: Kernel, control_fd: int, console: bool = False
) -> list[str]:
    """Return the command that starts the board's process with its control descriptor."""
    timing = board.timing if kernel == "lockstep" else None
    shims = shims_of(emulator, kernel, console, timing, json.dumps(board.wiring))
    heap_bytes = board.heap_bytes * emulator.word_bits // 32 + shims.heap_bytes
    return [*_command(emulator, kernel, heap_bytes, control_fd), str(shims.names)]


def _command(emulator: Emulator, kernel: Kernel, heap_bytes: int, control_fd: int) -> list[str]:
    # MicroPython is told the size of all; its collector's tables (py/gc.c, gc_setup_area: two bits and one
    # for each block of four words, blocks by fours) come out of it.
    fours = -(-heap_bytes // (16 * emulator.word_bits // 8))
    with_tables = fours * (16 * emulator.word_bits // 8) + fours + -(-fours // 2) + emulator.word_bits
    boot = str(emulator.shims / "boot.py")
    return [*emulator.argv, "-X", f"heapsize={with_tables}", boot, kernel, str(control_fd)]


@dataclass(frozen=True)
class Shims:
    """What the emulator's own modules take, which on a board are in flash.

    Attributes:
        heap_bytes: of the heap; comes on top of the firmware's.
        names: how many more fill the table of names, so that the firmware's go into a fresh one.
    """

    heap_bytes: int
    names: int


@lru_cache(maxsize=8)
def shims_of(
    emulator: Emulator,
    kernel: Kernel,
    console: bool = False,
    timing: ChipTiming | None = None,
    wiring: str = "null",
) -> Shims:
    """Return its shims, measured once for each kind of board (`wiring`: as JSON)."""
    probe = Board(uid=bytes(6), files=(), timing=timing, wiring=json.loads(wiring))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with fixed_addresses():
            process = subprocess.Popen(
                _command(emulator, kernel, _PROBE_HEAP_BYTES, theirs.fileno()),
                cwd=emulator.shims,  # without firmware, or its node core would count as the emulator's
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
            )
        theirs.close()
        ours.sendall(probe.power_on(PWRON_RESET, emulator.umqtt, measure=True, console=console))
        try:
            said, _ = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
    words = said.split()
    if len(words) != 2 or not all(word.isdigit() for word in words):
        raise EmulatorUnavailable(
            f"the emulator's modules do not start under MicroPython {emulator.version} ({emulator.origin}): "
            f"{said.decode(errors='replace').strip()}"
        )
    return Shims(_PROBE_HEAP_BYTES - int(words[0]) + _TRIMMED_BYTES, int(words[1]))


if sys.platform == "win32":
    raise EmulatorUnavailable("the emulator needs a POSIX system; on Windows use WSL")
