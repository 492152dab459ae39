"""Writes a virtual run as pcapng, so that Wireshark shows what happened on the wire.

Every segment is recorded once, where and when it leaves its sender, on that host's own interface; a
segment that is lost is therefore in the file (with a comment), unanswered, and its retransmission follows.
What a dead link and a Wi-Fi drop look like differs as it would at the board: on a dead link the node goes
on transmitting in vain; without its access point it transmits nothing, and announces itself with a
gratuitous ARP when it is back.

Host n (in order of creation) is 10.0.(n >> 8).(n & 255); time zero of the run is the epoch.

    with TraceFile(path) as out:
        network.tap = PcapWriter(out, network.clock.now_s)
        env.run(until=60)
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Protocol

from dcompute_sim.net.link import State
from dcompute_sim.net.send_window import MSS
from dcompute_sim.net.tcp_connection import End, Kernel

# pcapng block types and options (IETF draft-ietf-opsawg-pcapng).
_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER = 0x1A2B3C4D
_COMMENT, _IF_NAME, _IF_DESCRIPTION, _IF_TSRESOL, _SHB_USERAPPL = 1, 2, 3, 9, 4
_ETHERNET = 1
_NANOSECONDS = b"\x09"

_IPV4, _ARP = 0x0800, 0x0806
_TCP = 6
_FLAGS = {"F": 0x01, "S": 0x02, "R": 0x04, "P": 0x08, "A": 0x10}
_SYN_OPTIONS = struct.pack(">BBHBBBB", 2, 4, MSS, 3, 3, 7, 1)  # MSS; window scale 7; padding
_WINDOW = 0xFFFF
_BROADCAST = b"\xff" * 6


class _Out(Protocol):
    def write(self, data: bytes, /) -> object:
        """Append it."""


class PcapWriter:
    """A tap that writes to `out`, which stays the caller's to close.

    Args:
        now_s: the virtual clock.
    """

    def __init__(self, out: _Out, now_s: Callable[[], float]) -> None:
        self._out = out
        self._now_s = now_s
        self._interfaces: dict[Kernel, int] = {}
        self._without_wlan: set[Kernel] = set()
        header = struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1)
        self._block(_SECTION, header + _options((_SHB_USERAPPL, b"dcompute virtual network")))

    def segment(self, sender: End, flags: str, seq: int, ack: int, payload: bytes, lost: bool) -> None:
        """Show one segment that leaves `sender`; more than a packet's worth of bytes becomes several."""
        for start in range(0, len(payload) or 1, MSS):
            chunk = payload[start : start + MSS]
            last = start + MSS >= len(payload)
            shown = flags if last else flags.replace("P", "")
            frame = _tcp_frame(sender, shown, seq + start, ack, chunk)
            self._packet(sender.host, frame, "lost: never arrives" if lost else "")

    def link(self, host: Kernel, state: State) -> None:
        """Show that a host's link changed."""
        if state == "off":
            self._without_wlan.add(host)
        elif state == "up" and host in self._without_wlan:
            self._without_wlan.discard(host)
            self._packet(host, _gratuitous_arp(host), "associated with the access point again")

    def _packet(self, host: Kernel, frame: bytes, comment: str) -> None:
        interface = self._interface(host)
        stamp = round(self._now_s() * 1e9)
        head = struct.pack("<IIIII", interface, stamp >> 32, stamp & 0xFFFFFFFF, len(frame), len(frame))
        options = _options((_COMMENT, comment.encode())) if comment else b""
        self._block(_PACKET, head + _padded(frame) + options)

    def _interface(self, host: Kernel) -> int:
        number = self._interfaces.get(host)
        if number is None:
            number = self._interfaces[host] = len(self._interfaces)
            options = _options(
                (_IF_NAME, host.name.encode()),
                (_IF_DESCRIPTION, f"what leaves {host.name} ({host.address})".encode()),
                (_IF_TSRESOL, _NANOSECONDS),
            )
            self._block(_INTERFACE, struct.pack("<HHI", _ETHERNET, 0, 0) + options)
        return number

    def _block(self, kind: int, body: bytes) -> None:
        length = struct.pack("<I", len(body) + 12)
        self._out.write(struct.pack("<I", kind) + length + body + length)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def _options(*options: tuple[int, bytes]) -> bytes:
    encoded = b"".join(struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options)
    return encoded + b"\0\0\0\0"


def _address(host: Kernel) -> bytes:
    return bytes(int(part) for part in host.address.split("."))


def _mac(host: Kernel) -> bytes:
    return b"\x02\0" + _address(host)  # locally administered


def _tcp_frame(sender: End, flags: str, seq: int, ack: int, payload: bytes) -> bytes:
    receiver = sender.peer
    options = _SYN_OPTIONS if "S" in flags else b""
    segment = struct.pack(
        ">HHIIBBHHH",
        sender.port,
        receiver.port,
        _initial_seq(sender) + seq & 0xFFFFFFFF,
        (_initial_seq(receiver) + ack & 0xFFFFFFFF) if "A" in flags else 0,
        (20 + len(options)) // 4 << 4,
        sum(_FLAGS[flag] for flag in flags),
        0 if "R" in flags else _WINDOW,
        0,
        0,
    )
    segment += options + payload
    source, target = _address(sender.host), _address(receiver.host)
    pseudo_header = source + target + struct.pack(">BBH", 0, _TCP, len(segment))
    segment = segment[:16] + _checksum(pseudo_header + segment) + segment[18:]
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), 0, 0x4000, 64, _TCP, 0, source, target)
    header = header[:10] + _checksum(header) + header[12:]
    return _mac(receiver.host) + _mac(sender.host) + struct.pack(">H", _IPV4) + header + segment


def _initial_seq(end: End) -> int:
    """Return any number: it will do, as long as both ends of all connections differ."""
    return (end.connection.key * 2 + (end.side == "broker")) * 0x9E3779B1 & 0xFFFFFFFF


def _gratuitous_arp(host: Kernel) -> bytes:
    """Return what a station sends when its link comes up: its own address, asked of everybody (RFC 5227)."""
    mac, address = _mac(host), _address(host)
    request = struct.pack(">HHBBH6s4s6s4s", 1, _IPV4, 6, 4, 1, mac, address, b"\0" * 6, address)
    return _BROADCAST + mac + struct.pack(">H", _ARP) + request


def _checksum(data: bytes) -> bytes:
    """Return the Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return struct.pack(">H", ~total & 0xFFFF)
