"""`acl:` of a scenario: who may publish and read what, decided as mosquitto does, and told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.brokers.acl_rules import AclRules
from dcompute_sim.brokers.real_broker import BrokerError
from dcompute_sim.checks import Status
from dcompute_sim.report.broker_drops import drops
from dcompute_sim.report.why.unfinished import unfinished
from dcompute_sim.scenario import ScenarioError, load
from dcompute_sim.scenario.acl import acl_lines

from .conftest import Run

OWN_TOPICS = """
# who has the whole fleet in hand
user master
topic readwrite #

pattern read %u
pattern readwrite %c/status
pattern write initialisation
pattern write results
pattern write results/+
"""
SCENARIO: dict[str, Any] = {
    "duration": "12s",
    "acl": OWN_TOPICS,
    "fleet": {"n": {"count": 2, "work": "1s"}},
    "workload": [{"at": "1s", "tasks": 4}],
    "expect": ["all_tasks_finished", "no_errors_in_log"],
}


def denied(trace: t.Trace) -> Counter[tuple[str, str, str]]:
    found = Counter[tuple[str, str, str]]()
    for event in trace:
        if isinstance(event, t.MessagesDropped):
            found[event.who, event.why, event.topic] += event.count
    return found


@pytest.mark.parametrize("broker", ["model", "mosquitto", "emqx"])
@pytest.mark.parametrize("more", [{}, {"users": {"n-1": "a", "n-2": "b", "master": "c"}}])
def test_each_program_may_do_what_its_own_name_may(run: Run, broker: str, more: dict[str, Any]) -> None:
    outcome = run(SCENARIO | more, broker=broker)
    assert outcome.verdict.status is Status.HELD
    assert not [who for who, _, topic in denied(outcome.trace) if not topic.startswith("$SYS")]


def test_boards_log_in_by_their_names_too(run: Run) -> None:
    outcome = run(SCENARIO | {"fleet": {"n": {"kind": "firmware", "count": 1}}})
    assert outcome.verdict.status is Status.HELD


def test_who_is_no_user_may_do_what_anybody_may(run: Run) -> None:
    outcome = run(SCENARIO | {"users": {"n-1": "a", "master": "c"}})
    assert denied(outcome.trace)["n-2", "may not publish", "initialisation"] == 0
    assert denied(outcome.trace)["n-2", "may not read", "n-2"] > 0


def test_what_may_not_be_published_is_acknowledged_lost_and_told(run: Run) -> None:
    outcome = run(SCENARIO | {"acl": OWN_TOPICS + "user n-2\ntopic deny n-2/status\n"})
    assert denied(outcome.trace)["n-2", "may not publish", "n-2/status"] > 0
    assert {who for who, _, _ in denied(outcome.trace)} == {"n-2"}
    assert "the access rules do not let it publish to n-2/status" in "\n".join(drops(outcome.trace))


def test_a_last_will_is_a_message_like_others(run: Run) -> None:
    crash = {"kind": "crash", "at": "5s", "select": {"names": ["n-2"]}}
    deaths = [
        [event.node for event in run(SCENARIO | {"acl": acl, "faults": [crash]}).trace
         if isinstance(event, t.NodeStatusSeen) and event.status == "dead"]
        for acl in (OWN_TOPICS, OWN_TOPICS.replace("readwrite %c/status", "read %c/status"))
    ]  # fmt: skip
    assert deaths == [["n-2"], []]


def test_what_may_not_be_read_is_why_work_is_not_done(run: Run) -> None:
    outcome = run(SCENARIO | {"acl": OWN_TOPICS + "user n-2\ntopic deny n-2\n"})
    assert outcome.verdict.status is Status.FAILED
    assert denied(outcome.trace)["n-2", "may not read", "n-2"] > 0
    [failed] = outcome.verdict.of(Status.FAILED)
    told = "\n".join(unfinished(outcome.trace.events, failed))
    assert "never reached it: the access rules do not let it read n-2" in told


def test_emqx_refuses_the_subscription_where_mosquitto_withholds_messages(run: Run) -> None:
    acl = OWN_TOPICS + "user n-2\ntopic deny n-2\n"
    warned = {
        broker: [event.text for event in run(SCENARIO | {"acl": acl}, broker=broker).trace
                 if isinstance(event, t.LogLine) and "refused" in event.text]
        for broker in ("mosquitto", "emqx")
    }  # fmt: skip
    assert not warned["mosquitto"]
    assert warned["emqx"]


def test_the_real_mosquitto_decides_the_same_and_what_it_denies_is_told(run: Run) -> None:
    acl = OWN_TOPICS + "user n-2\ntopic deny n-2/status\n"
    scenario = SCENARIO | {"acl": acl, "duration": "1s", "workload": [], "expect": []}
    real = run(scenario, time="real", broker="mosquitto")
    assert set(denied(real.trace)) == set(denied(run(scenario).trace)) == {
        ("n-2", "may not publish", "n-2/status")
    }  # fmt: skip


def test_other_real_brokers_do_not_read_it(run: Run) -> None:
    with pytest.raises(
        BrokerError, match="`acl:` of a scenario can be set for mosquitto and in virtual time"
    ):
        run(SCENARIO, time="real")


FILE = """
topic read news/#
user master
topic readwrite #
user n-1
topic read a b/c
topic deny open/secret
topic write open/#
topic write n-9/status
pattern write %c/status
pattern read tasks/%u
pattern deny n-9/status
"""


@pytest.mark.parametrize(
    ("user", "client_id", "publishes", "topic", "allowed"),
    [
        (None, "x", False, "news/today", True),
        (None, "x", True, "news/today", False),
        ("n-1", "n-1", False, "news/today", False),  # that is for who gives no name
        (None, "x", True, "x/status", True),
        (None, "x", False, "tasks/", False),  # a pattern with %u is not for who has no name
        ("n-1", "other", False, "tasks/n-1", True),
        ("n-1", "other", True, "n-1/status", False),
        ("n-1", "n-1", True, "open/secret", False),  # deny first, wherever it stands
        ("n-1", "n-1", True, "open/else", True),
        ("n-1", "n-1", True, "n-9/status", True),  # `topic` lines before `pattern` lines
        ("n-2", "n-9", True, "n-9/status", False),
        ("n-1", "+", True, "n-1/status", False),  # CVE-2017-7650
        ("#", "n-1", False, "tasks/n-1", False),
        ("n-1", "n-1", False, "a b/c", True),
        ("master", "m", False, "anything/at/all", True),
        ("master", "m", False, "$SYS/broker", False),
    ],
)
def test_lines_are_asked_in_mosquittos_order(
    user: str | None, client_id: str, publishes: bool, topic: str, allowed: bool
) -> None:
    rules = AclRules(acl_lines(FILE))
    may = rules.may_publish if publishes else rules.may_read
    assert may(user, client_id, topic) is allowed


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("topic raed a", "`raed` is no access"),
        ("topic", "what it has are `user NAME`"),
        ("user", "what it has are `user NAME`"),
        ("allow #", "what it has are `user NAME`"),
        ("topic read a/#/b", "`#` the last one"),
        ("pattern read a+/%c", "`+` is a level of its own"),
    ],
)
def test_a_line_that_mosquitto_does_not_take_is_named(tmp_path: Path, line: str, why: str) -> None:
    path = tmp_path / "acl.yaml"
    path.write_text(f"version: 1\nname: acl\nduration: 1s\nacl: |\n  user a\n  {line}\nfleet: {{n: {{}}}}\n")
    with pytest.raises(ScenarioError) as refused:
        load(path)
    (problem,) = refused.value.problems
    assert f"line 2 of the acl_file, `{line}`" in problem.message
    assert why in problem.message
