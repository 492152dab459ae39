"""`room_kept`: how many tasks may be on their way, told beforehand."""

from __future__ import annotations

from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import Status
from dcompute_sim.checks.room_kept import RoomKept

Told = tuple[float, type[t.Event], dict[str, Any]]


def fleet(takes: int = 1, most: int = 2) -> list[Told]:
    node = {"node": "n", "group": "n", "kind": "python", "keepalive_s": 9.0, "takes": takes}
    return [
        (0, t.NodeDefined, node),
        (0, t.ExecutorStarted, {"asker": "x", "boot": 1, "max_pending": most}),
        (0, t.ExecutorConnected, {"asker": "x"}),
        (0, t.SaidBack, {"who": "n", "node": "n"}),
    ]


def asked(at_s: float, *tasks: str, admitted: bool = True, priority: int = 5) -> list[Told]:
    kind = t.TaskAdmitted if admitted else t.TaskBacklogged
    wanted = {"answer": "", "asker": "x", "priority": priority}
    return [
        told
        for task in tasks
        for told in (
            (at_s, t.TaskAsked, {"task": task, **wanted}),
            (at_s, kind, {"asker": "x", "task": task}),
        )
    ]


def over(at_s: float, task: str) -> Told:
    return (at_s, t.TaskSettled, {"asker": "x", "task": task, "outcome": "result"})


CRASH: list[Told] = [(4, t.SaidGone, {"who": "n", "node": "n", "status": "dead", "inc": "1.1"})]
STORIES: list[tuple[str, Status, list[Told]]] = [
    ("as many as may", Status.HELD, [*fleet(), *asked(3, *"ab"), *asked(3, "c", admitted=False)]),
    ("one too many", Status.FAILED, [*fleet(), *asked(3, *"abc"), *asked(3, "d", admitted=False)]),
    ("one too few", Status.FAILED, [*fleet(), *asked(3, "a"), *asked(3, "b", admitted=False)]),
    (
        "one was over",
        Status.FAILED,
        [*fleet(), *asked(3, *"ab"), over(3, "a"), *asked(4, "c", admitted=False)],
    ),
    (
        "asked for anew",
        Status.HELD,
        [*fleet(), *asked(3, *"ab"), over(3, "a"), *asked(4, *"ac"), *asked(4, "d", admitted=False)],
    ),
    (
        "an urgent one",
        Status.HELD,
        [*fleet(), *asked(3, *"ab"), *asked(3, "c", priority=9), *asked(3, "d", admitted=False)],
    ),
    (
        "an urgent one waits",
        Status.FAILED,
        [*fleet(), *asked(3, *"ab"), *asked(3, "c", admitted=False, priority=9)],
    ),
    ("a large fleet", Status.HELD, [*fleet(takes=2), *asked(3, *"abcd"), *asked(3, "e", admitted=False)]),
    (
        "a large fleet starves",
        Status.FAILED,
        [*fleet(takes=2), *asked(3, *"abc"), *asked(3, "d", admitted=False)],
    ),
    (
        "a fleet that just came",
        Status.HELD,
        [*fleet(takes=2), *asked(1, *"ab"), *asked(1, "c", admitted=False)],
    ),
    (
        "a fleet that is gone",
        Status.HELD,
        [*fleet(takes=2), *asked(3, *"ab"), *CRASH, *asked(9, "c", admitted=False)],
    ),
    ("nobody had to wait", Status.INCONCLUSIVE, [*fleet(), *asked(3, *"ab")]),
]


@pytest.mark.parametrize(("status", "story"), [s[1:] for s in STORIES], ids=[s[0] for s in STORIES])
def test_room_is_what_was_declared(status: Status, story: list[Told]) -> None:
    told = [kind(t_us=round(at_s * 1e6), **fields) for at_s, kind, fields in story]
    outcome = RoomKept().judge(told)
    assert outcome.status is status, outcome.summary
