"""Read scenario files. Whatever is in them: scenarios, or a LocatedError that says where and what."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from dcompute.bundle import BadBundle, Bundle
from dcompute.parts import number_of
from dcompute_sim.checks import CHECKS, Check
from dcompute_sim.chips.chip_timing import NAMES, UNTIMED, read_chip
from dcompute_sim.faults import KINDS, Fault
from dcompute_sim.scenario.board_record import read_record
from dcompute_sim.scenario.fleet import Group
from dcompute_sim.scenario.own_config import SETTINGS, obstacle
from dcompute_sim.scenario.scenario_model import Scenario
from dcompute_sim.scenario.semantics import complaints
from dcompute_sim.scenario.stand_ins import StandIns
from dcompute_sim.yamlfile.include import read
from dcompute_sim.yamlfile.matrix import variations
from dcompute_sim.yamlfile.place import at, locate
from dcompute_sim.yamlfile.problems import LocatedError, Problem, Source, Span, choice_hint, fail, nearest
from dcompute_sim.yamlfile.tree import Leaf, Map, to_data
from dcompute_sim.yamlfile.validation import Choices, problems_of
from dcompute_sim.yamlfile.variables import substitute

_TOP_LEVEL = tuple(Scenario.model_fields)
_FILE_KEYS = ("include", "vars", "matrix")  # of a file, not of the model
_CHOICES = (Choices("fault", KINDS, key="kind", base=Fault), Choices("expectation", CHECKS, base=Check))
_READ = "docs/scenarios.md says what is in one; `dcompute new NAME` writes a starter"


def load(
    path: str | Path,
    overrides: Sequence[str] = (),
    seed: int | None = None,
) -> Scenario:
    """Return the one scenario in a file. For a file with a `matrix`, use `load_all`.

    Args:
        overrides: `--set` texts such as `fleet.esp.count=50`.
        seed: instead of the scenario's own.
    """
    scenarios = load_all(path, overrides, seed)
    if len(scenarios) > 1:
        where = Span(Source(str(path), ()), 1, 1)
        hint = "run them all, or fix its axes with `--set`"
        fail(where, f"its `matrix` makes {number_of(len(scenarios), 'scenario')} where one is wanted", hint)
    return scenarios[0]


def load_all(
    path: str | Path,
    overrides: Sequence[str] = (),
    seed: int | None = None,
) -> list[Scenario]:
    """Return every scenario in a file: one, or one for each combination of its `matrix`. Arguments as for
    `load`."""
    scenarios: list[Scenario] = []
    problems: list[Problem] = []
    for label, tree in variations(read(Path(path), noun="a scenario", hint=_READ), _TOP_LEVEL, overrides):
        try:
            scenario = _scenario(substitute(tree))
        except LocatedError as error:
            problems += error.problems
            continue
        update = {"seed": scenario.seed if seed is None else seed}
        name = f"{scenario.name}[{label}]" if label else scenario.name
        scenarios.append(scenario.model_copy(update=update | {"name": name}))
    if problems:
        raise LocatedError(problems)
    return scenarios


def _scenario(tree: Map) -> Scenario:
    # empty sections (`faults:` with all entries commented out) are as good as absent ones
    entries = {key: node for key, node in tree.entries.items() if not _empty_section(key, node)}
    tree = Map(tree.span, entries, tree.keys)
    if made := list(_made_by_mistake(tree)):
        raise LocatedError(made)
    try:
        scenario = Scenario.model_validate(to_data(tree), by_alias=True, by_name=False)
    except ValidationError as error:
        raise LocatedError(problems_of(error, tree, Scenario, _CHOICES, _FILE_KEYS)) from None
    found = complaints(scenario)
    if found:
        raise LocatedError(at(tree, c.path, c.message, c.hint, key=c.at_key) for c in found)
    return _with_bundles(_with_chips(_with_profiles(_with_folders(scenario, tree), tree), tree), tree)


def _made_by_mistake(tree: Map) -> Iterator[Problem]:
    """Find what `--set` makes anew under a name that was meant to be one of those that are there."""
    for section, noun in (("fleet", "group"), ("masters", "program"), ("phases", "phase")):
        named = tree.entries.get(section)
        if not isinstance(named, Map) or _is_override(tree.keys[section]):
            continue  # all of it is new
        new = {str(name): span for name, span in named.keys.items() if _is_override(span)}
        there = [str(name) for name in named.keys if str(name) not in new]
        for name, span in new.items():
            entry = named.entries[name]
            if section == "fleet" and not (isinstance(entry, Map) and "kind" in entry.entries):
                hint = f"{choice_hint(name, there)}; a new one needs its `kind`"
                yield Problem(span, f"no group is called `{name}`", hint)
            elif section != "fleet" and nearest(name, there, cutoff=0.7):
                yield Problem(span, f"no {noun} is called `{name}`", choice_hint(name, there))


def _with_folders(scenario: Scenario, tree: Map) -> Scenario:
    """Make `files` and the `modules` of `stand_ins` absolute: they are relative to the file that says so."""
    fleet: dict[str, Group] = {}
    problems: list[Problem] = []
    for name, key in itertools.product(scenario.fleet, ("files", "stand_ins")):
        group = fleet.get(name, scenario.fleet[name])
        stand_ins = group.stand_ins or StandIns()
        given = group.files if key == "files" else stand_ins.modules
        if given is None:
            continue
        _, _, node = locate(tree, ("fleet", name, key, "modules"))
        folder = (_folder_of(node.span) / given).absolute()
        entry = folder / (group.entry or "main.py")
        absolute = str(folder) if key == "files" else stand_ins.model_copy(update={"modules": str(folder)})
        fleet[name] = group.model_copy(update={key: absolute})
        if not folder.is_dir():
            problems.append(Problem(node.span, f"there is no folder {folder}", "check the path"))
        elif key == "stand_ins":
            continue
        elif not entry.is_file():
            hint = "`entry` names the file to start"
            problems.append(Problem(node.span, f"there is no {entry.name} in {folder}", hint))
        elif in_the_way := obstacle(folder, {*SETTINGS, *(group.config or {})}):
            problems.append(Problem(node.span, f"{folder}: {in_the_way[0]}", in_the_way[1]))
    if problems:
        raise LocatedError(problems)
    return scenario.model_copy(update={"fleet": scenario.fleet | fleet}) if fleet else scenario


def _with_bundles(scenario: Scenario, tree: Map) -> Scenario:
    """Return it with the `bundle` of each update as an absolute path: it is relative to the file that says
    it."""
    updates = list(scenario.updates)
    problems: list[Problem] = []
    for index, update in enumerate(updates):
        if update.bundle is None:
            continue
        _, _, node = locate(tree, ("updates", index, "bundle"))
        folder = (_folder_of(node.span) / update.bundle).absolute()
        updates[index] = update.model_copy(update={"bundle": str(folder)})
        try:
            Bundle.from_folder(folder)
        except BadBundle as error:
            problems.append(Problem(node.span, str(error), "check the path"))
    if problems:
        raise LocatedError(problems)
    return scenario.model_copy(update={"updates": updates})


def _with_profiles(scenario: Scenario, tree: Map) -> Scenario:
    """Return each group's `profile`, a file relative to the one that says it, replaced by the record in
    it."""
    fleet: dict[str, Group] = {}
    problems: list[Problem] = []
    for name, group in scenario.fleet.items():
        if not isinstance(group.profile, str):
            continue
        _, _, node = locate(tree, ("fleet", name, "profile"))
        try:
            record = read_record(_folder_of(node.span) / group.profile)
        except ValueError as error:
            problems.append(Problem(node.span, str(error), "`dcompute board check PORT` writes one"))
            continue
        fleet[name] = group.model_copy(update={"profile": record})
    if problems:
        raise LocatedError(problems)
    return scenario.model_copy(update={"fleet": scenario.fleet | fleet}) if fleet else scenario


def _with_chips(scenario: Scenario, tree: Map) -> Scenario:
    """Return each group's `timing` that is no name but a file, relative to the one that says it, replaced by
    what is in that."""
    fleet: dict[str, Group] = {}
    for name, group in scenario.fleet.items():
        if isinstance(group.timing, str) and group.timing not in (*NAMES, UNTIMED):
            _, _, node = locate(tree, ("fleet", name, "timing"))
            path = _folder_of(node.span) / group.timing
            if not path.is_file():
                hint = f"{', '.join((*NAMES, UNTIMED))}, or a file in the form of theirs"
                fail(node.span, f"there is no chip and no file `{group.timing}`", hint)
            fleet[name] = group.model_copy(update={"timing": read_chip(path)})
    return scenario.model_copy(update={"fleet": scenario.fleet | fleet}) if fleet else scenario


def _folder_of(span: Span) -> Path:
    """Return what a path there is relative to."""
    return Path() if _is_override(span) else Path(span.source.name).parent


def _is_override(span: Span) -> bool:
    return span.source.name.startswith("--set")


def _empty_section(key: object, node: object) -> bool:
    sections = ("fleet", "workload", "faults", "phases", "expect", "network", "master")
    return key in sections and isinstance(node, Leaf) and node.value is None and node.plain
