"""The log of production code; which repetition of a warning is worth a line in it; faults of users' code."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable


def printable(text: str) -> str:
    """Return `text` with what is no printable character written as an escape.

    What a stranger on the broker sends must not forge a line of a log, or move a terminal's cursor.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class _Printable(logging.Filter):
    """Lets every text that a record's message is made of be printable."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(printable(one) if isinstance(one, str) else one for one in record.args)
        return True


log = logging.getLogger("dcompute")
log.addFilter(_Printable())


def is_power_of_two(count: int) -> bool:
    """Tell whether the `count`-th repetition is worth a line.

    A stranger on the broker must not be able to flood the log.
    """
    return count & (count - 1) == 0


def guarded(what: str, call: Callable[..., object], *args: object) -> None:
    """Call users' code with `args`, which may raise anything; that is logged and stops nothing.

    `sys.exit()` in a callback would end the thread that serves all transports of the process. Only Ctrl-C in
    the main thread goes on: it is meant for the program.
    """
    try:
        call(*args)
    except BaseException as error:
        main = threading.current_thread() is threading.main_thread()
        if main and isinstance(error, KeyboardInterrupt):
            raise
        log.exception("%s raised", what)
