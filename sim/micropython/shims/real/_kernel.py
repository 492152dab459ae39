# mypy: ignore-errors
# The kernel for real time: the machine's clock and sockets, one coarse lock in place of the ESP32's GIL.
#
# The unix port has no GIL, the ESP32 has one: without it `x += 1` in two threads loses counts, which no board
# does. Whoever runs bytecode holds `_gil`; waits (sleep, lock, socket) release it. A thread that has to wait
# for it asks the main thread to step aside at its next branch, as a GIL does. Only the main thread can be
# asked: a long computation in another thread keeps the rest waiting, which on a board it would not.
import _thread as _unix_thread
import io
import json
import os as _unix_os
import sys as _unix_sys

import ffi
import micropython
import utime

get_ident = _unix_thread.get_ident
_gil = _unix_thread.allocate_lock()
_turn = _unix_thread.allocate_lock()  # held while waiting for _gil, so that a release hands it over
_main = get_ident()
_main_runs = True
_gil.acquire()

_libc = ffi.open(None)
_exit = _libc.func("v", "_exit", "i")
_setitimer = _libc.func("i", "setitimer", "iPP")
_ITIMER_REAL = 0
_power_on_us = utime.ticks_us()
_control = None
stdout = _unix_sys.stdout
_EPOCH_2000_US = 946684800000000


def leave():
    # Call before a wait.
    global _main_runs
    if get_ident() == _main:
        _main_runs = False
    _gil.release()


def enter():
    # Call after a wait.
    global _main_runs
    if not _turn.acquire(0):
        _turn.acquire()
    if not _gil.acquire(0):
        _ask_main()
        _gil.acquire()
    _turn.release()
    if get_ident() == _main:
        _main_runs = True


def _ask_main():
    try:
        micropython.schedule(_step_aside, None)
    except RuntimeError:  # the queue is full of the same request
        pass


def _step_aside(_):
    if _main_runs:
        leave()
        enter()


def start(fd):
    global _control
    _control = io.open(fd, "r+b")
    return json.loads(_control.readline())


def power_on():
    # From now on a thread of its own listens to the testbed.
    _unix_thread.start_new_thread(_listen, ())


def _listen():
    enter()
    while True:
        leave()
        line = _control.readline()
        enter()
        if not line:
            _exit(0)  # the testbed is gone: leave no orphan
        order = json.loads(line)
        if order["op"] == "memory":
            import _board

            report(_board.memory(order["id"]))
        elif order["op"] == "radio":
            import network

            network.radio.update(order["set"])
        elif order["op"] == "kick":
            import network

            network._sta.kick(order["reason"])


def report(event):
    _control.write(json.dumps(event) + "\n")


def now_us():
    return utime.ticks_us() - _power_on_us


def true_time_us():
    return utime.time_ns() // 1000 - _EPOCH_2000_US


def sleep_us(us):
    leave()
    if us > 0:
        utime.sleep(us / 1000000)  # sleep_ms would wake up 1,000 times a second
    enter()


def urandom(n):
    return _unix_os.urandom(n)


def idle_forever():
    leave()
    while True:
        utime.sleep(3600)


def end(event, cause):
    # The chip restarts: nothing of this process goes on, not even `finally`.
    report({"ev": event, "cause": cause})
    _exit(0)


def watchdog(timeout_ms):
    # (Re)start the timer; when it runs out the kernel ends the process with SIGALRM.
    import struct

    zero = struct.pack("llll", 0, 0, timeout_ms // 1000, timeout_ms % 1000 * 1000)
    _setitimer(_ITIMER_REAL, zero, None)


def start_new_thread(function, args, kwargs=None):
    def body():
        enter()
        try:
            function(*args, **(kwargs or {}))
        except SystemExit:
            pass
        except BaseException as error:
            import _board
            import _observe

            _observe.crashed("thread", error, _board)
        leave()

    return _unix_thread.start_new_thread(body, ())
