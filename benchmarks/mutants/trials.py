"""Which trials a mutant has to pass: what ships, in an order that finds most in little time.

A trial is written as the arguments of `dcompute run`; but for END_TO_END, which drives the two cores of
delivery end to end through random orders of all that can befall them.
"""

from __future__ import annotations

from dcompute_sim.scenario import shipped

END_TO_END = "end-to-end"
_SWARM_SEEDS = 200
_BOARD_SEEDS = 60
_BRIEF_SEEDS = 20
_FIRST_SEEDS = 4  # tried before the scenarios: they find what is wrong with nearly everything
_COSTLY = (
    "bad_versions",
    "update_attacks",
    "update",
    "campaign",
    "small_heap",
    "esp32",
)  # boards; tried after the cheap
_NO_TRIALS = ("swarm", "swarm_boards")  # by their seeds
_SMALLER = "--set vars.count=25 --set vars.away=4min --set vars.gone=2min"
_PYTHON_ONLY = {  # made with a circumstance, or with work, that only python nodes have
    "field_half_packet",
    "field_no_puback",
    "field_clock_unset",
    "field_starvation",
    "field_storm",
}
_TO_JOIN = " --set vars.start=8s"
_TO_RECOVER = f"{_TO_JOIN} --set vars.recovery=10s --set faults.0.sure=true"
_FOR_BOARDS = {  # which boot, and join a Wi-Fi
    "field_herd": " --set fleet.py.count=60 --set vars.back=35s",
    "field_malformed_task": _TO_JOIN,
    "field_retained_dead": _TO_RECOVER,
    "field_new_client_id": _TO_RECOVER,
}
_ALSO_AS_BOARDS = ("reconnections", "dies_unseen_twice")  # beside the field faults


def trials(part: str) -> list[str]:
    """All trials for the mutants of `part`."""
    texts = {name: path.read_text("utf-8") for name, path in shipped().items() if name not in _NO_TRIALS}
    texts = {name: text for name, text in texts.items() if "\ntime: real" not in text}
    boards = [name for name, text in texts.items() if "kind: firmware" in text and name not in _COSTLY]
    python = [name for name in texts if name not in boards and name not in _COSTLY]
    costly = [f"{name} {_SMALLER}" if name == "esp32" else name for name in _COSTLY]
    if part != "firmware":
        seeds = [f"swarm --seed {seed}" for seed in range(1, _SWARM_SEEDS + 1)]
        orders = [END_TO_END] if part == "delivery" else []
        return [*seeds[:_FIRST_SEEDS], *python, *orders, *boards, *seeds[_FIRST_SEEDS:], *costly]
    as_boards = [
        f"{name} --set fleet.py.kind=firmware{_FOR_BOARDS.get(name, '')}"
        for name in python
        if name in _ALSO_AS_BOARDS or (name.startswith("field_") and name not in _PYTHON_ONLY)
    ]
    seeds = [f"swarm_boards --seed {seed}" for seed in range(1, _BOARD_SEEDS + 1)]
    return [*seeds[:_FIRST_SEEDS], *boards, *as_boards, *costly, *seeds[_FIRST_SEEDS:]]


def brief(part: str) -> list[str]:
    """All trials for it but the costly ones and most seeds."""
    return [
        trial
        for trial in trials(part)
        if trial.split()[0] not in _COSTLY
        if not trial.startswith("swarm") or int(trial.split()[-1]) <= _BRIEF_SEEDS
    ]
