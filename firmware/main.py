# The board's program: executes tasks for ever with tasks.handle, and survives whatever happens.
import gc
import io
import sys
import time

from micropython import const

_FAILURES_BEFORE_RESET = const(10)
_TRACEBACK_CHARS = const(600)


def main():
    node = None
    failures = 0
    while True:
        try:
            if node is None:
                node = start()
            serve(node)
            failures = 0
        except KeyboardInterrupt:  # Ctrl-C, mpremote: the prompt is wanted
            raise
        except BaseException as error:
            gc.collect()
            failures = failures + 1
            failed(error, failures)


def failed(error, failures):
    # A wrong config.py stays wrong: a reset would only hide its message.
    try:
        if isinstance(error, ValueError):  # most likely config.py, and the message says it all
            print("main:", error)
        else:
            sys.print_exception(error)
        time.sleep(min(30, failures))
    except MemoryError:
        pass
    if failures >= _FAILURES_BEFORE_RESET and not isinstance(error, (ValueError, ImportError)):
        import machine

        machine.reset()


def start():
    # All is loaded now: a heap in use might have no room left to compile it.
    global tasks
    import tasks
    from compute_node import ComputeNode

    node = ComputeNode()
    node.start_keepalive_thread()
    return node


def serve(node):
    # Execute all tasks that wait, or wait a moment for one.
    task = node.get_task()
    if task is None:
        time.sleep(node.poll_s)
        return
    node.publish_status("busy")
    try:
        while task is not None:
            result = {"task_id": task["id"]}
            execute(task, result)
            task = None  # the heap is for the result now, and for what comes in while it is sent
            send(node, result)
            task = node.get_task()
    finally:
        node.publish_status("ready")


def execute(task, result):
    try:
        result["output"] = tasks.handle(task)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        gc.collect()
        report(result, error)


def send(node, result):
    try:
        node.send_result(result)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # an output that is no JSON
        gc.collect()
        result.pop("output", None)
        report(result, error)
        node.send_result(result)
    gc.collect()


def report(result, error):
    text = io.StringIO()
    sys.print_exception(error, text)
    result["error"] = "%s: %s" % (type(error).__name__, error)
    result["traceback"] = text.getvalue()[-_TRACEBACK_CHARS:]


main()
