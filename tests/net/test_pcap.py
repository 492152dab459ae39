"""The capture of a virtual run, as tshark reads it: sound, dissected as MQTT, each fault recognisable."""

from __future__ import annotations

import io
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.net.pcap import PcapWriter
from dcompute_sim.net.send_window import MSS

from .conftest import World

CHECKSUMS = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
ANALYSIS = [
    "retransmission",
    "out_of_order",
    "lost_segment",
    "ack_lost_segment",
    "duplicate_ack",
    "window_full",
    "zero_window",
]
FIELDS = [
    "frame.time_epoch",
    "frame.interface_name",
    "frame.comment",
    "ip.src",
    "ip.dst",
    "ip.checksum.status",
    "arp.isannouncement",
    "arp.src.proto_ipv4",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.flags.str",
    "tcp.seq",
    "tcp.ack",
    "tcp.len",
    "tcp.checksum.status",
    "tcp.completeness",
    "tcp.analysis.rto",
    "mqtt.msgtype",
    "mqtt.len",
    "_ws.malformed",
    "_ws.expert.severity",
] + ["tcp.analysis." + name for name in ANALYSIS]
ERROR = 0x800000  # the severity tshark gives to what is wrong, above warnings and notes

Packet = dict[str, str]


class Capture:
    """A world whose segments are written to a file, and questions about that file."""

    def __init__(self, world: World, path: Path) -> None:
        self.world = world
        self.path = path
        self._out = path.open("wb")
        world.network.tap = PcapWriter(self._out, world.network.clock.now_s)
        self._answer_mqtt()

    def _answer_mqtt(self) -> None:
        accepted = self.world.broker.listeners[1883].on_accept

        def accept(stream: Any) -> None:
            accepted(stream)
            received = stream.on_data

            def data(data: bytes) -> None:
                received(data)
                if data[0] == 0x10:
                    stream.write(b"\x20\x02\x00\x00")
                elif data[0] == 0xC0:
                    stream.write(b"\xd0\x00")

            stream.on_data = data

        self.world.broker.listeners[1883].on_accept = accept

    def read(self) -> list[Packet]:
        """What tshark says of each packet; none may be unsound."""
        self._out.flush()
        command = ["tshark", "-r", str(self.path), *CHECKSUMS, "-T", "fields"]
        for field in FIELDS:
            command += ["-e", field]
        shown = subprocess.run(command, check=True, capture_output=True, text=True)
        assert "damaged" not in shown.stderr
        packets = [dict(zip(FIELDS, line.split("\t"), strict=True)) for line in shown.stdout.splitlines()]
        for packet in packets:
            assert not packet["_ws.malformed"]
            assert packet["tcp.checksum.status"] in ("1", "")
            assert packet["ip.checksum.status"] in ("1", "")
            assert all(int(s) < ERROR for s in packet["_ws.expert.severity"].split(",") if s)
        return packets

    def close(self) -> None:
        self._out.close()


@pytest.fixture
def capture(world: World, tmp_path: Path) -> Iterator[Capture]:
    it = Capture(world, tmp_path / "run.pcapng")
    yield it
    it.close()


def remarks(packets: list[Packet]) -> set[str]:
    """What tshark's TCP analysis finds remarkable."""
    return {name for name in ANALYSIS for packet in packets if packet["tcp.analysis." + name]}


def retransmissions(packets: list[Packet]) -> list[Packet]:
    return [packet for packet in packets if packet["tcp.analysis.retransmission"]]


def with_flag(packets: list[Packet], flag: str) -> list[Packet]:
    return [packet for packet in packets if flag in packet["tcp.flags.str"]]


def messages(packets: list[Packet]) -> list[Packet]:
    return [packet for packet in packets if packet["mqtt.msgtype"]]


def _string(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()


def _packet(kind: int, body: bytes) -> bytes:
    size, length = len(body), b""
    while True:
        length += bytes([size % 128 | (0x80 if size > 127 else 0)])
        size //= 128
        if not size:
            return bytes([kind]) + length + body


CONNECT = _packet(0x10, _string("MQTT") + bytes([4, 2, 0, 60]) + _string("node"))
PING = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"


def _publish(payload: bytes) -> bytes:
    return _packet(0x30, _string("results") + payload)


def _begin(world: World) -> Any:
    socket = world.connect()

    def read() -> None:
        if socket.unread_bytes:
            socket.recv(4096)

    socket.on_readable = read
    socket.send(CONNECT)
    world.run(1)
    return socket


def test_a_normal_session_is_dissected_without_a_remark(capture: Capture, world: World) -> None:
    socket = _begin(world)
    socket.send(_publish(b'{"result": 1}'))
    world.run(1)
    socket.send(PING)
    world.run(1)
    socket.send(DISCONNECT)
    socket.close()
    world.run(1)
    packets = capture.read()
    assert [packet["mqtt.msgtype"] for packet in messages(packets)] == ["1", "2", "3", "12", "13", "14"]
    assert remarks(packets) == set()
    handshake = [(p["tcp.flags.str"].strip("·"), p["tcp.seq"], p["tcp.ack"]) for p in packets[:3]]
    assert handshake == [("S", "0", "0"), ("A··S", "0", "1"), ("A", "1", "1")]
    assert packets[-1]["tcp.completeness"] == "31"  # from SYN to FIN
    connect, connack = messages(packets)[:2]
    assert (connect["ip.src"], connect["ip.dst"], connect["frame.interface_name"]) == (
        "10.0.0.2",
        "10.0.0.1",
        "node",
    )
    assert (connack["ip.src"], connack["frame.interface_name"]) == ("10.0.0.1", "broker")


def test_times_are_virtual_to_the_nanosecond(capture: Capture, world: World) -> None:
    world.run(1234.5)
    socket = world.connect()
    world.run(1.25)
    socket.send(CONNECT)
    world.run(1)
    assert messages(capture.read())[0]["frame.time_epoch"] == "1235.850000000"


def test_large_payloads_are_cut_to_segments_and_put_together_again(capture: Capture, world: World) -> None:
    socket = _begin(world)
    socket.send(_publish(bytes(20_000)))
    world.run(1)
    packets = capture.read()
    assert all(int(packet["tcp.len"]) <= MSS for packet in packets)
    assert [packet["mqtt.len"] for packet in messages(packets) if packet["mqtt.msgtype"] == "3"] == ["20009"]
    assert remarks(packets) == set()


def test_reset(capture: Capture, world: World) -> None:
    _begin(world)
    world.node.reset_connections()
    world.run(1)
    packets = capture.read()
    assert {packet["ip.src"] for packet in with_flag(packets, "R")} == {"10.0.0.1", "10.0.0.2"}
    assert not with_flag(packets, "F")
    assert remarks(packets) == set()


def test_fin_after_a_crash(capture: Capture, world: World) -> None:
    _begin(world)
    world.node.crash()
    world.run(1)
    packets = capture.read()
    assert [packet["ip.src"] for packet in with_flag(packets, "F")] == ["10.0.0.2", "10.0.0.1"]
    assert not with_flag(packets, "R")
    assert "14" not in [packet["mqtt.msgtype"] for packet in packets]
    assert remarks(packets) == set()


def test_a_dead_link_shows_the_node_retransmitting_in_vain_until_it_heals(
    capture: Capture, world: World
) -> None:
    socket = _begin(world)
    world.node.link.down()
    socket.send(_publish(b"held"))
    world.run(2)
    world.node.link.up()
    world.run(5)
    packets = capture.read()
    again = retransmissions(packets)
    assert {packet["ip.src"] for packet in again} == {"10.0.0.2"}
    assert [packet["frame.comment"] for packet in again] == ["lost: never arrives"] * 4 + [""]
    assert [float(p["tcp.analysis.rto"]) for p in again] == pytest.approx([0.22, 0.44, 0.88, 1.76, 3.52])
    assert remarks(packets) == {"retransmission"}
    assert not any(packet["arp.isannouncement"] for packet in packets)


def test_a_wifi_drop_shows_a_node_that_transmits_nothing_and_then_announces_itself(
    capture: Capture, world: World
) -> None:
    socket = _begin(world)
    began = world.env.now
    world.node.link.drop()
    socket.send(_publish(b"held"))
    world.streams[0].write(_publish(b"to the node"))
    world.run(2)
    healed = world.env.now
    world.node.link.up()
    world.run(5)
    packets = capture.read()
    while_down = [packet for packet in packets if began <= float(packet["frame.time_epoch"]) < healed]
    assert {packet["frame.interface_name"] for packet in while_down} == {"broker"}
    [announced] = [packet for packet in packets if packet["arp.isannouncement"]]
    assert float(announced["frame.time_epoch"]) == pytest.approx(healed)
    assert announced["arp.src.proto_ipv4"] == "10.0.0.2"
    assert {packet["ip.src"] for packet in retransmissions(packets)} == {"10.0.0.1"}
    assert [p["ip.src"] for p in messages(packets) if p["mqtt.msgtype"] == "3"].count("10.0.0.2") == 1


def test_a_power_cut_shows_the_broker_alone_and_rst_after_the_reboot(capture: Capture, world: World) -> None:
    _begin(world)
    cut = world.env.now
    world.node.power_cut()
    world.streams[0].write(_publish(b"anybody?"))
    world.run(3)
    world.node.power_on()
    world.run(5)
    packets = capture.read()
    after = [p for p in packets if float(p["frame.time_epoch"]) >= cut and p["ip.src"] == "10.0.0.2"]
    assert after == with_flag(packets, "R")
    assert [packet["tcp.seq"] for packet in after] == [str(1 + len(CONNECT))]  # as the broker expects
    assert remarks(packets) == {"retransmission"}


def test_refused_and_swallowed_attempts(capture: Capture, world: World) -> None:
    world.node.connect("broker", 9)
    world.run(1)
    world.node.link.down()
    world.node.connect("broker", 1883)
    world.run(4)
    packets = capture.read()
    [refusal] = with_flag(packets, "R")
    assert (refusal["tcp.srcport"], refusal["tcp.seq"], refusal["tcp.ack"]) == ("9", "1", "1")
    swallowed = [packet for packet in with_flag(packets, "S") if packet["tcp.dstport"] == "1883"]
    assert len(swallowed) == 3  # at once, after 1 s and after 3 s
    assert remarks(packets) == {"retransmission"}


def test_a_rough_link_is_sound_on_the_wire(capture: Capture, world: World) -> None:
    socket = _begin(world)
    world.node.slow(0.01, 0.02, loss=0.2)
    for number in range(60):
        socket.send(_publish(bytes([number]) * 50))
        world.run(0.7)
    world.run(30)
    world.node.slow(0.01)
    socket.close()
    world.run(5)
    packets = capture.read()
    arrived = [packet for packet in messages(packets) if packet["frame.comment"] == ""]
    # About 48 of 60 are not lost at first (standard deviation 3); the others are shown as repeated.
    assert sum(packet["mqtt.msgtype"].split(",").count("3") for packet in arrived) >= 38
    assert "retransmission" in remarks(packets)
    assert remarks(packets) <= {"retransmission", "out_of_order", "duplicate_ack"}


def test_the_same_run_gives_the_same_bytes(make_world: Callable[..., World]) -> None:
    def captured() -> bytes:
        world = make_world(jitter_s=0.01)
        out = io.BytesIO()
        world.network.tap = PcapWriter(out, world.network.clock.now_s)
        world.connect().send(b"x")
        world.run(1)
        return out.getvalue()

    assert captured() == captured()
