# mypy: ignore-errors
# The kernel for virtual time: whatever takes time is a request to the engine (micropython/lockstep.py).
#
# The rules:
#
# 1. One thread of the process runs at a time. A thread that must wait sends one request, reads the next
#    grant from the process's one channel, and goes on if the grant is its own; if not, it hands over to the
#    thread named, by that thread's own lock, and sleeps on its own.
# 2. What needs no answer (socket writes, closes, prints, events, new threads) rides along in front of the
#    next request; what arrived for the process rides along with the grant. So a grant and a request are all
#    there is to wait for, and both have their order from the program alone.
# 3. Nothing here may change after the write of a request: from then on another thread may run.
# 4. Between a request and the end of its grant nothing may fail, for the engine has handed out the turn. So
#    nothing allocates there: the board's heap may be full, and MemoryError would leave the engine waiting
#    for a request that never comes. Buffers are made at the start; what arrives lies outside the heap
#    (`_arrivals`), as it lies in lwIP's buffers on a chip. A number of more than 30 bits is an object where
#    words have 32: so the clock is in two, and that memory at low addresses (`_native.allocate`).
# 5. Branches that are counted (`_count_branches`) may end the turn, but not inside a wait or while records
#    are put together: `_waiting` says so.
#
# Why locks and not the unix port's own scheduling: the port's threads are pthreads without a GIL, so two
# that run side by side differ from run to run. With one lock a thread, exactly one of them is ever released.
# Why branches: they count alike in every run, on every machine and build, which nanoseconds do not, nor bytes
# allocated (twice as many where pointers are twice as large) or collections. They cost what the chip's timing
# says; without one, only a look at the clock costs anything. A call of the emulator's modules costs the
# branches that it takes here, which is about what the port's C takes there. The unix port runs what is
# scheduled in its main thread only, so what the others compute between two waits is free.
# Bytes allocated, where a chip's timing has a price for them (`allocate_us`), are looked up at the end of a
# turn and with the clock: of all threads, in steps of 64, without a byte and without a branch.
# Rejected: a pipe for what is printed; it would arrive at no particular time beside what the sockets do.
import _thread as _unix_thread
import builtins
import gc
import io
import json
import random
import struct
import sys

import _callbacks
import micropython
import uctypes
from _arrivals import take as _take_arrivals
from _callbacks import call_due as _call_due
from _callbacks import call_in_main
from _callbacks import due as _due
from _native import allocate
from _native import copy_from as _copy_from
from _native import exit as _exit
from _native import read as _read
from _native import write as _write

# Requests. The numbers and layouts here are those of sim/dcompute_sim/micropython/lockstep_wire.py.
_MORE = 0  # none yet: the records do not fit one message
_SLEEP = 1  # b: microseconds
_PARK = 2  # until another thread of this process wakes it
_WAIT = 3  # until something arrives for any socket; b: microseconds or -1
_CONNECT = 4  # a: socket, b: microseconds or -1; the address rides along
_DRAIN = 5  # a: socket; until its send buffer has room, b: microseconds or -1
_EXIT = 6  # this thread is over
_RESET = 7  # a: cause, b: milliseconds of deep sleep before the restart, -1: no end of it
_RESOLVE = 8  # the name rides along

# What rides along.
_WRITE = 1
_CLOSE = 2
_PRINT = 3
_EVENT = 4
_SPAWN = 5
_WAKE = 6
_WATCHDOG = 7
_ADDRESS = 8
LISTEN = 9
ACCEPT = 10
BIND = 11
SEND = 12
TLS_BEGIN = 13
TLS_FINISH = 14
_CHARGE_READ_US = 20  # or a program that waits by looking at the clock would never see it move
_CHARGE_LIMIT_US = 200
_SPENT_LIMIT_US = 5000

_ROOM = 2048
_out_at = allocate(24 + _ROOM)  # the request, behind it what rides along
_out = uctypes.bytearray_at(_out_at, 24 + _ROOM)
_ride_at = _out_at + 24 + 7
_filled = 0  # bytes that ride along
_written = 0  # bytes for sockets among what rode along since the last turn
_grant = bytearray(24)
_grant_at = uctypes.addressof(_grant)
_granted = uctypes.struct(  # read without a byte of heap: 64 bits at a time would take some
    _grant_at,
    {
        "size": uctypes.UINT32 | 0,
        "thread": uctypes.UINT16 | 4,
        "rest_us": uctypes.UINT16 | 6,
        "now_ms": uctypes.UINT32 | 8,
        "result": uctypes.INT32 | 16,
    },
    uctypes.LITTLE_ENDIAN,
)
_charge_us = 0
_branch_ns = 0
_branches_ns = 0  # computed and not yet charged
_allocate_us = 0  # a KiB; where words have 64 bits, of what the chip would take
_taken = int  # bytes, of the heap, ever; counted where that costs anything
_charged_to = 0  # of that, in steps of 64
_BITS = 0x3FFFFFFF  # of both: one more needs an object
_loading_us = 0  # charged for reading and compiling, which takes of the heap as well
_collect_us = 0
_collect_every_us = 1 << 29  # of computing
_since_collected_us = 0
tls_us = 0
timed = False
_waiting = True  # no turn may end while one begins or ends
_now_ms = 0
_rest_us = 0
_result = 0
_running = 0  # thread numbers count from 0, the main thread
_handover = {0: _unix_thread.allocate_lock()}
_handover[0].acquire()
_threads = 1
_channel = None
_fd = 0
_EPOCH_2000_US = 946684800000000

_lookers = {}  # threads that poll objects of the program's, whose state only another thread can change


def start(fd):
    global _channel, _fd
    _fd = fd
    _channel = io.open(fd, "r+b")
    config = json.loads(_channel.readline())
    random.seed(config["seed"])
    global _allocate_us, _branch_ns, _collect_us, _collect_every_us, _taken, timed, tls_us
    timing = config["timing"]
    if timing:
        timed = True
        _branch_ns = timing["branch_ns"]
        if timing["allocate_us"]:
            _taken = micropython.mem_total
            _allocate_us = timing["allocate_us"] * (3 if sys.maxsize >> 31 else 4) // 4
        _collect_us = timing["collect_us"]
        _collect_every_us = timing["collect_every_us"]
        tls_us = timing["tls_us"]
    return config


def power_on():
    global _charged_to, _filled, _waiting
    builtins.print = _print
    _take_grant()
    report({"ev": "boot", "free": gc.mem_free()})
    _ship(_filled)
    _filled = 0
    _charged_to = _taken() & _BITS
    _waiting = False
    if _counting is not None:
        micropython.schedule(_counting, None)


_AT_ONCE = 4  # as many as the port's queue holds
_TURN_NS = 1000000
_counting = None
_imports = None
_modules = 0


def prepare_counting(imports):
    # All that it needs of the heap, which is not the firmware's.
    global _counting, _imports, _modules
    _imports = imports
    _modules = len(sys.modules)
    _counting = _count_branches().send
    _counting(None)


def _count_branches():
    # What the port schedules runs at the main thread's next branch, one for each: so a queue that is filled
    # again when it is empty counts them. All but one of its entries are the cheapest call there is. Past the
    # limit the other threads get their turns, as an ESP32's interpreter lock lets them.
    global _branches_ns
    schedule = micropython.schedule
    counting = _counting
    cheapest = callable
    ns = _AT_ONCE * _branch_ns
    turn_ns = _TURN_NS
    while True:
        yield
        _branches_ns += ns
        schedule(cheapest, None)
        schedule(cheapest, None)
        schedule(cheapest, None)
        schedule(counting, None)
        if _waiting:
            continue
        if _branches_ns > turn_ns:
            _pause()
        if _due:
            _call_due()


def spend(us):
    # The processor is at something that no branch counts.
    global _charge_us
    _charge_us += us
    if _charge_us > _SPENT_LIMIT_US:
        _pause()


_paused = 0  # bits of threads


def _pause():
    # Let others run, and time pass, though this thread waits for nothing. That may be between its look at
    # something and its wait for that to change: what came meanwhile would then be waited for in vain. So the
    # next wait after a pause returns at once, and the thread looks again.
    global _paused
    me = _running
    wait(_SLEEP)
    _paused |= 1 << me % 30


def _was_paused():
    # False: the wait may begin, and from here on no turn ends before it, or what came then would be missed.
    global _paused, _waiting
    _waiting = True
    bit = 1 << _running % 30
    if _paused & bit:
        _paused ^= bit
        _waiting = False
        return True
    return False


def ride(kind, number, data=b""):
    # Send along with the next request, or ahead of it if it is much.
    global _waiting
    was_waiting = _waiting
    _waiting = True  # a branch in here must not end the turn: half of what is put together would be sent
    try:
        _ride(kind, number, data)
    finally:
        _waiting = was_waiting


def _ride(kind, number, data):
    global _filled
    n = len(data)
    if _filled + 7 + n > _ROOM and _filled:
        _ship(_filled)
        _filled = 0
    struct.pack_into("<BHI", _out, 24 + _filled, kind, number, n)
    if n > _ROOM - 7:
        struct.pack_into("<IBBHiqI", _out, 0, 7 + n, _MORE, 0, _running, 0, 0, 0)
        _write(_fd, _out_at, 24 + 7)
        _channel.write(data)  # more than may go at once
        return
    if n:
        _copy_from(_ride_at + _filled, data, n)
    _filled += 7 + n


def _ship(n):
    struct.pack_into("<IBBHiqI", _out, 0, n, _MORE, 0, _running, 0, 0, 0)
    _write(_fd, _out_at, 24 + n)


def wait(op, a=0, b=0):
    # Hand the process back to the engine until this thread is granted again; returns the grant's result.
    global _charge_us, _filled, _running, _waiting, _written
    _on_wait[_running > 0](0)
    if _lookers and _running not in _lookers:
        _wake_lookers()
    _waiting = True
    _charge()
    me = _running
    n = _filled
    struct.pack_into("<IBBHiqI", _out, 0, n, op, 0, me, a, b, _charge_us)
    _charge_us = _filled = _written = 0
    _write(_fd, _out_at, 24 + n)
    thread = _take_grant()
    if thread != me:
        mine = _handover[me]
        _running = thread
        _handover[thread].release()
        mine.acquire()
    _waiting = False
    _on_run[me > 0](0)
    return _result


def collect():
    # As `gc.collect`, in the chip's time. What comes by itself is in `_charge`.
    gc.collect()
    spend(_collect_us)


def load(path):
    # A program is about to be read and compiled.
    global _loading_us
    us = _imports.file_us(path)
    spend(us)
    _loading_us += us


def _charge():
    # What was computed since the last request, and the collections that came of it: when they come by
    # themselves here differs between builds of MicroPython. No branch for these: it would cost one.
    global _branches_ns, _charge_us, _charged_to, _loading_us, _modules, _since_collected_us
    if timed:
        us = _branches_ns // 1000
        _branches_ns %= 1000
        if len(sys.modules) != _modules:
            _modules = len(sys.modules)
            _charge_us -= _loading_us  # that of a program's own file was charged with `load`
            _loading_us += _imports.cost_us()
            _charge_us += _loading_us
        us += _allocating_us()
        _charged_to = (_taken() & _BITS) - _allocated() % 64 & _BITS
        _loading_us = 0
        _since_collected_us += us
        _charge_us += us + _since_collected_us // _collect_every_us * _collect_us
        _since_collected_us %= _collect_every_us


def _allocated():  # bytes that are not charged yet
    return (_taken() & _BITS) - _charged_to & _BITS


def _allocating_us():  # beside reading and compiling, which have a price of their own
    return max(0, _allocated() // 64 * _allocate_us // 16 - _loading_us)


def _take_grant():
    global _now_ms, _rest_us, _result
    if _read(_fd, _grant_at, 24) != 24:  # it is sent in one
        _exit(0)  # the engine is gone: leave no orphan
    # Nothing here may fail, for the engine has handed out the turn: so nothing allocates, but what arrives.
    _now_ms = _granted.now_ms
    _rest_us = _granted.rest_us
    _result = _granted.result
    thread = _granted.thread
    if _granted.size:
        _take_arrivals(_fd, _granted.size)
    return thread


def let_others():
    # The port lets go of the interpreter's lock for each call into lwIP: another thread may well come first
    # between two reads of one packet.
    if timed and len(_handover) > 1:
        _pause()


def report(event):
    report_bytes(json.dumps(event).encode())


def report_bytes(data):
    ride(_EVENT, 0, data)


def _print(*values, sep=" ", end="\n", file=None):
    if file is not None:
        _unix_print(*values, sep=sep, end=end, file=file)
        return
    text = io.StringIO()
    _unix_print(*values, sep=sep, end=end, file=text)
    stdout.write(text.getvalue())


_unix_print = print


class _Out(io.IOBase):
    # What is printed leaves with the next request: through a pipe it would arrive at no particular time.
    def write(self, text):
        ride(_PRINT, 0, text.encode() if isinstance(text, str) else text)
        return len(text)

    def flush(self):
        pass


stdout = _Out()


def now_us():
    global _charge_us
    _charge_us += _CHARGE_READ_US
    if _charge_us > _CHARGE_LIMIT_US:
        _pause()
    return _now_ms * 1000 + _rest_us + _charge_us + _branches_ns // 1000 + _allocating_us()


def true_time_us():
    return 820540800000000 + now_us()  # 2026-01-01: virtual time has no other date


timers_used = False


def _rouse_main():
    # Whatever else it waits for (a lock, a connection) holds back its callbacks on a board too.
    if _main_waits:
        ride(_WAKE, 0)


def _print_exception(error):
    text = io.StringIO()
    sys.print_exception(error, text)
    stdout.write(text.getvalue())


_callbacks.rouse = _rouse_main
_callbacks.print_exception = _print_exception


def sleep_us(us):
    global _main_waits, _waiting
    if _running or not timers_used:
        wait(_SLEEP, 0, us if us > 0 else 0)
        return
    until_us = _now_ms * 1000 + _rest_us + _charge_us + us
    while True:
        _call_due()
        left_us = until_us - _now_ms * 1000 - _rest_us - _charge_us
        _waiting = True  # a turn that ends here may have brought another callback
        if _due:
            _waiting = False
            continue
        _main_waits = True
        wait(_SLEEP, 0, left_us if left_us > 0 else 0)
        _main_waits = False
        _call_due()
        if _now_ms * 1000 + _rest_us + _charge_us >= until_us:
            return


def urandom(n):
    return bytes(random.getrandbits(8) for _ in range(n))


def get_ident():
    return _running


def park():
    # May return too early.
    if not _was_paused():
        wait(_PARK)


def wake(thread):
    ride(_WAKE, thread)


def idle_forever():
    while True:
        if timers_used:
            sleep_us(3600000000)
        else:
            wait(_PARK)


def end(event, cause, asleep_ms=0):
    # -1: until somebody presses reset.
    wait(_RESET, cause, asleep_ms)
    _exit(0)


def watchdog(timeout_ms):
    ride(_WATCHDOG, 0, struct.pack("<I", timeout_ms))


crashed = None  # tells of an error that ended a thread; boot.py puts it here, for an import may need heap
on_begin = None  # called by a thread other than the main one, with its stack's bytes; likewise
_on_wait = _on_run = (
    callable,
    callable,
)  # called with 0 by the main thread, by others: chosen without a branch
stacks_bytes = 0  # of the threads that run
_stack_of = {}  # thread -> bytes


def start_new_thread(function, args, kwargs=None, stack_bytes=0):
    global _threads
    number = _threads
    _threads += 1
    _stack_of[number] = stack_bytes
    gate = _handover[number] = _unix_thread.allocate_lock()
    gate.acquire()

    # It must not need one local more: it would then begin with memory from the heap, which may be full.
    def body():
        gate.acquire()
        on_begin(_stack_of[number])
        try:
            function(*args, **(kwargs or {}))
        except SystemExit:
            pass
        except BaseException as error:
            crashed(error)
        _leave(number)

    _unix_thread.start_new_thread(body, ())
    ride(_SPAWN, number)
    return number


def watch(on_wait, on_run):
    # Have them called by threads other than the main one, when they wait and when they run again.
    global _on_wait, _on_run
    _on_wait = (callable, on_wait)
    _on_run = (callable, on_run)


def _leave(number):
    # As wait(), but nobody waits: the last act of a thread is to hand over.
    global _charge_us, _filled, _running, _written, stacks_bytes
    stacks_bytes -= _stack_of.pop(number)
    if _lookers:
        _wake_lookers()
    _charge()
    n = _filled
    struct.pack_into("<IBBHiqI", _out, 0, n, _EXIT, 0, number, 0, 0, _charge_us)
    _charge_us = _filled = _written = 0
    del _handover[number]
    _write(_fd, _out_at, 24 + n)
    _running = _take_grant()
    _handover[_running].release()


_main_waits = False


def wait_arrival(timeout_us):
    # May return too early.
    global _main_waits
    calls = not _running and timers_used
    if calls:
        _call_due()
    if _was_paused():
        return
    if calls:
        _main_waits = True
    wait(_WAIT, 0, timeout_us)
    if calls:
        _main_waits = False
        _call_due()


def wait_change(timeout_us, again):
    # As wait_arrival, but ends also when another thread of this process has run. `again`: this one has done
    # nothing since it last waited so, but looked; two that look would else wake each other for ever.
    if not again:
        _wake_lookers()
    _lookers[_running] = None
    wait_arrival(timeout_us)
    del _lookers[_running]


def _wake_lookers():
    for thread in _lookers:
        if thread != _running:
            ride(_WAKE, thread)


def wait_connect(number, address, timeout_us):
    ride(_ADDRESS, number, address)
    return wait(_CONNECT, number, timeout_us)


def wait_resolved(name):
    ride(_ADDRESS, 0, b"0 " + name.encode())
    return wait(_RESOLVE)


def wait_room(number, timeout_us):
    return wait(_DRAIN, number, timeout_us)


def send_bytes(number, data):
    global _written
    _written += len(data)
    ride(_WRITE, number, data)


def flush(least):
    # Let what rides along leave, if it is much: whether the send buffer is full is known only then.
    if _written > least:
        _pause()


def send_close(number):
    ride(_CLOSE, number)
