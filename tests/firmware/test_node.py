"""How a node behaves on the wire: order at connection, recovery, held results, threads, hostile input."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import threading
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.client import Client
from dcompute_sim.brokers.conformance.wire import PacketKind
from dcompute_sim.fwbuild.firmware_files import product

from .conftest import Rig

Program = Callable[[str], str]
WITHIN_S = 20.0


async def master(port: int, name: str = "master") -> Client:
    """A client that sees everything."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = Client(name, reader, writer)
    await client.log_in(wire.connect(name))
    await client.subscribe("#")
    return client


def said(client: Client, topic: str) -> list[dict[str, Any]]:
    return [json.loads(message.payload) for message in client.on(topic) if message.payload]


def statuses(client: Client, node: str) -> list[str]:
    return [message["status"] for message in said(client, f"{node}/status")]


async def until(client: Client, condition: Callable[[], Any], what: str) -> None:
    await client.until(lambda: condition() or None, what, WITHIN_S)


def test_order_at_connection(rig: Rig) -> None:
    async def go() -> None:
        async with rig:
            broker = await rig.raw_broker()
            broker.withhold = {PacketKind.SUBSCRIBE}
            _, _, name = rig.start(broker.port, settings={"MQTT_KEEPALIVE": 20})
            await broker.until(lambda: broker.sessions and broker.sessions[0].of(PacketKind.SUBSCRIBE))
            session = broker.sessions[0]
            await asyncio.sleep(0.3)  # time to do it wrong
            assert session.kinds() == [PacketKind.CONNECT, PacketKind.SUBSCRIBE]
            broker.withhold = set()
            packet_id = session.of(PacketKind.SUBSCRIBE)[0].body[:2]
            session.send(wire.encode(PacketKind.SUBACK, packet_id + b"\1"))
            await broker.session()
            assert session.kinds()[:3] == [PacketKind.CONNECT, PacketKind.SUBSCRIBE, PacketKind.SUBSCRIBE]
            topics = [packet.body[4:-1].decode() for packet in session.of(PacketKind.SUBSCRIBE)]
            assert topics == [name, f"{name}/status"]
            published = [wire.read_publish(packet) for packet in session.of(PacketKind.PUBLISH)]
            assert [(p.topic, p.qos, p.retain) for p in published] == [
                ("initialisation", 1, False),
                (f"{name}/status", 1, True),
            ]
            body = session.of(PacketKind.CONNECT)[0].body
            inc = json.loads(published[0].payload)["inc"]
            will = {"node_id": name, "status": "dead", "inc": inc}
            start = body.index(b"{")
            assert json.loads(body[start : body.rindex(b"}") + 1]) == will
            assert body[7] == 0x2E  # clean session, will at QoS 1, retained

    asyncio.run(go())


LOOPS = ("with thread", "with thread and check_messages", "check_messages", "get_task")


def test_every_kind_of_loop_gets_tasks_and_comes_back(rig: Rig, node_program: Program) -> None:
    async def check(loop: str) -> None:
        broker = await rig.raw_broker()
        thread = "node.start_keepalive_thread()" if "thread" in loop else ""
        check = "node.check_messages()" if "check_messages" in loop else ""
        _, _, name = rig.start(
            broker.port,
            node_program(f"""
                node.connect()
                {thread}
                while True:
                    {check}
                    task = node.get_task()
                    if task:
                        node.send_result({{"task_id": task["id"], "output": task["n"] + 1}})
                    time.sleep(0.05)
            """),
        )
        for number in (1, 2):
            session = await broker.session(number)
            session.publish(name, {"id": f"t{number}", "n": number})
            await broker.until(lambda session=session: session.published("results"))
            assert session.published("results")[0]["result"]["output"] == number + 1, loop
            session.drop()
        await broker.session(3)

    async def go() -> None:
        async with rig:
            await asyncio.gather(*map(check, LOOPS))

    asyncio.run(go())


def test_results_wait_for_the_link_in_order_and_within_bounds(rig: Rig, node_program: Program) -> None:
    async def go() -> None:
        async with rig:
            broker, node, _ = await rig.on_raw_broker(
                node_program("""
                    node.connect()
                    node.start_keepalive_thread()
                    print("up")
                    while node.is_connected():
                        time.sleep(0.05)
                    print([node.send_result({"task_id": str(n)}) for n in range(6)])
                    print("held", node.results_held(), "dropped", node.results_dropped())
                    print(node.publish_status("thinking"))
                """),
                settings={"HOLD_LIMIT": 4},
            )
            await node.line("up")
            await broker.stop()
            await node.line("[False, False, False, False, False, False]")
            await node.line("held 4 dropped 2")
            await node.line("False")
            await broker.start()
            await broker.until(lambda: len(broker.sessions[-1].published("results")) == 4)
            last = broker.sessions[-1]
            assert [r["task_id"] for r in last.published("results")] == ["2", "3", "4", "5"]
            assert all(r["timestamp"] >= 946684800 for r in last.published("results"))  # unset clock: 2000
            topics = [wire.read_publish(p).topic.split("/")[-1] for p in last.of(PacketKind.PUBLISH)]
            assert topics[:2] == ["initialisation", "status"]  # before any result
            await broker.until(lambda: any(s.published("020000000001/status")[-1:] for s in broker.sessions))
            assert last.published("020000000001/status")[-1]["status"] == "thinking"

    asyncio.run(go())


def test_flapping_link(rig: Rig) -> None:
    """Resets at every stage of a connection; the node is back each time, and leaks no socket."""

    async def go() -> None:
        async with rig:
            broker = await rig.mosquitto()
            proxy = await rig.proxy(broker.port)
            seen = await master(broker.port)
            _, heard, name = rig.start(proxy.port)

            def more_than(count: int) -> bool:
                return len(said(seen, "initialisation")) > count

            for delay_s in (0.0, 0.05, 0.2):
                count = len(said(seen, "initialisation"))
                await until(seen, partial(more_than, count), "initialisation")
                await asyncio.sleep(delay_s)
                proxy.reset()
            incs = [message["inc"] for message in said(seen, "initialisation")]
            await until(seen, lambda: len(said(seen, "initialisation")) > len(incs), "a last initialisation")
            await seen.publish(name, b'{"id": "after", "function": "add", "args": [1, 2]}', qos=1)
            await until(seen, lambda: said(seen, "results"), "the result")
            assert said(seen, "results")[0]["result"] == {"task_id": "after", "output": 3}
            assert len(set(incs)) == len(incs)
            assert not heard.all("crash")
            await seen.fin()

    asyncio.run(go())


def test_broker_restart_takeover_and_stale_dead(rig: Rig) -> None:
    async def go() -> None:
        async with rig:
            broker = await rig.mosquitto()
            _, _, name = rig.start(broker.port)
            seen = await master(broker.port)
            await until(seen, lambda: "ready" in statuses(seen, name), "ready")

            stale = json.dumps({"node_id": name, "status": "dead", "inc": "an older one"}).encode()
            await seen.publish(f"{name}/status", stale, qos=1, retain=True)
            await until(seen, lambda: statuses(seen, name)[-1] == "ready", "the repaired status")

            thief = await master(broker.port, name)  # another client with the node's id
            await thief.closed_by_broker()  # the node took it back
            await until(seen, lambda: len(said(seen, "initialisation")) >= 2, "initialisation")
            await until(seen, lambda: statuses(seen, name)[-1] == "ready", "ready again")
            await seen.fin()

            await broker.restart(keep_memory=False)
            seen = await master(broker.port, "master2")
            await until(seen, lambda: "ready" in statuses(seen, name), "ready after the restart")
            await seen.publish(name, b'{"id": "x", "function": "primes", "args": [100]}', qos=1)
            await until(seen, lambda: said(seen, "results"), "the result")
            assert said(seen, "results")[0]["result"]["output"] == 25
            await seen.fin()

    asyncio.run(go())


def test_the_example_runs_verbatim(rig: Rig, example: str) -> None:
    """It never calls check_messages and never reconnects; its link is cut under it, and it goes on."""

    async def go() -> None:
        async with rig:
            broker = await rig.mosquitto()
            proxy = await rig.proxy(broker.port)
            seen = await master(broker.port)
            board, heard, name = rig.start(proxy.port, example)
            await until(seen, lambda: "ready" in statuses(seen, name), "ready")
            await seen.publish(name, b'{"id": "one"}', qos=1)
            await until(seen, lambda: said(seen, "results"), "the first result")
            board.radio(ap=False)
            proxy.down()
            proxy.forget()  # so the old connection is of no use when the network is back
            proxy.reset()
            board.radio(ap=True)
            proxy.up()
            await until(seen, lambda: len(said(seen, "initialisation")) >= 2, "the second initialisation")
            await seen.publish(name, b'{"id": "two"}', qos=1)
            await until(seen, lambda: said(seen, "results")[-1]["task_id"] == "two", "the second result")
            repeated = [r["task_id"] for r in said(seen, "results")]  # "one" if its PUBACK was lost
            assert list(dict.fromkeys(repeated)) == ["one", "two"]
            assert any(line.startswith("Executing: {") for line in heard.lines)
            await seen.fin()

    asyncio.run(go())


def test_hostile_bytes_do_not_end_the_connection(rig: Rig) -> None:
    async def go() -> None:
        async with rig:
            broker, node, name = await rig.on_raw_broker()
            session = await broker.session()
            payloads = [
                b"",
                b"\xff\0\xff",
                b"[1]",
                b'{"priority": "7"}',
                b'{"a": ' + b"[" * 200,
                b"{" * 100,
                b"x" * 100_000,
            ]
            for number, payload in enumerate(payloads, 1):
                session.send(wire.publish(name, payload, qos=1, packet_id=number))
                session.send(wire.publish(f"{name}/status", payload, qos=1, packet_id=100 + number))
            session.publish(name, {"id": "good", "function": "echo"}, 99)
            await broker.until(lambda: session.published("results"))
            acknowledged = {wire.read_packet_id(packet) for packet in session.of(PacketKind.PUBACK)}
            assert acknowledged >= {*range(1, 8), *range(101, 108), 99}
            assert session.published("results")[0]["task_id"] == "good"
            await node.line("a message of 100000 bytes was not taken")
            assert len(broker.sessions) == 1

    asyncio.run(go())


GARBAGE = (
    b"\0\0\0\0",
    b"\x30\xff\xff\xff\xff\xff",
    b"\x30\x02\xff\xff",
    b"\xf0\0",
    b"\x34\x05\0\1tab",
    b"HTTP/1.1",
)


def test_what_is_no_mqtt_ends_the_connection_and_not_the_node(rig: Rig) -> None:
    async def check(garbage: bytes) -> None:
        broker, node, name = await rig.on_raw_broker()
        session = await broker.session()
        session.send(garbage)
        await broker.until(lambda: session.closed)
        session = await broker.session(2)
        session.publish(name, {"id": "good"})
        await broker.until(lambda: session.published("results"))
        assert not node.all("crash"), garbage

    async def go() -> None:
        async with rig:
            await asyncio.gather(*map(check, GARBAGE))

    asyncio.run(go())


def test_while_another_thread_is_in_a_long_send_the_keepalive_thread_does_not_spin(
    rig: Rig, node_program: Program
) -> None:
    """What arrives meanwhile ends each of its waits at once, and it may not read it."""

    async def go() -> None:
        async with rig:
            broker, node, name = await rig.on_raw_broker(
                node_program("""
                    node.connect()
                    link = node._link
                    client = link._client
                    looks = 0

                    def counted(ms, wait=client.wait):
                        global looks
                        looks += 1
                        wait(ms)

                    client.wait = counted
                    node.start_keepalive_thread()
                    with link._round:  # as whoever sends holds it
                        print("sending")
                        while not client._poller.poll(0):
                            time.sleep_ms(10)
                        looks = 0
                        time.sleep(1)
                        print("looks", looks)
                    while node.get_task() is None:
                        time.sleep_ms(20)
                    print("taken")
                """),
            )
            await node.line("sending")
            (await broker.session()).publish(name, {"id": "a"})
            looks = int((await node.line("looks")).split()[1])
            assert 2 <= looks <= 60  # every 20 ms
            await node.line("taken")

    asyncio.run(go())


def test_a_dead_keepalive_thread_is_replaced(rig: Rig, node_program: Program) -> None:
    """Whatever ends it; and `start_keepalive_thread` never makes a second one."""

    async def go() -> None:
        async with rig:
            broker, node, name = await rig.on_raw_broker(
                node_program("""
                    loops = kills = 0
                    inside = node._link.wait
                    def wait(ms):
                        global kills
                        if kills:
                            kills -= 1
                            raise SystemExit  # what `except Exception` lets pass
                        inside(ms)
                    node._link.wait = wait
                    begin = node._loop
                    def counted():
                        global loops
                        loops += 1
                        print("loops", loops)
                        begin()
                    node._loop = counted
                    node.connect()
                    for _ in range(5):
                        node.start_keepalive_thread()
                    while True:
                        task = node.get_task()
                        if task:
                            kills = task.get("kills", 0)
                            node.send_result({"task_id": task["id"], "loops": loops})
                        time.sleep(0.02)
                """),
            )
            session = await broker.session()
            await node.line("loops 1")
            session.publish(name, {"id": "a", "kills": 2}, 1)
            await node.line("loops 3")
            session.publish(name, {"id": "b"}, 2)
            await broker.until(lambda: len(session.published("results")) == 2)
            assert [r["result"]["loops"] for r in session.published("results")] == [1, 3]
            assert not session.closed
            assert not node.all("crash")

    asyncio.run(go())


def test_a_graceful_stop_says_offline_and_disconnects(rig: Rig, node_program: Program) -> None:
    async def go() -> None:
        async with rig:
            broker = await rig.raw_broker()
            rig.start(broker.port, node_program("node.connect()\nnode.start_keepalive_thread()\nnode.stop()"))
            await broker.until(lambda: broker.sessions and broker.sessions[0].closed)
            session = broker.sessions[0]
            assert session.kinds()[-1] is PacketKind.DISCONNECT
            assert session.published("020000000001/status")[-1]["status"] == "offline"

    asyncio.run(go())


def test_what_the_constructor_was_given_can_be_read(rig: Rig, node_program: Program) -> None:
    async def go() -> None:
        async with rig:
            _, heard, _ = await rig.on_raw_broker(
                node_program("""
                    assert node.broker_host == config.MQTT_HOST, node.broker_host
                    assert node.broker_port == config.MQTT_PORT, node.broker_port
                    given = ComputeNode("elsewhere", 1884, 33)
                    print("given", given.broker_host, given.broker_port, given.broker_keepalive)
                """),
                settings={"MQTT_KEEPALIVE": 20},
            )
            await heard.line("given elsewhere 1884 33")

    asyncio.run(go())


def test_after_handle_disconnect_the_will_speaks_and_the_node_comes_back(
    rig: Rig, node_program: Program
) -> None:
    async def check(comes_back: str) -> None:
        broker, heard, name = await rig.on_raw_broker(
            node_program(f"""
                node.connect()
                node.handle_disconnect()
                node.handle_disconnect()
                print("connected:", node.is_connected())
                {comes_back}
                while not node.is_connected():
                    node.check_messages()
                    time.sleep(0.02)
                node.send_result({{"task_id": "after"}})
            """),
        )
        first = await broker.session(1)
        await heard.line("connected: False")
        second = await broker.session(2)
        await broker.until(lambda: second.published("results"))
        assert PacketKind.DISCONNECT not in first.kinds(), "a DISCONNECT would take the will back"
        assert first.published(f"{name}/status")[0]["inc"] != second.published(f"{name}/status")[0]["inc"]

    async def go() -> None:
        async with rig:
            await asyncio.gather(check("print(node.connect())"), check("node.start_keepalive_thread()"))

    asyncio.run(go())


def test_a_retained_task_is_never_obeyed(rig: Rig) -> None:
    async def go() -> None:
        async with rig:
            broker, _, name = await rig.on_raw_broker(settings={"MQTT_KEEPALIVE": 20})
            session = await broker.session(1)
            for number, retain in ((1, True), (2, False)):
                task = {"id": f"t{number}", "function": "add", "args": [number, 1]}
                payload = json.dumps(task).encode()
                session.send(wire.publish(name, payload, qos=1, retain=retain, packet_id=number))
            await broker.until(lambda: session.published("results"))
            assert [result["result"]["output"] for result in session.published("results")] == [3]
            assert len(session.of(PacketKind.PUBACK)) == 2

    asyncio.run(go())


@pytest.mark.parametrize("end_to_end", [False, True], ids=["to a master", "end to end"])
def test_a_result_over_which_the_broker_closes_is_answered_by_an_error_and_the_next_goes_on(
    rig: Rig, node_program: Program, end_to_end: bool
) -> None:
    topic = "results/asker" if end_to_end else "results"

    async def go() -> None:
        async with rig:
            broker = await rig.raw_broker()
            broker.largest = 3000
            _, heard, name = rig.start(
                broker.port,
                node_program("""
                    node.connect()
                    while True:
                        task = node.get_task()
                        if task:
                            node.send_result({"task_id": task["id"], "output": "x" * task["chars"]})
                        time.sleep(0.01)
                """),
            )
            first = await broker.session()
            boot = first.published(f"{name}/status")[0]["inc"].partition(".")[0]

            def asked(n: int) -> dict[str, Any]:
                return {"from": "asker", "boot": boot, "n": n, "open": [1, 2]} if end_to_end else {}

            big = {"id": "big", "chars": 5000, "attempt": 1} | asked(1)
            first.publish(name, big, 1)
            first.publish(name, {"id": "small", "chars": 1, "attempt": 1} | asked(2), 2)

            def answers() -> list[dict[str, Any]]:
                fitting = [each for each in broker.sessions if each is broker.sessions[-1]]
                return [answer for session in fitting for answer in session.published(topic)]

            await broker.until(lambda: len(answers()) == 2)
            assert len(broker.sessions) == 3, "found out at the second close"
            assert await heard.line("set aside a result of 5")
            error, result = answers()
            said = error["error"]["message"] if end_to_end else error["result"]["error"]
            assert "cannot be sent: the broker closes the connection over it" in said
            assert (result["result"] if end_to_end else result["result"]["output"]) == "x"
            if end_to_end:
                broker.sessions[-1].publish(name, big, 3)
                await broker.until(lambda: len(answers()) == 3)
                assert answers()[2] == error, "also when it is asked for again"

    asyncio.run(go())


@pytest.mark.parametrize(
    ("closes", "usual", "tries_fail", "found"),
    [
        *((1, False, 0, False), (2, False, 0, True), (4, True, 0, False), (5, True, 0, True)),
        *((2, False, 1, False), (2, False, 2, False), (3, False, 2, True), (5, True, 3, False)),
    ],
)
def test_a_board_finds_out_over_what_the_broker_closes(
    closes: int, usual: bool, tries_fail: int, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`tries_fail`: after which close a try to connect fails: the broker was stopped."""
    monkeypatch.syspath_prepend(product())
    outbox_file, refused = (importlib.import_module(name) for name in ("outbox", "refused"))
    for name in ("outbox", "refused"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(refused, "_instead_of", lambda _core, message: (*message[:1], b"an error", False))
    outbox = outbox_file.Outbox(4)
    link = SimpleNamespace(outbox=outbox, state=threading.Lock(), core=None, say=lambda _text: None)
    if usual:
        outbox.add_result(("results", b"a larger one", False))
        outbox.start_next()
        outbox.acknowledged(0)
    outbox.add_result(("results", b"a larger one", False))
    for close in range(1, closes + 1):
        assert outbox.results[0][1] == b"a larger one"
        outbox.add_status(("n/status", b"ready", True))  # which is let through
        outbox.start_next()
        outbox.acknowledged(0)
        assert outbox.start_next() is not None
        outbox.closed()
        outbox.restart(())
        if close == tries_fail:
            outbox.unreachable()
        if outbox.closes > 1:
            refused.set_aside(link)
    assert (outbox.results[0][1] == b"an error") is found
