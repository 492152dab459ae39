"""Names to addresses, as lwIP asks for them: a question, and again when no answer comes.

The name server is the network's and knows the names of its hosts. What counts here is how long it takes, for
whoever calls `getaddrinfo` does nothing else meanwhile: a round trip when all is well, seven seconds on a
dead link (lwIP, dns.c: DNS_MAX_RETRIES 4, a timer of one second that counts retries).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from dcompute_sim.net.clock import Clock
from dcompute_sim.net.link import Link

RETRY_S = (1.0, 1.0, 2.0, 3.0)
"""How long each question waits for its answer."""
_QUESTION_BYTES = 70


class Resolving(Protocol):
    """Who asks."""

    powered: bool
    link: Link


def resolve(
    clock: Clock, asker: Resolving, known: Callable[[], str | None], done: Callable[[str | None], None]
) -> None:
    """Call `done(address)`, or `done(None)` when there is none or nobody answers.

    Args:
        known: the address behind the name, asked when the question reaches the name server.
    """
    link = asker.link

    def ask(attempt: int) -> None:
        if attempt == len(RETRY_S):
            done(None)
        elif _crosses(link):
            delay_s = link.delay_s(_QUESTION_BYTES, clock.now_s())
            clock.call_later(delay_s, lambda: answer(attempt, delay_s, known()))
        else:
            clock.call_later(RETRY_S[attempt], lambda: ask(attempt + 1))

    def answer(attempt: int, took_s: float, address: str | None) -> None:
        if _crosses(link):
            clock.call_later(link.delay_s(_QUESTION_BYTES, clock.now_s()), lambda: done(address))
        else:
            clock.call_later(max(0.0, RETRY_S[attempt] - took_s), lambda: ask(attempt + 1))

    ask(0)


def _crosses(link: Link) -> bool:
    return link.is_up and not (link.loss > 0 and link.loses())
