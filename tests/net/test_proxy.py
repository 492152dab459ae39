"""The TCP fault proxy, over real sockets on loopback: what crosses, when, and what either side sees."""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from dcompute_sim.net.proxy import FaultProxy

from ..conftest import PATIENCE_S
from .conftest import Recorder

A_WHILE_S = 0.05  # long enough on loopback for anything that would (wrongly) cross


class _Broker:
    """Accepts connections and hands them out as they come."""

    def __init__(self) -> None:
        self._accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []
        self.count = 0

    async def start(self) -> tuple[str, int]:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        address: tuple[str, int] = self._server.sockets[0].getsockname()
        return address

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        self._writers.append(writer)
        self._accepted.put_nowait((reader, writer))

    async def next(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.wait_for(self._accepted.get(), PATIENCE_S)

    def stop(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()


class _Link:
    """A proxy with a broker behind it."""

    def __init__(self, proxy: FaultProxy, rng: random.Random, broker: _Broker, told: Any) -> None:
        self.proxy = proxy
        self.rng = rng
        self.broker = broker
        self.told = told
        self._dialled: list[asyncio.StreamWriter] = []

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        node = await asyncio.open_connection("127.0.0.1", self.proxy.port)
        self._dialled.append(node[1])  # a forgotten StreamWriter closes its socket
        return node

    def hang_up(self) -> None:
        for writer in self._dialled:
            writer.transport.abort()

    async def pair(self) -> Any:
        """A node's and a broker's reader and writer."""
        node = await self.dial()
        broker = await self.broker.next()
        return (*node, *broker)


Run = Callable[[Callable[[_Link], Awaitable[None]]], None]


@pytest.fixture
def run(recorder: Recorder) -> Run:
    """Run a scene on a link and check that nothing is left of it."""

    @asynccontextmanager
    async def link() -> AsyncIterator[_Link]:
        broker = _Broker()
        rng = random.Random(1)
        proxy = FaultProxy("node", await broker.start(), recorder, rng=rng)
        await proxy.start()
        it = _Link(proxy, rng, broker, recorder)
        try:
            yield it
        finally:
            await proxy.close()
            broker.stop()
            it.hang_up()
        assert proxy.open_connections == 0
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not [task for task in left if "dcompute_sim.net" in repr(task) or "proxy" in repr(task)]

    async def play(scene: Callable[[_Link], Awaitable[None]]) -> None:
        async with link() as it:
            await asyncio.wait_for(scene(it), 2 * PATIENCE_S)

    return lambda scene: asyncio.run(play(scene))


async def _read(reader: asyncio.StreamReader, n_bytes: int) -> bytes:
    return await asyncio.wait_for(reader.readexactly(n_bytes), PATIENCE_S)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.001)


async def _at_once(condition: Callable[[], bool]) -> None:
    """Go on in the very turn of the loop after the one in which it holds, before anything that is timed."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0)


async def _silent(reader: asyncio.StreamReader) -> bool:
    try:
        await asyncio.wait_for(reader.read(1), A_WHILE_S)
    except TimeoutError:
        return True
    return False


def _holds(link: _Link, n_bytes: int) -> bool:
    return link.proxy.held_bytes == n_bytes


def test_bytes_cross_both_ways_and_nagle_is_off(run: Run) -> None:
    async def scene(link: _Link) -> None:
        node_in, node_out, broker_in, broker_out = await link.pair()
        node_out.write(b"ping")
        assert await _read(broker_in, 4) == b"ping"
        broker_out.write(b"pong")
        assert await _read(node_in, 4) == b"pong"
        assert link.told.told == [("opened", "node", 1)]
        for pipe in link.proxy.pipes:
            for side in (pipe.node, pipe.broker):
                assert side.transport is not None
                sock = side.transport.get_extra_info("socket")
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    run(scene)


def test_large_payloads_arrive_whole(run: Run) -> None:
    async def scene(link: _Link) -> None:
        _, node_out, broker_in, _ = await link.pair()
        payload = bytes(range(256)) * 20_000
        node_out.write(payload)
        assert await _read(broker_in, len(payload)) == payload

    run(scene)


def test_a_slow_reader_slows_the_sender_instead_of_filling_memory(run: Run) -> None:
    async def scene(link: _Link) -> None:
        _, node_out, broker_in, broker_out = await link.pair()
        broker_out.transport.pause_reading()
        node_out.write(bytes(64 * 1024 * 1024))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(node_out.drain(), 0.5)
        [pipe] = link.proxy.pipes
        assert pipe.broker.transport is not None
        assert pipe.broker.transport.get_write_buffer_size() < 1024 * 1024
        broker_out.transport.resume_reading()
        await _read(broker_in, 64 * 1024 * 1024)

    run(scene)


@pytest.mark.parametrize("how", ["down", "slow"])
def test_what_waits_in_the_proxy_is_bounded(run: Run, how: str) -> None:
    async def scene(link: _Link) -> None:
        _, node_out, broker_in, _ = await link.pair()
        if how == "down":
            link.proxy.down()
        else:
            link.proxy.set_delay(0, bytes_per_s=125_000)
        node_out.write(bytes(64 * 1024 * 1024))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(node_out.drain(), 0.3)
        [pipe] = link.proxy.pipes
        assert 0 < pipe.node.out.queued_bytes < 1024 * 1024
        link.proxy.set_delay(0)
        link.proxy.up()
        if how == "down":
            await _read(broker_in, 64 * 1024 * 1024)

    run(scene)


def test_a_slow_link_to_a_slow_reader_is_bounded_too(run: Run) -> None:
    async def scene(link: _Link) -> None:
        _, node_out, _, broker_out = await link.pair()
        broker_out.transport.pause_reading()
        link.proxy.set_delay(0.001)
        node_out.write(bytes(64 * 1024 * 1024))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(node_out.drain(), 0.5)
        [pipe] = link.proxy.pipes
        assert pipe.broker.transport is not None
        waiting = pipe.node.out.queued_bytes + pipe.broker.transport.get_write_buffer_size()
        assert waiting < 1024 * 1024

    run(scene)


def test_nothing_crosses_while_down_and_all_of_it_after(run: Run) -> None:
    async def scene(link: _Link) -> None:
        node_in, node_out, broker_in, broker_out = await link.pair()
        link.proxy.down()
        node_out.write(b"held")
        broker_out.write(b"too")
        assert await _silent(broker_in)
        assert await _silent(node_in)
        assert link.proxy.held_bytes == 7
        assert sorted(link.told.of("held")) == [("node", "to_broker", 4), ("node", "to_node", 3)]
        link.proxy.up()
        assert await _read(broker_in, 4) == b"held"
        assert await _read(node_in, 3) == b"too"

    run(scene)


def test_what_was_held_is_not_written_to_a_side_that_is_gone(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """The broker goes in the very turn of the loop in which the link heals: nobody has told the proxy yet."""

    async def scene(link: _Link) -> None:
        _, node_out, _, broker_out = await link.pair()
        link.proxy.down()
        for number in range(1, 21):
            node_out.write(b"x")
            await _until(partial(_holds, link, number))
        broker_out.transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        link.proxy.up()
        await _until(lambda: bool(link.told.of("closed")))

    run(scene)
    assert caplog.messages == []


def test_a_fin_is_held_while_down(run: Run) -> None:
    async def scene(link: _Link) -> None:
        _, node_out, broker_in, _ = await link.pair()
        link.proxy.down()
        node_out.write(b"last words")
        node_out.close()
        assert await _silent(broker_in)
        assert not link.told.of("closed")
        link.proxy.up()
        assert await asyncio.wait_for(broker_in.read(), PATIENCE_S) == b"last words"
        assert link.told.of("closed") == [("node", 1, "fin", "node")]

    run(scene)


def test_a_reset_is_held_while_down(run: Run) -> None:
    async def scene(link: _Link) -> None:
        _, node_out, broker_in, _ = await link.pair()
        link.proxy.down()
        sock = node_out.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        node_out.transport.abort()
        assert await _silent(broker_in)
        link.proxy.up()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(broker_in.read(1), PATIENCE_S)
        assert link.told.of("closed") == [("node", 1, "rst", "node")]

    run(scene)


def test_a_new_connection_while_down_reaches_the_broker_when_up(run: Run) -> None:
    async def scene(link: _Link) -> None:
        link.proxy.down()
        _, node_out = await link.dial()
        node_out.write(b"hello")
        await _until(lambda: link.proxy.held_bytes == 5)
        assert link.broker.count == 0
        assert link.proxy.refused == 1
        assert link.told.of("refused") == [("node", "silence")]
        link.proxy.up()
        broker_in, _ = await link.broker.next()
        assert await _read(broker_in, 5) == b"hello"

    run(scene)


def test_a_connection_given_up_while_down_never_reaches_the_broker(run: Run) -> None:
    async def scene(link: _Link) -> None:
        link.proxy.down()
        _, node_out = await link.dial()
        await _until(lambda: link.proxy.open_connections == 1)
        sock = node_out.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        node_out.transport.abort()
        await _until(lambda: link.proxy.open_connections == 0)
        link.proxy.up()
        await asyncio.sleep(A_WHILE_S)
        assert link.broker.count == 0

    run(scene)


def test_fin_is_told_from_reset_and_who_began(run: Run) -> None:
    async def scene(link: _Link) -> None:
        node_in, node_out, broker_in, broker_out = await link.pair()
        node_out.close()
        assert await asyncio.wait_for(broker_in.read(), PATIENCE_S) == b""
        broker_out.close()
        await _until(lambda: link.proxy.open_connections == 0)

        node_in, node_out, broker_in, broker_out = await link.pair()
        sock = broker_out.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        broker_out.transport.abort()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(node_in.read(1), PATIENCE_S)
        await _until(lambda: link.proxy.open_connections == 0)
        assert link.told.of("closed") == [("node", 1, "fin", "node"), ("node", 2, "rst", "broker")]

    run(scene)


def test_a_half_closed_connection_carries_bytes_the_other_way(run: Run) -> None:
    async def scene(link: _Link) -> None:
        node_in, node_out, broker_in, broker_out = await link.pair()
        node_out.write(b"question")
        node_out.write_eof()
        assert await asyncio.wait_for(broker_in.read(), PATIENCE_S) == b"question"
        broker_out.write(b"answer")
        broker_out.close()
        assert await asyncio.wait_for(node_in.read(), PATIENCE_S) == b"answer"

    run(scene)


def test_reset_is_seen_by_both_sides(run: Run) -> None:
    async def scene(link: _Link) -> None:
        node_in, _, broker_in, _ = await link.pair()
        link.proxy.reset()
        for reader in (node_in, broker_in):
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(reader.read(1), PATIENCE_S)
        assert link.told.of("closed") == [("node", 1, "rst", "node")]
        await link.pair()  # and the next connection works

    run(scene)


def test_a_power_cut_is_silent_until_the_rebooted_node_is_spoken_to(run: Run) -> None:
    async def scene(link: _Link) -> None:
        node_in, _, broker_in, broker_out = await link.pair()
        link.proxy.forget()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(node_in.read(1), PATIENCE_S)
        assert await _silent(broker_in)
        assert link.proxy.open_connections == 0
        assert link.told.of("closed") == [("node", 1, "lost", "node")]
        link.proxy.up()
        assert await _silent(broker_in)
        await link.pair()  # booted: a new connection beside the forgotten one
        broker_out.write(b"still there?")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(broker_in.read(1), PATIENCE_S)

    run(scene)


def test_what_is_sent_to_a_node_without_power_is_answered_when_it_boots(run: Run) -> None:
    async def scene(link: _Link) -> None:
        _, _, broker_in, broker_out = await link.pair()
        link.proxy.forget()
        broker_out.write(b"anybody?")
        assert await _silent(broker_in)
        assert link.told.of("held") == [("node", "to_node", 8)]
        link.proxy.up()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(broker_in.read(1), PATIENCE_S)

    run(scene)


def test_what_a_node_had_not_got_out_is_lost_with_its_power(run: Run) -> None:
    async def scene(link: _Link) -> None:
        _, node_out, broker_in, _ = await link.pair()
        link.proxy.set_delay(0.03)
        node_out.write(b"still in the node")
        await _at_once(lambda: link.proxy.crossings == 1)
        link.proxy.forget()
        await asyncio.sleep(0.03)
        assert await _silent(broker_in)

    run(scene)


def test_what_is_sent_on_a_forgotten_connection_vanishes_and_a_new_one_works(run: Run) -> None:
    async def scene(link: _Link) -> None:
        reader, writer, _, at_broker = await link.pair()
        is_held = link.proxy.forget_connections()
        writer.write(b"lost")
        at_broker.close()  # its FIN, too
        assert await _silent(reader)
        assert is_held()
        assert link.proxy.reached == 1
        writer.close()
        await _until(lambda: not is_held())
        assert link.proxy.reached == 0
        _, writer, heard_by, _ = await link.pair()
        writer.write(b"heard")
        assert await _read(heard_by, 5) == b"heard"

    run(scene)


def test_a_slow_link_delays_and_keeps_order(run: Run) -> None:
    async def scene(link: _Link) -> None:
        _, node_out, broker_in, _ = await link.pair()
        link.proxy.set_delay(0.05, jitter_s=0.05)
        began = asyncio.get_running_loop().time()
        for number in range(50):
            node_out.write(bytes([number]))
            await asyncio.sleep(0)
        assert await _read(broker_in, 50) == bytes(range(50))
        assert asyncio.get_running_loop().time() - began >= 0.05
        link.proxy.set_delay(0)
        node_out.write(b"fast")
        assert await _read(broker_in, 4) == b"fast"

    run(scene)


def test_what_comes_later_than_the_word_before_is_told(run: Run) -> None:
    async def scene(link: _Link) -> None:
        _, node_out, broker_in, _ = await link.pair()
        link.proxy.set_delay(0.51)
        for word in (b"one", b"two"):
            node_out.write(word)
            await asyncio.sleep(0.01)
        assert await _read(broker_in, 6) == b"onetwo"
        assert link.told.of("late") == [("node", 1, 0.51)]

    run(scene)


def test_bytes_on_their_way_over_a_slow_link_are_held_when_it_fails(run: Run) -> None:
    async def scene(link: _Link) -> None:
        _, node_out, broker_in, _ = await link.pair()
        link.proxy.set_delay(0.2)
        node_out.write(b"on the way")
        await _at_once(lambda: link.proxy.crossings == 1)
        link.proxy.down()
        assert link.told.of("held") == [("node", "to_broker", 10)]
        await asyncio.sleep(0.25)
        assert await _silent(broker_in)
        link.proxy.up()
        assert await _read(broker_in, 10) == b"on the way"

    run(scene)


def test_a_narrow_link_takes_its_time(run: Run) -> None:
    async def scene(link: _Link) -> None:
        _, node_out, broker_in, _ = await link.pair()
        link.proxy.set_delay(0, bytes_per_s=10_000)
        began = asyncio.get_running_loop().time()
        for _ in range(4):
            node_out.write(bytes(500))
            await asyncio.sleep(0.001)
        await _read(broker_in, 2000)
        assert asyncio.get_running_loop().time() - began >= 0.2

    run(scene)


def test_what_a_lossy_link_loses_is_late_and_holds_up_what_follows(run: Run) -> None:
    async def scene(link: _Link) -> None:
        _, node_out, broker_in, _ = await link.pair()
        link.proxy.set_delay(0.01, loss=0.5)
        draws = iter([0.1, 0.9])
        link.rng.random = lambda: next(draws, 0.9)  # type: ignore[method-assign]
        began = asyncio.get_running_loop().time()
        node_out.write(b"lost once")
        await asyncio.sleep(0.02)
        node_out.write(b" behind it")
        assert await _read(broker_in, 19) == b"lost once behind it"
        assert asyncio.get_running_loop().time() - began >= 0.23  # the timeout, 20 ms and 200, and the way
        assert not link.told.of("stalled")

    run(scene)


def test_a_retransmission_that_is_lost_too_is_a_stall(run: Run) -> None:
    async def scene(link: _Link) -> None:
        _, node_out, broker_in, _ = await link.pair()
        link.proxy.set_delay(0.01, loss=0.5)
        draws = iter([0.1, 0.1])
        link.rng.random = lambda: next(draws, 0.9)  # type: ignore[method-assign]
        node_out.write(b"lost twice")
        await _at_once(lambda: link.told.of("stalled") == [("node", 1)])
        assert not link.told.of("resumed")
        assert await _read(broker_in, 10) == b"lost twice"
        assert link.told.of("resumed") == [("node", 1)]

    run(scene)


def test_a_connection_over_a_slow_link_takes_its_handshake(run: Run) -> None:
    async def scene(link: _Link) -> None:
        link.proxy.set_delay(0.05)
        began = asyncio.get_running_loop().time()
        await link.dial()
        await link.broker.next()
        assert asyncio.get_running_loop().time() - began >= 0.15

    run(scene)


def test_both_directions_share_a_narrow_link(run: Run) -> None:
    async def scene(link: _Link) -> None:
        node_in, node_out, broker_in, broker_out = await link.pair()
        link.proxy.set_delay(0, bytes_per_s=10_000)
        began = asyncio.get_running_loop().time()
        node_out.write(bytes(1000))
        broker_out.write(bytes(1000))
        await asyncio.gather(_read(node_in, 1000), _read(broker_in, 1000))
        assert asyncio.get_running_loop().time() - began >= 0.2

    run(scene)


@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_link_does_bytes_arrive_once_and_in_order(run: Run, seed: int) -> None:
    async def scene(link: _Link) -> None:
        draw = random.Random(seed)
        node_in, node_out, broker_in, broker_out = await link.pair()
        sent = {node_out: b"", broker_out: b""}
        for _ in range(300):
            step = draw.random()
            if step < 0.6:
                writer = draw.choice([node_out, broker_out])
                data = draw.randbytes(draw.choice([1, 20, 3000, 100_000]))
                writer.write(data)
                sent[writer] += data
            elif step < 0.7:
                link.proxy.down()
            elif step < 0.85:
                link.proxy.up()
            elif step < 0.9:
                link.proxy.set_delay(draw.random() * 0.002, draw.random() * 0.002, 1e9)
            elif step < 0.95:
                link.proxy.set_delay(0)
            else:
                await asyncio.sleep(draw.random() * 0.005)
            await asyncio.sleep(0)
        link.proxy.up()
        assert await _read(broker_in, len(sent[node_out])) == sent[node_out]
        assert await _read(node_in, len(sent[broker_out])) == sent[broker_out]
        assert await _silent(broker_in)
        assert await _silent(node_in)

    run(scene)


def test_a_stopped_broker_ends_the_nodes_attempt(run: Run) -> None:
    async def scene(link: _Link) -> None:
        link.broker.stop()
        node_in, _ = await link.dial()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(node_in.read(1), PATIENCE_S)
        assert link.proxy.refused == 1
        assert link.told.of("refused") == [("node", "rst")]
        assert not link.told.of("opened")

    run(scene)


def test_closing_ends_everything_whatever_state_it_is_in(run: Run) -> None:
    async def scene(link: _Link) -> None:
        _, node_out, _, _ = await link.pair()
        await link.pair()
        link.proxy.forget()
        await link.pair()
        link.proxy.set_delay(60)
        node_out.write(b"never arrives")
        link.proxy.down()
        await link.dial()
        await _until(lambda: link.proxy.open_connections == 2)
        await link.proxy.close()
        assert not link.proxy.pipes

    run(scene)


def test_connections_of_a_run_are_numbered_together(recorder: Recorder) -> None:
    async def scene() -> None:
        broker = _Broker()
        address = await broker.start()
        numbers = itertools.count(1)
        proxies = [FaultProxy(name, address, recorder, connections=numbers) for name in ("a", "b")]
        for proxy in proxies:
            await proxy.start()
            _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            await broker.next()
            writer.transport.abort()
        assert recorder.of("opened") == [("a", 1), ("b", 2)]
        for proxy in proxies:
            await proxy.close()
        broker.stop()

    asyncio.run(scene())
