"""Five questions that users ask, each answered by the console alone: the text names the cause."""

from __future__ import annotations

import inspect
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import CHECKS
from dcompute_sim.checks.verdict import judge
from dcompute_sim.report.console import print_run
from dcompute_sim.report.github import workflow_commands
from dcompute_sim.report.junit import junit
from dcompute_sim.report.run_report import judged
from dcompute_sim.report.why import why
from dcompute_sim.report.why.not_booted import not_booted
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario, check
from dcompute_sim.terminal import make_console

FIGHT: dict[str, Any] = {
    "fleet": {"py": {"count": 1, "keepalive": "10s", "work": "3s"}},
    "workload": [{"tasks": 10, "rate": "1/s", "at": "8s"}],
    "faults": [{"kind": "clone", "at": "12s"}],
}
BOARD: dict[str, Any] = {"kind": "firmware", "count": 1, "keepalive": "10s", "id": "sensor-1"}


def _console(mutants: Sequence[str] = (), **scenario: Any) -> str:
    """What `dcompute run` prints of a scenario, each run of blanks as one."""
    made = Scenario.model_validate({"version": 1, "name": "why", "duration": "60s"} | scenario)
    check(made)
    run = run_scenario(made, RunOptions(time="virtual", mutants=tuple(mutants)))
    out = io.StringIO()
    print_run(make_console("plain", out), judged(made.expect, run.trace), "plain")
    return " ".join(out.getvalue().split())


def test_why_unfinished_the_queue_was_full() -> None:
    said = _console(
        fleet={"py": {"count": 3, "keepalive": "10s", "queue_limit": 5, "work": "2s"}},
        workload=[
            {
                "burst": 40,
                "every": "1h",
                "tasks": 40,
                "at": "5s",
                "target": {"node": "py-1"},
                "via": "transport",
            }
        ],
        expect=["all_tasks_finished"],
    )
    assert "35 tasks without a result, all last given to py-1." in said
    assert "py-1: 35 refused there: queue full. At the end it is connected, ready to the master." in said
    assert "What to try: a larger `queue_limit`, a slower stream, or `via: executor`" in said


@pytest.mark.parametrize(("via", "told"), [("executor", 60), ("transport", 40)])
def test_why_unfinished_of_one_way_only(via: str, told: int) -> None:
    """Tasks that were sent the other way are not judged: they were counted, and what would help them said."""
    ways = [("executor", 60), ("transport", 40)]
    said = _console(
        fleet={"py": {"count": 1, "keepalive": "10s", "work": "1h"}},
        workload=[{"burst": n, "every": "1h", "tasks": n, "at": "5s", "via": way} for way, n in ways],
        expect=[{"all_tasks_finished": {"via": via}}],
    )
    assert f"{told} of {told} tasks have no result" in said
    counts = [int(n) for n in re.findall(r"(\d+) tasks? (?:never sent|without a result)", said)]
    assert sum(counts) == told, said


def test_why_unfinished_there_was_no_room() -> None:
    """An executor keeps what no node can take: it was never sent."""
    said = _console(
        fleet={"py": {"count": 1, "keepalive": "10s", "queue_limit": 5, "work": "2s"}},
        workload=[{"burst": 60, "every": "1h", "tasks": 60, "at": "5s"}],
        expect=["all_tasks_finished"],
    )
    assert re.search(r"\d+ tasks never sent: no node that could take one had room\.", said), said


def test_why_unfinished_nobody_was_left() -> None:
    """The same reasons for two expectations are told once; what never was sent are tasks as well."""
    said = _console(
        fleet={"py": {"count": 2, "keepalive": "10s", "work": "1s"}},
        workload=[{"rate": "5/s", "tasks": 150, "at": "5s"}],
        faults=[{"kind": "power_cut", "at": "10s", "select": {"group": "py", "count": 2}}],
        expect=["all_tasks_finished", "done_once"],
    )
    assert "2 nodes, 150 tasks, 2 faults" in said
    reason = (
        "tasks never sent: no node was left, all 2 are away at the end; what befell them last: 2 power_cut."
    )
    assert said.count(reason) == 1
    assert "For the same reasons as all_tasks_finished." in said


def test_why_unfinished_there_was_too_little_time() -> None:
    said = _console(
        fleet={"py": {"count": 2, "keepalive": "10s", "work": "4s"}},
        workload=[{"burst": 20, "every": "1h", "tasks": 20, "at": "50s"}],
        expect=["all_tasks_finished"],
    )
    assert re.search(
        r"What to try: more time \(`duration:`\), more nodes or shorter `work`: (\d+) were done", said
    )


def test_why_unfinished_the_broker_was_down() -> None:
    """There were tasks: to advise a stream of them would be no help."""
    said = _console(
        fleet={"py": {"count": 2, "keepalive": "10s"}},
        workload=[{"rate": "5/s", "tasks": 10, "at": "15s"}],
        faults=[{"kind": "broker_stop", "at": "10s"}],
        expect=["all_tasks_finished", "final_status"],
    )
    assert "no task was sent; 10 tasks asked for, with nobody there to do any at the end" in said
    assert "The broker was down when the run ended, since 10 s (broker_stop-1)." in said
    assert "What would put it to the test: tasks" not in said


def test_why_unfinished_the_run_ended_too_soon() -> None:
    """A link of more than a second: what was sent just before the end was lost by nobody."""
    said = _console(
        fleet={"py": {"count": 1, "keepalive": "10s", "network": {"latency": "1200ms"}}},
        workload=[{"tasks": 1, "rate": "1/s", "at": "20s"}, {"tasks": 2, "rate": "10/s", "at": "60s"}],
        expect=["no_lost_tasks"],
    )
    assert "1 finished, 2 still under way when the run ended: 2 on the way." in said
    assert "py-1: 2 on their way to it when the run ended." in said


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            ("c.subscribe(", "c.subscribe('tasks/' + "),
            "own-1 took no task at all: a program gets them on the topic",
        ),
        (
            ("set_callback(print)", "set_callback(lambda *_: c.publish('result', '{}'))"),
            "what is published is no such thing: own-1 to `result` (not a topic of the protocol)",
        ),
    ],
)
def test_why_unfinished_a_program_with_topics_of_its_own(
    tmp_path: Path, change: tuple[str, str], why: str
) -> None:
    program = (
        "import config, network, time\n"
        "from umqtt.simple import MQTTClient\n"
        "w = network.WLAN(0); w.active(True); w.connect(config.WIFI_SSID, config.WIFI_PASSWORD)\n"
        "while not w.isconnected(): time.sleep_ms(100)\n"
        "c = MQTTClient(config.NODE_ID, config.MQTT_HOST, config.MQTT_PORT, keepalive=60)\n"
        "c.set_callback(print); c.connect(); c.subscribe(config.NODE_ID)\n"
        'said = \'{"node_id": "%s", "status": "ready"}\' % config.NODE_ID\n'
        "c.publish(config.NODE_ID + '/status', said, True, 1)\n"
        "while True: c.check_msg(); c.ping(); time.sleep(2)\n"
    )
    (tmp_path / "main.py").write_text(program.replace(*change))
    said = _console(
        fleet={"own": {"kind": "firmware", "count": 1, "keepalive": "60s", "files": str(tmp_path)}},
        workload=[{"tasks": 2, "rate": "1/s", "at": "8s"}],
        expect=["all_tasks_finished"],
    )
    assert why in said


def test_why_unfinished_nobody_knows_the_function() -> None:
    """As the executor says itself: whoever runs one in production reads the same in `last_error`."""
    said = _console(
        fleet={"py": {"count": 2, "keepalive": "10s", "functions": ["add"]}},
        workload=[{"tasks": 3, "rate": "1/s", "at": "5s", "task": {"function": "render"}}],
        expect=["all_tasks_finished"],
    )
    assert re.search(r"3 tasks never sent: no node that is there can do task \S+ \(function 'render'", said)


def test_why_unfinished_the_broker_dropped_them() -> None:
    said = _console(
        limits={"queued": 2, "in_flight": 1},
        fleet={"py": {"count": 1, "keepalive": "10s", "network": {"latency": "400ms"}}},
        workload=[{"burst": 20, "every": "1h", "tasks": 20, "at": "5s", "via": "transport"}],
        expect=["all_tasks_finished"],
    )
    assert (
        "py-1: 17 never reached it: the broker dropped it, for more waited for that node than its queue"
        in said
    )
    assert "What to try: a longer queue of the broker" in said


def test_why_unfinished_the_link_was_too_narrow() -> None:
    said = _console(
        network={"bandwidth": "200B/s"},
        fleet={"py": {"count": 1, "keepalive": "10s"}},
        workload=[{"tasks": 3, "rate": "1/s", "at": "5s", "payload": "60KiB"}],
        expect=["all_tasks_finished"],
    )
    assert re.search(
        r"py-1: 3 never reached it: its link is slow: what crossed it then took \d+\.\d s\.", said
    )
    assert "What to try: a smaller `payload`" in said


def test_why_unfinished_the_board_took_no_message_so_large() -> None:
    said = _console(
        fleet={"esp": {"kind": "firmware", "count": 1, "keepalive": "10s", "heap": "64KiB"}},
        workload=[{"tasks": 2, "rate": "1/s", "at": "10s", "payload": "20KiB", "via": "transport"}],
        duration="20s",
        expect=["all_tasks_finished"],
    )
    assert "esp-1: 2 never reached it: it did not take a message so large." in said


def test_why_unfinished_the_master_was_cut_off() -> None:
    said = _console(
        fleet={"py": {"count": 2, "keepalive": "10s"}},
        workload=[{"tasks": 50, "rate": "1/s", "at": "5s"}],
        faults=[{"kind": "master_cut_off", "at": "20s"}],
        expect=["all_tasks_finished"],
    )
    assert "master_cut_off-1 went on when the run ended, since 20 s." in said
    assert "tasks never sent: no answer from broker:1883 within 10 s." in said


def test_why_unfinished_the_disk_of_the_journal_was_full() -> None:
    said = _console(
        fleet={"py": {"count": 2, "keepalive": "10s"}},
        workload=[{"tasks": 3, "rate": "1/s", "at": "5s"}],
        faults=[{"kind": "disk_full", "at": "2s"}],
        expect=["all_tasks_finished", {"latency": {"within": "5s"}}],
    )
    assert (
        "disk_full-1 went on when the run ended, since 2 s. 3 tasks never sent: the executor never took"
        in said
    )
    assert "What would put it to the test" not in said, "there is a stream of tasks"


def test_why_away_the_broker_would_not_have_them() -> None:
    said = _console(
        tls={"certificate": "expired"},
        fleet={"py": {"count": 2, "keepalive": "10s"}},
        workload=[{"tasks": 3, "rate": "1/s", "at": "5s"}],
        expect=["all_tasks_finished"],
    )
    assert (
        "2 nodes could not connect when the run ended (py-1, py-2): the certificate of broker:1883 was not "
        "accepted: certificate has expired." in said
    )


def test_why_undecided_the_run_ended_before_anybody_had_to_notice() -> None:
    said = _console(
        fleet={"py": {"count": 2, "keepalive": "60s"}},
        workload=[{"tasks": 3, "rate": "1/s", "at": "5s"}],
        faults=[{"kind": "power_cut", "at": "20s"}],
        expect=["dead_within"],
    )
    assert re.search(
        r"before the report was due, at 11\d\.\d s: make the run longer, or keepalives shorter", said
    )


def test_why_unfinished_the_node_died_at_work() -> None:
    said = _console(
        fleet={"py": {"count": 1, "keepalive": "10s", "work": "50s"}},
        workload=[{"tasks": 1, "rate": "1/s", "at": "5s"}],
        faults=[{"kind": "power_cut", "at": "20s"}],
        expect=["all_tasks_finished"],
    )
    assert "py-1: 1 at work there: it stopped at 20 s (power_cut-1)." in said


def test_why_dead_its_connection_was_closed_and_no_will_came() -> None:
    said = _console(
        ["no-will"],
        fleet={"py": {"count": 2, "keepalive": "10s"}},
        faults=[{"kind": "crash", "at": "20s", "select": {"names": ["py-1"]}}],
        expect=[{"dead_within": {"bound": "2s"}}],
    )
    assert "No death was reported at all." in said
    assert "py-1: no will in CONNECT: the broker has nothing to tell when the connection ends." in said
    assert "py-1 after crash-1: its program stopped (crash) at 20 s, connection closed by the node" in said


def test_why_dead_by_cause() -> None:
    """Of many deaths: how many by which kind of fault, and how soon each was told."""
    said = _console(
        fleet={"py": {"count": 6, "keepalive": "10s"}},
        faults=[
            {"kind": "crash", "at": "20s", "select": {"names": ["py-1", "py-2"]}},
            {"kind": "power_cut", "at": "20s", "select": {"names": ["py-3"]}},
        ],
        expect=[{"dead_within": {"bound": "1ms"}}],
    )
    assert "2 deaths by crash, reported " in said
    assert "1 death by power_cut, reported " in said


def test_why_dead_the_figures_are_those_of_the_check() -> None:
    """What an outage explains is not counted among the deaths without a cause."""
    said = _console(
        ["impatient-master"],
        duration="70s",
        fleet={"py": {"count": 16, "keepalive": "10s"}},
        faults=[
            {"kind": "crash", "at": "10s", "restart_after": "5s"},
            {"kind": "broker_restart", "at": "30s"},
        ],
        expect=["no_false_deaths"],
    )
    wrong = re.search(r"(\d+) of (\d+) reported deaths have no cause", said)
    assert wrong, said
    assert f" {wrong[1]} deaths without a fault that explains it: " in said
    after = re.search(r"(\d+) deaths? after an outage, a stop or a lost connection", said)
    by_crash = re.search(r"(\d+) deaths? by crash", said)
    assert after, said
    assert by_crash, said
    assert int(wrong[1]) + int(after[1]) + int(by_crash[1]) == int(wrong[2])


def test_why_late_the_link_was_slow() -> None:
    said = _console(
        fleet={"py": {"count": 3, "keepalive": "10s", "work": "200ms"}},
        workload=[{"tasks": 60, "rate": "4/s", "at": "5s", "via": "transport"}],
        faults=[
            {"kind": "slow_link", "at": "10s", "select": {"names": ["py-3"]}, "latency": "3s", "for": "20s"}
        ],
        expect=[{"latency": {"within": "1s", "percentile": 95}}],
    )
    assert " on py-3: slow_link-1 (10 s to 30 s) met " in said
    assert "took longer: most of it on the way to the node and on the way back (" in said


def test_why_late_their_first_node_died() -> None:
    """The figure is of the stage that is named: the median of one that few went through was milliseconds."""
    said = _console(
        fleet={"py": {"count": 2, "keepalive": "10s", "work": "500ms"}},
        workload=[{"burst": 20, "every": "1h", "tasks": 20, "at": "9900ms"}],
        faults=[{"kind": "power_cut", "at": "10s", "select": {"names": ["py-1"]}}],
        expect=[{"latency": {"within": "10ms"}}],
    )
    found = re.search(r"most of it ([a-z' ]+) \((\d+)% of all their time; the median took", said)
    assert found, said
    assert int(found[2]) > 50
    assert "until they were sent for the last time" in found[1]


def test_why_undecided_nothing_died() -> None:
    said = _console(
        fleet={"py": {"count": 3, "keepalive": "10s"}},
        expect=[{"dead_within": {"bound": "2s"}}],
    )
    assert "undecided dead_within" in said
    assert "What would put it to the test: a fault that the broker has to notice" in said


def test_why_not_booted_the_heap_is_too_small() -> None:
    heap_kib = 26
    said = _console(
        duration="20s",
        fleet={"esp": {"kind": "firmware", "count": 2, "heap": f"{heap_kib}KiB"}},
        expect=["final_status"],
    )
    assert "2 boards never connected (esp-1, esp-2): MemoryError" in said
    assert f"its program has a heap of {heap_kib} KiB (`heap:`; 128 KiB are usual)" in said


@pytest.mark.parametrize(
    ("printed", "error", "told"),
    [
        ([], "", "its program came to its end"),
        (["ValueError: in callback", "bad called 5"], "", "its program came to its end"),  # of a timer
        (["Traceback:", "ValueError: no Wi-Fi"], "", "ValueError: no Wi-Fi"),  # caught, printed, and over
        (["OSError: 1", "again", "OSError: 2"], "OSError: 2", "OSError: 2"),
    ],
)
def test_why_not_booted_an_exception_that_was_survived_ended_nothing(
    printed: list[str], error: str, told: str
) -> None:
    trace: list[t.Event] = [
        t.NodeDefined(t_us=0, node="a", group="g", kind="firmware", keepalive_s=10.0),
        t.NodeStarted(t_us=1, node="a", boot=1),
        *(t.NodeOutput(t_us=2, node="a", text=line) for line in printed),
        t.ProgramEnded(t_us=3, node="a", error=error),
    ]
    assert not_booted(trace) == [f"1 board never connected (a): {told}"]


@pytest.mark.parametrize(("why", "again"), [("", False), ("reset", True)])
def test_why_not_booted_whom_a_fault_restarts_does_not_restart_by_itself(why: str, again: bool) -> None:
    trace: list[t.Event] = [t.NodeDefined(t_us=0, node="a", group="g", kind="firmware", keepalive_s=10.0)]
    for boot in (1, 2, 3):
        trace += [
            t.NodeStarted(t_us=boot, node="a", boot=boot),
            t.ProgramEnded(t_us=boot, node="a", error="ImportError: x"),
            t.NodeOutput(t_us=boot, node="a", text="ImportError: x"),
            t.NodeStopped(t_us=boot, node="a", how="reboot" if why else "power_cut", why=why),
        ]
    told = "a): ImportError: x" + (", and restarted again and again" if again else "")
    assert not_booted(trace) == [f"1 board never connected ({told}"]


def test_builders_are_told_why_as_the_console_is() -> None:
    """Whoever reads a build log has no console of the run at hand."""
    made = Scenario.model_validate(
        {
            "version": 1,
            "name": "why",
            "duration": "30s",
            "fleet": {"py": {"count": 1, "keepalive": "10s", "queue_limit": 2, "work": "5s"}},
            "workload": [{"burst": 9, "every": "1h", "tasks": 9, "at": "5s", "via": "transport"}],
            "expect": [{"all_tasks_finished": {}}],
        }
    )
    check(made)
    run = judged(made.expect, run_scenario(made, RunOptions(time="virtual")).trace)
    for told in (junit([run]), *workflow_commands(run)):
        assert "refused there: queue full. At the end it is connected" in told


def test_two_without_a_reason_have_not_the_same_one() -> None:
    made = Scenario.model_validate(
        {"version": 1, "name": "why", "duration": "10s", "fleet": {"py": {"count": 1}}}
    )
    events = [
        *run_scenario(made, RunOptions(time="virtual")).trace.events[:-1],
        t.LogLine(t_us=10_900_000, who="py-1", level="error", text="one"),
    ]
    out = io.StringIO()
    checks = [CHECKS["no_errors_in_log"].model_validate({"level": level}) for level in ("error", "warning")]
    print_run(make_console("plain", out), judged(checks, events), "plain")
    assert "same reasons" not in out.getvalue()


def test_that_every_task_failed_is_told_even_if_each_has_its_result() -> None:
    said = _console(
        fleet={"py": {"count": 2, "keepalive": "10s", "fail_rate": "100%"}},
        workload=[{"tasks": 3, "rate": "1/s", "at": "5s"}],
        expect=["all_tasks_finished"],
    )
    assert "3 of 3 tasks finished, 0 sent again, 3 with an error for a result" in said


def test_what_held_needs_no_reason() -> None:
    made = Scenario.model_validate(
        {
            "version": 1,
            "name": "why",
            "duration": "20s",
            "fleet": {"py": {"count": 1, "keepalive": "10s"}},
            "workload": [{"tasks": 3, "rate": "1/s", "at": "5s"}],
            "expect": ["all_tasks_finished"],
        }
    )
    events = list(run_scenario(made, RunOptions(time="virtual")).trace)
    assert [why(events, result) for result in judge(made.expect, events).results] == [[], []]


def test_every_check_that_can_be_undecided_says_what_would_put_it_to_the_test() -> None:
    silent = [
        name for name, cls in CHECKS.items() if not cls.occasion and "inconclusive(" in inspect.getsource(cls)
    ]
    assert silent == []


def test_why_out_of_order_who_waited() -> None:
    said = _console(
        mutants=["fifo-queue"],
        fleet={"py": {"count": 1, "keepalive": "10s", "work": "2s"}},
        workload=[
            {
                "burst": 6,
                "every": "1h",
                "tasks": 6,
                "at": "5s",
                "via": "transport",
                "priority": {10: 1, 1: 1},
            }
        ],
        expect=["priority_order"],
    )
    assert re.search(
        r"py-1 took \S+ \(priority 1\) at [\d.]+ s while \S+ \(priority 10\) waited there", said
    ), said


def test_why_dead_a_node_is_named_once_however_often_it_died() -> None:
    said = _console(duration="40s", fleet={"a": BOARD, "b": BOARD}, expect=["no_false_deaths"])
    assert re.search(r"\d\d deaths without a fault that explains it: b-1\.", said), said


def test_why_dead_a_stranger_said_so_of_an_older_connection() -> None:
    said = _console(
        mutants=["ignore-incarnation"],
        fleet={"py": {"count": 2, "keepalive": "10s"}},
        faults=[{"kind": "stale_offline", "at": "10s", "select": {"names": ["py-1"]}}],
        expect=["no_false_deaths"],
    )
    assert re.search(r"\S+-probe published the `offline` of an older connection after its successor", said), (
        said
    )


@pytest.mark.parametrize(
    ("scenario", "who"),
    [
        (FIGHT, r"py-1, py-1~clone\S* use one id, `py-1`"),
        ({"fleet": {"a": BOARD, "b": BOARD}, "duration": "25s"}, "a-1, b-1 use one id, `sensor-1`"),
    ],
)
def test_why_away_a_rival_threw_them_out(scenario: dict[str, Any], who: str) -> None:
    """Their programs know only that a connection is lost, and so did every sentence."""
    said = _console(expect=["final_status", {"latency": {"within": "1ms"}}], **scenario)
    times = re.search(rf"{who}: the broker threw one out for the other (\d+) times, the last at \d", said)
    assert times, said
    assert int(times[1]) > 1


def test_why_dead_one_clone_explains_each_death_that_it_makes() -> None:
    """All but the first were said to have no fault, beside a check that had explained every one."""
    said = _console(expect=["no_false_deaths", {"final_status": {"status": "busy"}}], **FIGHT)
    told = re.search(r"no_false_deaths (\d+) reported deaths, each with a cause: \d+ clone", said)
    assert told, said
    assert re.search(rf" {told[1]} deaths by clone, reported ", said), said
    assert "without a fault" not in said


def test_why_unfinished_the_executor_gave_them_up() -> None:
    """What has another end than a result was not looked at: the check failed without a word."""
    said = _console(expect=["all_tasks_finished"], **FIGHT)
    lacking = re.search(r"(\d+) of 10 tasks (?:has|have) no result", said)
    assert lacking, said
    assert re.search(
        rf" {lacking[1]} tasks? given up by the executor: quarantined, sent to py-1 last, after up to 5 att",
        said,
    )


def test_why_undecided_a_node_that_is_there_is_not_unknown() -> None:
    said = _console(
        fleet={"py": {"count": 1, "keepalive": "20s"}},
        faults=[{"kind": "power_cut", "at": "50s"}],
        expect=["final_status"],
    )
    told = (
        "nothing can be said of the end of 1 node; 1 of 1 excused: silenced so late that nobody had to notice"
    )
    assert told in said


def test_why_dead_the_figures_are_those_of_the_check_however_many_there_are() -> None:
    """The check names the first twenty, and the others were said to have a cause."""
    said = _console(["no-ping"], fleet={"py": {"count": 12, "keepalive": "5s"}}, expect=["no_false_deaths"])
    wrong = re.search(r"(\d+) of (\d+) reported deaths have no cause", said)
    assert wrong, said
    assert int(wrong[1]) > 20
    assert f" {wrong[1]} deaths without a fault that explains it, the first 20 of them: " in said
    after = re.search(r"(\d+) deaths? after an outage, a stop or a lost connection", said)
    assert int(wrong[1]) + (int(after[1]) if after else 0) == int(wrong[2])


def test_why_unfinished_the_result_was_not_kept_while_there_was_no_connection() -> None:
    """It was said to be at work still, and that the run should be longer."""
    said = _console(
        ["no-held-results"],
        fleet={"py": {"count": 1, "keepalive": "10s", "work": "4s"}},
        workload=[{"tasks": 1, "rate": "1/s", "at": "5s", "via": "transport"}],
        faults=[{"kind": "broker_restart", "at": "7s", "for": "5s"}],
        expect=["all_tasks_finished"],
    )
    told = (
        "py-1: 1 done there, and nothing more was seen of the result; it was not connected then. At the end"
    )
    assert told in said, said
    assert "What to try: more time" not in said


def test_why_unfinished_it_did_not_subscribe_again() -> None:
    """Nothing was said to tell why; and a fault that is over at once was said to go on."""
    said = _console(
        ["subscribes-once"],
        fleet={"py": {"count": 1, "keepalive": "10s"}},
        workload=[{"tasks": 3, "rate": "1/s", "at": "20s", "via": "transport"}],
        faults=[{"kind": "reset", "at": "10s"}],
        expect=["all_tasks_finished"],
    )
    assert re.search(
        r"py-1: 3 never reached it: it did not subscribe to its tasks when it connected, at 1\d\.\d s\. "
        r"At the end it is connected, ready to the master\.",
        said,
    ), said
