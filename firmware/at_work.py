# What a task that takes long may do meanwhile: tell how far it is, and ask whether it is still wanted. The
# names are those that handlers on CPython use. A module of its own, so that boards whose tasks do not import
# it have none of it in their heap; it is to be imported before the node is made, which attaches itself.

import time

from micropython import const

_EVERY_MS = const(100)
_TEXT_CHARS = const(200)
_TICKS = const(0x3FFFFFFF)  # milliseconds wrap there

_state = [None, 0]  # the node's link, and when something was told last


def attach(link):
    _state[0] = link


def _link():
    if not _state[0]:
        raise RuntimeError("at_work is to be imported before ComputeNode is made")
    return _state[0]


def progress(fraction, text=""):
    """Tell how far the task at work is, 0 to 1, to the FleetExecutor that it is of; others hear nothing.

    It may get lost, and is left out a tenth of a second after another, or while something waits to be sent.
    ValueError if `fraction` is no such number.
    """
    if not 0 <= fraction <= 1:
        raise ValueError("progress is a number from 0 to 1, not %r" % (fraction,))
    link = _link()
    ring = link.core.ring
    now_ms = time.ticks_ms()
    if not ring or (now_ms - _state[1]) & _TICKS < _EVERY_MS:
        return
    _state[1] = now_ms
    link.service()
    with link.state:
        if link.online and not link.outbox.results:
            for entry in ring.at_work.values():
                link.outbox.add_result(ring.progress(entry, fraction * 1.0, str(text)[:_TEXT_CHARS]))
    link.service()


def is_cancelled():
    """Whether the task at work is not wanted any more by the FleetExecutor that it is of."""
    link = _link()
    link.service()
    return bool(link.core.ring and link.core.ring.cancelled)
