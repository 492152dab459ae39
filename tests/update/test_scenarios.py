"""`updates:` in a scenario: what makes no sense is refused at its place, and what goes wrong is seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import Status
from dcompute_sim.checks.damage_below import DamageBelow
from dcompute_sim.checks.updated import Updated
from dcompute_sim.director.versions import bundle_of, is_broken_on
from dcompute_sim.faults.update_attack import UpdateAttack
from dcompute_sim.run import run_scenario
from dcompute_sim.scenario import ScenarioError, load
from dcompute_sim.scenario.explain import explain
from dcompute_sim.scenario.updates import Update

from dcompute.node_core import Topics

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
        ("60s", "", Status.HELD, "1 board at the new version, 0 at the one before"),
        ("60s", ", signed: wrong", Status.HELD, "0 boards at the new version, 1 at the one before"),
        ("60s", ", release: 1", Status.HELD, "0 boards at the new version, 1 at the one before"),
        ("120s", ", broken: no-wifi, confirm: 20s", Status.HELD, "0 boards at the new version, 1 at"),
        ("120s", ", broken: crash, confirm: 20s", Status.HELD, "0 boards at the new version, 1 at"),
        ("5100ms", "", Status.FAILED, "1 of 1 board ended wrongly"),
        ("30s", ", broken: hang, confirm: 20s", Status.FAILED, "1 of 1 board ended wrongly"),
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
        ("group: esp}", "group: esp}, broken_share: 30%", "crashes, hangs or is mute on some boards"),
        ("group: esp}", "group: esp}, campaign: {canaries: [esp-9]}", "no node is called `esp-9`"),
        ("group: esp}", "group: esp}, campaign: {wave: 0%}", "a wave of no boards"),
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


@pytest.mark.parametrize("broken", ["crash", "hang", "mute", "no-wifi"])
def test_a_broken_version_is_a_whole_bundle(broken: str) -> None:
    bundle = bundle_of(Update.model_validate({"at": "1s", "version": "v9", "broken": broken}), 2)
    good = bundle_of(Update.model_validate({"at": "1s", "version": "v9"}), 2)
    assert set(bundle.files) == set(good.files)
    assert bundle.files != good.files


@pytest.mark.parametrize("broken", ["no-main", "escape", "too-large", "longer", "altered"])
def test_a_badly_packed_version_must_have_been_seen_by_the_board(broken: str) -> None:
    """That it came to nothing by itself, when it started, is not enough."""
    bundle = bundle_of(Update.model_validate({"at": "1s", "version": "v9", "broken": broken}), 2)
    good = bundle_of(Update.model_validate({"at": "1s", "version": "v9"}), 2)
    assert bundle.manifest() != good.manifest()
    ended = [
        t.FinalNode(
            t_us=4, node="a", running=True, connected=True, own_status="ready", master_status="ready"
        ),
        t.FinalVersion(t_us=4, node="a", version="v1", failed="v9"),
    ]
    began = t.UpdateStarted(t_us=1, node="a", version="v9", before="v1", broken=broken, release=2)
    seen = "failed" if broken in ("longer", "altered") else "refused"
    for state, status in ((seen, Status.HELD), ("rolled back", Status.FAILED), ("sending", Status.FAILED)):
        told = t.UpdateState(t_us=2, node="a", version="v9", state=state)
        assert Updated().judge([began, told, *ended]).status is status


def test_a_board_that_went_back_says_from_what() -> None:
    node = t.FinalNode(
        t_us=4, node="a", running=True, connected=True, own_status="ready", master_status="ready"
    )
    began = t.UpdateStarted(t_us=1, node="a", version="v9", before="v1", broken="crash", release=2)
    told = t.UpdateState(t_us=2, node="a", version="v9", state="rolled back")
    for failed, status in (("v9", Status.HELD), ("", Status.FAILED)):
        ended = t.FinalVersion(t_us=4, node="a", version="v1", failed=failed)
        assert Updated().judge([began, told, node, ended]).status is status


def test_a_new_version_of_which_the_master_never_hears_that_it_stays_is_seen() -> None:
    node = t.FinalNode(
        t_us=4, node="a", running=True, connected=True, own_status="ready", master_status="ready"
    )
    began = t.UpdateStarted(t_us=1, node="a", version="v9", before="v1", release=2)
    ended = t.FinalVersion(t_us=4, node="a", version="v9")
    for state, status in (("confirmed", Status.HELD), ("switching", Status.FAILED)):
        told = t.UpdateState(t_us=2, node="a", version="v9", state=state)
        assert Updated().judge([began, told, node, ended]).status is status


@pytest.mark.parametrize(
    ("attack_s", "status"), [((1, 9), "held"), ((1, 5), "inconclusive"), ((1, 2), "held")]
)
def test_an_update_that_waits_until_the_attack_on_it_is_over_has_not_withstood_it(
    attack_s: tuple[int, int], status: str
) -> None:
    """Under the mutant `fw-update-any-challenge` a board took v3 as soon as its attacker had gone."""
    begins_s, ends_s = attack_s
    trace: list[t.Event] = [
        t.FaultInjected(t_us=begins_s, fault="update_attack-1", kind="update_attack", node="a"),
        t.UpdateStarted(t_us=3, node="a", version="v3", before="v2", release=2),
        t.UpdateState(t_us=7, node="a", version="v3", state="confirmed"),
        t.FaultEnded(t_us=ends_s, fault="update_attack-1", node="a"),
        t.FinalNode(
            t_us=10, node="a", running=True, connected=True, own_status="ready", master_status="ready"
        ),
        t.FinalVersion(t_us=10, node="a", version="v3"),
    ]
    outcome = Updated().judge(trace)
    assert outcome.status is Status(status)
    assert ("a got to the end of the update only when" in outcome.summary) is (status == "inconclusive")


@pytest.mark.parametrize(
    ("how", "without", "meets_it"),
    [
        (["changed", "cut", "longer", "repeated"], "QHO", "P"),
        (["out-of-order"], "QHOP", "P"),
        (["replayed"], "QHOPQH", "o"),
        (["foreign"], "QHO", "W"),
        (["escape"], "QtuO", "H"),
        (["impatient"], "QHO", "t"),
        (["old-hello"], "QHO", "Q"),
        (["old-want"], "QHOW", "P"),
        (["changed", "impatient"], "QHOP", "t"),
    ],
)
def test_an_attack_has_its_receipt_when_each_of_its_ways_met_what_it_is_for(
    how: list[str], without: str, meets_it: str
) -> None:
    """Q probe, H hello (t on trial, u under way), O offer (o another one), W want, P piece."""
    hello = b"DCU2H\1a" + bytes(32)
    said = {
        "Q": b"DCU2Q" + bytes(32),
        "H": hello + bytes(100),
        "t": hello + b"\1" + bytes(99),
        "u": hello + b"\2" + bytes(99),
        "O": b"DCU2O" + bytes(90),
        "o": b"DCU2O" + bytes(89) + b"\1",
        "W": b"DCU2W\1a" + bytes(30),
        "P": b"DCU2P" + bytes(90),
    }
    effects: list[str] = []
    heard: list[Callable[[str, bytes], Any]] = []

    class World:
        topics = Topics("")

        def eavesdrop(self, _key: str, _topics: Any, hear: Any) -> Any:
            heard.append(hear)
            yield
            return lambda: None

    act: Any = SimpleNamespace(
        world=World(),
        node=SimpleNamespace(node_id="a"),
        env=SimpleNamespace(now=9.0),
        key="k",
        effect=lambda _effect, detail: effects.append(detail),
    )
    attack = UpdateAttack.model_validate({"kind": "update_attack", "at": "1s", "for": "9s", "how": how})
    next(iter(attack.inject(act)))
    for kind in without + meets_it:
        assert not effects, kind
        heard[0]("updates" if kind in "HtuW" else "a/update", said[kind])
    assert effects == [", ".join(how)]


def test_a_board_that_keeps_an_aborted_version_is_seen() -> None:
    began = t.CampaignStarted(t_us=0, version="v2", nodes=["a", "b", "c", "d"])
    trace: list[t.Event] = [
        began,
        t.UpdateStarted(t_us=1, node="a", version="v2"),
        t.UpdateState(t_us=2, node="a", version="v2", state="confirmed"),
        t.CampaignEnded(t_us=3, version="v2", aborted="so it is"),
        *(
            t.FinalNode(
                t_us=4, node=n, running=True, connected=True, own_status="ready", master_status="ready"
            )
            for n in "abcd"
        ),
        *(t.FinalVersion(t_us=4, node=n, version="v1") for n in "abcd"),
    ]
    check = DamageBelow.model_validate({"share": "25%"})
    assert check.judge(trace).status is Status.HELD
    kept = [e for e in trace if getattr(e, "node", "") != "a" or not isinstance(e, t.FinalVersion)]
    kept.append(t.FinalVersion(t_us=5, node="a", version="v2"))
    assert check.judge(kept).status is Status.FAILED
    assert DamageBelow.model_validate({"share": "24%"}).judge(trace).status is Status.FAILED
    through = [t.CampaignEnded(t_us=3, version="v2") if isinstance(e, t.CampaignEnded) else e for e in trace]
    assert check.judge(through).status is Status.FAILED, "nobody runs what all were to run"
    unfinished = [event for event in trace if not isinstance(event, t.CampaignEnded)]
    for nothing in ([], unfinished):
        assert check.judge(nothing).status is Status.INCONCLUSIVE


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_boards_and_checks_agree_where_a_version_is_broken(share: float) -> None:
    """The program asks its own config what the testbed works out."""
    update = Update.model_validate(
        {"at": "1s", "version": "v9", "broken": "crash", "broken_share": f"{share:.0%}"}
    )
    program = bundle_of(update, 2).files["main.py"].decode()
    good = bundle_of(Update.model_validate({"at": "1s", "version": "v9"}), 2).files["main.py"].decode()
    guard = program.removesuffix(good) if share < 1 else program
    found = 0
    for number in range(300):
        name = f"esp-{number}"
        try:
            exec(guard.replace("import config\n", ""), {"config": SimpleNamespace(NODE_ID=name)})
            broken = False
        except RuntimeError:
            broken = True
        assert broken is is_broken_on(name, share)
        found += broken
    assert abs(found / 300 - share) < 0.03
