"""Which trials a mutant has to pass: what ships, in an order that finds most in little time.

A trial is written as the arguments of `dcompute run`.
"""

from __future__ import annotations

from dcompute_sim.scenario import shipped

_SWARM_SEEDS = 200
_BOARD_SEEDS = 60
_FIRST_SEEDS = 4  # tried before the scenarios: they find what is wrong with nearly everything
_LATER = ("update", "small_heap", "esp32", "on_boards", "swarm", "swarm_boards", "quickstart")
_SMALLER = "--set vars.count=25 --set vars.away=4min --set vars.gone=2min"
_BOARDS = ("field_deaf_wifi", "unheard_boards")
_PYTHON_ONLY = {  # made with a circumstance, or with work, that only python nodes have
    "field_half_packet",
    "field_no_puback",
    "field_clock_unset",
    "field_deaf_wifi",  # boards already, as all of _BOARDS
    "field_starvation",
    "field_storm",
    "field_herd",
}


def trials(part: str) -> list[str]:
    """All trials for the mutants of `part`."""
    names = [name for name, path in shipped().items() if "\ntime: real" not in path.read_text("utf-8")]
    cheap = [name for name in names if name not in _LATER]
    swarm = [f"swarm --seed {seed}" for seed in range(1, _SWARM_SEEDS + 1)]
    if part == "dcompute":
        boards = ["on_boards", "update", f"esp32 {_SMALLER}"]
        python = [name for name in cheap if name not in _BOARDS]
        return [*swarm[:_FIRST_SEEDS], *python, *swarm[_FIRST_SEEDS:], *boards]
    as_boards = [
        f"{name} --set fleet.py.kind=firmware"
        for name in cheap
        if name.startswith("field_") and name not in _PYTHON_ONLY
    ]
    own = list(_BOARDS)
    seeds = [f"swarm_boards --seed {seed}" for seed in range(1, _BOARD_SEEDS + 1)]
    return [*own, *as_boards, "on_boards", f"esp32 {_SMALLER}", "update", "small_heap", *seeds]
