"""Every wrong scenario gets a message at the right place, in words that say what to do."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from dcompute_sim.scenario import Problem, Scenario, ScenarioError, check, concretise, load, load_all

Problems = Callable[..., list[Problem]]

HEAD = "version: 1\nname: m\nduration: 60s\n"
FLEET = "fleet: {py: {count: 3}}\n"

# text after HEAD (which ends on line 3), line and column, words of the message, words of the hint
LOCATED = [
    # --- syntax
    ("fleet:\n\tpy: {count: 3}\n", 5, 1, "a tab", "spaces"),
    ("fleet:\n  py:\n  \tcount: 3\n", 6, 3, "a tab", "spaces"),
    ("fleet: {py: {count: 3}\n", 5, 1, "not YAML", ""),
    ("description: 'open\n", 5, 1, "not YAML", "line 4"),
    ("description: a: b\n", 4, 15, "not YAML", "quotes"),
    ("fleet: *nowhere\n", 4, 8, "no anchor", ""),
    ("fleet: &f {py: *f}\n", 4, 16, "contains itself", ""),
    ("fleet: !ruby/object {}\n", 4, 8, "tag", "remove"),
    ("? [a, b]\n: 1\n", 4, 3, "a key must be a plain word", ""),
    ("? {a: b}\n: 1\n", 4, 3, "a key must be a plain word", ""),
    ("---\nversion: 1\n", 4, 1, "second document", "remove `---`"),
    (FLEET + "name: again\n", 5, 1, "given twice; the first is on line 2", ""),
    ("fleet:\n  py: {count: 3, count: 4}\n", 5, 18, "given twice", ""),
    ("fleet: {py: {<<: 3}}\n", 4, 14, "`<<` takes a mapping", ""),
    ("x: \x07\n", 4, 4, "U+0007", ""),
    # --- amounts
    ("duration: 9999h\nfleet: {py: {}}\n", 4, 1, "given twice", ""),
    (FLEET + "workload: [{rate: 1000000/s, until: 20s}]\n", 5, 19, "would send 20,000,000 tasks", "unit"),
    (FLEET + "workload: [{burst: 99999, every: 1ms, until: 20s}]\n", 5, 34, "1,999,980,000 tasks", ""),
    (FLEET + "faults: [{kind: crash, every: 1us, until: 20s}]\n", 5, 31, "20,000,000 times", "unit"),
    # --- programs of somebody's own
    (
        "fleet: {e: {kind: firmware, id: x, count: 2}}\n",
        4,
        33,
        "would have the id `x`",
        "like `id:",
    ),
    ("fleet: {e: {kind: firmware, id: '{unique}'}}\n", 4, 33, "an id has no `{unique}`", "`unique_id`"),
    ("fleet: {e: {kind: firmware, id: a/b}}\n", 4, 33, "only A-Z a-z", "unique_id"),
    ("fleet: {e: {kind: firmware, config: {B: '{MQTT_HOTS}'}}}\n", 4, 41, "no setting called", "`MQTT_HOST`"),
    # --- names
    (FLEET + "brokr: model\n", 5, 1, "unknown key `brokr`", "did you mean `broker`"),
    ("fleet: {py: {cuont: 3}}\n", 4, 14, "unknown key `cuont`", "did you mean `count`"),
    ("fleet: {py: {kind: pyton}}\n", 4, 20, "`pyton`", "did you mean `python`"),
    (FLEET + "master: {livenes: 3s}\n", 5, 10, "unknown key `livenes`", "`liveness`"),
    (FLEET + "faults: [{kind: crsh, at: 3s}]\n", 5, 17, "no fault is called `crsh`", "did you mean `crash`"),
    (FLEET + "faults: [{at: 3s}]\n", 5, 10, "`kind` is missing", "one of: ap_gone"),
    (FLEET + "faults: [{kind: crash, at: 3s, for: 1s}]\n", 5, 32, "a `crash` has no `for`", "restart_after"),
    (FLEET + "faults: [{kind: reset, at: 3s, restart_after: 1s}]\n", 5, 32, "has no `restart_after`", ""),
    (FLEET + "expect: [dead_withn]\n", 5, 10, "no expectation is called `dead_withn`", "`dead_within`"),
    (FLEET + "expect:\n  - dead_withn: {}\n", 6, 5, "no expectation is called", "`dead_within`"),
    (FLEET + "expect: [dead_within: {bund: 2s}]\n", 5, 24, "unknown key `bund`", "did you mean `bound`"),
    (FLEET + "expect:\n  - dead_within:\n    priority_order:\n", 6, 5, "one expectation per entry", ""),
    (FLEET + "expect: [3]\n", 5, 10, "an expectation is a name", ""),
    (FLEET + "broker: mosquito\n", 5, 9, "no broker is called", "did you mean `mosquitto`"),
    (FLEET + "time: vitual\n", 5, 7, "`vitual`", "did you mean `virtual`"),
    (FLEET + "workload: [{tasks: 3, target: rndom}]\n", 5, 31, "`rndom` is not a target", ""),
    # --- units
    (FLEET + "network: {latency: 5}\n", 5, 20, "a duration needs a unit: write `5s` or `5ms`", ""),
    (FLEET + "network: {latency: '5'}\n", 5, 20, "a duration needs a unit", ""),
    (FLEET + "network: {latency: 5 parsecs}\n", 5, 20, "`5 parsecs` is not a duration", ""),
    (FLEET + "network: {latency: -5ms}\n", 5, 20, "`-5ms` is not a duration", ""),
    (FLEET + "network: {loss: 0.5}\n", 5, 17, "a fraction needs a unit: write `0.5%`", ""),
    (FLEET + "network: {loss: 150%}\n", 5, 17, "more than 100%", ""),
    (FLEET + "network: {bandwidth: 10}\n", 5, 22, "a bandwidth needs a unit", ""),
    (FLEET + "workload: [{rate: 20, tasks: 3}]\n", 5, 19, "a rate needs a unit: write `20/s`", ""),
    (FLEET + "workload: [{tasks: 3, payload: 200}]\n", 5, 32, "a size needs a unit: write `200B`", ""),
    (FLEET + "workload: [{tasks: 3, payload: 2MiB}]\n", 5, 32, "a message has 256KiB at most", "smaller"),
    ("fleet: {py: {keepalive: 10}}\n", 4, 25, "write `10s` or `10ms`", ""),
    ("fleet: {py: {work: 50}}\n", 4, 20, "a duration needs a unit", ""),
    ("fleet: {py: {work: {uniform: {min: 1, max: 2s}}}}\n", 4, 36, "a duration needs a unit", ""),
    (FLEET + "expect: [dead_within: {bound: 2}]\n", 5, 31, "a duration needs a unit", ""),
    # --- types
    ("fleet: {py: {count: '3'}}\n", 4, 21, "`3` is not a whole number", ""),
    ("fleet: {py: {count: 2.5}}\n", 4, 21, "not a whole number", ""),
    ("fleet: {py: {count: true}}\n", 4, 21, "`true` is not a whole number", ""),
    ("fleet: {py: {count: 0}}\n", 4, 21, "greater than or equal to 1", ""),
    ("fleet: {py: {count: }}\n", 4, 14, "nothing is not a whole number", ""),
    ("fleet: [py]\n", 4, 8, "a list is not a mapping", ""),
    ("fleet: {py: 3}\n", 4, 13, "`3` is not a mapping", ""),
    ("fleet: {9lives: {}}\n", 4, 9, "`9lives` cannot be a name", ""),
    (FLEET + "faults: {kind: crash}\n", 5, 9, "a mapping is not a list", ""),
    (FLEET + "workload: [3]\n", 5, 12, "`3` is not a mapping", ""),
    (FLEET + "master: {journal: yes}\n", 5, 19, "`yes` is not `true` or `false`", ""),
    (FLEET + "description: 3\n", 5, 14, "`3` is not a string", "quotes"),
    (FLEET + "seed: -1\n", 5, 7, "greater than or equal to 0", ""),
    (FLEET + "faults: [{kind: crash, between: [1s]}]\n", 5, 33, "two values", ""),
    (FLEET + "faults: [{kind: crash, between: [9s, 1s]}]\n", 5, 10, "earlier time first", ""),
    (FLEET + "faults: [{kind: inject, at: 1s, topic: a/+}]\n", 5, 10, "wildcard", ""),
    (FLEET + "faults: [{kind: inject, at: 1s, topic: a, payload: '{fill}'}]\n", 5, 10, "go together", ""),
    (FLEET + "faults: [{kind: inject, at: 1s, topic: a, hex: f}]\n", 5, 48, "`f`", ""),
    # --- sense within one entry
    (FLEET + "faults: [{kind: crash}]\n", 5, 10, "exactly one of `at`, `every`, `between`, `when`", ""),
    (FLEET + "faults: [{kind: crash, at: 1s, between: [1s, 2s]}]\n", 5, 10, "exactly one of", ""),
    (FLEET + "faults: [{kind: crash, every: 1s}]\n", 5, 10, "never ends", ""),
    (FLEET + "faults: [{kind: crash, every: 0s, times: 3}]\n", 5, 10, "longer than 0s", ""),
    (FLEET + "faults: [{kind: crash, at: 1s, times: 3}]\n", 5, 10, "`times` needs", ""),
    (FLEET + "faults: [{kind: crash, at: 1s, select: {same: true}}]\n", 5, 10, "needs a `when`", ""),
    (FLEET + "faults: [{kind: crash, at: 1s, select: {count: 1, fraction: 5%}}]\n", 5, 40, "not both", ""),
    (FLEET + "faults: [{kind: slow_link, at: 1s}]\n", 5, 10, "say what is slow", ""),
    (FLEET + "workload: [{rate: 3/s}]\n", 5, 12, "never ends", ""),
    (FLEET + "workload: [{rate: 1/s, when: task_taken, until: 9s}]\n", 5, 12, "nobody knows when", ""),
    (FLEET + "workload: [{at: 3s}]\n", 5, 12, "needs a pace", ""),
    (FLEET + "workload: [{burst: 3, tasks: 9}]\n", 5, 12, "go together", ""),
    (FLEET + "workload: [{tasks: 3, priority: 11}]\n", 5, 33, "`11` is not a priority", ""),
    (FLEET + "workload: [{tasks: 3, priority: 5..2}]\n", 5, 33, "a priority is", ""),
    (FLEET + "workload: [{tasks: 3, priority: {10: 0}}]\n", 5, 38, "greater than 0", ""),
    (FLEET + "workload: [{tasks: 3, loop: closed}]\n", 5, 29, "a loop is `open`", ""),
    ("fleet: {py: {work: {uniform: {min: 2s, max: 1s}}}}\n", 4, 30, "`min` is greater", ""),
    ("fleet: {py: {work: {constant: 1s, normal: {mean: 1s, sd: 1s}}}}\n", 4, 20, "exactly one", ""),
    # --- sense of the whole
    (FLEET + "faults: [{kind: crash, at: 61s}]\n", 5, 28, "61s is too late: the run ends at 60s", ""),
    (
        FLEET + "faults: [{kind: crash, at: 1s, select: {group: pi}}]\n",
        5,
        48,
        "no group is called `pi`",
        "`py`",
    ),
    (FLEET + "faults: [{kind: crash, at: 1s, select: {count: 4}}]\n", 5, 48, "there are only 3", ""),
    (FLEET + "faults: [{kind: crash, at: 1s, select: {names: [py-4]}}]\n", 5, 49, "no node", "py-1 to py-3"),
    (FLEET + "faults: [{kind: crash, at: 1s, select: {names: [py-01]}}]\n", 5, 49, "no node", "py-1 to py-3"),
    (FLEET + "faults: [{kind: crash, phase: storm}]\n", 5, 31, "no phase is called `storm`", ""),
    (FLEET + "faults: [{kind: crash, when: task_takn}]\n", 5, 30, "no event is called", "`task_taken`"),
    (
        FLEET + "faults: [{kind: crash, when: {event: task_taken, where: {prio: 1}}}]\n",
        5,
        58,
        "no field",
        "priority",
    ),
    (
        FLEET + "faults: [{kind: crash, when: {event: run_ended, node: py-1}}]\n",
        5,
        49,
        "not about a node",
        "",
    ),
    (FLEET + "workload: [{tasks: 3, target: {node: py-9}}]\n", 5, 38, "no node is called `py-9`", ""),
    (FLEET + "workload: [{tasks: 3, target: {group: pi}}]\n", 5, 39, "no group is called", ""),
    (FLEET + "workload: [{tasks: 3, at: 90s}]\n", 5, 27, "too late", ""),
    ("fleet: {e: {kind: firmware, variant: half-packets}}\n", 4, 38, "reaches nobody here", "reader-ends"),
    ("fleet: {e: {kind: firmware, files: ., variant: no-will}}\n", 4, 48, "reaches nobody here", "leave it"),
    ("fleet: {py: {heap: 64KiB}}\n", 4, 14, "`heap` is for firmware nodes", ""),
    (
        "fleet: {esp: {kind: firmware, will: optional}}\n",
        4,
        31,
        "`will` is for programs of somebody else",
        "name their `files`",
    ),
    (
        "fleet: {esp: {kind: firmware, broker_at: [a.b]}}\n",
        4,
        31,
        "`broker_at` is for programs of somebody else",
        "name their `files`",
    ),
    ("fleet: {py: {broker_at: [a.b]}}\n", 4, 14, "`broker_at` is for firmware nodes", ""),
    (
        FLEET + "expect: [never: {event: pin_shown, where: {pin: 4}}]\n",
        5,
        25,
        "no group shows pin 4",
        "shown",
    ),
    (FLEET + "expect: [sometimes: {event: pin_shown}]\n", 5, 29, "no group shows a pin", "shown"),
    ("fleet: {py: {keepalive: 1500ms}}\n", 4, 25, "whole seconds", ""),
    ("fleet: {py: {ramp: 61s}}\n", 4, 20, "after the run's end", ""),
    ("fleet: {py: {poll: 0s}}\n", 4, 20, "longer than 0s", ""),
    ("fleet: {py: {kind: board}}\n", 4, 20, "real time only", ""),
    (FLEET + "broker: amqtt-plain\n", 5, 9, "real time only", "time: real"),
    (FLEET + "broker: mqtt://10.0.0.1\n", 5, 9, "real time only", "time: real"),
    (FLEET + "phases: {a: 50s, b: 20s}\n", 3, 11, "phases take 70s", ""),
    (FLEET + "phases: {quiet: 10s, b: 20s}\n", 5, 22, "comes after `quiet`", ""),
    (FLEET + "phases: {quiet: 10s}\nfaults: [{kind: crash, phase: quiet}]\n", 6, 31, "nothing is done", ""),
    (FLEET + "random: {nodes: [5, 2]}\n", 5, 9, "smaller one first", ""),
    (FLEET + "random: {kinds: [crsh]}\n", 5, 18, "`crsh`", "`crash`"),
    (FLEET + "expect: [final_status: {group: pi}]\n", 5, 32, "no group is called `pi`", "`py`"),
    (FLEET + "expect: [dead_within: {kinds: [crsh]}]\n", 5, 32, "no fault is called `crsh`", "`crash`"),
    (FLEET + "expect: [sometimes: {event: crsh}]\n", 5, 29, "`crsh` is not a trace event", ""),
    # --- vars, include, matrix
    ("fleet: {py: {count: '${n}'}}\n", 4, 21, "no variable `n`", ""),
    ("vars: {nodes: 3}\nfleet: {py: {count: '${node}'}}\n", 5, 21, "no variable `node`", "`nodes`"),
    ("vars: {a: '${b}', b: '${a}'}\n" + FLEET, 4, 11, "contains itself", ""),
    ("vars: [3]\n" + FLEET, 4, 7, "`vars` is a mapping", ""),
    ("vars: {'a b': 3}\n" + FLEET, 4, 8, "not a variable's name", ""),
    ("vars: {n: [1]}\nfleet: {py: {variant: 'x${n}'}}\n", 5, 23, "cannot stand inside a string", ""),
    ("vars: {n: 3}\nfleet: {py: {keepalive: '${n}'}}\n", 5, 25, "needs a unit", ""),
    ("include: nowhere.yaml\n", 4, 10, "cannot be read: No such file", ""),
    ("include: {a: b}\n", 4, 10, "takes a file name", ""),
    ("include: s.yaml\n", 4, 10, "including itself", ""),
    ("matrix: 3\n" + FLEET, 4, 9, "`matrix` is a mapping", ""),
    ("matrix: {seed: 3}\n" + FLEET, 4, 16, "needs a list", ""),
    ("matrix: {seed: []}\n" + FLEET, 4, 16, "needs a list", ""),
    ("matrix: {seed: [1, x]}\n" + FLEET, 4, 20, "`x` is not a whole number", ""),
]


@pytest.mark.parametrize(("body", "line", "column", "message", "hint"), LOCATED)
def test_is_located_and_explained(
    problems: Problems, body: str, line: int, column: int, message: str, hint: str
) -> None:
    found = problems(HEAD + body)
    places = [(problem.where.line, problem.where.column) for problem in found]
    assert (line, column) in places, "\n".join(map(str, found))
    problem = found[places.index((line, column))]
    assert message in problem.message
    assert hint in problem.hint


WHOLE_FILE = [
    (b"", "the file is empty"),
    (b"# only a comment\n", "the file is empty"),
    (b"---\n", "is nothing"),
    (b"hello\n", "this is `hello`"),
    (b"- a\n- b\n", "this is a list"),
    (b"version: 1\nname: \xff\n", "not UTF-8"),
    ("version: 1\n".encode("utf-16"), "not UTF-8"),
    (b"\x00" * 10, "U+0000"),
    (b"x" * 10_000_000, "longer than 1,000,000 bytes"),
    (b"a: [" + b"x, " * 60_000 + b"]", "more than 50,000 values"),
    (b"[" * 5000, "nested more than"),
    (b"a: " + b"{b: " * 5000, "nested more than"),
    (b"- " * 500 + b"x", "nested more than"),
    (b"%YAML 9.9\n---\na: 1\n", ""),
    (b"%TAG ! x\n---\n!y a: 1\n", ""),
]


@pytest.mark.parametrize(("data", "message"), WHOLE_FILE)
def test_files_that_are_no_scenarios(problems: Problems, data: bytes, message: str) -> None:
    found = problems(data)
    assert len(found) >= 1
    assert message in found[0].message
    assert found[0].where.line >= 1


def test_alias_bomb_is_refused_quickly(problems: Problems) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    (found,) = problems("\n".join(lines))
    assert "50,000 values" in found.message


def test_variable_bomb_is_refused_quickly(problems: Problems, minimal: str) -> None:
    lines = ["vars:", "  v0: [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"  v{n}: [{', '.join([f'${{v{n - 1}}}'] * 10)}]".replace("${", "'${").replace("}", "}'")
        for n in range(1, 30)
    ]
    (found,) = problems("\n".join(lines) + "\n" + minimal)
    assert "50,000 values" in found.message


def test_text_bomb_is_refused_quickly(problems: Problems, minimal: str) -> None:
    lines = ["vars:", "  v0: xxxxxxxxxx"]
    lines += [f"  v{n}: '{f'${{v{n - 1}}}' * 10}'" for n in range(1, 30)]
    found = problems("\n".join(lines) + "\n" + minimal)
    assert any("longer than 10,000" in p.message or "50,000 values" in p.message for p in found)


def test_matrix_bomb_is_refused(problems: Problems, minimal: str) -> None:
    axes = "\n".join(f"  seed{n}: [1, 2, 3, 4, 5, 6, 7, 8, 9]" for n in range(20))
    (found,) = problems(f"matrix:\n{axes}\n" + minimal)
    assert "more than 1000 combinations" in found.message


def test_a_run_of_years_is_refused(problems: Problems, minimal: str) -> None:
    (problem,) = problems(minimal.replace("60s", "9999h"))
    assert (problem.where.line, "a year is the most" in problem.message) == (3, True)


def test_missing_file_folder_and_bad_name(tmp_path: Path) -> None:
    for path in (tmp_path / "no.yaml", tmp_path, "nul\0.yaml"):
        with pytest.raises(ScenarioError):
            load(path)


def test_all_problems_come_together_sorted_by_line(problems: Problems) -> None:
    found = problems(
        "version: 2\nname: x\nduration: 5\nfleet: {py: {cuont: 1}}\nexpect: [nothing_like_it]\nbrokr: x\n"
    )
    assert [problem.where.line for problem in found] == [1, 3, 4, 5, 6]


def test_problem_shows_line_and_caret(problems: Problems) -> None:
    (found,) = problems(HEAD + "fleet: {py: {cuont: 3}}\n")
    head, line, caret, hint = str(found).splitlines()
    assert head.endswith("s.yaml:4:14: unknown key `cuont`")
    assert line == "     4 | fleet: {py: {cuont: 3}}"
    assert caret.index("^") == line.index("cuont")
    assert caret.count("^") == len("cuont")
    assert "did you mean `count`?" in hint
    assert "keepalive" in hint


def test_long_lines_are_cut_around_the_problem(problems: Problems, minimal: str) -> None:
    (found,) = problems(minimal + "description: {" + "x" * 5000 + ": 1}\n")
    assert all(len(line) < 140 for line in str(found).splitlines())


def test_problem_in_an_included_file_names_that_file(
    problems: Problems, write: Callable[..., Path], minimal: str
) -> None:
    write(minimal.replace("count: 3", "cuont: 3"), "base.yaml")
    (found,) = problems("include: base.yaml\nversion: 1\n")
    assert found.where.source.name.endswith("base.yaml")
    assert found.where.line == 4


def test_include_circle_of_two_is_found(write: Callable[..., Path]) -> None:
    write("include: b.yaml\n", "a.yaml")
    path = write("include: a.yaml\n", "b.yaml")
    with pytest.raises(ScenarioError, match="including itself"):
        load(path)


def test_includes_without_end_are_refused(write: Callable[..., Path]) -> None:
    for number in range(8):  # 3 ** 8 readings without a limit
        below = f"f{number + 1}.yaml"
        write(f"include: [{below}, {below}, {below}]\n", f"f{number}.yaml")
    write("version: 1\n", "f8.yaml")
    with pytest.raises(ScenarioError, match="more than 50 files"):
        load(write("include: f0.yaml\n", "top.yaml"))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("fleet.py.cuont=3", "unknown key `cuont`"),
        ("fleet.py.count=x", "not a whole number"),
        ("fleet.py.count", "not `path.to.key=value`"),
        ("=3", "not `path.to.key=value`"),
        ("", "not `path.to.key=value`"),
        ("a..b=3", "not `path.to.key=value`"),
        ("name.x=3", "nothing below `m`"),
        ("faults.0.at=3s", "unknown key `0`|a mapping is not a list"),
        ("fleet.py.count=[", "not YAML"),
        ("fleet.py.keepalive=10", "needs a unit"),
        ("vars.nowhere=3", "no variable `nowhere`"),
        ("seed=\x00", "U.0000"),
        ("fleet.pz.count=2", "no group is called `pz`"),
        ("fleet.pz={count: 2}", "no group is called `pz`"),
        ("masters.btach.count=2", "no program is called `btach`"),
        ("phases.strom=20s", "no phase is called `strom`"),
    ],
)
def test_wrong_overrides_are_located_in_the_override(
    problems: Problems, minimal: str, setting: str, message: str
) -> None:
    found = problems(minimal + "masters: {batch: {}}\nphases: {storm: 10s}\n", setting)
    assert any(re.search(message, problem.message) for problem in found), found
    assert all(problem.where.source.name.startswith("--set") for problem in found)


def test_a_wholly_new_group_is_made_where_its_kind_is_said(minimal: str, write: Callable[..., Path]) -> None:
    path = write(minimal)
    assert load(path, ["fleet.pz.count=2", "fleet.pz.kind=python"]).fleet["pz"].count == 2
    assert list(load(path, ["fleet={pz: {count: 2}}"]).fleet) == ["pz"], "all of it said anew"
    assert load(path, ["phases.later=10s"]).phases == {"later": 10.0}
    with pytest.raises(ScenarioError, match=r"did you mean `py`\? .*; a new one needs its `kind`"):
        load(path, ["fleet.pz.count=2"])


@pytest.mark.parametrize(
    ("key", "text", "named"),
    [
        ("name", r'"a\tb"', "U+0009"),
        ("name", r'"a\x7fb"', "U+007F"),
        ("name", "a/b", "no slash"),
        ("namespace", r'"a\0b"', "U+0000"),
        ("namespace", "a#", "no `+`, `#`"),
        ("faults", "[{id: ' a', kind: crash, at: 1s}]", "` a` will not do"),
        ("faults", r'[{id: "a\eb", kind: crash, at: 1s}]', "U+001B"),
    ],
)
def test_a_character_that_cannot_be_there_is_named_in_our_words(
    problems: Problems, key: str, text: str, named: str
) -> None:
    head = HEAD if key != "name" else HEAD.replace("name: m\n", "")
    (problem,) = problems(head + f"{key}: {text}\n" + FLEET)
    assert named in f"{problem.message} {problem.hint}"
    assert "pattern" not in problem.message
    assert problem.where.line == head.count("\n") + 1
    assert problem.message.isprintable()


def test_errors_are_picklable(problems: Problems) -> None:
    error = ScenarioError(problems(HEAD + "fleet: 3\n"))
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_scenarios_built_in_code_are_checked_too() -> None:
    scenario = Scenario.model_validate(
        {
            "version": 1,
            "name": "c",
            "duration": "10s",
            "fleet": {"a": {}},
            "faults": [{"kind": "crash", "at": "20s"}],
        }
    )
    with pytest.raises(ScenarioError, match=r"faults\.0\.at: 20s is too late"):
        check(scenario)
    check(scenario.model_copy(update={"duration": 30.0}))


def test_unknown_mutant_is_named_with_the_nearest(problems: Problems) -> None:
    (found,) = problems(HEAD + "fleet: {py: {variant: no-wil}}\n")
    assert "no mutant is called 'no-wil'" in found.message
    assert "`no-will`" in found.hint


def test_a_matrix_reports_each_place_once(problems: Problems) -> None:
    found = problems("matrix: {seed: [1, 2, 3]}\n" + HEAD + "fleet: {py: {cuont: 3}}\n")
    assert len(found) == 1


def test_load_refuses_a_matrix(write: Callable[..., Path], minimal: str) -> None:
    path = write("matrix: {seed: [1, 2]}\n" + minimal)
    with pytest.raises(ScenarioError, match="makes 2 scenarios"):
        load(path)
    assert [scenario.seed for scenario in load_all(path)] == [1, 2]
    assert concretise(load(path, ["seed=5"])).seed == 5


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "a\\b", "a\nb", ""])
def test_a_name_that_would_be_a_path_is_refused(tmp_path: Path, name: str) -> None:
    """Traces and reports are files named after the scenario."""
    path = tmp_path / "m.yaml"
    path.write_text(f"version: 1\nname: {json.dumps(name)}\nduration: 60s\nfleet: {{py: {{}}}}\n")
    with pytest.raises(ScenarioError) as caught:
        load(path)
    assert caught.value.problems[0].where.line == 2
