"""What the testbed does on a board's flash, and takes back: lines at the end of its config.py, and its own
key for updates over the air in the place of the owner's.

The board keeps its own Wi-Fi settings, and whatever else it has. A run that was killed leaves its lines
and its key behind; the next one, or `remove_settings`, puts both right. The owner's key waits as
`/update.key.own` (without a byte where the board had none): it is moved there before ours is written, and
moved back by one rename.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dcompute.bundle import UPDATE_KEY_FILE
from dcompute_sim.fwbuild.firmware_files import OLDEST_MICROPYTHON
from dcompute_sim.hardware.board_errors import BoardError
from dcompute_sim.hardware.serial_link import SerialLink
from dcompute_sim.scenario.own_config import MARK

_MARK = MARK.encode()
_PROBE = """
import gc, os, sys
def _has(name):
    try:
        os.stat(name)
        return True
    except OSError:
        return False
_home = ''
if _has('/slot'):
    _home = '/' + open('/slot').read().split()[0]
    if _home == '/.':
        _home = ''
gc.collect()
"""
_FACTS = (
    "(_home, _has(_home + '/config.py'), _has(_home + '/debug_hooks.py') or _has(_home + '/debug_hooks.mpy'),"
    " tuple(sys.implementation.version)[:3], os.uname()[4], gc.mem_free() + gc.mem_alloc())"
)
_HOMES = ("", "/a", "/b")
_KEY = f"/{UPDATE_KEY_FILE}"
_OWN_KEY = f"{_KEY}.own"
_KEEP_KEY = f"""
import os
try:
    os.rename({_KEY!r}, {_OWN_KEY!r})
except OSError:
    open({_OWN_KEY!r}, "wb").close()
"""
_GIVE_KEY = f"""
import os
if os.stat({_OWN_KEY!r})[6]:
    os.rename({_OWN_KEY!r}, {_KEY!r})
else:
    try:
        os.remove({_KEY!r})
    except OSError:
        pass
    os.remove({_OWN_KEY!r})
"""


@dataclass(frozen=True)
class BoardProgram:
    """What is on the board. `home`: the folder of its firmware, "" for the root."""

    home: str
    has_hooks: bool
    version: tuple[int, ...]
    machine: str
    heap_bytes: int

    @property
    def config(self) -> str:
        return f"{self.home}/config.py"


def inspect(link: SerialLink) -> BoardProgram:
    """Look at the board, which is at its raw prompt. BoardError when no run is possible."""
    link.run(_PROBE)
    home, has_config, has_hooks, version, machine, heap_bytes = link.evaluate(_FACTS)
    if tuple(version[:2]) < OLDEST_MICROPYTHON:
        oldest = ".".join(map(str, OLDEST_MICROPYTHON))
        raise BoardError(
            f"{link.port}: MicroPython {'.'.join(map(str, version))} is too old: flash {oldest} or newer"
        )
    if not has_config:
        raise BoardError(f"{link.port}: no config.py on it: put the firmware on it first (dcompute deploy)")
    return BoardProgram(home, has_hooks, tuple(version), machine, heap_bytes)


def append_settings(
    link: SerialLink, program: BoardProgram, settings: Mapping[str, object], update_key: bytes = b""
) -> None:
    """Let config.py end with these settings, which then are the ones that count; likewise this update key."""
    if update_key:
        if not link.exists(_OWN_KEY):
            link.run(_KEEP_KEY)
        _write(link, _KEY, update_key)
    ours = "".join(f"{name} = {value!r}\n" for name, value in settings.items())
    _write(link, program.config, link.read_file(program.config).partition(_MARK)[0] + _MARK + ours.encode())


def remove_settings(link: SerialLink) -> None:
    """Let config.py be as it was, also where an update over the air has copied it into the other slot."""
    if link.exists(_OWN_KEY):
        link.run(_GIVE_KEY)
    for home in _HOMES:
        config = f"{home}/config.py"
        if link.exists(config):
            theirs, mark, _ = link.read_file(config).partition(_MARK)
            if mark:
                _write(link, config, theirs)


def _write(link: SerialLink, path: str, data: bytes) -> None:
    """Write to another name first: a config.py cut short would leave the board without its Wi-Fi."""
    link.write_file(path + ".new", data)
    link.run(f"import os\nos.rename({path + '.new'!r}, {path!r})")
