# mypy: ignore-errors
# The kernel for real time: the machine's clock and sockets, one coarse lock in place of the ESP32's GIL.
#
# The rules:
#
# 1. Whoever runs bytecode holds `_gil`; waits (sleep, lock, socket) release it: `leave` before, `enter`
#    after, in `finally`. The unix port is built without a GIL, the ESP32's has one: without it `x += 1` in
#    two threads loses counts, which no board does.
# 2. Who waits for `_gil` holds `_turn`, so that a release hands it over to somebody. A plain lock would go
#    back to a thread that releases and takes it in a loop, and the others would starve.
# 3. Who waits for `_gil` asks the main thread to step aside at its next branch, as a GIL does. Only the main
#    thread can be asked (`micropython.schedule` runs there): a long computation in another thread keeps the
#    rest waiting, which on a board it would not. Put up with: our firmware computes in its main thread.
# 4. Ctrl-C may strike the main thread anywhere, also between taking a lock and saying so. Before anything
#    else runs after it, `recover` finds out which locks the main thread has. `_gil_of` and `_turn_of` are
#    what is known of their holders; where nobody else says for long that he has one, the main thread has it.
# 5. An interrupt must not strike inside the allocator. The port raises KeyboardInterrupt straight from the
#    signal handler, by a long jump (micropython#1733): out of the allocator this leaves its mutex locked,
#    and the heap is closed to all from then on. A real chip raises it at the next branch. `interrupt`
#    therefore holds the allocator itself while a third thread sends the signal; the caller checks that the
#    heap works.
# 6. The thread that listens to the testbed begins with the program's first wait or thread, not at power-on.
#    In a process of several threads glibc makes each `read` a point where a thread may be cancelled, and on
#    i386 that takes `int $0x80`: 4 us a call where it takes 0.6 else, and the port reads what it imports in
#    25 bytes at a time. Of the 38 ms that our firmware took of the processor until it ran, these were 14.
#    What is ordered before lies in the channel; a program that computes for ever and never waits hears
#    nothing, so until then the kernel sees to it that nobody outlives the testbed (`_die_with_it`).
#
# Why not a build with a GIL: it exists since micropython#17668 as an option of the build, and no package has
# it; the port's authors call both the handler's jump and it incompatible (micropython#5568).
# Rejected: a lock around each bytecode (settrace: absent from the builds), one process for each thread.
import _thread as _unix_thread
import gc
import io
import json
import os as _unix_os
import sys as _unix_sys

import _callbacks
import ffi
import micropython
import utime
from _callbacks import call_in_main

_libc = ffi.open(None)
# The port's own get_ident is an address: where words have 32 bits a number on the heap, for each wait.
get_ident = _libc.func("i", "gettid", "")
_gil = _unix_thread.allocate_lock()
_turn = _unix_thread.allocate_lock()  # held while waiting for _gil, so that a release hands it over
_main = get_ident()
_RUNS, _WAITS, _COMES = range(3)
_LOOKS = 50  # half a millisecond apart
_main_is = _RUNS
_gil_of = _turn_of = None  # who is known to hold them; for a moment, None also when somebody does
_gil.acquire()

_exit = _libc.func("v", "_exit", "i")
_kill = _libc.func("i", "kill", "ii")
_getpid = _libc.func("i", "getpid", "")
_SIGINT, _SIGKILL = 2, 9
_PR_SET_PDEATHSIG = 1
try:
    _prctl = _libc.func("i", "prctl", "iL")
except OSError:  # not Linux
    _prctl = None
_setitimer = _libc.func("i", "setitimer", "iPP")
_ITIMER_REAL = 0
_power_on_us = utime.ticks_us()
_power_on_ms = utime.ticks_ms()
_WRAP = 0x3FFFFFFF
_HALF_A_WRAP = 0x20000000
_control = None
_ENDS = [b'{"ev":"reset","cause":%d}\n' % cause for cause in range(6)]
_NEWLINE = 0x0A
_byte = bytearray(1)
_line = bytearray(1024)  # an order of the testbed's: the heap may be full when it comes
_SPARE_BYTES = 2048
_spare = bytearray(_SPARE_BYTES)  # to obey it
stdout = _unix_sys.stdout
crashed = None  # tells of an error that ended a thread; boot.py puts it here, for an import may need heap
on_begin = None  # called by a thread other than the main one, with its stack's bytes; likewise
_on_wait = _on_run = int  # called by these threads when they wait, and when they run again
_EPOCH_2000_US = 946684800000000


def leave():
    # Call before a wait.
    global _gil_of, _main_is
    if not _listens:
        listen()
    try:
        if get_ident() == _main:
            _main_is = _WAITS
        else:
            _on_wait()
        _gil_of = None
        _gil.release()
    except KeyboardInterrupt:
        recover()
        raise


def enter():
    # Call after a wait, in `finally`: Ctrl-C ends waits.
    global _gil_of, _main_is, _turn_of
    me = get_ident()
    try:
        if me == _main:
            _main_is = _COMES
        if not _turn.acquire(0):
            _turn.acquire()
        _turn_of = me
        if not _gil.acquire(0):
            _ask_main()
            _gil.acquire()
        _gil_of = me
        _turn_of = None
        _turn.release()
        if me == _main:
            _main_is = _RUNS
        else:
            _on_run()
    except KeyboardInterrupt:
        recover()
        raise


def wait(function, *args):
    leave()
    try:
        return function(*args)
    finally:
        enter()


def recover():
    # Call in the main thread after it was interrupted: that may be anywhere in `leave` and `enter`, with a
    # lock or without, and between taking one and saying so: it has that if for long nobody else says so.
    global _gil_of, _main_is, _turn_of
    if _main_is == _RUNS:
        return
    looks = 0
    while looks < _LOOKS and _gil_of != _main and not _gil.acquire(0):
        looks = 0 if _gil_of else looks + 1
        utime.sleep(0.0005)
    _gil_of = _main
    looks = 0
    while looks < _LOOKS and not _turn_of and not _turn.acquire(0):
        looks += 1
        utime.sleep(0.0005)
    if not _turn_of or _turn_of == _main:
        _turn_of = None
        _turn.release()
    _main_is = _RUNS


def _ask_main():
    try:
        micropython.schedule(_step_aside, None)
    except RuntimeError:  # the queue is full of the same request
        pass


def _step_aside(_):
    global _gil_of, _main_is
    if _main_is == _RUNS:
        try:
            _main_is = _COMES
            _gil_of = None
            _gil.release()
            enter()
        except KeyboardInterrupt:  # the scheduler would print it and go on
            recover()
            _unix_thread.start_new_thread(_interrupt_again, ())


def _interrupt_again():
    enter()
    interrupt()
    leave()


def interrupt():
    # Raise KeyboardInterrupt in the main thread; called by another one, which holds the lock. The port raises
    # it wherever the signal finds the thread. In a wait that is sound; not where it steps aside (the
    # scheduler prints what is raised there and goes on), so let it go on first; and not inside the allocator,
    # which would be closed to all from then on. Whoever counts what is free has the allocator to itself, so
    # strike from a third thread while this one counts. The caller must see whether the heap still works.
    if _main_is == _WAITS:
        _kill(_getpid(), _SIGINT)
        return
    leave()
    while _main_is == _COMES:
        utime.sleep(0.0002)
    count = gc.mem_free
    stage = bytearray(1)
    _unix_thread.start_new_thread(_strike, (stage,))
    while not stage[0]:
        utime.sleep(0.0001)
    count()  # waits for a collection in the main thread
    stage[0] = 2
    while stage[0] != 3:
        count()
    for _ in range(10):  # the signal takes a moment
        count()
    enter()


def _strike(stage):
    pid = _getpid()
    stage[0] = 1
    while stage[0] != 2:
        pass
    _kill(pid, _SIGINT)
    stage[0] = 3


def start(fd):
    global _control
    _control = io.open(fd, "r+b")
    return json.loads(_control.readline())


def power_on():
    if not _listens:
        _die_with_it(_SIGKILL)
    report({"ev": "boot", "free": gc.mem_free()})


_listens = False


def listen():
    # From now on a thread of its own listens to the testbed. Called by the main thread: there is no other.
    global _listens
    if not _listens:
        try:
            _listens = True
            _unix_thread.start_new_thread(_listen, ())
            _die_with_it(0)  # that would also be with the thread of the testbed's that started us
        except MemoryError:  # there may be some at the next wait
            _listens = False


def _die_with_it(signal):
    # 0: no more.
    if _prctl:
        _prctl(_PR_SET_PDEATHSIG, signal)


def read(n):
    # What follows the order that is being taken.
    return wait(_control.read, n)


def _listen():
    global _spare
    enter()
    while True:
        size = _read_line()
        if not size:
            _exit(0)  # the testbed is gone: leave no orphan
        try:
            _obey(size)
        except MemoryError:
            _spare = None
            gc.collect()
            _obey(size)
        if _spare is None:
            try:
                _spare = bytearray(_SPARE_BYTES)
            except MemoryError:
                pass


def _read_line():
    # Into `_line`, without a byte of heap; how many there are. All of it comes at once.
    size = 0
    leave()
    while _control.readinto(_byte):
        if not size:
            enter()
        _line[size] = _byte[0]
        size += 1
        if _byte[0] == _NEWLINE:
            break
    return size


def _obey(size):
    order = json.loads(memoryview(_line)[:size])
    orders[order["op"]](order)


def _tell_memory(order):
    import _board

    report(_board.memory(order["id"]))


def _change_radio(order):
    import network

    network.radio.update(order["set"])


def _kick(order):
    import network

    network._sta.kick(order["reason"], order["stuck"])


def _leave(order):
    import _board
    import _observe

    _observe.leave(_board)


orders = {"leave": _leave, "memory": _tell_memory, "radio": _change_radio, "kick": _kick}


def report(event):
    report_bytes(json.dumps(event) + "\n")


def report_bytes(line):
    _control.write(line)


def now_us():
    # Where words have 32 bits the microseconds wrap every 18 minutes of the machine's, the milliseconds after
    # twelve days: those say how often these have.
    us = (utime.ticks_us() - _power_on_us) & _WRAP
    about_us = utime.ticks_diff(utime.ticks_ms(), _power_on_ms) * 1000
    return us + ((about_us - us + _HALF_A_WRAP) >> 30 << 30)


def true_time_us():
    return utime.time_ns() // 1000 - _EPOCH_2000_US


timers_used = False


_callbacks.rouse = lambda: None  # it looks by itself, every few milliseconds
_callbacks.print_exception = _unix_sys.print_exception


def call_due():
    # For waits of the main thread, between two looks.
    if get_ident() == _main:
        _callbacks.call_due()


LOOK_US = 2000


def sleep_us(us):
    if timers_used and get_ident() == _main:
        until_us = now_us() + us
        while True:
            _callbacks.call_due()
            left_us = until_us - now_us()
            if left_us <= 0:
                return
            _sleep_us(min(left_us, LOOK_US))
    else:
        _sleep_us(us)


def _sleep_us(us):
    seconds = us / 1000000  # before: one that is interrupted must not be in the allocator
    leave()
    try:
        if us > 0:
            utime.sleep(seconds)  # sleep_ms would wake up 1,000 times a second
    finally:
        enter()


def urandom(n):
    return _unix_os.urandom(n)


def idle_forever():
    while True:
        sleep_us(3600000000)


def end(event, cause, asleep_ms=0):
    # The chip restarts: nothing of this process goes on, not even `finally`. -1: when somebody presses reset.
    if asleep_ms:  # asleep for no time at all is a restart of that cause
        report_bytes(b'{"ev":"reset","cause":%d,"asleep_ms":%d}\n' % (cause, asleep_ms))
    else:
        report_bytes(_ENDS[cause])  # it takes no heap, for want of which a board may well be reset
    die()


def die():
    _exit(0)


def watchdog(timeout_ms):
    # (Re)start the timer; when it runs out the kernel ends the process with SIGALRM.
    import struct

    zero = struct.pack("llll", 0, 0, timeout_ms // 1000, timeout_ms % 1000 * 1000)
    _setitimer(_ITIMER_REAL, zero, None)


stacks_bytes = 0  # of the threads that run


def watch(on_wait, on_run):
    # Have them called by threads other than the main one, when they wait and when they run again.
    global _on_wait, _on_run
    _on_wait = on_wait
    _on_run = on_run


def start_new_thread(function, args, kwargs=None, stack_bytes=0):
    def body():
        global stacks_bytes
        enter()
        on_begin(stack_bytes)
        try:
            function(*args, **(kwargs or {}))
        except SystemExit:
            pass
        except BaseException as error:
            crashed(error)
        stacks_bytes -= stack_bytes
        leave()

    listen()
    return _unix_thread.start_new_thread(body, ())
