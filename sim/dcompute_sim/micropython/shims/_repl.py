# mypy: ignore-errors
# A board with a console, as opposed to one that only runs its program: boot.py and main.py on a flash of its
# own, then the blocks of code that come down the control channel. How they came over the serial line, and
# what of their end is told there, is not known here (sim/dcompute_sim/virtual_boards/repl.py).
import gc
import io
import os as _unix_os
import sys

import _board
import _console
import _flash
import _observe
import _thread
import time
import vfs

_globals = {"__name__": "__main__"}
_ready = _thread.allocate_lock()
_ready.acquire()
_block = None
_given = 0  # the last block that was given to us; 0: boot.py and main.py
_running = None  # the one that runs
_interrupted = None  # the one whose interrupt came before it ran
flash = None


def mount(root, size, log, fat, power_left):
    # From here on no module of the emulator's can be loaded from its file.
    global flash
    flash = _flash.Flash(root, size, open(log, "ab") if log else None, fat)
    flash.power_left = power_left
    flash.log("boot")
    vfs.umount("/")
    vfs.mount(flash, "/")
    _unix_os.chdir("/")


def install():
    sys.modules["micropython"] = _console
    board_sys = sys.modules["sys"]
    board_sys.stdin = _console.stdin
    board_sys.stdout = board_sys.stderr = _console.stdout
    orders = _board.kernel.orders
    orders["run"] = _take
    orders["interrupt"] = _interrupt
    orders["power_cut"] = _power_cut


def _take(order):
    global _block, _given
    code = _board.kernel.read(order["n"])
    _block = (order["single"], code)
    _given = order["id"]
    _ready.release()


def _interrupt(order):
    global _interrupted
    if order["id"] == _running:
        _board.kernel.interrupt()
    elif order["id"] == _given:
        _interrupted = _given
    _board.report({"ev": "heard", "free": len(bytearray(64))})  # only if the heap still works


def _power_cut(order):
    flash.power_left = order["after"]


def run(entries):
    # For the thread that listens: a boot.py that never waits would be over before an interrupt is heard that
    # came while it began.
    for _ in range(3):
        time.sleep_ms(1)
    _run(_run_files, entries)
    while True:
        _ready.acquire()
        _run(_run_block, *_block)


def _run_files(names):
    # What fails is shown at once, and what comes after it is left out.
    for name in names:
        if not _observe.exists(name):
            continue
        try:
            execfile(name, _globals)
        except SystemExit:
            raise
        except KeyboardInterrupt as error:
            sys.print_exception(error)
            return
        except BaseException as error:
            _observe.crashed("main", error, _board)
            return


def _run_block(single, code):
    exec(compile(code, "<stdin>", "single" if single else "exec"), _globals)


def _run(function, *args):
    global _running
    ident = _given
    text = ""
    left = False
    try:
        try:
            _running = ident
            if _interrupted == ident:
                raise KeyboardInterrupt
            function(*args)
            _running = None
        except SystemExit:
            _running = None
            left = True
        except BaseException as error:
            _running = None
            text = _shown(error)
        _tell_end(ident, text, left)
    except KeyboardInterrupt:  # it struck when the program was over
        _running = None
        _tell_end(ident, text, left)


def _tell_end(ident, text, left):
    # May be told twice, by one that was interrupted.
    _board.kernel.recover()
    try:
        gc.collect()
        bytearray(64)
    except MemoryError:  # struck while it collected: the heap stays locked
        _board.kernel.die()
    _board.report({"ev": "done", "id": ident, "error": text, "exit": left})


def _shown(error):
    try:
        out = io.StringIO()
        sys.print_exception(error, out)
        lines = out.getvalue().split("\n")
        return "\n".join([line for line in lines if not line.startswith('  File "shims/')])
    except MemoryError:
        return "MemoryError: \n"
