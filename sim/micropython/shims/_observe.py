# mypy: ignore-errors
# Runs the firmware's entry files as a board does, and tells the testbed how they end and what the node core
# does.
import io
import sys


def run(entries, board):
    # boot.py and main.py are optional on a board; an entry named by the user is not.
    # After the last one a board sits at its prompt while its threads go on, so this never returns.
    try:
        for name, required in entries:
            module = name[:-3] if name.endswith(".py") else name
            try:
                _execute(name, module, required)
            except SystemExit:  # on a board: soft reset
                board.kernel.end("reset", 5)
    except BaseException as error:
        crashed("main", error, board)
    else:
        board.report({"ev": "ended"})
    board.kernel.idle_forever()


def _execute(name, module, required):
    for folder in sys.path:
        path = (folder + "/" if folder else "") + module
        if _exists(path + ".py"):
            execfile(path + ".py", {"__name__": "__main__"})
            return
        if _exists(path + ".mpy"):
            __import__(module)
            return
    if required:
        raise ImportError("no file " + name)


def _exists(path):
    try:
        open(path).close()
        return True
    except OSError:
        return False


def crashed(where, error, board):
    text = io.StringIO()
    sys.print_exception(error, text)
    print(text.getvalue())
    board.report({"ev": "crash", "thread": where, "text": text.getvalue()})


def watch_node_core(report):
    # If the firmware is built on dcompute's node core, its events become the testbed's, the firmware
    # unchanged.
    try:
        from dcompute.node_core import NodeCore
    except ImportError:
        return

    def tell(name, fields):
        report({"ev": "core", "name": name, "fields": fields})

    def observed(method, name):
        def call(self, *args, **settings):
            value = method(self, *args, **settings)
            tell(name, {"inc": self.inc})
            return value

        return call

    begin = NodeCore.__init__

    def init(self, *args, **settings):
        begin(self, *args, **settings)
        self.on_event = tell

    NodeCore.__init__ = init
    NodeCore.will = observed(NodeCore.will, "node_connecting")
    NodeCore.greeting = observed(NodeCore.greeting, "node_connected")
    NodeCore.lost = observed(NodeCore.lost, "node_disconnected")
