"""Check: what our programs say to the broker is what docs/protocol.md has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from dcompute.parts import number_of
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive, named, of_kinds
from dcompute_sim.trace import Event, ProtocolBroken, WireHeard

_OF_WIRES = frozenset({ProtocolBroken, WireHeard})


class WireProtocol(Check):
    """Every CONNECT, SUBSCRIBE and PUBLISH of our nodes and master is one that the protocol has.

    Topics within the namespace, QoS, what is retained and what is not, the fields of each message, wills, an
    incarnation that is new at every connection and the same in all that is said on it, nothing said twice.

    Limit: heard at the broker model in virtual time; what was sent into a silence is not judged. Programs of
    somebody else are not, either.
    """

    name: ClassVar[str] = "wire_protocol"
    occasion: ClassVar[str] = "a run in virtual time, where the broker model hears every word"

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        broken: list[ProtocolBroken] = []
        messages = 0
        for event in of_kinds(_OF_WIRES, trace):
            match event:
                case ProtocolBroken():
                    broken.append(event)
                case WireHeard():
                    messages = event.messages
        figures = {"messages": messages, "broken": len(broken)}
        if broken:
            kinds = list(dict.fromkeys(event.what for event in broken))
            return failed(
                f"{number_of(len(kinds), 'way')} of breaking the protocol: {named(kinds)}", broken, figures
            )
        if not messages:
            return inconclusive("nobody listened at the broker: that is done in virtual time", figures)
        return held(f"{number_of(messages, 'message')} of ours, all as the protocol has them", figures)
