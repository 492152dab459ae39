"""`updates:` in a scenario: what makes no sense is refused at its place, and what goes wrong is seen."""

from __future__ import annotations

from pathlib import Path

import pytest
from dcompute_sim.checks import Status
from dcompute_sim.director.updater import bundle_of
from dcompute_sim.run import run_scenario
from dcompute_sim.scenario import ScenarioError, load
from dcompute_sim.scenario.explain import explain
from dcompute_sim.scenario.updates import Update

BASE = """
version: 1
name: small
duration: {duration}
fleet:
  esp: {{kind: firmware, layout: slots, keepalive: 10s, poll: 1s}}
  py: {{}}
updates:
  - {{at: 5s, version: v2, select: {{group: esp}}{more}}}
expect: [updated]
"""


def scenario(folder: Path, duration: str = "60s", more: str = "") -> Path:
    path = folder / "small.yaml"
    path.write_text(BASE.format(duration=duration, more=more))
    return path


def outcome(path: Path) -> tuple[Status, str]:
    result = next(r for r in run_scenario(load(path)).verdict.results if r.name == "updated")
    return result.outcome.status, result.outcome.summary


@pytest.mark.parametrize(
    ("duration", "more", "status", "summary"),
    [
        ("60s", "", Status.HELD, "1 boards at the new version, 0 at the one before"),
        ("60s", ", signed: wrong", Status.HELD, "0 boards at the new version, 1 at the one before"),
        ("60s", ", release: 1", Status.HELD, "0 boards at the new version, 1 at the one before"),
        ("120s", ", broken: no-wifi, confirm: 20s", Status.HELD, "0 boards at the new version, 1 at"),
        ("120s", ", broken: crash, confirm: 20s", Status.HELD, "0 boards at the new version, 1 at"),
        ("5100ms", "", Status.FAILED, "1 of 1 boards ended wrongly"),
        ("30s", ", broken: hang, confirm: 20s", Status.FAILED, "1 of 1 boards ended wrongly"),
    ],
)
def test_an_update_is_judged_by_its_end(
    tmp_path: Path, duration: str, more: str, status: Status, summary: str
) -> None:
    found = outcome(scenario(tmp_path, duration, more))
    assert found[0] is status, found
    assert found[1].startswith(summary)


def test_a_folder_is_what_boards_get(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.mkdir()
    (program / "main.py").write_text("print('nothing')\n")
    loaded = load(scenario(tmp_path, more=", bundle: program"))
    assert bundle_of(loaded.updates[0], 2).files == {"main.py": b"print('nothing')\n"}


def test_an_update_is_explained(tmp_path: Path) -> None:
    said = " ".join(
        explain(load(scenario(tmp_path, more=", broken: hang, signed: wrong, release: 7"))).split()
    )
    assert "5s: version v2, a broken one (hang), release 7, under a wrong key is offered to" in said
    assert "its program in slots, version v1" in said


@pytest.mark.parametrize(
    ("replace", "by", "fault"),
    [
        ("group: esp", "group: py", "`py` cannot be updated"),
        ("group: esp", "group: exp", "no group is called `exp`"),
        ("at: 5s", "at: 500s", "too late"),
        ("layout: slots", "layout: slots, entry: start.py", "always `main.py`"),
        ("py: {}", "py: {layout: slots}", "`layout` is for firmware nodes"),
        ("group: esp}", "group: esp}, bundle: missing", "no such folder"),
        ("group: esp}", "group: esp}, broken: maybe", "maybe"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, replace: str, by: str, fault: str) -> None:
    path = scenario(tmp_path)
    text = path.read_text()
    assert replace in text
    path.write_text(text.replace(replace, by))
    with pytest.raises(ScenarioError) as caught:
        load(path)
    assert fault in str(caught.value)


@pytest.mark.parametrize("broken", ["crash", "hang", "no-wifi"])
def test_a_broken_version_is_a_whole_bundle(broken: str) -> None:
    bundle = bundle_of(Update.model_validate({"at": "1s", "version": "v9", "broken": broken}), 2)
    good = bundle_of(Update.model_validate({"at": "1s", "version": "v9"}), 2)
    assert set(bundle.files) == set(good.files)
    assert bundle.files != good.files
