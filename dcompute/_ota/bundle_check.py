"""Whether a version can work on a board at all: looked at here, before it travels and takes a slot.

Rules
1. Every source is one that MicroPython's compiler takes: `mpy-cross`, where there is one on PATH (or in
   DCOMPUTE_MPY_CROSS), decides; elsewhere Python's own parser, less what MicroPython has no syntax for.
2. Every module that is imported when its file is loaded lies in the version, or is one that the ESP32 port
   has. What a `try` guards, or stands in a function, may be missing: a program may know how to do without.
3. Two versions have to fit a board's flash beside each other, and a source has to fit the heap in which the
   board compiles it.

What passes may still fail on the board; that is what the trial there is for. What a board has in its /lib is
not known here: `--unchecked` sends a version that leans on it.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from dcompute.bundle import Bundle

MAX_BYTES = 800 * 1024  # the usual filesystem has 2 MiB, for two versions and what else there is
MAX_SOURCE_BYTES = 64 * 1024
_MPY = b"M\x06"  # compiled by mpy-cross 1.19 or later

_WITH_U = (
    *("array", "asyncio", "binascii", "collections", "ctypes", "errno", "hashlib", "heapq", "io", "json"),
    *(
        "os",
        "platform",
        "random",
        "re",
        "requests",
        "select",
        "socket",
        "ssl",
        "struct",
        "sys",
        "time",
        "zlib",
    ),
)
ON_BOARDS = frozenset(
    (
        *(name for name in _WITH_U if name != "ctypes"),
        *(f"u{name}" for name in _WITH_U),
        *("_thread", "aioespnow", "apa106", "bluetooth", "btree", "builtins", "cmath", "config", "cryptolib"),
        *("deflate", "dht", "ds18x20", "esp", "esp32", "espnow", "flashbdev", "framebuf", "gc", "inisetup"),
        *("machine", "math", "micropython", "mip", "neopixel", "network", "ntptime", "onewire"),
        *("slot_launcher", "tls", "umqtt", "upysh", "vfs", "webrepl", "webrepl_setup", "websocket"),
    )
)
"""What the ESP32 port has built in or frozen, and `config` and `slot_launcher`, which every slot has."""

_UNKNOWN_SYNTAX = tuple(
    (getattr(ast, name), words)
    for name, words in (
        ("Match", "`match`"),
        ("TryStar", "`except*`"),
        ("TypeAlias", "`type` statements"),
    )
    if hasattr(ast, name)
)


def complaints(bundle: Bundle) -> list[str]:
    """Say what is wrong with a version, a line for each thing, with file and line; [] if nothing is."""
    found = []
    if bundle.size_bytes > MAX_BYTES:
        found.append(f"{bundle.size_bytes:,} bytes: two versions of it do not fit a board ({MAX_BYTES:,})")
    for path, data in sorted(bundle.files.items()):
        if path.endswith(".mpy") and not data.startswith(_MPY):
            found.append(f"{path}: no .mpy of version 6, which MicroPython 1.19 and later load")
        if path.endswith(".py"):
            found += _of_source(path, data, bundle)
    return found


def _of_source(path: str, data: bytes, bundle: Bundle) -> Iterator[str]:
    if len(data) > MAX_SOURCE_BYTES:
        yield f"{path}: {len(data):,} bytes: a board has no heap to compile that ({MAX_SOURCE_BYTES:,})"
    refused = _refused_by_mpy_cross(path, data)
    if refused:
        yield refused
        return
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError) as error:  # ValueError: a NUL
        yield f"{path}:{getattr(error, 'lineno', None) or 1}: {getattr(error, 'msg', None) or error}"
        return
    for node in ast.walk(tree):
        for kind, words in _UNKNOWN_SYNTAX:
            if isinstance(node, kind):
                yield f"{path}:{node.lineno}: MicroPython has no {words}"
    folder = PurePosixPath(path).parent
    for name, line in _imported(tree.body, folder):
        if name.split(".")[0] not in ON_BOARDS and not _has(bundle, name):
            yield f"{path}:{line}: no module {name} in the version, nor on an ESP32"


def _imported(body: list[ast.stmt], folder: PurePosixPath) -> Iterator[tuple[str, int]]:
    """Name the modules that loading the file imports, and where."""
    for node in body:
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield alias.name, node.lineno
            case ast.ImportFrom(module=module, level=level):
                above = folder.parents[level - 2] if level > 1 else folder
                package = [part for part in above.parts if part != "."] if level else []
                name = ".".join([*package, *([module] if module else [])])
                if name:
                    yield name, node.lineno
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                pass
            case ast.ClassDef(body=inner) | ast.With(body=inner):
                yield from _imported(inner, folder)
            case ast.For(body=inner, orelse=rest) | ast.While(body=inner, orelse=rest):
                yield from _imported([*inner, *rest], folder)


def _has(bundle: Bundle, name: str) -> bool:
    place = name.replace(".", "/")
    files = bundle.files
    return (
        any(f"{place}{ending}" in files for ending in (".py", ".mpy", "/__init__.py", "/__init__.mpy"))
        or any(path.startswith(f"{place}/") for path in files)  # a package without __init__
        or any(f"lib/{place}{ending}" in files for ending in (".py", ".mpy", "/__init__.py"))
    )


def _refused_by_mpy_cross(path: str, data: bytes) -> str:
    program = os.environ.get("DCOMPUTE_MPY_CROSS") or shutil.which("mpy-cross")
    if program is None:
        return ""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / PurePosixPath(path).name
        source.write_bytes(data)
        command = [program, "-o", str(source.with_suffix(".out")), str(source)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):  # it is there, but does not work: as if it were not
            return ""
    told = (done.stderr or done.stdout).strip().splitlines()
    return f"{path}: mpy-cross: {told[-1] if told else 'refused'}" if done.returncode else ""
