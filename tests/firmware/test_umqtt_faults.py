"""Each fault of umqtt.simple: a bare umqtt client fails on it, the firmware does not.

Both run at the same time on the same misbehaviour: when the firmware is over it, the bare client is not.
"""

from __future__ import annotations

import asyncio
import os
import textwrap
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.wire import PacketKind

from .conftest import Rig

Program = Callable[[str], str]


def run(body: Coroutine[Any, Any, None]) -> None:
    asyncio.run(body)


def test_half_a_packet_does_not_block(rig: Rig, node_program: Program, bare_program: Program) -> None:
    async def go() -> None:
        async with rig:
            ours, _, _ = await rig.on_raw_broker(
                node_program("node.connect()\nwhile True:\n    node.check_messages()\n    time.sleep(0.05)"),
            )
            theirs, bare, _ = await rig.on_raw_broker(
                bare_program(
                    "client.connect()\nclient.publish(b'go', b'')\ntime.sleep(1)\n"
                    "client.check_msg()\nprint('checked')"
                ),
            )
            session = await ours.session()
            await theirs.until(lambda: theirs.sessions and theirs.sessions[0].of(PacketKind.PUBLISH))
            half = wire.publish("020000000001", b"{}" * 20, qos=1, packet_id=1)[:9]
            theirs.withhold = set(PacketKind)
            ours.withhold = {PacketKind.PINGREQ}  # no broker says anything in the middle of a packet
            for broker_session in (session, theirs.sessions[0]):
                broker_session.send(half)
            await ours.session(2)  # it gave the connection up and made a new one
            assert PacketKind.DISCONNECT not in session.kinds()  # the will has to come
            assert "checked" not in bare.lines

    run(go())


def test_withheld_puback(rig: Rig, node_program: Program, bare_program: Program) -> None:
    async def go() -> None:
        async with rig:
            ours, node, _ = await rig.on_raw_broker(
                node_program("""
                    node.connect()
                    node.start_keepalive_thread()
                    print("ready")
                    while node.get_task() is None:
                        time.sleep(0.05)
                    print("at once", node.send_result({"task_id": "a", "output": 1}))
                    while node.results_held():
                        time.sleep(0.05)
                    print("sent")
                """),
            )
            theirs, bare, _ = await rig.on_raw_broker(
                bare_program("client.connect()\nclient.publish(b't', b'x', qos=1)\nprint('published')"),
            )
            theirs.withhold = {PacketKind.PUBLISH}
            await node.line("ready")
            session = await ours.session()
            ours.withhold = {PacketKind.PUBLISH}
            session.publish("020000000001", {"id": "a"})
            await ours.until(lambda: session.published("results"))
            await node.line("at once False")  # bounded
            ours.withhold = set()
            await node.line("sent")
            results = [r for s in ours.sessions for r in s.published("results")]
            assert [r["task_id"] for r in results][-1] == "a"
            assert len(ours.sessions) > 1
            assert all(PacketKind.DISCONNECT not in s.kinds() for s in ours.sessions)
            assert theirs.sessions[0].of(PacketKind.PUBLISH)
            assert "published" not in bare.lines

    run(go())


def test_pings_keep_an_idle_node_alive(rig: Rig, bare_program: Program) -> None:
    async def go() -> None:
        async with rig:
            ours, _, _ = await rig.on_raw_broker()
            theirs, bare, _ = await rig.on_raw_broker(
                bare_program(
                    "client.connect()\nprint('up')\nwhile True:\n    client.check_msg()\n    time.sleep(0.1)"
                ),
            )
            await bare.line("up")
            session = await ours.session()

            def pings() -> int:
                return len(session.of(PacketKind.PINGREQ))

            await ours.until(pings)
            # The broker still waits for a word while it is half way through a packet.
            ours.withhold = {PacketKind.PINGREQ}
            for byte in wire.publish("020000000001", b"{}" * 120, qos=1, packet_id=1):
                session.send(bytes((byte,)))
                await asyncio.sleep(0.05)
                if pings() >= 4:  # 1.5 x keepalive has passed
                    break
            assert pings() >= 4
            assert not session.closed
            assert theirs.sessions[0].kinds() == [PacketKind.CONNECT]

    run(go())


def test_silent_broker_is_noticed(rig: Rig, bare_program: Program) -> None:
    async def go() -> None:
        async with rig:
            ours, _, _ = await rig.on_raw_broker()
            theirs, bare, _ = await rig.on_raw_broker(
                bare_program("""
                    client.connect()
                    while True:
                        client.ping()
                        client.check_msg()
                        print("fine")
                        time.sleep(0.2)
                """),
            )
            session = await ours.session()
            await bare.line("fine")
            ours.withhold = theirs.withhold = {PacketKind.PINGREQ, PacketKind.PUBLISH}
            await ours.until(lambda: len(ours.sessions) > 1)
            assert PacketKind.DISCONNECT not in session.kinds()
            before = len(bare.lines)
            await bare.line("fine", before + 3)  # its broker is as silent, and it has not noticed
            assert len(theirs.sessions) == 1

    run(go())


def test_results_for_tasks_that_arrive_together(rig: Rig, bare_program: Program) -> None:
    """A QoS 1 publish in the message callback reads the next message, and loses the PUBACK of the first."""

    async def go() -> None:
        async with rig:
            ours, _, name = await rig.on_raw_broker()
            theirs, bare, _ = await rig.on_raw_broker(
                bare_program("""
                    def work(topic, message):
                        client.publish(b"results", message, qos=1)
                        got.append(message)
                    client.set_callback(work)
                    client.connect()
                    client.subscribe(b"task", 1)
                    print("ready")
                    while len(got) < 2:
                        client.wait_msg()
                    print("both done")
                """),
            )
            await bare.line("ready")
            session = await ours.session()
            together = [wire.publish("task", b'{"id": "%d"}' % n, qos=1, packet_id=n) for n in (1, 2)]
            theirs.withhold = {PacketKind.PUBLISH}
            theirs.sessions[0].send(b"".join(together))
            for n in (1, 2):
                session.publish(name, {"id": str(n), "function": "add", "args": [n]}, n)
            await theirs.until(lambda: len(theirs.sessions[0].of(PacketKind.PUBLISH)) == 2)
            for packet in theirs.sessions[0].of(PacketKind.PUBLISH):
                theirs.sessions[0].send(
                    wire.acknowledgement(PacketKind.PUBACK, wire.read_publish(packet).packet_id)
                )
            await ours.until(lambda: len(session.published("results")) == 2)
            assert [r["result"]["output"] for r in session.published("results")] == [1, 2]
            assert "both done" not in bare.lines

    run(go())


def test_packet_id_wraps(rig: Rig, node_program: Program, bare_program: Program) -> None:
    async def go() -> None:
        async with rig:
            ours, node, _ = await rig.on_raw_broker(
                node_program("""
                    node.connect()
                    node._link._client.pid = 65534
                    print([node.send_result({"task_id": n}) for n in (1, 2, 3)])
                """),
            )
            theirs, bare, _ = await rig.on_raw_broker(
                bare_program("""
                    client.connect()
                    client.pid = 65535
                    client.publish(b"t", b"x", qos=1)
                    print("published")
                """),
            )
            await node.line("[True, True, True]")
            sent = [wire.read_publish(p) for p in ours.sessions[0].of(PacketKind.PUBLISH)]
            assert [p.packet_id for p in sent if p.topic == "results"] == [65535, 1, 2]
            await theirs.until(lambda: theirs.sessions and theirs.sessions[0].of(PacketKind.PUBLISH))
            assert wire.read_publish(theirs.sessions[0].of(PacketKind.PUBLISH)[0]).packet_id == 0  # forbidden
            assert "published" not in bare.lines

    run(go())


def test_text_that_is_not_ascii(rig: Rig, node_program: Program, bare_program: Program) -> None:
    async def go() -> None:
        async with rig:
            ours, node, _ = await rig.on_raw_broker(
                node_program('node.connect()\nprint([node.send_result("Привет, мир") for _ in range(2)])'),
                settings={"NODE_TYPE": "плата", "MQTT_USER": "Юрий", "MQTT_PASSWORD": "пароль"},
            )
            theirs, _, _ = await rig.on_raw_broker(
                bare_program(
                    "client.connect()\nfor _ in range(2):\n"
                    "    client.publish('t', 'Привет, мир')\ntime.sleep(9)"
                ),
            )
            await node.line("[True, True]")
            session = ours.sessions[0]
            assert [r["result"] for r in session.published("results")] == ["Привет, мир"] * 2
            assert session.published("initialisation")[0]["device_type"] == "плата"
            assert session.of(PacketKind.CONNECT)[0].body.endswith(wire.text("Юрий") + wire.text("пароль"))
            await theirs.until(lambda: any(s.malformed or len(s.packets) > 1 for s in theirs.sessions))
            bare = theirs.sessions[0]
            sent = [wire.read_publish(packet).payload for packet in bare.of(PacketKind.PUBLISH)[:1]]
            assert bare.malformed or sent != ["Привет, мир".encode()]

    run(go())


def test_a_client_id_and_a_will_that_are_not_ascii(rig: Rig, bare_program: Program) -> None:
    """Counted in characters and sent in bytes, they make a CONNECT that no broker takes."""
    programs = {
        "ours": "from mqtt_client import MqttClient as MQTTClient\nextra = (None, None, 20, None)",
        "bare": "extra = ()",
    }
    rest = """
        client = MQTTClient("узел", config.MQTT_HOST, config.MQTT_PORT, *extra)
        client.idle = time.sleep_ms
        client.set_last_will("узел/status", "мёртв", True, 1)
        client.connect()
    """

    async def go() -> None:
        async with rig:
            brokers = {name: await rig.raw_broker() for name in programs}
            for name, program in programs.items():
                rig.start(brokers[name].port, bare_program(program) + node_text(rest))
            ours, bare = brokers["ours"], brokers["bare"]
            await ours.until(lambda: ours.sessions and ours.sessions[0].of(PacketKind.CONNECT))
            parts = ("узел", "узел/status", "мёртв")
            (connect,) = ours.sessions[0].of(PacketKind.CONNECT)
            assert connect.body.endswith(b"".join(wire.text(part) for part in parts))
            await bare.until(lambda: any(s.malformed or s.packets for s in bare.sessions))
            said = bare.sessions[0].of(PacketKind.CONNECT)
            assert bare.sessions[0].malformed or not said[0].body.endswith(wire.text(parts[-1]))

    run(go())


def test_the_firmware_leans_on_no_more_of_umqtt_than_every_release_has(rig: Rig) -> None:
    """Its constructor and setters: all else may block, whatever its release."""

    async def go() -> None:
        async with rig:
            rig.emulator = replace(rig.emulator, umqtt=Path(__file__).parent / "newer_umqtt")
            broker, _, name = await rig.on_raw_broker()
            session = await broker.session()
            session.publish(name, {"id": "a", "function": "add", "args": [1, 2]})
            await broker.until(lambda: session.published("results"))
            session.drop()
            await broker.session(2)

    run(go())


def test_a_broker_that_accepts_and_says_nothing(
    rig: Rig, node_program: Program, bare_program: Program
) -> None:
    async def go() -> None:
        async with rig:
            ours, theirs = await rig.raw_broker(), await rig.raw_broker()
            ours.withhold = theirs.withhold = {PacketKind.CONNECT}
            _, node, _ = rig.start(ours.port, node_program('print("connected", node.connect(1))'))
            _, bare, _ = rig.start(theirs.port, bare_program("client.connect()\nprint('connected')"))
            await node.line("connected False")
            assert "connected" not in bare.lines
            await theirs.until(lambda: theirs.sessions and theirs.sessions[0].of(PacketKind.CONNECT))

    run(go())


def test_failed_connections_leave_no_socket_open(
    rig: Rig, node_program: Program, bare_program: Program
) -> None:
    async def go() -> None:
        async with rig:
            ours, theirs = await rig.raw_broker(), await rig.raw_broker()
            ours.withhold = theirs.withhold = {PacketKind.CONNECT}
            # Every connection ends while CONNACK is awaited.
            hanging_up = [asyncio.create_task(_hang_up(broker)) for broker in (ours, theirs)]
            process, node, _ = rig.start(
                ours.port,
                node_program("""
                    import gc
                    gc.disable()
                    for _ in range(8):
                        node._link.open()
                    print("tried")
                    time.sleep(60)
                """),
            )
            bare_process, bare, _ = rig.start(
                theirs.port,
                bare_program("""
                    import gc
                    gc.disable()  # it would close them, as a chip's does, some time
                    for _ in range(8):
                        try:
                            client.connect()
                        except Exception:
                            pass
                    print("tried")
                    time.sleep(60)
                """),
            )
            await node.line("tried")
            await bare.line("tried")
            assert process.pid is not None
            assert bare_process.pid is not None
            assert sockets(process.pid) <= sockets(bare_process.pid) - 7  # of the ten that a chip has
            for task in hanging_up:
                task.cancel()

    run(go())


async def _hang_up(broker: Any) -> None:
    while True:
        await broker.until(lambda: any(not s.closed and s.packets for s in broker.sessions), 60)
        for session in broker.sessions:
            if session.packets:
                session.drop()
        await asyncio.sleep(0)


def sockets(pid: int) -> int:
    folder = f"/proc/{pid}/fd"
    return sum(os.readlink(f"{folder}/{name}").startswith("socket:") for name in os.listdir(folder))


def test_threads_that_send_at_the_same_time(rig: Rig, node_program: Program, bare_program: Program) -> None:
    async def go() -> None:
        async with rig:
            threads = """
                import _thread
                done = []
                def talk(name):
                    for n in range(count):
                        send(name + "-%d-" % n + "x" * 300)
                    done.append(name)
                for name in ("a", "b", "c"):
                    _thread.start_new_thread(talk, (name,))
                while len(done) < 3:
                    time.sleep(0.05)
                print("all sent")
                time.sleep(60)
            """
            ours, node, _ = await rig.on_raw_broker(
                node_program(
                    "node.connect()\nnode.start_keepalive_thread()\nsend = node.send_result\ncount = 60"
                )
                + node_text(threads),
            )
            theirs, _, _ = await rig.on_raw_broker(
                bare_program(  # it goes on until two threads met: on a busy machine not within 60 packets
                    "client.connect()\nsend = lambda text: client.publish(b'results', text)\ncount = 20_000"
                )
                + node_text(threads),
            )
            await node.line("all sent")
            results = [r["result"] for r in ours.sessions[0].published("results")]
            assert len(results) == len(set(results)) == 180
            assert len(ours.sessions) == 1
            await theirs.until(lambda: any(session.malformed for session in theirs.sessions))

    run(go())


def node_text(text: str) -> str:
    return "\n" + textwrap.dedent(text)
