"""Hundreds of damaged scenario files: each loads or gets located messages; none ends in another exception."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest
from dcompute_sim.scenario import Problem, Scenario, ScenarioError, find, load_all
from dcompute_sim.scenario.write import starter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Problems = Callable[..., list[Problem]]
_KEY = re.compile(r"^(?P<indent> *)(?P<dash>- )?(?P<key>[A-Za-z_0-9]+):(?P<value> .*)?$")
_FREE = (
    "name",
    "description",
    "namespace",
    "NODE_TYPE",
    "text",
    "node_id",
    "status",
    "payload",
)  # any text will do
_CHOSEN_BY_USER = ("batch", "py", "esp", "nodes", "slow", "start", "storm", "quiet", "10", "1", "priority")


@dataclass(frozen=True)
class Mutation:
    """A damaged text. `must_fail`: it cannot possibly load. `line`: where a problem must then be."""

    name: str
    text: str
    must_fail: bool
    line: int = 0


def _mutations(text: str) -> Iterator[Mutation]:
    lines = text.splitlines()
    for index, line in enumerate(lines):
        match = _KEY.match(line)
        if match is None:
            continue
        indent, dash, key, value = (
            match["indent"],
            match["dash"] or "",
            match["key"],
            re.sub(r"(^|\s+)#.*", "", match["value"] or "").strip(),
        )
        number = index + 1

        def replaced(*new: str, index: int = index) -> str:
            return "\n".join([*lines[:index], *new, *lines[index + 1 :]]) + "\n"

        label = f"{number}:{key}"
        yield Mutation(f"{label} dropped", replaced(*([f"{indent}-"] if dash else [])), False)
        named = key not in _CHOSEN_BY_USER and key not in _FREE
        if named:
            misspelt = key[:-1] + ("x" if key[-1] != "x" else "y")
            yield Mutation(f"{label} misspelt", replaced(f"{indent}{dash}{misspelt}: {value}"), True)
        if not dash:
            yield Mutation(f"{label} tab", replaced(f"\t{line}"), True)
            if value and not value.startswith(("|", ">")):
                yield Mutation(f"{label} twice", replaced(line, line), True, number + 1)
        if value and key not in _FREE:
            wrong = "[[]]" if key != "NODE_TYPE" else "[1]"
            yield Mutation(
                f"{label} a list", replaced(f"{indent}{dash}{key}: {wrong}"), key not in ("nodes",), number
            )
            yield Mutation(f"{label} an unknown alias", replaced(f"{indent}{dash}{key}: *x"), True, number)
            yield Mutation(
                f"{label} an unknown variable", replaced(f"{indent}{dash}{key}: ${{no}}"), True, number
            )
            yield Mutation(
                f"{label} open quote", replaced(f"{indent}{dash}{key}: '{value}"), "'" not in value
            )
        if re.fullmatch(r"[0-9]+(ms|s|B|KiB|%|/s|Mbit/s)", value):
            bare = re.sub("[^0-9]", "", value)
            yield Mutation(
                f"{label} without unit", replaced(f"{indent}{dash}{key}: {bare}"), key != "slow", number
            )
            yield Mutation(
                f"{label} wrong unit", replaced(f"{indent}{dash}{key}: {bare}furlong"), key != "slow", number
            )
            yield Mutation(
                f"{label} negative", replaced(f"{indent}{dash}{key}: -{value}"), key != "slow", number
            )


def _texts(full: str) -> Iterator[tuple[str, str]]:
    yield "full", full
    yield "starter", starter("mine")
    yield "quickstart", find("quickstart").read_text(encoding="utf-8")


def test_the_undamaged_texts_load(problems: Problems, full: str) -> None:
    for name, text in _texts(full):
        assert problems(text) == [], name


def test_each_mutation_is_located(problems: Problems, full: str) -> None:
    count = 0
    for file, text in _texts(full):
        # every second of the full text, which has one of everything; of the others every third
        for mutation in islice(_mutations(text), 0, None, 2 if file == "full" else 3):
            count += 1
            found = problems(mutation.text)
            where = f"{file} {mutation.name}"
            if mutation.must_fail:
                assert found, f"{where}: loaded"
            lines = mutation.text.count("\n") + 1
            for problem in found:
                assert problem.message, where
                assert 1 <= problem.where.line <= lines, where
                assert 1 <= problem.where.column <= 200, where
                assert str(problem).count("\n") >= 2, f"{where}: no excerpt"
            if mutation.must_fail and mutation.line:
                assert mutation.line in [problem.where.line for problem in found], f"{where}: {found}"
    assert count >= 500


def test_misspelt_names_get_the_right_suggestion(problems: Problems, full: str) -> None:
    suggested = 0
    for line_number, line in enumerate(full.splitlines(), 1):
        match = _KEY.match(line)
        if match is None or match["key"] in (*_CHOSEN_BY_USER, *_FREE) or len(match["key"]) < 4:
            continue
        key = match["key"]
        swapped = key[0] + key[2] + key[1] + key[3:]
        if swapped == key:
            continue
        lines = full.splitlines()
        lines[line_number - 1] = line.replace(f"{key}:", f"{swapped}:", 1)
        found = [p for p in problems("\n".join(lines)) if swapped in p.message]
        if found:  # a misspelt `when` makes the whole entry senseless first
            suggested += 1
            assert any(f"`{key}`" in p.hint for p in found) or f"{key}" in found[0].hint, (swapped, found)
    assert suggested > 40


@pytest.fixture(scope="module")
def fuzz_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "s.yaml"


def _load(path: Path, data: bytes) -> None:
    """Load `data`; anything but a scenario or a ScenarioError with places fails the test."""
    path.write_bytes(data)
    error = None
    try:
        load_all(path)
    except ScenarioError as caught:
        error = caught
    if error is not None:
        assert error.problems
        assert all(problem.where.line >= 1 and problem.where.column >= 1 for problem in error.problems)
        assert str(error)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_edit_of_a_valid_file(fuzz_file: Path, full: str, data: st.DataObject) -> None:
    text = full.encode()
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 12)))
        piece = data.draw(
            st.one_of(
                st.sampled_from(
                    [b"", b"\t", b": ", b"- ", b"[", b"}", b"&a ", b"*a", b"<<: ", b"!x ", b"'", b"|\n"]
                ),
                st.sampled_from(
                    [b"${nodes}", b"${", b"null", b"1e999", b"-0", b"0x1F", b"10s", b"\n---\n", b"%"]
                ),
                st.binary(max_size=4),
                st.text(max_size=4).map(lambda found: found.encode("utf-8", "replace")),
            )
        )
        text = text[:start] + piece + text[end:]
    _load(fuzz_file, text)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_any_bytes(fuzz_file: Path, data: bytes) -> None:
    _load(fuzz_file, data)


_json = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from(["1s", "2"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
_TOP = [*Scenario.model_fields, "include", "vars", "matrix"]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sections=st.dictionaries(st.sampled_from(_TOP), _json, max_size=4))
def test_any_values_under_the_right_keys(fuzz_file: Path, sections: dict[str, object]) -> None:
    base: dict[str, object] = {"version": 1, "name": "x", "duration": "60s", "fleet": {"py": {"count": 2}}}

    _load(fuzz_file, json.dumps(base | sections).encode())


_FAULT_KEYS = (
    "at",
    "every",
    "between",
    "when",
    "times",
    "until",
    "phase",
    "select",
    "for",
    "restart_after",
    "topic",
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entry=st.dictionaries(st.sampled_from([*_FAULT_KEYS, "kind"]), _json, max_size=5), kind=st.booleans())
def test_any_values_in_a_fault(fuzz_file: Path, entry: dict[str, object], kind: bool) -> None:

    fault = {"kind": "wifi_drop", "at": "1s"} | entry if kind else entry
    base = {"version": 1, "name": "x", "duration": "60s", "fleet": {"py": {}}, "faults": [fault]}
    _load(fuzz_file, json.dumps(base).encode())
