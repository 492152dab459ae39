"""What cannot work on a board does not travel to one; unknown boards are named at once, with the known."""

from __future__ import annotations

from pathlib import Path

import pytest
from dcompute_sim.fwbuild.firmware_files import product
from typer.testing import CliRunner, Result

from dcompute._ota.bundle_check import MAX_BYTES, complaints
from dcompute.bundle import Bundle
from dcompute.cli import app
from dcompute.update_keys import UpdateKeys

PLAIN = """
import time, ujson, umqtt.simple
import config
from helper.deep import thing
try:
    import numpy
except ImportError:
    numpy = None

def later():
    import pandas
"""


def bundle(**files: bytes) -> Bundle:
    named = {path.replace("__", "/").replace("_py", ".py"): data for path, data in files.items()}
    return Bundle("v", {"helper/deep.py": b"thing = 1", "main.py": PLAIN.encode(), **named})


def test_our_own_firmware_and_a_program_of_its_kind_pass() -> None:
    assert complaints(Bundle.from_folder(product())) == []
    assert complaints(bundle()) == []


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("main_py", "import numpy", "main.py:1: no module numpy in the version, nor on an ESP32"),
        ("main_py", "import time\nfrom helper.other import x", "main.py:2: no module helper.other"),
        ("helper__x_py", "from .other import y", "helper/x.py:1: no module helper.other"),
        ("helper__x_py", "from .deep import thing", ""),
        ("helper__x_py", "from . import deep", ""),
        ("helper__x_py", "class A:\n    import nope", "helper/x.py:2: no module nope"),
        ("main_py", "def f(:\n", "main.py:1: "),
        ("main_py", "match 1:\n    case 1: pass\n", "main.py:1: MicroPython has no `match`"),
        ("main_py", "a = '\0'", "main.py:1: "),
        ("main_py", "#" * 70_000, "main.py: 70,000 bytes: a board has no heap to compile that"),
    ],
)
def test_what_cannot_work_is_named_with_its_place(
    path: str, source: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # no mpy-cross
    said = complaints(bundle(**{path: source.encode()}))
    assert said == [] if not complaint else said[0].startswith(complaint), said


def test_size_and_compiled_files() -> None:
    files = {f"d{n}.bin": bytes(100_000) for n in range(9)}
    said = complaints(Bundle("v", {"main.py": b"", "a.mpy": b"M\x05", "b.mpy": b"M\x06\0", **files}))
    assert said == [
        f"900,005 bytes: two versions of it do not fit a board ({MAX_BYTES:,})",
        "a.mpy: no .mpy of version 6, which MicroPython 1.19 and later load",
    ]


@pytest.fixture
def mpy_cross(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that refuses what has `refuse` in it."""
    program = tmp_path / "mpy-cross"
    program.write_text(
        '#!/bin/sh\nif grep -q refuse "$3"; then echo "SyntaxError: so it is" >&2; exit 1; fi\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("DCOMPUTE_MPY_CROSS", str(program))
    return program


def test_the_compiler_decides_where_there_is_one(mpy_cross: Path) -> None:
    assert complaints(bundle()) == []
    assert complaints(bundle(main_py=b"refuse = 1")) == ["main.py: mpy-cross: SyntaxError: so it is"]
    mpy_cross.write_text("no program")
    assert complaints(bundle(main_py=b"refuse = 1")) == []


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app, ["update", "--dry-run", *words], env={"COLUMNS": "300"})


def test_the_command_refuses_and_can_be_told_otherwise(tmp_path: Path) -> None:
    keys = UpdateKeys.create(tmp_path / "keys")
    for name in ("kiln", "saw"):
        keys.enroll(name)
    folder = tmp_path / "program"
    folder.mkdir()
    (folder / "main.py").write_text("import numpy\nimport scipy\n")
    words = ["--key-file", str(keys.path), "--bundle", str(folder), "--node", "kiln"]
    refused = invoke(*words)
    assert refused.exit_code == 2
    for line in ("main.py:1: no module numpy", "main.py:2: no module scipy", "--unchecked"):
        assert line in refused.stderr
    assert invoke(*words, "--unchecked").exit_code == 0


def test_unknown_boards_are_named_at_once_with_the_known_ones(tmp_path: Path) -> None:
    keys = UpdateKeys.create(tmp_path / "keys")
    for name in ("kiln", "saw"):
        keys.enroll(name)
    words = [word for name in ("kiln", "klin", "sew") for word in ("--node", name)]
    refused = invoke("--key-file", str(keys.path), *words)
    assert refused.exit_code == 2
    assert "no key for klin, sew; it has those of kiln, saw" in " ".join(refused.stderr.split())
