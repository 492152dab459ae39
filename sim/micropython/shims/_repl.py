# mypy: ignore-errors
# A board with a console, as opposed to one that only runs its program: boot.py and main.py on a flash of its
# own, then the blocks of code that come down the control channel. How they came over the serial line, and
# what of their end is told there, is not known here (sim/boards/repl.py).
import gc
import io
import os as _unix_os
import sys

import _board
import _console
import _flash
import _observe
import _thread
import vfs

_globals = {"__name__": "__main__"}
_ready = _thread.allocate_lock()
_ready.acquire()
_block = None
_running = None  # the block that runs; 0: boot.py and main.py, None: none
flash = None


def mount(root, size, log):
    # From here on no module of the emulator's can be loaded from its file.
    global flash
    flash = _flash.Flash(root, size, open(log, "ab") if log else None)
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
    global _block, _running
    code = _board.kernel.read(order["n"])
    _block = (order["single"], code)
    _running = order["id"]
    _ready.release()


def _interrupt(order):
    if order["id"] == _running:
        _board.kernel.interrupt()
    _board.report({"ev": "heard", "free": len(bytearray(64))})  # only if the heap still works


def _power_cut(order):
    flash.power_left = order["after"]


def run(entries):
    global _running
    _running = 0
    _ended(_run_files, entries)
    while True:
        _ready.acquire()
        _ended(_run_block, *_block)


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


def _ended(function, *args):
    global _running
    ident = _running
    text = ""
    left = False
    try:
        function(*args)
        _running = None
    except SystemExit:
        _running = None
        left = True
    except BaseException as error:
        _running = None
        text = _shown(error)
    _board.kernel.recover()
    gc.collect()
    _board.report({"ev": "done", "id": ident, "error": text, "exit": left})


def _shown(error):
    try:
        out = io.StringIO()
        sys.print_exception(error, out)
        lines = out.getvalue().split("\n")
        return "\n".join([line for line in lines if not line.startswith('  File "shims/')])
    except MemoryError:
        return "MemoryError: \n"
