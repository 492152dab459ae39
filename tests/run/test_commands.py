"""`dcompute run`, `report` and `compare` from outside: what they write, and their exit statuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Done

LASTING = [{"kind": "power_cut", "at": "5s", "select": {"names": ["py-1"]}}]


@pytest.fixture
def certain(write_scenario: Callable[..., Path]) -> Callable[..., Path]:
    """A scenario that puts all it expects to the test, whatever the seed."""

    def write(**sections: Any) -> Path:
        return write_scenario(**{"faults": LASTING, **sections})

    return write


@pytest.mark.parametrize(
    ("options", "sections", "status", "told"),
    [
        ([], {}, 0, "held: 5 of 5 expectations held"),
        (["--mutant", "no-will"], {}, 1, "dead_within"),
        ([], {"faults": []}, 2, "undecided"),
        ([], {"fleet": {"py": {"cuont": 3}}}, 2, "cuont"),
        (["--mutant", "no-such"], {}, 2, "no mutant is called 'no-such'"),
        (["--broker", "mqtt://nowhere:1"], {}, 2, "virtual time has"),
        (["--time", "real", "--broker", "mqtt://127.0.0.1:1"], {}, 3, "127.0.0.1:1"),
        (["--seeds", "4..1"], {}, 2, "there are no seeds"),
        (["--seeds", "1..4", "--jobs", "1"], {}, 0, "4 held, 0 failed"),
        (["--seeds", "1..4", "--jobs", "1", "--mutant", "no-will"], {}, 1, "Lowest failing seed: 1"),
        (["--seeds", "1..4", "--html", "a.html"], {}, 2, "leave out --seeds"),
        (["--seeds", "1..4", "--on", "tcp://127.0.0.1:1"], {}, 3, "no Dask scheduler"),
    ],
)
def test_exit_status(
    dcompute: Callable[..., Done],
    certain: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    sections: dict[str, Any],
    status: int,
    told: str,
) -> None:
    monkeypatch.setattr(
        "dcompute_sim.executors.CONNECT_S", 0.5
    )  # where there is no scheduler, none will come
    found = dcompute("run", certain(**sections), "--plain", *options)
    assert told in re.sub(r"\s*\n[│ ]*", " ", found.stdout + found.stderr)
    assert found.returncode == status


def test_the_command_to_replay_a_seed_repeats_it(
    dcompute: Callable[..., Done], certain: Callable[..., Path]
) -> None:
    found = dcompute("run", certain(), "--seeds", "3..8", "--jobs", 1, "--plain", "--mutant", "no-will")
    again = re.search(r"^Again: dcompute (.+)$", found.stdout, re.M)
    assert again
    assert "--seed 3 " in again[1]
    assert dcompute(*again[1].split()).returncode == 1


def test_reports_of_a_run_and_of_its_trace_are_the_same(
    dcompute: Callable[..., Done], certain: Callable[..., Path], tmp_path: Path
) -> None:
    files = {"--html": "a.html", "--junit": "a.xml", "--json": "a.json", "--perfetto": "a.trace.json"}
    words = [word for pair in files.items() for word in pair]
    ran = dcompute("run", certain(), "--trace", "a.jsonl", "--github", *words, "--mutant", "no-will")
    assert ran.returncode == 1
    assert re.search(r"^::error file=[^,]+,line=\d+,title=", ran.stdout, re.M)
    first = {name: (tmp_path / name).read_text() for name in files.values()}
    assert ET.fromstring(first["a.xml"]).find(".//failure") is not None
    verdict = json.loads(first["a.json"])

    reported = dcompute("report", "a.jsonl", "--github", *words)
    assert reported.returncode == 1
    again = json.loads((tmp_path / "a.json").read_text())
    for report in (verdict, again):
        for run in report["runs"]:
            run.pop("wall_s", None)
    assert again == verdict
    assert (tmp_path / "a.trace.json").read_text() == first["a.trace.json"]


def test_a_trace_is_judged_by_what_the_scenario_expects_today(
    dcompute: Callable[..., Done], certain: Callable[..., Path]
) -> None:
    scenario = certain()
    assert dcompute("run", scenario, "-q", "--trace", "a.jsonl").returncode == 0
    certain(expect=[{"latency": {"within": "1ms"}}])
    assert dcompute("report", "a.jsonl", "-q").returncode == 1
    scenario.unlink()
    gone = dcompute("report", "a.jsonl", "-q")
    assert gone.returncode == 2
    assert "small.yaml" in gone.stderr


def test_several_scenarios_make_several_traces(
    dcompute: Callable[..., Done], certain: Callable[..., Path], tmp_path: Path
) -> None:
    scenario = certain(matrix={"fleet.py.keepalive": ["4s", "6s"]})
    found = dcompute("run", scenario, "--trace", "t.jsonl", "--perfetto", "p.json", "--plain")
    assert found.returncode == 0
    assert "Trace: t-1.jsonl (digest" in found.stdout
    assert re.search(r"^power_cut .* 2 ", found.stdout, re.M), "coverage over both runs"
    assert "Never injected: ap_gone, " in found.stdout
    assert {path.name for path in tmp_path.glob("[tp]-?.json*")} == {
        "t-1.jsonl",
        "t-2.jsonl",
        "p-1.json",
        "p-2.json",
    }
    one = dcompute("run", scenario, "--only", "small[fleet.py.keepalive=6s]", "--plain")
    assert "Trace: runs/small[fleet.py.keepalive=6s]-1.jsonl (digest" in one.stdout
    assert one.returncode == 0
    none = dcompute("run", scenario, "--only", "small[fleet.py.keepalive=9s]", "-q")
    assert none.returncode == 2
    assert "fleet.py.keepalive=4s" in none.stderr


def test_each_combination_of_a_matrix_is_told_by_its_name(
    dcompute: Callable[..., Done], certain: Callable[..., Path], tmp_path: Path
) -> None:
    scenario = certain(matrix={"master.keepalive": ["20s", "30s"]})
    reports = ("--junit", "a.xml", "--json", "a.json")
    found = dcompute("run", scenario, "--plain", *reports)
    names = [f"small[master.keepalive={seconds}s]" for seconds in (20, 30)]
    for name in names:
        assert f"{name}  seed 1, " in found.stdout, "above its verdict"
        assert re.search(rf"^{re.escape(name)} +held ", found.stdout, re.M), "in the summary"
    suites = ET.parse(tmp_path / "a.xml").getroot()
    assert [suite.get("name") for suite in suites] == names
    assert {case.get("classname") for case in suites[0].iter("testcase")} == {names[0]}
    assert {p.get("value") for p in suites.findall(".//property[@name='scenario']")} == {str(scenario)}
    runs = json.loads((tmp_path / "a.json").read_text())["runs"]
    assert [run["variation"] for run in runs] == names


def test_one_that_cannot_be_run_stops_no_other(
    dcompute: Callable[..., Done], certain: Callable[..., Path], tmp_path: Path
) -> None:
    away = tmp_path / "away.yaml"
    away.write_text(certain(time="real", broker="mqtt://127.0.0.1:1", name="away").read_text())
    certain()
    reports = ("--junit", "a.xml", "--json", "a.json")
    found = dcompute("run", "away.yaml", "small.yaml", "--plain", *reports)
    assert found.returncode == 3
    root = ET.parse(tmp_path / "a.xml").getroot()
    assert (root.get("failures"), root.get("errors")) == ("0", "1")
    assert [suite.get("name") for suite in root] == ["small", "away.yaml"]
    (error,) = root.iter("error")
    assert "127.0.0.1:1" in error.get("message", "")
    told = json.loads((tmp_path / "a.json").read_text())
    assert (told["exit_status"], list(told["not_run"])) == (2, ["away.yaml"])
    assert re.search(r"^small +held ", found.stdout, re.M)
    assert re.search(r"^away.yaml +not run", found.stdout, re.M)
    assert "away.yaml: not run: " in found.stdout
    assert "1 of 2 did not hold" in found.stdout


@pytest.mark.parametrize(
    ("sections", "why"),
    [({"time": "real", "broker": "mqtt://127.0.0.1:1"}, "127.0.0.1:1"), ({"seed": "x"}, "small.yaml:1:")],
    ids=["away", "wrong"],
)
def test_junit_tells_of_the_only_one_that_cannot_be_run(
    dcompute: Callable[..., Done],
    certain: Callable[..., Path],
    tmp_path: Path,
    sections: dict[str, Any],
    why: str,
) -> None:
    found = dcompute("run", certain(**sections), "--junit", "a.xml")
    assert found.returncode in (2, 3)
    (suite,) = ET.parse(tmp_path / "a.xml").getroot()
    assert (suite.get("tests"), suite.get("errors")) == ("1", "1")
    (error,) = suite.iter("error")
    assert why in (error.text or "")
    assert error.get("message", "") in found.stderr


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_new_writes_holds(dcompute: Callable[..., Done], seed: int) -> None:
    assert dcompute("new", "first").returncode == 0
    found = dcompute("run", "first.yaml", "-q", "--seed", seed)
    assert found.returncode == 0, found.stdout


def test_the_last_word_of_the_tutorial_holds(dcompute: Callable[..., Done], tmp_path: Path) -> None:
    """Its chapters 1 to 4, and its swarm, as written."""
    text = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text()
    fleet, work, pumps, _, faults, expect = re.findall(r"```yaml\n(.*?)```", text, re.S)[:6]
    assert pumps.startswith("fleet:")
    (tmp_path / "pump-room.yaml").write_text(fleet.partition("fleet:")[0] + pumps + work + faults + expect)
    found = dcompute("run", "pump-room.yaml", "-q")
    assert found.returncode == 0, found.stdout

    (swarm,) = re.findall(r"```yaml\n(version: 1\nname: anything\n.*?)```", text, re.S)
    (tmp_path / "anything.yaml").write_text(swarm)
    found = dcompute("run", "anything.yaml", "-q", "--seed", 3)
    assert found.returncode == 0, found.stdout
    explained = (dcompute("explain", "anything.yaml", "--seed", seed).stdout for seed in range(1, 20))
    assert any("master_crash" in told for told in explained)


def test_side_by_side_is_the_same_as_one_after_the_other(
    dcompute: Callable[..., Done], certain: Callable[..., Path], tmp_path: Path
) -> None:
    scenario = certain(matrix={"fleet.py.keepalive": ["4s", "6s"], "seed": [1, 2]})
    said = {}
    for jobs in (1, 2):
        found = dcompute("run", scenario, "--trace", f"{jobs}.jsonl", "--plain", "--jobs", jobs)
        assert found.returncode == 0, found.stderr
        said[jobs] = re.findall(r"^Trace: \d(\S+ \(digest \w+\))", found.stdout, re.M)
    assert len(said[1]) == 4
    assert said[1] == said[2]
    assert (tmp_path / "1-3.jsonl").read_bytes() == (tmp_path / "2-3.jsonl").read_bytes()


def test_compare(dcompute: Callable[..., Done], write_scenario: Callable[..., Path]) -> None:
    """A few seconds of real time beside the same in virtual time; a keepalive that a busy machine keeps."""
    short = {
        "phases": {"storm": "2s", "quiet": "8s"},
        "fleet": {"py": {"count": 3, "keepalive": "3s"}},
        "workload": [],
        "faults": [{"kind": "crash", "at": "1s"}, {"kind": "power_cut", "at": "1500ms"}],
    }
    scenario = write_scenario(**short)
    command = [sys.executable, "-m", "dcompute", "compare", str(scenario), "--plain"]
    lossy = ["--set", "network={latency: 100ms, jitter: 20ms, loss: 10%}"]
    ways = [[*command, "--broker", "amqtt-plain"], [*command, *lossy]]
    running = [subprocess.Popen(way, stdout=-1, stderr=subprocess.STDOUT, text=True) for way in ways]
    same = dcompute("compare", scenario, "--plain")  # each of them mostly waits
    broken, over_a_bad_link = (each.communicate(timeout=120)[0] for each in running)
    assert same.returncode == 0, same.stdout + same.stderr
    assert "the verdicts agree" in same.stdout
    for time in ("virtual", "real"):
        assert re.search(rf"\b{time} +1 +[0-9.,]+ ", same.stdout), same.stdout
    # The model that stands in for it finds the silent node; plain amqtt itself does not.
    assert running[0].returncode == 1, broken
    assert "DIFFER" in broken
    assert running[1].returncode == 0, over_a_bad_link
    assert "the verdicts agree" in over_a_bad_link


def test_a_run_warns_of_links_over_which_no_node_stays(
    dcompute: Callable[..., Done], write_scenario: Callable[..., Path]
) -> None:
    far = write_scenario(network={"latency": "300ms", "loss": "30%"})
    done = dcompute("run", far, "--plain")
    assert "will be given up though nothing is wrong with the nodes" in done.stderr
    near = dcompute("run", write_scenario(), "--plain")
    assert "warning" not in near.stderr
