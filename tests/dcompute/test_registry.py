"""The master's state machine, rule by rule; test_registry_model.py looks for what these do not think of."""

from __future__ import annotations

from typing import Any

import pytest

from dcompute import NodeInfo
from dcompute._master.effects import DeclareDead, Effect, Probe
from dcompute.events import (
    DeathReported,
    NodeStatusSeen,
    ResultDuplicate,
    ResultReceived,
    ResultRefused,
    StaleDeathIgnored,
)
from dcompute.parts import Registry
from dcompute.protocol import Announcement, Message, ResultMessage, StatusCleared, StatusMessage


class Bench:
    """A registry and its clock."""

    def __init__(self, **options: Any) -> None:
        self.registry = Registry(**options)
        self.now_s = 100.0

    def hear(self, message: Message, *, retained: bool = False) -> list[Effect]:
        return self.registry.receive(message, retained=retained, now_s=self.now_s, wall_s=self.now_s + 1e9)

    def status(self, node: str, status: str, inc: str = "", *, retained: bool = False) -> list[Effect]:
        return self.hear(StatusMessage(node, status, inc), retained=retained)

    def result(
        self, node: str, value: Any, task: str | None = None, *, retained: bool = False, inc: str = ""
    ) -> list[Effect]:
        return self.hear(ResultMessage(node, value, 1.0, task, inc=inc), retained=retained)

    def outage(self) -> list[Effect]:
        self.registry.link_down()
        return self.registry.link_up(self.now_s)

    def wait(self, seconds: float) -> list[Effect]:
        self.now_s += seconds
        return self.registry.tick(self.now_s, self.now_s + 1e9)

    def status_of(self, node: str) -> str | None:
        return self.registry.status_of(node)


@pytest.fixture
def bench() -> Bench:
    return Bench(liveness_s=10.0)


def deaths(effects: list[Effect]) -> list[tuple[str, str, str]]:
    return [(e.node, e.inc, e.cause) for e in effects if isinstance(e, DeathReported)]


def test_a_death_is_told_once(bench: Bench) -> None:
    bench.status("n", "ready", "a.1")
    assert deaths(bench.status("n", "dead", "a.1")) == [("n", "a.1", "will")]
    assert deaths(bench.status("n", "dead", "a.1")) == []
    assert deaths(bench.status("n", "dead", "a.1", retained=True)) == []
    assert bench.registry.dead_nodes(empty=True) == ["n"]
    assert bench.registry.dead_nodes(empty=True) == []


def test_each_incarnation_dies_its_own_death(bench: Bench) -> None:
    for inc in ("a.1", "a.2", "b.1"):
        bench.status("n", "ready", inc)
        assert deaths(bench.status("n", "dead", inc)) == [("n", inc, "will")]


def test_a_node_without_incarnations_is_taken_at_its_word(bench: Bench) -> None:
    for _ in range(2):
        bench.status("old", "ready")
        assert deaths(bench.status("old", "dead")) == [("old", "", "will")]
        assert deaths(bench.status("old", "dead")) == []


def test_a_will_of_another_connection_is_ignored_and_counted(bench: Bench) -> None:
    bench.status("n", "ready", "a.2")
    assert bench.status("n", "dead", "a.1") == [StaleDeathIgnored("n", "a.1")]
    assert bench.status_of("n") == "ready"
    assert bench.registry.counters["stale_deaths"] == 1
    assert deaths(bench.status("n", "dead", "")) == [("n", "a.2", "will")], (
        "an older will names nobody: believed"
    )


def test_offline_is_a_death_of_its_own_kind(bench: Bench) -> None:
    bench.status("n", "ready", "a.1")
    assert deaths(bench.status("n", "offline", "a.1")) == [("n", "a.1", "offline")]
    assert bench.status_of("n") == "offline"
    assert deaths(bench.status("n", "dead", "a.1")) == [], "the will of a close that timed out"


def test_a_record_tells_what_is_known(bench: Bench) -> None:
    bench.hear(Announcement("n", "connected", "a.1", "esp32", {"keepalive": 30, "list": [1]}))
    info = bench.registry.info("n")
    assert info == {
        "node_id": "n",
        "status": "connected",
        "device_type": "esp32",
        "last_seen": bench.now_s + 1e9,
        "inc": "a.1",
        "capabilities": {"keepalive": 30, "list": [1]},
    }
    bench.registry.infos()[0]["status"] = "changed"
    assert bench.registry.info("n") == info
    assert bench.status_of("n") == "connected"
    assert bench.registry.info("other") is None


# --- outages --------------------------------------------------------------------------------------------


def test_what_was_retained_is_doubted_until_the_node_speaks(bench: Bench) -> None:
    assert Probe("n") in bench.status("n", "ready", "a.1", retained=True)
    assert bench.status_of("n") == "ready"
    bench.wait(9)
    bench.status("n", "ready", "a.1")
    assert bench.wait(100) == []
    assert bench.status_of("n") == "ready"


def test_a_silent_node_is_declared_dead_at_its_bound(bench: Bench) -> None:
    bench.status("n", "ready", "a.1")
    assert bench.outage() == [Probe("n")]
    assert bench.registry.next_deadline_s() == bench.now_s + 10
    assert bench.wait(9.9) == []
    seen = bench.registry.info("n")
    effects = bench.wait(0.2)
    assert deaths(effects) == [("n", "a.1", "silent")]
    assert DeclareDead("n", "a.1") in effects
    after = bench.registry.info("n")
    assert seen is not None
    assert after == {**seen, "status": "dead"}, "it was not seen"
    assert bench.registry.next_deadline_s() is None


def test_a_node_declared_dead_that_speaks_again_is_alive_and_its_next_death_is_news(bench: Bench) -> None:
    bench.status("n", "ready", "a.1")
    bench.outage()
    assert deaths(bench.wait(11)) == [("n", "a.1", "silent")]
    assert deaths(bench.status("n", "dead", "a.1")) == [], "our own declaration"
    bench.status("n", "ready", "a.1")
    assert bench.status_of("n") == "ready"
    assert deaths(bench.status("n", "dead", "a.1")) == [("n", "a.1", "will")]
    assert deaths(bench.status("n", "dead", "a.1")) == []


@pytest.mark.parametrize(
    "sign",
    [
        StatusMessage("n", "busy", "a.1"),
        Announcement("n", "connected", "a.2"),
        ResultMessage("n", 1, inc="a.1"),
    ],
)
def test_any_sign_of_life_ends_the_doubt(bench: Bench, sign: Message) -> None:
    bench.status("n", "ready", "a.1")
    bench.outage()
    bench.hear(sign)
    assert bench.wait(1000) == []


def test_a_result_of_an_older_incarnation_is_no_sign_of_life(bench: Bench) -> None:
    bench.status("n", "ready", "a.2")
    bench.outage()
    bench.hear(ResultMessage("n", 1, inc="a.1"))
    assert deaths(bench.wait(11)) == [("n", "a.2", "silent")]


def test_the_bound_follows_the_keepalive_that_the_node_announced() -> None:
    bench = Bench(grace_s=20.0)
    for number, keepalive in enumerate([30, None, "x", -1, True, 1e9, float("inf")]):
        capabilities = {} if keepalive is None else {"keepalive": keepalive}
        bench.hear(StatusMessage(f"n{number}", "ready", "a", capabilities=capabilities))
    bench.outage()
    assert [node for node, *_ in deaths(bench.wait(1.5 * 30 + 20))] == ["n0"]
    assert len(deaths(bench.wait(1.5 * 60 + 20 - (1.5 * 30 + 20)))) == 6


def test_nobody_is_judged_while_there_is_no_broker(bench: Bench) -> None:
    bench.status("n", "ready", "a.1", retained=True)
    bench.registry.link_down()
    assert bench.wait(1000) == []
    assert bench.registry.link_up(bench.now_s) == [Probe("n")]
    assert bench.wait(9) == []


def test_the_dead_are_not_asked_and_do_not_die_again(bench: Bench) -> None:
    bench.status("n", "ready", "a.1")
    bench.status("n", "dead", "a.1")
    assert bench.outage() == []
    assert bench.status("n", "dead", "a.1", retained=True) == []
    assert bench.wait(1000) == []


def test_a_death_during_the_outage_is_found_in_the_retained_status(bench: Bench) -> None:
    bench.status("n", "ready", "a.1")
    bench.outage()
    assert deaths(bench.status("n", "dead", "a.1", retained=True)) == [("n", "a.1", "will")]
    assert deaths(bench.wait(1000)) == []


def test_a_dead_node_that_came_back_during_the_outage_is_found_though_it_has_no_incarnation(
    bench: Bench,
) -> None:
    """It is known only by its retained status, which says what it said before it died."""
    bench.status("old", "ready")
    bench.status("old", "dead")
    bench.outage()
    assert Probe("old") in bench.status("old", "ready", retained=True)
    assert bench.status_of("old") == "ready"


def test_a_node_declared_dead_that_repaired_its_status_during_the_next_outage_is_found(bench: Bench) -> None:
    bench.status("n", "ready", "a.1")
    bench.outage()
    bench.wait(11)
    assert bench.status_of("n") == "dead"
    bench.outage()
    assert Probe("n") in bench.status("n", "ready", "a.1", retained=True)
    assert bench.status_of("n") == "ready"


def test_a_retained_copy_that_live_traffic_has_overtaken_is_ignored(bench: Bench) -> None:
    bench.registry.link_up(bench.now_s)
    bench.status("n", "busy", "a.1")
    assert bench.status("n", "ready", "a.1", retained=True) == []
    bench.status("n", "dead", "a.1")
    assert bench.status("n", "ready", "a.1", retained=True) == []
    assert bench.status_of("n") == "dead"


def test_who_died_over_this_connection_is_not_revived_by_what_was_retained_before(bench: Bench) -> None:
    bench.status("n", "ready", "a.1")
    bench.outage()
    bench.status("n", "dead", "a.1")
    assert bench.status("n", "ready", "a.1", retained=True) == []
    assert bench.status_of("n") == "dead"


def test_a_retained_status_that_comes_before_the_suback_is_probed_after_it(bench: Bench) -> None:
    """Brokers may send it so [MQTT-3.8.4-3]; what is sent before the link is up is lost."""
    bench.status("n", "ready", "a.1", retained=True)
    assert Probe("n") in bench.registry.link_up(bench.now_s)


def test_our_own_declaration_that_crossed_a_sign_of_life_is_no_second_death(bench: Bench) -> None:
    bench.status("n", "ready", "a.1")
    bench.outage()
    assert len(deaths(bench.wait(11))) == 1
    bench.status("n", "ready", "a.1")  # it was slow
    assert bench.status("n", "dead", "a.1") == [StaleDeathIgnored("n", "a.1")]  # what we published comes back
    assert bench.status_of("n") == "ready"
    assert len(deaths(bench.status("n", "dead", "a.1"))) == 1, (
        "now it is its will, and it was alive in between"
    )


def test_our_own_declaration_comes_back_in_the_usual_case(bench: Bench) -> None:
    bench.status("n", "ready", "a.1")
    bench.outage()
    bench.wait(11)
    assert bench.status("n", "dead", "a.1") == []
    bench.status("n", "ready", "a.1")
    assert len(deaths(bench.status("n", "dead", "a.1"))) == 1


# --- what anybody may write --------------------------------------------------------------------------------


def test_an_announcement_of_another_life_changes_nothing_until_the_status_tells_the_same(
    bench: Bench,
) -> None:
    bench.status("n", "ready", "a.1")
    before = bench.registry.info("n")
    forged = Announcement("n", "connected", "z.1", "trap", {"keepalive": 1})
    assert bench.hear(forged) == []
    assert bench.registry.info("n") == before
    assert bench.wait(1.9) == []
    assert bench.wait(0.2) == [Probe("n")], "the node is asked"
    assert bench.wait(100) == []
    assert deaths(bench.status("n", "dead", "a.1")) == [("n", "a.1", "will")], "its death is not hidden"
    bench.hear(forged)
    assert bench.status_of("n") == "dead"
    bench.hear(Announcement("n", "connected", "b.1", "esp32", {"keepalive": 9}))
    bench.status("n", "ready", "b.1")
    assert bench.wait(100) == [], "nobody is asked who has told"
    info = bench.registry.info("n")
    assert info is not None
    assert (info["device_type"], info["capabilities"]) == ("esp32", {"keepalive": 9})


def test_a_node_that_was_only_announced_gives_way_to_what_its_status_says(bench: Bench) -> None:
    bench.hear(Announcement("n", "connected", "z.1"))
    assert deaths(bench.outage() + bench.wait(1000)) == [], "it was never there, as far as is known"
    bench.status("n", "ready", "a.1", retained=True)
    assert bench.registry.info("n")["inc"] == "a.1"  # type: ignore[index]
    bench.hear(Announcement("m", "connected", "z.1"))
    assert deaths(bench.status("m", "dead", "a.1")) == [("m", "a.1", "will")]


def test_a_result_in_the_name_of_another_displaces_nothing(bench: Bench) -> None:
    bench.status("n", "ready", "a.1")
    bench.status("rogue", "ready", "r.1")
    bench.registry.sent("t", 1, "n")
    refused = bench.result("rogue", "forged", "t", inc="r.1")
    assert refused == [ResultRefused("rogue", "t", "the task was not given to this node")]
    assert bench.result("n", "forged", "t") == []
    assert bench.result("n", "forged", "t", inc="z.1") == [], "it waits for a status that will not come"
    assert bench.result("n", "genuine", "t", inc="a.1") == [ResultReceived("n", "t", "genuine")]
    busy = bench.status("n", "busy", "a.1")
    assert busy == [NodeStatusSeen("n", "busy", "a.1")]
    assert bench.registry.counters["results_refused"] == 3
    assert bench.registry.results(None, remove=True)["n"][0]["result"] == "genuine"


def test_a_result_that_overtakes_the_status_of_its_life_is_taken_when_that_comes(bench: Bench) -> None:
    bench.status("n", "ready", "a.1")
    bench.registry.sent("t", 1, "n")
    assert bench.result("n", 1, "t", inc="b.1") == []
    assert ResultReceived("n", "t", 1) in bench.status("n", "ready", "b.1")
    bench.registry.sent("u", 1, "n")
    assert bench.result("n", 2, "u", inc="a.1") == [ResultReceived("n", "u", 2)], "of the life before"


def test_an_answer_before_the_task_was_sent_displaces_nothing(bench: Bench) -> None:
    assert bench.result("rogue", "forged", "t") == [ResultReceived("rogue", "t", "forged")]
    bench.registry.sent("t", 1, "n")
    assert bench.result("n", 1, "t") == [ResultReceived("n", "t", 1)]


def test_what_anybody_may_cause_is_bounded() -> None:
    bench = Bench(node_limit=1_500)
    for number in range(5_000):
        bench.hear(Announcement(f"ghost-{number}", "connected", "z.1", capabilities={"a": 1}, size=10))
    assert len(bench.registry.infos()) == 1_000
    for number in range(2_000):
        bench.hear(StatusMessage(f"n{number}", "ready", "a.1", capabilities={"a": 1}, size=10))
    assert len(bench.registry.infos()) == 1_500
    assert bench.status_of("n1499") == "ready", "what speaks for itself goes before what is announced"
    assert bench.status_of("n1500") is None
    assert bench.registry.counters["nodes_refused"] == 5_500
    bench.registry.forget("n7")
    bench.status("n1500", "ready", "a.1")
    assert bench.status_of("n1500") == "ready"
    for number in range(3_000):
        bench.result("n8", number, inc=f"z{number}.1")
    assert bench.registry.counters["results_refused"] == 2_000


@pytest.mark.parametrize("node_limit", [900, 1_000, 1_001, 1_002, 1_500])
@pytest.mark.parametrize("speaking", [0, 1, 600])
def test_every_node_that_has_no_place_is_counted_whoever_has_it_instead(
    node_limit: int, speaking: int
) -> None:
    bench = Bench(node_limit=node_limit)
    for number in range(speaking // 2):
        bench.status(f"before-{number}", "ready", "a.1")
    for number in range(1_100):
        bench.hear(Announcement(f"ghost-{number}", "connected", "z.1"))
    for number in range(speaking - speaking // 2):
        bench.status(f"after-{number}", "ready", "a.1")
    without_place = speaking + 1_100 - len(bench.registry.infos())
    assert without_place >= 100, "1,000 that are only announced, however many there may be"
    assert bench.registry.counters["nodes_refused"] == without_place


def test_capabilities_are_bounded_all_together() -> None:
    bench = Bench()
    for number in range(2_000):
        bench.hear(StatusMessage(f"n{number}", "ready", "a.1", capabilities={"a": 1}, size=65_536))
    described = [info for info in bench.registry.infos() if info["capabilities"]]
    assert len(described) == 1_024
    assert len(bench.registry.infos()) == 2_000, "the node is known all the same"
    bench.hear(StatusMessage("n0", "ready", "a.1", capabilities={}))
    bench.hear(StatusMessage("n1999", "ready", "a.1", capabilities={"a": 2}, size=65_536))
    assert bench.registry.info("n1999")["capabilities"] == {"a": 2}  # type: ignore[index]


def test_a_flood_of_results_costs_the_flooder_its_own(bench: Bench) -> None:
    bench = Bench(result_limit=1_000)
    for number in range(100):
        bench.result("n", number)
    for number in range(10_000):
        bench.result("rogue", number)
    results = bench.registry.results(None, remove=True)
    assert [record["result"] for record in results["n"]] == list(range(100))
    assert [record["result"] for record in results["rogue"]] == list(range(9_100, 10_000))


def test_results_are_bounded_in_bytes() -> None:
    bench = Bench(result_limit=1_000, result_bytes=1 << 20)
    for number in range(100):
        bench.hear(ResultMessage("n", number, size=100_000))
    (kept,) = bench.registry.results(None, remove=False).values()
    assert 10 <= len(kept) <= 16
    assert kept[-1]["result"] == 99


# --- forgetting -----------------------------------------------------------------------------------------


def test_a_forgotten_node_is_nowhere_until_it_announces_itself(bench: Bench) -> None:
    bench.status("n", "ready", "a.1", retained=True)
    bench.result("n", 1)
    bench.status("n", "dead", "a.1")
    assert bench.registry.forget("n")
    assert bench.registry.infos() == []
    assert bench.registry.dead_nodes(empty=False) == []
    assert bench.registry.results(None, remove=False) == {}
    for status in ("ready", "dead", "offline"):
        assert bench.status("n", status, "a.1") == []
    assert bench.result("n", 2) == []
    assert bench.wait(1000) == []
    assert bench.registry.counters["forgotten_ignored"] == 4
    bench.hear(Announcement("n", "connected", "a.2"))
    assert bench.status_of("n") == "connected"
    assert len(deaths(bench.status("n", "dead", "a.2"))) == 1
    assert not bench.registry.forget("never")


def test_a_cleared_status_changes_nothing(bench: Bench) -> None:
    bench.status("n", "ready", "a.1")
    assert bench.hear(StatusCleared("n")) == []
    assert bench.hear(StatusCleared("m")) == []
    assert [info["node_id"] for info in bench.registry.infos()] == ["n"]


# --- results --------------------------------------------------------------------------------------------


def test_a_task_has_one_result(bench: Bench) -> None:
    bench.registry.sent("t", 1, "a")
    bench.registry.sent("t", 2, "b")
    assert bench.result("a", 1, "t") == [ResultReceived("a", "t", 1)]
    assert bench.result("a", 1, "t") == [ResultDuplicate("a", "t")]
    assert bench.result("b", 2, "t") == [ResultDuplicate("b", "t")], "done again elsewhere"
    bench.registry.results(None, remove=True)
    assert bench.result("a", 1, "t") == [ResultDuplicate("a", "t")], "collected, not forgotten"
    assert bench.registry.counters["duplicate_results"] == 3


def test_results_without_a_task_all_count(bench: Bench) -> None:
    bench.result("a", 1)
    bench.result("a", 1)
    assert [r["result"] for r in bench.registry.results(None, remove=False)["a"]] == [1, 1]


def test_a_retained_result_is_no_new_work(bench: Bench) -> None:
    assert bench.result("old", 1, retained=True) == []
    assert bench.registry.results(None, remove=False) == {}
    assert bench.registry.counters["retained_results"] == 1


def test_results_are_filtered_and_removed_exactly(bench: Bench) -> None:
    for node in "abc":
        bench.result(node, [node])
    results = bench.registry.results
    assert set(results({"a", "b", "zz"}, remove=False)) == {"a", "b"}
    assert set(results({"a"}, remove=True)) == {"a"}
    assert set(results(None, remove=False)) == {"b", "c"}
    assert results(set(), remove=True) == {}
    results(None, remove=False)["b"].clear()
    (record,) = results({"b"}, remove=True)["b"]
    assert record == {
        "result": ["b"],
        "timestamp": 1.0,
        "received_at": bench.now_s + 1e9,
        "task_id": None,
        "attempt": 1,
        "inc": "",
    }


def test_the_oldest_result_of_who_has_the_most_goes_first_when_there_are_too_many() -> None:
    bench = Bench(result_limit=3)
    for number, node in enumerate("aaba"):
        bench.now_s += 1
        bench.result(node, number)
    results = bench.registry.results(None, remove=False)
    assert {node: [r["result"] for r in found] for node, found in results.items()} == {"a": [1, 3], "b": [2]}
    assert bench.registry.counters["results_dropped"] == 1
    bench.registry.results(None, remove=True)
    for number in range(3):
        bench.result("a", number)
    assert bench.registry.counters["results_dropped"] == 1, "what was collected no longer counts"


def test_memory_of_tasks_is_bounded() -> None:
    bench = Bench(task_memory=2)
    for task in ("1", "2", "3"):
        bench.result("a", task, task)
    assert bench.result("a", "3", "3") == [ResultDuplicate("a", "3")]
    assert bench.result("a", "1", "1") == [ResultReceived("a", "1", "1")]
    attempts = []
    for task in ("x", "x", "y", "z", "x"):
        attempts.append(bench.registry.next_attempt(task))
        bench.registry.sent(task, attempts[-1], "a")
    assert attempts == [1, 2, 1, 1, 1]


def test_a_declaration_that_never_came_back_hides_no_later_death(bench: Bench) -> None:
    bench.status("n", "ready", "a.1")
    bench.outage()
    bench.wait(11)
    bench.outage()  # what we published was lost with the connection
    bench.status("n", "ready", "a.1")
    assert len(deaths(bench.status("n", "dead", "a.1"))) == 1


# --- before a crash, and in quiet times -----------------------------------------------------------------


def believed(node: str, status: str, inc: str = "a.1") -> NodeInfo:
    return NodeInfo(node_id=node, status=status, device_type="x", inc=inc, last_seen=1.0, capabilities={})


def test_who_was_there_before_a_crash_and_stays_silent_is_named_once(bench: Bench) -> None:
    bench.registry.restore([believed("n", "ready"), believed("there", "ready"), believed("gone", "dead")])
    assert bench.registry.link_up(bench.now_s) == [Probe("n"), Probe("there")]
    bench.status("there", "ready", "a.1")
    assert deaths(bench.wait(9)) == []
    assert deaths(bench.wait(2)) == [("n", "a.1", "silent")]
    assert deaths(bench.wait(100)) == []
    assert deaths(bench.status("gone", "dead", "a.1", retained=True)) == [], "it was named before the crash"


def test_who_was_there_before_is_told_of_when_it_speaks_although_nothing_is_new(bench: Bench) -> None:
    bench.registry.restore([believed("n", "ready")])
    bench.registry.link_up(bench.now_s)
    assert NodeStatusSeen("n", "ready", "a.1") in bench.status("n", "ready", "a.1", retained=True)
    assert bench.status("n", "ready", "a.1") == []


def test_a_will_of_before_the_crash_is_news_and_one_of_another_incarnation_is_not(bench: Bench) -> None:
    bench.registry.restore([believed("n", "ready", "a.2")])
    bench.registry.link_up(bench.now_s)
    assert deaths(bench.status("n", "dead", "a.1", retained=True)) == []
    assert deaths(bench.status("n", "dead", "a.2", retained=True)) == [("n", "a.2", "will")]


def test_the_quiet_are_asked_and_missed_if_they_do_not_answer() -> None:
    bench = Bench(liveness_s=10.0, probe_s=60.0)
    bench.registry.link_up(bench.now_s)
    for node in ("silent", "answers", "works"):
        bench.status(node, "ready", "a.1")
    assert bench.registry.next_deadline_s() == 160.0
    bench.wait(50)
    bench.registry.spoke("works", "a.1", bench.now_s, 0.0)
    bench.registry.spoke("silent", "a.0", bench.now_s, 0.0)
    assert bench.wait(10) == [Probe("silent"), Probe("answers")]
    bench.status("answers", "ready", "a.1")
    assert deaths(bench.wait(10)) == [("silent", "a.1", "silent")]
    assert bench.registry.next_deadline_s() == 210.0, "when `works` has been quiet for so long"
    assert bench.wait(40) == [Probe("works")]
    bench.registry.link_down()
    assert bench.wait(1000) == [], "without a broker nobody is judged"


def test_nobody_is_asked_unless_that_was_wished(bench: Bench) -> None:
    bench.registry.link_up(bench.now_s)
    bench.status("n", "ready", "a.1")
    assert bench.registry.next_deadline_s() is None
    assert bench.wait(1e6) == []
