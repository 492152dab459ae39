"""A program that Ctrl-C struck on its way into a wait or out of it has its lock again, and only that."""

from __future__ import annotations

import pytest

from .conftest import RealRig

# When it struck: the state the main thread was in; whether it had the lock and the turn, and had said so.
_NO, _UNTOLD, _TOLD = range(3)
STRUCK = {
    "leaving, the lock not given up yet": ("_WAITS", _UNTOLD, _NO),
    "waiting": ("_WAITS", _NO, _NO),
    "coming back": ("_COMES", _NO, _NO),
    "the turn just taken": ("_COMES", _NO, _UNTOLD),
    "waiting for the lock": ("_COMES", _NO, _TOLD),
    "the lock just taken": ("_COMES", _UNTOLD, _TOLD),
    "the turn to be given up": ("_COMES", _TOLD, _TOLD),
    "the turn just to be given up": ("_COMES", _TOLD, _UNTOLD),
    "the turn given up": ("_COMES", _TOLD, _NO),
}

_PROGRAM = """
import _kernel as k, _thread, time

def taken(lock, how):
    if how:
        lock.acquire()
    return k._main if how == 2 else None

def beat():
    while True:
        time.sleep_ms(1)

if {others}:
    _thread.start_new_thread(beat, ())
time.sleep_ms(20)  # whoever listens to the testbed has come and waits elsewhere
k.leave()
k._main_is = k.{state}
k._turn_of = taken(k._turn, {turn})
k._gil_of = taken(k._gil, {gil})
k.recover()
alone = k._gil.locked() and k._gil_of == k._main and k._main_is == k._RUNS
print("done", alone, k._turn_of == k._main, not {others} and k._turn.locked())
"""


@pytest.mark.parametrize("others", [False, True], ids=["alone", "with another thread"])
@pytest.mark.parametrize("struck", STRUCK)
def test_it_goes_on_with_its_lock_and_nothing_else(real: RealRig, struck: str, others: bool) -> None:
    state, gil, turn = STRUCK[struck]
    program = _PROGRAM.format(state=state, gil=gil, turn=turn, others=others)
    assert real.lines(program)[-1] == "done True False False"
