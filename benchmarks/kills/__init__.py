"""Work that gets done although everything that takes part is killed: `python -m benchmarks kills`.

One campaign of the four: `python -m benchmarks kills --only 'the executor alone'`.

Real processes: eight nodes, an executor with a journal, and a broker of each kind, killed (SIGKILL) and
paused (SIGSTOP) at random while 5,000 tasks are done; then 1,000 kills of the executor alone. What happened
is read from files that nodes and executors append to, by `ledger`, which knows nothing of delivery.
Everything is on loopback, bounded, and ends with the processes that it started.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.figures import Figure
from benchmarks.kills.campaign import Campaign, Faults

TASKS = 5_000
FAULTS = 200  # of all kinds; what is not done then is done in peace, so that it ends on a busy machine too
KILLS = 1_000
ALONE_TASKS = 2_000  # each life begins by asking for all of them

EVERYTHING = Faults(node_kill=8, node_pause=6, asker_kill=6, asker_pause=4, broker_kill=1, broker_pause=1)
ASKER_ALONE = Faults(asker_kill=1)


def measure(only: str | None = None) -> list[Figure]:
    """All figures, or those of one campaign of CAMPAIGNS."""
    figures = []
    for name in CAMPAIGNS if only is None else [only]:
        campaign, at_least = CAMPAIGNS[name]()
        figures += _figures(name, campaign, at_least)
    return figures


def _everything(broker: str, seed: int) -> tuple[Campaign, int]:
    campaign = Campaign(
        *(broker, TASKS, EVERYTHING, seed),
        each_s=0.3,
        every_s=(0.1, 1.0),
        every_tasks=TASKS / FAULTS,
        enough=FAULTS,
    )
    return campaign, FAULTS // 2


def _alone() -> tuple[Campaign, int]:
    # A life of the executor is half a second, on a busy machine three; the tasks outlast 1,000 of them.
    campaign = Campaign(
        *("mosquitto", ALONE_TASKS, ASKER_ALONE, 4),
        each_s=8.0,
        every_s=(0.05, 0.5),
        every_tasks=ALONE_TASKS / KILLS / 2,
        longest_away_s=0.02,
        enough=KILLS,
        faults_s=3_000,
        patience_s=4_500,
    )
    return campaign, KILLS


CAMPAIGNS: dict[str, Callable[[], tuple[Campaign, int]]] = {
    "mosquitto": partial(_everything, "mosquitto", 1),
    "mosquitto with persistence": partial(_everything, "mosquitto with persistence", 2),
    "embedded": partial(_everything, "embedded", 3),
    "the executor alone": _alone,
}


def _figures(title: str, campaign: Campaign, at_least: int) -> list[Figure]:
    found = campaign.run()
    said = ", ".join(f"{count} {name}" for name, count in sorted(found.faults.items()))
    told = f"{found.results} results, {found.unknown} unknown, {found.again} run again"
    print(f"  {title}: {said} in {found.took_s:.0f} s; {told}", flush=True)
    for fault in found.wrong:
        print(f"  {title}: {fault}")
    kills = sum(count for name, count in found.faults.items() if name.endswith("kill"))
    pauses = sum(found.faults.values()) - kills
    return [
        Figure(f"{title}: kills", kills, "kills", "at_least", at_least if not pauses else None),
        Figure(f"{title}: pauses", pauses, "pauses"),
        Figure(f"{title}: kills and pauses", kills + pauses, "faults", "at_least", at_least),
        Figure(f"{title}: tasks with their result", found.results, f"of {campaign.tasks}"),
        Figure(f"{title}: `once` tasks whose outcome is unknown", found.unknown, "tasks"),
        Figure(f"{title}: lost, twice, or twice in one life", len(found.wrong), "tasks", "at_most", 0),
        Figure(f"{title}: executions beyond the first", found.again, "executions"),
        Figure(f"{title}: took", found.took_s, "s"),
    ]
