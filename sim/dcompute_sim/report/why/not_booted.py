"""Why boards never came up: what their programs died of, alike ones together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from dcompute_sim import trace as t
from dcompute_sim.checks.check import named
from dcompute_sim.report.text import plural

_RAISED = re.compile(r"\w*(Error|Exception|Exit)(: .*)?$")


def not_booted(events: Sequence[t.Event]) -> list[str]:
    """Return one sentence for each way in which boards that never connected ended, or went on to fail."""
    said: dict[str, str] = {}  # board -> the last exception that its program printed, or how that ended
    ends_raised: dict[str, bool] = {}  # whether the last line that it printed is an exception
    heap: dict[str, str] = {}
    resets: Counter[str] = Counter()  # by itself: whom a fault restarts did not
    connected: set[str] = set()
    for event in events:
        match event:
            case t.NodeDefined(node=node, kind=kind) if kind != "python":
                said[node] = ""
            case t.NodeStopped(node=node, why=why) if why:
                resets[node] += 1
            case t.NodeConnected(node=node):
                connected.add(node)
            case t.NodeOutput(node=node, text=text) if node in said and text.strip():
                ends_raised[node] = bool(_RAISED.match(text))
                if ends_raised[node]:
                    # At which allocation memory ran out says nothing, and differs from board to board.
                    said[node] = "MemoryError" if text.startswith("MemoryError") else text
            case t.LogLine(who=who, text=text) if who in said:
                if text.startswith("short of memory: "):
                    heap[who] = text
            # After an exception it went on: that of a timer's callback, or one that it caught and printed.
            case t.ProgramEnded(node=node, error="") if node in said and not ends_raised.get(node):
                said[node] = "its program came to its end"
    alike: dict[tuple[str, str, bool], list[str]] = {}
    for board, how in said.items():
        if how and board not in connected:
            alike.setdefault((how, heap.get(board, ""), resets[board] > 1), []).append(board)
    return [
        f"{plural(len(names), 'board')} never connected ({named(names)}): {how}"
        + (f"; {memory}" if memory else "")
        + (", and restarted again and again" if again else "")
        for (how, memory, again), names in alike.items()
    ]
