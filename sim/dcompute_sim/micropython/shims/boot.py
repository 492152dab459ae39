# mypy: ignore-errors
# Starts an emulated board: puts the ESP32's modules into place, then runs boot.py and main.py as a board
# does.
#
# argv: the folder of the kernel ("real" or "lockstep"), the inherited control descriptor, and how many names
# fill the table of names (not when that is measured). All else comes as the first line on that descriptor, so
# that nothing of it stays in the firmware's sight or heap.
import gc
import sys

_shims = sys.path[0]
_kernel_folder = _shims + "/" + sys.argv[1]
sys.path[:] = [_shims, _kernel_folder, ".frozen"]

import _board
import _kernel

gc.collect()
_config = _kernel.start(int(sys.argv[2]))
_board.kernel = _kernel
_board.uid = bytes.fromhex(_config["uid"])
_board.address = _config["address"]
_board.broker_at = _config["broker_at"]
_board.reset_cause = _config["reset_cause"]
_board.clock_start_us = _config["clock_start_us"]
_board.ticks_start_ms = _config["ticks_start_ms"]
_board.kept = _config["kept"]
_board.on_for_us = _config["on_for_us"]

import _gc
import _heap
import _observe
import _os
import _sys
import _thread_watch
import _threads

gc.collect()
sys.modules["_thread"] = _threads
for _name in ("network", "machine", "time", "select", "socket", "esp", "esp32", "ntptime", "ssl"):
    sys.modules["u" + _name] = sys.modules[_name] = __import__(_name)
    gc.collect()  # what compiling left lies between what stays; a board begins with one free block
for _name, _module in (("os", _os), ("sys", _sys)):
    sys.modules["u" + _name] = sys.modules[_name] = _module
import _tasks

sys.modules["_asyncio"] = _tasks
import _micropython

sys.modules["micropython"] = _micropython
sys.modules["gc"] = _gc
sys.modules["tls"] = sys.modules["_tls"]
if sys.argv[1] == "lockstep":
    import _flash_time
    import _imports
sys.modules["network"].radio.update(_config["radio"])
_board.wiring = _config["wiring"]
_console_of = _config.get("console")  # only a board with a serial line has one
if _console_of:
    import _repl

    for _from, _to in _console_of["routes"]:
        _board.routes[tuple(_from)] = tuple(_to)
sys.path[:] = _config["path"] + [_shims + "/frozen"]
if not _console_of:
    _os.mount_root(sys.path, 128 if (_config["timing"] or _config).get("allocate_us") else 1)
if _board.wiring:
    import _wiring
import umqtt.simple  # frozen into the ESP32 port, so a board spends no heap on it

_board.reserve = bytearray(_observe.WATCH_BYTES)  # so that the firmware has the same, watched or not

# Parts of the kernel: whoever uses them has them. What the firmware imports is found by looking at all
# modules there are (`_imports`), which takes time.
for _name in ("_arrivals", "_callbacks", "_native", "_streams"):
    sys.modules.pop(_name, None)
if _config["timing"]:
    _imports.install(_config["timing"])
    _flash_time.install(_config["timing"])
    _board.loading = _kernel.load
    _gc.collect = _kernel.collect
    _kernel.prepare_counting(_imports)
_kernel.on_begin = _thread_watch.begins
_kernel.crashed = lambda error: _observe.crashed("thread", error, _board)
_names = _heap.fill_names(int(sys.argv[3]) if len(sys.argv) > 3 else None)
_free = _heap.one_block()
if _config["measure"]:
    print(_free, _names)
    sys.exit()
_heap_bytes = _config["heap_bytes"] * _board.WIDE
_heap.trim_to(_heap_bytes)
_board.heap_taken = gc.mem_alloc() + gc.mem_free() - _heap_bytes
if _console_of:
    _repl.install()  # before orders are listened to
    _kernel.listen()
if sys.argv[1] == "lockstep":  # in real time it makes a board no smaller
    _heap.clean_stack()
_kernel.power_on()  # tells the testbed, at once
_board.watch = _observe.watch_node_core
_kernel.watch(_thread_watch.waits, _thread_watch.runs)
if _console_of:
    _repl.mount(*[_console_of[key] for key in ("root", "flash_bytes", "log", "fat", "power_left")])
    sys.path[:] = _console_of["path"] + [_shims + "/frozen"]
    _repl.run(_console_of["entry"])
_observe.run(_config["entry"], _board)
