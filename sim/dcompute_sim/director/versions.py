"""The versions of an update: whole, as the scenario wants them broken, or packed as no board may take them.

What is wrong with a version is of two kinds. Its *program* is: the board takes it, and goes back when it does
not come up. Or its *package* is, rightly signed all the same, by a tool that packs badly or in the hands of
somebody who may sign: that the board has to see by itself, before anything of it starts.
"""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcompute_sim.scenario.updates import Broken, Update

if TYPE_CHECKING:
    from dcompute.bundle import Bundle

_NO_WIFI = b"""
class Wifi:
    def __init__(self, *_):
        pass

    def join(self):
        return False

    is_connected = reset = join
"""
_MUTE = b"""
import outbox


class Mute(outbox.Outbox):
    def start_next(self):
        for message in () if self.sending else self.control:
            if message[0].endswith("updates"):
                self.sending = message
                return message

    def acknowledged(self, packet_id):
        if self.sending and packet_id == self.packet_id:
            self.control.remove(self.sending)
            self.sending = None


outbox.Outbox = Mute
"""
_PROGRAMS: dict[Broken, tuple[str, bytes]] = {
    "crash": ("main.py", b"raise RuntimeError('a broken version')\n"),
    "hang": ("main.py", b"import time\nwhile True:\n    time.sleep(10)\n"),
    "mute": ("main.py", _MUTE),
    "no-wifi": ("wifi.py", _NO_WIFI),
}
_SHARES, _MIXER = 1009, 389  # primes: ids that differ by one are far from each other
_ON_SOME = b"""
import config
number = 0
for byte in config.NODE_ID.encode():
    number = (number * 31 + byte) %% 1009
if number * 389 %% 1009 < %d:
%s
"""


def bundle_of(update: Update, release: int) -> Bundle:
    """Make the version, broken as it is to be."""
    from dcompute.bundle import Bundle, product_folder  # here: most runs update nothing

    folder = Path(update.bundle) if update.bundle else product_folder()
    bundle = Bundle.from_folder(folder, update.version, round(update.confirm), release)
    if update.broken is None:
        return bundle
    if update.broken not in _PROGRAMS:
        return _badly_packed(bundle, update.broken)
    path, data = _PROGRAMS[update.broken]
    if update.broken_share < 1:
        data = _ON_SOME % (_limit(update.broken_share), textwrap.indent(data.decode(), "    ").encode())
    if update.broken_share < 1 or update.broken == "mute":  # what follows is sound
        data += bundle.files[path]
    return replace(bundle, files={**bundle.files, path: data})


def is_broken_on(node_id: str, share: float) -> bool:
    """Say whether a version that is broken on that share of the boards is so on this one (`_ON_SOME` asks
    it)."""
    number = 0
    for byte in node_id.encode():
        number = (number * 31 + byte) % _SHARES
    return number * _MIXER % _SHARES < _limit(share)


def _limit(share: float) -> int:
    return round(share * _SHARES)


def _badly_packed(bundle: Bundle, how: Broken) -> Bundle:
    """Return the same program in a package that `dcompute` itself would not make."""
    from dcompute.bundle import Bundle, file_digest

    files = dict(bundle.files)
    changes: dict[str, Any] = {}
    match how:
        case "no-main":
            del files["main.py"]
        case "escape":
            files["../escaped.py"] = b"print('out of its slot')\n"
        case "too-large":
            changes["bytes"] = 2**40
        case "longer":
            changes["bytes"] = min(map(len, files.values()))
        case "altered":
            changes["files"] = {path: file_digest(data) for path, data in files.items()}
            changes["files"]["main.py"] = file_digest(b"another program")

    @dataclass(frozen=True)
    class BadlyPacked(Bundle):
        """Passes no check of its own, and its manifest says what the package is to be wrong in."""

        def __post_init__(self) -> None:
            pass

        def manifest(self) -> bytes:
            said = json.loads(super().manifest()) | changes
            return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    return BadlyPacked(bundle.version, files, bundle.confirm_s, bundle.release)
