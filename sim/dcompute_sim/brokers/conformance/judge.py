"""Judgements over what the clients saw: None if the property held, else what was wrong. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from dcompute.parts import number_of

READY_OLD, READY_NEW, DEAD = b"ready of the old", b"ready of the new", b"dead"

_EARLY_TOLERANCE_S = 0.02  # both ends' clocks tick in steps


def silence(delays_s: Sequence[float | None], keepalive_s: int, lateness_bound_s: float) -> str | None:
    """Judge the delays from a client's last byte to its will, None for a will that never came."""
    due_s = 1.5 * keepalive_s
    missing = sum(delay is None for delay in delays_s)
    if missing:
        return (
            f"{missing} of {len(delays_s)} silent clients (keepalive {keepalive_s} s) had no will published "
            f"within 1.5 x keepalive + {lateness_bound_s:g} s [MQTT-3.1.2-24]"
        )
    earliest = min(delay for delay in delays_s if delay is not None)
    if earliest < due_s - _EARLY_TOLERANCE_S:
        return f"a will after {earliest:.2f} s, before 1.5 x keepalive ({due_s:g} s)"
    return None


def lateness(delays_s: Sequence[float | None], keepalive_s: int) -> str:
    """Return the measured granularity, in words."""
    late = [delay - 1.5 * keepalive_s for delay in delays_s if delay is not None]
    if not late:
        return f"never, {len(delays_s)} tries"
    return f"1.5 x keepalive + {min(late):.1f} to {max(late):.1f} s, {len(late)} of {len(delays_s)} tries"


def takeover(statuses: Sequence[bytes], *, will_required: bool) -> str | None:
    """Judge what an observer saw on a node's status topic while a second client took over the first one's
    id."""
    seen = list(statuses)
    if READY_OLD not in seen or READY_NEW not in seen:
        return f"a status got lost: saw {_words(seen)}"
    if DEAD in seen and seen.index(DEAD) > seen.index(READY_NEW):
        return "the old connection's will came after the successor's message"
    if will_required and DEAD not in seen:
        return "the old connection's will was not published [MQTT-3.1.2-8]"
    if len(seen) > 2 + (DEAD in seen):
        return f"a status came twice: saw {_words(seen)}"
    return None


def numbered(count: int) -> list[bytes]:
    """Make payloads to send, all different, for `in_order_once` to look at when they arrived."""
    return [b"%d" % number for number in range(count)]


def in_order_once(got: Sequence[bytes], count: int) -> str | None:
    """Judge whether `numbered(count)` arrived: each once, none else, in order."""
    sent = {payload: number for number, payload in enumerate(numbered(count))}
    numbers = [sent[payload] for payload in got if payload in sent]
    missing = sorted(set(range(count)) - set(numbers))
    repeated = len(numbers) - len(set(numbers))
    turned = sum(later < earlier for earlier, later in pairwise(numbers))
    strange = len(got) - len(numbers)
    faults = (
        f"{len(missing)} of {count} missing (first: {missing[0]})" if missing else "",
        f"{repeated} repeated" if repeated else "",
        f"{number_of(turned, 'time')} out of order" if turned else "",
        f"{strange} that were never sent" if strange else "",
    )
    return ", ".join(fault for fault in faults if fault) or None


def spread(delays_s: Sequence[float]) -> str:
    """Say the delays in words: median and worst."""
    ordered = sorted(delays_s)
    median_ms, worst_ms = ordered[len(ordered) // 2] * 1e3, ordered[-1] * 1e3
    return f"{median_ms:.1f} ms median, {worst_ms:.1f} ms worst of {len(ordered)}"


def _words(statuses: Sequence[bytes]) -> str:
    return ", ".join(status.decode(errors="replace") for status in statuses) or "nothing"
