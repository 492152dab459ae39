# mypy: ignore-errors
# What the emulated board is, and the way from its modules to the testbed.
#
# Loaded once by boot.py, before anything else. `kernel` is the part that differs between real and virtual
# time: clock, sleep, threads, sockets, the control channel.
import gc  # before a board's own takes its place
from sys import maxsize  # likewise

kernel = None
uid = b"\x00\x00\x00\x00\x00\x00"
address = "10.0.0.2"  # by DHCP
reset_cause = 1
clock_start_us = 0  # the RTC at power-on, microseconds since 2000; a board without battery starts at 0
watch = None  # called with this module whenever the firmware looks at its WLAN
committed = None  # called whenever the flash has changed, where that takes time
loading = None  # called with the name of each file of the program's before it runs, where that takes time
reserve = None  # heap kept for watching, which is no part of the firmware; given back when it begins
WIDE = 1 if maxsize >> 31 == 0 else 2  # how much larger an object is than on the chip (of 32-bit words)
heap_taken = 0  # by the emulator's own modules, which a board has in flash
kept = {}  # what outlives a reset: RTC memory ("rtc"), and the power too: "nvs"
routes = {}  # address -> address through which it is reached: the fault proxy that is this board's Wi-Fi
broker_at = None  # where the run's broker is, host and port, and under which names the program has it
wiring = None  # what is connected to pins and buses, where a group's `stand_ins` say so (frozen/_wiring.py)
on_for_us = 0  # how long ago it was first switched on, when it was started
ticks_start_ms = 0  # lets a test begin shortly before the ticks wrap


def missing(module):
    # A name the real module may have and this one has not must not look like a typo in the firmware.
    def lookup(name):
        if kernel is not None and not name.startswith("_"):
            report({"ev": "missing", "name": module + "." + name})
        raise AttributeError("the emulator's %s has no %r (docs/esp32-port.md)" % (module, name))

    return lookup


def absent(module):
    # A module that a board's build has and this one has not; firmware may well do without it.
    report({"ev": "missing", "name": module})
    raise ImportError("the emulator has no module %r (docs/esp32-port.md)" % module)


_told = []


def simpler(what):
    # It works, and not as on a chip; sim/dcompute_sim/micropython/unmodelled.py has the words. Once a boot.
    if what not in _told:
        _told.append(what)
        report({"ev": "missing", "name": what})


def memory(ident):
    # Heap the firmware uses, and has left.
    gc.collect()
    allocated = (gc.mem_alloc() - heap_taken) // WIDE
    return {"ev": "memory", "id": ident, "alloc": allocated, "free": gc.mem_free() // WIDE}


def keep(name, value):
    # Have it outlive a reset, however that comes.
    kept[name] = value
    report({"ev": "keep", "name": name, "value": value})


def set_clock(now_us):
    # Microseconds since 2000. The RTC goes on over resets.
    global clock_start_us
    clock_start_us = now_us - kernel.now_us()
    report({"ev": "keep", "name": "clock", "value": clock_start_us})


def seconds_since_1970():
    # By the board's own clock.
    return 946684800 + (clock_start_us + kernel.now_us()) // 1000000


def report(event):
    # Tell the testbed; `event` is a small dict with "ev" naming what happened.
    kernel.report(event)
