"""dcompute's firmware as .mpy files, which need two thirds of the heap that the sources need."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from dcompute_sim.fwbuild.build_errors import BuildError
from dcompute_sim.fwbuild.firmware_files import layout, product
from dcompute_sim.fwbuild.keep_names import UMQTT, kept_names
from dcompute_sim.fwbuild.merge import merge

# What remains a module of its own: what others import or replace, and what is dropped once it has been used.
_ENTRIES: dict[str, frozenset[str]] = {
    "dcompute.node_names": frozenset({"check_namespace", "check_node_id"}),
    "dcompute.node_core": frozenset({"NodeCore"}),
    "settings": frozenset({"load"}),
    "node_setup": frozenset({"prepare"}),
    "wifi_reasons": frozenset({"reason"}),
    "dcompute.node_answers": frozenset({"Answers", "Entry"}),
    "dcompute.node_ring": frozenset({"Ring"}),
    "compute_node": frozenset({"ComputeNode"}),
    "refused": frozenset({"set_aside"}),
    "denied": frozenset({"tell"}),
    "clock": frozenset({"set_once"}),
    "tasks": frozenset({"handle"}),
    "at_work": frozenset({"attach", "is_cancelled", "progress"}),
    "debug_hooks": frozenset({"install"}),
    "slot": frozenset({"attach"}),
    "update": frozenset({"go_on", "load", "Ended"}),
    "update.receive": frozenset({"begin"}),
    "update.files": frozenset({"KEPT", "digest_of", "is_right", "remove", "size_of"}),
    "update.mac": frozenset({"is_proven", "key_of", "mac"}),
    "update.say": frozenset({"say", "sealed", "tell"}),
    "update.hide": frozenset({"unhide"}),
    "update.hello": frozenset({"begin"}),
    "update.step1_proof": frozenset({"begin"}),
    "update.step2_keep": frozenset({"begin"}),
    "update.step3_offer": frozenset({"begin"}),
    "update.step4_sweep": frozenset({"begin"}),
    "update.step5_next": frozenset({"begin"}),
    "update.step6_pieces": frozenset({"begin"}),
    "update.step7_file": frozenset({"begin"}),
    "update.step8_finish": frozenset({"begin"}),
    "update.step9_switch": frozenset({"begin"}),
}
_BASES = {"MQTTClient": UMQTT}
_AS_IT_IS = ("boot.py", "config_example.py")
_PROGRAM = "node_program"  # a board runs no main.mpy


def compile_firmware(
    mpy_cross: Path, target: Path, extra: Sequence[Path] = (), built_in: Iterable[Path] = ()
) -> list[Path]:
    """Write the compiled firmware into the folder `target`, made if need be; returns the files written.

    Args:
        extra: files put over it before, as one's own tasks.py.
        built_in: sources of modules that the boards have built in: what these name keeps its name.
    """
    sources = layout([product(), *extra])
    names = {_module(name): name for name in sources if name not in _AS_IT_IS}
    modules = {module: sources[name].read_text() for module, name in names.items()}
    ours = {_module(name) for name in layout([product()])}
    around = [*product().glob("launcher*.py"), *built_in]
    kept = kept_names(modules, ours, around)
    texts = _merged(tuple(modules.items()), frozenset(kept))
    names["main"] = f"{_PROGRAM}.py"
    written = [_compile(mpy_cross, names[module], text, target) for module, text in texts.items()]
    for name in _AS_IT_IS:
        written.append(Path(shutil.copy(sources[name], target / name)))
    main = target / "main.py"
    main.write_text(f"import {_PROGRAM}\n")
    return [*written, main]


@functools.lru_cache(maxsize=4)
def _merged(modules: tuple[tuple[str, str], ...], kept: frozenset[str]) -> dict[str, str]:
    """Merge once what is asked for again: it takes a second or two, and follows from these texts alone."""
    return merge(dict(modules), {**_ENTRIES, "main": frozenset()}, kept, _BASES)


def _module(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _compile(mpy_cross: Path, name: str, text: str, target: Path) -> Path:
    compiled = (target / name).with_suffix(".mpy")
    compiled.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "module.py"
        source.write_text(text)
        argv = [str(mpy_cross), "-O3", "-s", name, "-o", str(compiled), str(source)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"mpy-cross refuses {name}: {done.stderr.strip()}")
    return compiled
