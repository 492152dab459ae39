"""The house keeps its rules: arrows point one way, what is private stays at home, one name has one meaning.

The rules and how they are computed: benchmarks/source_graph.py. Each rule is also broken here on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from benchmarks.figures import Figure
from benchmarks.source_graph import SourceGraph, components, files_here, imported_names
from benchmarks.structure import figures_of, functions_of, lines_of

TESTBED = "dcompute_sim"
SAME_EVERYWHERE = ("cli",)
"""Names of modules that mean the same in every folder: `cli` is the folder's part of the command line."""

BELOW_WHAT_IMPLEMENTS_THEM = f"{TESTBED}.interfaces"
IMPLEMENTATIONS = tuple(
    f"{TESTBED}.{name}"
    for name in (
        "brokers",
        "director",
        "engines",
        "hardware",
        "micropython",
        "net",
        "nodes",
        "recorder",
        "run",
        "virtual_boards",
    )
)


@pytest.fixture(scope="module")
def house() -> SourceGraph:
    return SourceGraph(files_here())


def graph(files: Mapping[str, str]) -> SourceGraph:
    """Of planted files: path -> text; what is in `sim/dcompute_sim` is the testbed."""
    return SourceGraph({"sim/dcompute_sim/__init__.py": "", "dcompute/__init__.py": "", **files})


# --- the house --------------------------------------------------------------------------------------------


def test_the_graph_is_read_from_the_whole_source(house: SourceGraph) -> None:
    """No arrow there is may be missed, or the rules below would hold over nothing."""
    assert len(house.modules) > 300
    assert sum(map(len, house.imports.values())) > 1000
    assert "dcompute.node_core" in house.imports["dcompute.node_transport"]
    assert "dcompute_sim.engines.virtual" in house.imports["dcompute_sim.run"], "an import inside a function"
    assert "dcompute_sim.scenario.files" in house.imports["dcompute_sim.scenario"], "an import for typing"
    assert "dcompute.node_core" in house.imports["firmware.compute_node"]
    assert "firmware.outbox" in house.imports["firmware.link"], "on a board all files lie side by side"


def test_no_modules_import_one_another_in_a_circle(house: SourceGraph) -> None:
    assert house.circles() == []


def test_no_folders_import_one_another_in_a_circle(house: SourceGraph) -> None:
    assert house.folder_circles() == {}
    assert house.upward() == []


def test_what_ships_imports_nothing_of_the_testbed(house: SourceGraph) -> None:
    wrong = {
        (name, imported)
        for name, module in house.modules.items()
        if not name.startswith(TESTBED)
        for imported in imported_names(module)
        if imported.split(".")[0] in (TESTBED, "sim", "benchmarks", "tests")
    }
    assert wrong == set()


def test_firmware_imports_of_dcompute_only_the_files_that_it_shares(house: SourceGraph) -> None:
    shared = {"dcompute.node_core", "dcompute.node_wire"}
    for name in house.modules:
        if name.startswith("firmware"):
            assert {n for n in house.imports[name] if n.startswith("dcompute")} <= shared, name


def test_interfaces_lie_below_whatever_implements_them(house: SourceGraph) -> None:
    above = {name for name in house.reaches(BELOW_WHAT_IMPLEMENTS_THEM) if name.startswith(IMPLEMENTATIONS)}
    assert above == set()


def test_engines_know_neither_nodes_nor_hardware(house: SourceGraph) -> None:
    kinds = (f"{TESTBED}.nodes", f"{TESTBED}.hardware", f"{TESTBED}.virtual_boards", f"{TESTBED}.micropython")
    assert {name for name in house.reaches(f"{TESTBED}.engines") if name.startswith(kinds)} == set()


def test_what_is_private_is_imported_at_home_only(house: SourceGraph) -> None:
    assert house.private_imports() == []


@pytest.mark.parametrize("package", ["dcompute", TESTBED, "firmware"])
def test_no_name_has_two_meanings(house: SourceGraph, package: str) -> None:
    assert house.double_names(package, SAME_EVERYWHERE) == {}


# --- each rule, broken ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "import_b",
    [
        "from dcompute_sim import b",
        "import dcompute_sim.b",
        "from dcompute_sim.b import X",
        "from . import b",
        "from .b import X",
        "def f():\n    from dcompute_sim.b import X",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from dcompute_sim.b import X",
    ],
)
def test_a_circle_of_modules_is_seen_however_the_import_is_written(import_b: str) -> None:
    files = {"sim/dcompute_sim/a.py": import_b, "sim/dcompute_sim/b.py": "from dcompute_sim.a import Y"}
    assert graph(files).circles() == [["dcompute_sim.a", "dcompute_sim.b"]]


def test_a_circle_of_folders_is_seen_where_no_two_modules_form_one() -> None:
    files = {
        "sim/dcompute_sim/nodes/low.py": "",
        "sim/dcompute_sim/nodes/high.py": "from dcompute_sim.engines.virtual import Engine",
        "sim/dcompute_sim/engines/virtual.py": "from dcompute_sim.nodes import low",
    }
    found = graph(files)
    assert found.circles() == []
    assert found.folder_circles() == {"dcompute_sim": [["dcompute_sim.engines", "dcompute_sim.nodes"]]}
    assert len(found.upward()) == 1


def test_a_circle_inside_a_folder_is_seen_at_its_level() -> None:
    files = {
        "sim/dcompute_sim/brokers/model/a.py": "from dcompute_sim.brokers.serve import X",
        "sim/dcompute_sim/brokers/serve.py": "from dcompute_sim.brokers.model.b import Y",
        "sim/dcompute_sim/brokers/model/b.py": "",
    }
    assert list(graph(files).folder_circles()) == ["dcompute_sim.brokers"]


def test_a_circle_of_distributions_is_seen() -> None:
    files = {
        "dcompute/node.py": "from dcompute_sim.trace import X",
        "sim/dcompute_sim/trace.py": "",
        "sim/dcompute_sim/run.py": "import dcompute.node",
    }
    assert graph(files).folder_circles() == {".": [["dcompute", "dcompute_sim"]]}


def test_a_face_and_what_is_behind_it_are_no_circle() -> None:
    files = {
        "dcompute/face.py": "from dcompute._mqtt.link import Link",
        "dcompute/_mqtt/link.py": "from dcompute.drivers import Driver",
        "dcompute/drivers.py": "",
    }
    assert graph(files).folder_circles() == {}


def test_a_private_import_from_outside_is_seen() -> None:
    files = {
        "dcompute/face.py": "from dcompute._mqtt.link import Link",
        "dcompute/_mqtt/link.py": "from dcompute._mqtt import _bytes",
        "dcompute/_mqtt/_bytes.py": "",
        "dcompute/_master/registry.py": "from dcompute._mqtt.link import Link",
        "dcompute/worker.py": "from dcompute._mqtt import _bytes",
        "sim/dcompute_sim/trace.py": "from dcompute._mqtt.link import Link",
    }
    # A package owns what lies in it: `dcompute` may use `_mqtt`, and only `_mqtt` may use `_mqtt._bytes`.
    assert graph(files).private_imports() == [
        ("dcompute.worker", "dcompute._mqtt._bytes"),
        ("dcompute_sim.trace", "dcompute._mqtt.link"),
    ]


def test_names_with_two_meanings_are_seen() -> None:
    files = {
        "sim/dcompute_sim/trace/faults.py": "class Fault: ...",
        "sim/dcompute_sim/scenario/faults.py": "class Fault: ...\nclass Other: ...",
        "sim/dcompute_sim/scenario/trace.py": "def f():\n    class Other: ...",
        "sim/dcompute_sim/trace/cli.py": "",
        "sim/dcompute_sim/scenario/cli.py": "",
        "dcompute/faults.py": "class Fault: ...",
    }
    assert graph(files).double_names("dcompute_sim", ["cli"]) == {
        "faults": ["dcompute_sim.scenario.faults", "dcompute_sim.trace.faults"],
        "trace": ["dcompute_sim.scenario.trace", "dcompute_sim.trace"],
        "Fault": ["dcompute_sim.scenario.faults:1", "dcompute_sim.trace.faults:1"],
        "Other": ["dcompute_sim.scenario.faults:2", "dcompute_sim.scenario.trace:2"],
    }


def test_components_of_a_long_chain_need_no_deep_stack() -> None:
    chain = {f"{n:05}": {f"{n + 1:05}"} for n in range(5_000)}
    assert components(chain) == []
    assert len(components({**chain, "05000": {"00000"}})[0]) == 5_001


# --- the figures that benchmarks/structure.py prints of it ------------------------------------------------


def test_functions_are_measured_and_their_callers_counted() -> None:
    text = """
def _once():
    return 1

def both():
    _twice()
    return _once() + max(_twice)

def _twice(): ...
"""
    found = {function.where.split()[-1]: function for function in functions_of("x.py", text)}
    assert {name: (f.lines, f.private, f.uses, f.calls) for name, f in found.items()} == {
        "_once": (2, True, 1, 1),
        "both": (3, False, 0, 0),
        "_twice": (1, True, 2, 1),
    }


def test_lines_are_code_or_comment_or_docstring() -> None:
    text = """'''Head

and more.
'''

# why
x = 1  # a comment beside code is code
"""
    lines = lines_of(text)
    assert (lines.code, lines.comments, lines.docstrings, lines.beside) == (1, 1, 4, 1)


def test_figures_tell_a_house_with_circles_from_one_without() -> None:
    clean = {"sim/dcompute_sim/__init__.py": "", "sim/dcompute_sim/a.py": "def _f():\n    pass\n"}
    tangled = {
        **clean,
        "sim/dcompute_sim/b.py": "import dcompute_sim.c",
        "sim/dcompute_sim/c.py": "from . import b",
    }

    def missed(figures: list[Figure]) -> set[str]:
        return {figure.name for figure in figures if not figure.met}

    assert missed(figures_of(clean)) == set()
    assert "circles of modules" in missed(figures_of(tangled))
