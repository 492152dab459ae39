"""UDP: a datagram crosses the links of both hosts, or it is lost and nobody is told.

What TCP adds is not here: neither order nor repetition, nor word from a host where nobody listens (a kernel
sends ICMP, which MicroPython's sockets do not show).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from dcompute_sim.net.clock import Clock
from dcompute_sim.net.link import Link

OnDatagram = Callable[[str, int, bytes], None]
"""Told the sender's address and port, and the bytes."""
_HEADER_BYTES = 28  # IPv4's and UDP's


class Station(Protocol):
    """A host with its programs."""

    powered: bool
    link: Link
    datagram_ports: dict[int, OnDatagram]

    @property
    def address(self) -> str: ...


def send(
    clock: Clock, sender: Station, from_port: int, receivers: Iterable[Station], port: int, data: bytes
) -> None:
    """Send `data` to that port of the `receivers`; whoever listens there is told when it arrives."""
    link = sender.link
    for receiver in receivers:
        if receiver is sender:
            clock.call_later(0.0, lambda: _arrive(sender, from_port, sender, port, data))
            continue
        delay_s = link.delay_s(len(data) + _HEADER_BYTES, clock.now_s())
        if not (sender.powered and link.is_up) or (link.loss > 0 and link.loses()):
            continue
        _cross(clock, delay_s, sender, from_port, receiver, port, data)


def _cross(
    clock: Clock, delay_s: float, sender: Station, from_port: int, receiver: Station, port: int, data: bytes
) -> None:
    link = receiver.link
    if link.loss > 0 and link.loses():
        return
    delay_s += link.delay_s(len(data) + _HEADER_BYTES, clock.now_s())

    def arrive() -> None:
        if receiver.powered and link.is_up:
            _arrive(sender, from_port, receiver, port, data)

    clock.call_later(delay_s, arrive)


def _arrive(sender: Station, from_port: int, receiver: Station, port: int, data: bytes) -> None:
    take = receiver.datagram_ports.get(port)
    if take is not None:
        take(sender.address, from_port, data)
