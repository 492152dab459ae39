"""What documents and docstrings name is there: files, folders, modules, names in them, ways to install."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import ROOT, TEXTS

FOLDERS = r"\.github|\.ci|benchmarks|dcompute|docs|examples|firmware|scenarios|sim|tests"
PATH = re.compile(rf"(?<![\w/.{{<-])(?:{FOLDERS})/[\w./*-]*[\w*/]")
DOTTED = re.compile(r"(?<![\w/.@-])dcompute(?:_sim)?(?:\.[A-Za-z_]\w*)+(?!\w*/)")
NOT_NAMES = ("md", "py", "toml", "yaml", "yml", "git", "whl", "json", "service")
ADDED_AS_EXAMPLES = (
    "sim/dcompute_sim/faults/sulk.py",
    "sim/dcompute_sim/checks/quick_master.py",
    "sim/dcompute_sim/micropython/shims/espnow.py",
    "sim/dcompute_sim/mutants/deaf.py",
)
"""CONTRIBUTING.md adds them."""


@functools.cache
def tracked() -> frozenset[str]:
    """Files of the repository and the folders that they are in."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    files = done.stdout.splitlines()
    return frozenset(files) | {parent.as_posix() for file in files for parent in Path(file).parents}


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_path_named_is_there(text: Path) -> None:
    named = {found.rstrip("/") for found in PATH.findall(text.read_text(encoding="utf-8"))}
    here = text.parent.relative_to(ROOT)
    missing = [
        name
        for name in sorted(named - set(ADDED_AS_EXAMPLES))
        if not list(ROOT.glob(name))
        and not list((ROOT / here).glob(name))
        and not list((ROOT / "sim" / "dcompute_sim").glob(name))
    ]
    assert missing == []


ELSEWHERE = {"config.py", "boot_before.py", "main_before.py", "slot_launcher.py", "stand_ins.py"}
"""Files on a board, and the user's own."""


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_file_named_without_its_folder_is_somewhere(text: Path) -> None:
    there = {Path(name).name for name in tracked()} | ELSEWHERE
    named = set(re.findall(r"`(\w+\.(?:py|yaml|md))`", text.read_text(encoding="utf-8")))
    assert named - there == set()


def test_the_architecture_names_each_module_where_it_is() -> None:
    """In the tree "Where things are": what is named is there, and what is there is named."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    tree = text.partition("## Where things are")[2].partition("\n## ")[0]
    places = {
        "dcompute": "dcompute",
        "firmware": "firmware",
        "sim/dcompute_sim": "sim/dcompute_sim",
        "scenarios": "",
    }
    here, named, missing = "", set[str](), []
    for line in tree.splitlines():
        if top := re.match(r" {4}(\w+(?:/\w+)?)/ ", line):
            here = places.get(top[1], "")
            continue
        if not line.startswith("    "):
            continue
        for name in re.findall(r"(?<![\w./(])[a-z_]\w*(?:\.py|/)(?![\w/])", line):
            path = Path(here) / name
            named.add(path.as_posix())
            if not (ROOT / path).exists():
                missing.append(path.as_posix())
    assert missing == []
    there = {
        path.relative_to(ROOT).as_posix()
        for folder in ("dcompute", "sim/dcompute_sim")
        for path in (ROOT / folder).iterdir()
        if not path.name.startswith("__") and (path.suffix == ".py" or (path / "__init__.py").exists())
    }
    private = {name for name in there if Path(name).suffix == ".py" and Path(name).name.startswith("_")}
    assert there - private - named == set()


def sources() -> Iterator[Path]:
    for name in sorted(tracked()):
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".yml") and not name.startswith(("tests/", "scenarios/")):
            yield path


@functools.cache
def names_in(module: Path) -> frozenset[str]:
    """Everything that a module binds or mentions at any level, as classes have attributes."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return frozenset(found)


def resolves(dotted: str) -> bool:
    """Whether `dcompute.module.Name` names a module, or a name in one."""
    first, *rest = dotted.split(".")
    place = ROOT / ("sim" if first == "dcompute_sim" else "") / first
    for number, part in enumerate(rest):
        if (place / part).is_dir():
            place = place / part
        elif (place / f"{part}.py").is_file():
            return number == len(rest) - 1 or rest[number + 1] in names_in(place / f"{part}.py")
        else:
            return any(part in names_in(module) for module in exporting(place))
    return True


def exporting(package: Path) -> Iterator[Path]:
    """The modules whose names a package has: its own, and those that it takes everything from."""
    own = package / "__init__.py"
    if own.is_file():
        yield own
        if "import *" in own.read_text():
            yield from package.glob("*.py")


def test_each_module_and_name_mentioned_is_there() -> None:
    missing = []
    for path in sources():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for found in DOTTED.findall(line):
                if found.rpartition(".")[2] not in NOT_NAMES and not resolves(found):
                    missing.append(f"{path.relative_to(ROOT)}:{number}: {found}")
    assert not missing, "\n".join(missing)


def test_nobody_is_told_to_install_a_name_that_no_index_has() -> None:
    told = []
    for path in sources():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if re.search(r"(pip|uv|pipx) install [^#]*?(?<![\w/.-])dcompute\b(?!-|[^ ]* @ )", line):
                told.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not told, "\n".join(told)


@pytest.mark.parametrize("name", ["dcompute.parts", "dcompute_sim.rng.Rng", "dcompute._mqtt.link.MqttLink"])
def test_what_is_there_is_found(name: str) -> None:
    assert resolves(name)


@pytest.mark.parametrize("name", ["dcompute.nothing", "dcompute_sim.gate", "dcompute_sim.rng.Dice"])
def test_what_is_not_there_is_missed(name: str) -> None:
    assert not resolves(name)


@pytest.mark.parametrize("package", ["dcompute", "sim/dcompute_sim"])
def test_the_architecture_page_says_of_each_module_what_it_is(package: str) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    here = {path.removeprefix(f"{package}/") for path in tracked() if path.startswith(f"{package}/")}
    modules = {name for name in here if "/" not in name and not name.startswith("__") and name != "py.typed"}
    assert {name for name in modules if not re.search(rf"(?<![\w/]){re.escape(name)}(?!\w)", page)} == set()
