"""What a file can say: variables, includes, overrides, matrices, anchors, short forms, round trips."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario, ScenarioError, concretise, find, load, load_all, shipped
from dcompute_sim.scenario.write import starter, to_yaml

Load = Callable[..., Scenario]


def test_quantities_become_base_units(load_text: Load, full: str) -> None:
    scenario = load_text(full)
    group = scenario.fleet["py"]
    assert (group.keepalive, group.ramp, group.poll) == (10.0, 2.0, 0.05)
    assert group.fail_rate == 0.05
    assert scenario.fleet["esp"].heap == 65536
    assert scenario.network.bandwidth == 125000
    assert scenario.workload[0].rate == 20.0
    assert scenario.workload[0].payload == 200
    assert scenario.faults[1].lasts == 10.0
    assert scenario.faults[0].lasts == 5.0
    assert scenario.faults[3].lasts is None


def test_non_ascii_text_survives(load_text: Load, full: str) -> None:
    assert load_text(full).workload[2].task == {"text": "Привет"}


def test_variables_keep_their_type(load_text: Load) -> None:
    scenario = load_text(
        "version: 1\nname: '${who}-$$5'\nduration: ${t}s\nvars: {n: 4, t: 60, who: me, g: {count: '${n}'}}\n"
        "fleet: {py: '${g}'}\n"
    )
    assert scenario.fleet["py"].count == 4
    assert scenario.duration == 60
    assert scenario.name == "me-$5"


def test_a_quoted_variable_inside_text_stays_text(load_text: Load, minimal: str) -> None:
    scenario = load_text("vars: {n: 4}\n" + minimal + "description: 'x${n}'\n")
    assert scenario.description == "x4"


def test_overrides(load_text: Load, full: str) -> None:
    scenario = load_text(
        full,
        "fleet.py.count=50",
        "vars.slow=9ms",
        "faults.0.at=12s",
        "master.journal=false",
        "expect=[priority_order]",
    )
    assert scenario.fleet["py"].count == 50
    assert scenario.fleet["py"].network.latency == 0.009
    assert scenario.faults[0].at == 12
    assert scenario.master.journal is False
    assert [check.name for check in scenario.expect] == ["priority_order"]


def test_an_override_may_add_a_section(load_text: Load, minimal: str) -> None:
    scenario = load_text(
        minimal, "network.loss=2%", "fleet.esp={kind: python, count: 4}", "faults=[{kind: crash, at: 3s}]"
    )
    assert scenario.network.loss == 0.02
    assert scenario.fleet["esp"].count == 4
    assert len(scenario.faults) == 1


def test_seed_argument_wins(load_text: Load, full: str) -> None:
    assert load_text(full).seed == 7
    assert load_text(full, seed=9).seed == 9


def test_include_merges_deeply(load_text: Load, write: Callable[..., Path], minimal: str) -> None:
    write(minimal + "network: {latency: 5ms, jitter: 1ms}\nfaults: [{kind: crash, at: 1s}]\n", "base.yaml")
    write("network: {loss: 1%}\n", "more.yaml")
    scenario = load_text(
        "include: [base.yaml, more.yaml]\nnetwork: {jitter: 3ms}\nfaults: [{kind: reset, at: 2s}]\n"
    )
    assert scenario.network.latency == 0.005  # of the base
    assert scenario.network.loss == 0.01  # of the second
    assert scenario.network.jitter == 0.003  # its own
    assert [fault.kind for fault in scenario.faults] == ["reset"]  # lists are replaced


def test_include_is_relative_to_the_including_file(write: Callable[..., Path], minimal: str) -> None:
    (write("", "x").parent / "deep").mkdir()
    write(minimal, "deep/base.yaml")
    write("include: base.yaml\n", "deep/middle.yaml")
    assert load(write("include: deep/middle.yaml\n")).name == "m"


def test_the_same_file_may_be_included_twice(write: Callable[..., Path], minimal: str) -> None:
    write(minimal, "base.yaml")
    write("include: base.yaml\n", "a.yaml")
    write("include: base.yaml\n", "b.yaml")
    assert load(write("include: [a.yaml, b.yaml]\n")).name == "m"


def test_matrix_makes_every_combination(write: Callable[..., Path]) -> None:
    path = write(
        "version: 1\nname: m\nduration: 60s\ntime: real\nvars: {k: 5s}\nfleet: {py: {keepalive: '${k}'}}\n"
        "matrix: {k: [10s, 60s], broker: [model, mosquitto], fleet.py.count: [1, 2, 3]}\n"
    )
    scenarios = load_all(path)
    assert len(scenarios) == 12
    assert len({scenario.name for scenario in scenarios}) == 12
    first = scenarios[0]
    assert first.name == "m[k=10s,broker=model,fleet.py.count=1]"
    assert (first.fleet["py"].keepalive, first.broker, first.fleet["py"].count) == (10.0, "model", 1)
    assert {scenario.fleet["py"].keepalive for scenario in scenarios} == {10.0, 60.0}


def test_an_override_fixes_its_axis(write: Callable[..., Path], minimal: str) -> None:
    path = write("vars: {k: 5s}\nmatrix: {k: [1s, 2s], seed: [1, 2]}\n" + minimal)
    assert [scenario.seed for scenario in load_all(path, ["vars.k=9s"])] == [1, 2]
    assert len(load_all(path, ["vars.k=9s", "seed=7"])) == 1


def test_anchors_aliases_and_merge_keys(load_text: Load) -> None:
    scenario = load_text(
        "version: 1\nname: m\nduration: 60s\n"
        "fleet:\n  a: &base {count: 3, keepalive: 10s}\n  b: {<<: *base, count: 4}\n  c: *base\n"
    )
    assert [(g.count, g.keepalive) for g in scenario.fleet.values()] == [(3, 10.0), (4, 10.0), (3, 10.0)]


def test_scalars_follow_yaml_1_2(load_text: Load, minimal: str) -> None:
    task = (
        load_text(
            minimal
            + "workload: [{tasks: 1, task: {a: yes, b: 010, c: 1:30, d: 2024-01-01, e: ~, f: 1.5, h: '1'}}]\n"
        )
        .workload[0]
        .task
    )
    assert task == {
        "a": "yes",
        "b": 10,
        "c": "1:30",
        "d": "2024-01-01",
        "e": None,
        "f": 1.5,
        "h": "1",
    }


def test_surrogate_pairs_of_json_are_joined(load_text: Load, minimal: str) -> None:
    assert load_text(minimal + 'description: "\\ud83d\\ude00"\n').description == "😀"


def test_crlf_and_byte_order_mark(write: Callable[..., Path], minimal: str) -> None:
    assert load(write(b"\xef\xbb\xbf" + minimal.replace("\n", "\r\n").encode())).name == "m"


def test_empty_sections_are_as_good_as_none(load_text: Load, minimal: str) -> None:
    scenario = load_text(minimal + "faults:\nworkload:\nexpect:\nphases:\nmaster:\n")
    assert scenario.faults == []
    assert scenario.workload == []


def test_short_forms(load_text: Load, minimal: str) -> None:
    scenario = load_text(
        minimal
        + "workload:\n- {tasks: 1, priority: 7, target: all, loop: open}\n- {tasks: 1, priority: 2..4}\n"
        "- {tasks: 1, priority: {10: 1, 1: 2.5}, target: {node: py-1}, start: 2s}\n"
        "- {tasks: 1, when: broker_started}\n"
    )
    first, second, third, fourth = scenario.workload
    assert first.priority.weights == {7: 1.0}
    assert (first.target.pick, first.outstanding) == ("all", None)
    assert list(second.priority.weights) == [2, 3, 4]
    assert third.priority.weights == {10: 1.0, 1: 2.5}
    assert (third.target.node, third.at) == ("py-1", 2.0)
    assert fourth.when is not None
    assert fourth.when.event == "broker_started"


def test_dumps_and_yaml_round_trip(load_text: Load, full: str) -> None:
    scenario = load_text(full)
    assert Scenario.model_validate(scenario.model_dump()) == scenario
    assert Scenario.model_validate_json(scenario.model_dump_json()) == scenario
    assert load_text(to_yaml(scenario)) == scenario
    assert load_text(to_yaml(concretise(scenario))) == concretise(scenario)
    assert pickle.loads(pickle.dumps(scenario)) == scenario


def test_a_folder_of_firmware_is_relative_to_the_file_that_names_it(
    write: Callable[..., Path], minimal: str, tmp_path: Path
) -> None:
    (tmp_path / "deep" / "mine").mkdir(parents=True)
    own = minimal.replace("{count: 3}", "{kind: firmware, files: mine}")
    write(own, "deep/base.yaml")
    path = write("include: deep/base.yaml\n")
    with pytest.raises(ScenarioError, match=r"no main\.py in"):
        load(path)
    write("", "deep/mine/main.py")
    assert load(path).fleet["py"].files == str(tmp_path / "deep" / "mine")
    with pytest.raises(ScenarioError, match=r"no boot.py in"):
        load(path, ["fleet.py.entry=boot.py"])
    with pytest.raises(ScenarioError, match=r"--set fleet.py.files=nowhere:1:16: there is no folder"):
        load(path, ["fleet.py.files=nowhere"])


def test_scenarios_are_frozen(load_text: Load, minimal: str) -> None:
    scenario = load_text(minimal)
    with pytest.raises(ValueError, match="frozen"):
        scenario.name = "other"


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_scenario_loads_and_has_its_header(name: str) -> None:
    path = find(name)
    scenarios = load_all(path)
    assert scenarios[0].name.split("[")[0] == name
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# yaml-language-server: $schema=scenario.schema.json"
    header = "\n".join(line for line in lines[:30] if line.startswith("#"))
    for word in ("Shows:", "Stands for:", "Takes:"):
        assert word in header, f"{name} does not say what it {word.lower()}"
    for scenario in scenarios:
        assert scenario.expect, f"{name} expects nothing"
        assert Scenario.model_validate(scenario.model_dump()) == scenario


def test_the_quickstart_is_what_the_readme_promises() -> None:
    scenario = concretise(load(find("quickstart")))
    assert scenario.time == "real"
    assert len(scenario.nodes()) == 300
    assert scenario.length_s < 50
    hit = {
        kind: sum(f.times or 1 for f in scenario.faults if f.kind == kind) for kind in ("crash", "wifi_drop")
    }
    assert hit == {"crash": 10, "wifi_drop": 10}
    # a silent death is found after 1.5 x keepalive + 6 s at the latest, and must be found before the end
    silent = max(f.between[1] for f in scenario.faults if f.between and f.kind in ("wifi_drop", "power_cut"))
    assert silent + 1.5 * scenario.fleet["py"].keepalive + 6 + 2 < scenario.length_s


def test_the_quickstart_says_how_many_nodes_it_has() -> None:
    """In the words of its page and report: also when it is asked for others."""
    assert load(find("quickstart")).description.startswith("300 nodes,")
    assert load(find("quickstart"), ["vars.nodes=1000"]).description.startswith("1000 nodes,")


def test_find_takes_paths_and_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("x")
    assert find(path) == path
    assert find(str(path)) == path
    assert find("quickstart").name == "quickstart.yaml"
    with pytest.raises(ScenarioError, match="did you mean `quickstart`"):
        find("qickstart")
    with pytest.raises(ScenarioError, match="this is a folder"):
        find(tmp_path)


def test_starter_loads_and_carries_its_name(load_text: Load) -> None:
    scenario = load_text(starter("my-first.test"))
    assert scenario.name == "my-first.test"
    assert len(scenario.faults) == 2
    with pytest.raises(ScenarioError, match="not a name"):
        starter("../x")


def test_importing_the_language_is_light() -> None:
    heavy = "{'rich', 'typer', 'paho', 'amqtt', 'asyncio'}"
    code = f"import sys, dcompute_sim.scenario; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_by_its_file_is_the_run_of_its_scenario(tmp_path: Path) -> None:
    """Or by the name of one that ships; what cannot be found says so as everywhere."""
    file = tmp_path / "night.yaml"
    file.write_text(
        "version: 1\nname: night\nduration: 10s\nfleet: {py: {count: 2}}\nexpect: [final_status]\n"
    )
    by_file, loaded = run_scenario(file), run_scenario(load(file))
    assert by_file.verdict.status == "held"
    assert by_file.trace.digest() == loaded.trace.digest() == run_scenario(str(file)).trace.digest()
    assert run_scenario("field_wifi_blink", RunOptions(time="virtual")).verdict.status == "held"
    with pytest.raises(ScenarioError, match="no such file, nor a scenario of that name"):
        run_scenario("nope.yaml")
