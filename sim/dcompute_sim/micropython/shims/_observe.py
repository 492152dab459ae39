# mypy: ignore-errors
# Runs the firmware's entry files as a board does, and tells the testbed how they end and what the node core
# does.
import gc
import io
import sys

WATCH_BYTES = 2048  # watching takes 600 bytes, telling what was seen a little more, for a moment
_FULL = b'{"ev":"crash","thread":"%s","text":"an error, and no heap left to say which"}\n'
_FULL_MAIN = _FULL % b"main"
_FULL_THREAD = _FULL % b"thread"
_NOT_THE_PROGRAMS = ("stand_ins.py", "_booted.py")
_main = {"__name__": "__main__"}  # of boot.py and main.py alike: what one imports or defines, the other has


def run(entries, board):
    # boot.py and main.py are optional on a board; an entry named by the user is not.
    # After the last one a board sits at its prompt while its threads go on, so this never returns.
    try:
        for name, required in entries:
            module = name[:-3] if name.endswith(".py") else name
            try:
                _execute(name, module, required, board.loading)
            except SystemExit:  # on a board: soft reset
                board.kernel.end("reset", 5)
    except BaseException as error:
        crashed("main", error, board)
    else:
        board.report({"ev": "ended"})
    board.kernel.idle_forever()


def _execute(name, module, required, loading):
    for folder in sys.path:
        path = (folder + "/" if folder else "") + module
        if exists(path + ".py"):
            if loading:
                loading(path + ".py")
            execfile(path + ".py", {"__name__": "__main__"} if name in _NOT_THE_PROGRAMS else _main)
            return
        if exists(path + ".mpy"):
            __import__(module)
            return
    if required:
        raise ImportError("no file " + name)


def exists(path):
    try:
        open(path).close()
        return True
    except OSError:
        return False


def crashed(where, error, board):
    # With a full heap there is none to tell with: what is kept for watching is lent for it.
    lent = board.reserve is not None
    board.reserve = None
    gc.collect()
    try:
        said = io.StringIO()
        sys.print_exception(error, said)
        text = said.getvalue()
        print(text)
        board.report({"ev": "crash", "thread": where, "text": text})
    except MemoryError:
        board.kernel.report_bytes(_FULL_MAIN if where == "main" else _FULL_THREAD)
    said = text = None
    if lent:
        gc.collect()
        try:
            board.reserve = bytearray(WATCH_BYTES)
        except MemoryError:
            pass


def leave(board):
    # The program of our firmware leaves: in its own thread, when it next looks for a task, as a program does
    # that has decided to. Before it has got so far as to load its ComputeNode there is nothing to leave.
    module = sys.modules.get("compute_node")
    if module is None:
        return

    def leave_now(node):
        node.stop()
        board.report({"ev": "left"})
        board.kernel.idle_forever()

    module.ComputeNode.get_task = leave_now


def watch_node_core(board):
    # If the firmware is built on dcompute's node core, its events become the testbed's, the firmware
    # unchanged. Called when the firmware looks at its WLAN, until the class is found: to import it earlier
    # would change the order of imports, on which a small heap depends.
    module = sys.modules.get("dcompute.node_core")
    if module is None:
        return
    gc.collect()
    before = gc.mem_alloc()
    board.watch = board.reserve = None
    _watch(module.NodeCore, board)
    gc.collect()
    board.heap_taken += gc.mem_alloc() - before


def _watch(core, board):
    def tell(name, fields):
        board.report({"ev": "core", "name": name, "fields": fields})

    def observed(method, name):
        def call(self, *args, **settings):
            self.on_event = tell
            value = method(self, *args, **settings)
            tell(name, {"inc": self.inc})
            return value

        return call

    core.will = observed(core.will, "node_connecting")  # the first thing a node does with its core
    core.greeting = observed(core.greeting, "node_connected")
    core.lost = observed(core.lost, "node_disconnected")
