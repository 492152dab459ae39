"""Names with several addresses, addresses in brackets, and DNS that hangs."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dcompute import AsyncioDriver, ComputeNodeTransport, MasterNodeTransport
from dcompute._net import dial
from dcompute._net.dial import STAGGER_S, connect
from dcompute._net.resolve import AddressInfo
from dcompute.drivers import Address

from ..conftest import PATIENCE_S, free_port
from .conftest import Eventually, Served


@pytest.fixture
def listening() -> Iterator[int]:
    """A port of 127.0.0.1 at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that answers nothing: its queue of connections is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        waiting = []
        for _ in range(8):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            waiting.append(sock)
        yield port
        for sock in waiting:
            sock.close()


def tcp(port: int, host: str = "127.0.0.1") -> AddressInfo:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return (family, socket.SOCK_STREAM, 0, "", (host, port))


def timed_connect(*addresses: AddressInfo) -> tuple[int, float]:
    began_s = time.monotonic()
    sock = asyncio.run(asyncio.wait_for(connect(addresses), PATIENCE_S))
    with sock:
        return sock.getpeername()[1], time.monotonic() - began_s


def test_a_silent_address_costs_a_moment_only(silent: int, listening: int) -> None:
    port, took_s = timed_connect(tcp(silent), tcp(listening))
    assert port == listening
    assert took_s > STAGGER_S / 2


def test_one_that_refuses_costs_nothing(listening: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "STAGGER_S", 2 * PATIENCE_S)
    port, _ = timed_connect(tcp(free_port()), tcp(free_port()), tcp(listening))
    assert port == listening


def test_families_alternate(listening: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three dead addresses of one family must not hold up the other."""
    tried: list[str] = []
    really = asyncio.SelectorEventLoop.sock_connect

    async def sock_connect(loop: Any, sock: socket.socket, address: Any) -> None:
        tried.append(address[0])
        if ":" in address[0]:
            await asyncio.sleep(2 * PATIENCE_S)
        await really(loop, sock, address)

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", sock_connect, raising=False)
    dead = [tcp(1, f"100::{number}") for number in range(1, 4)]
    port, _ = timed_connect(*dead, tcp(listening))
    assert port == listening
    assert tried[:2] == ["100::1", "127.0.0.1"]


def test_of_all_failures_the_most_telling_is_raised() -> None:
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(connect([tcp(free_port()), tcp(1, "100::1")]))


def test_what_comes_too_late_is_closed(silent: int, listening: int) -> None:
    async def program() -> int:
        with await connect([tcp(silent), tcp(listening)]):
            await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    assert asyncio.run(program()) == 1


# --- names ----------------------------------------------------------------------------------------------


def test_addresses_may_stand_in_brackets() -> None:
    assert Address("[::1]", 1883).host == "::1"
    assert str(Address("::1", 1883)) == "[::1]:1883"
    assert str(Address("broker", 1883)) == "broker:1883"


@pytest.mark.parametrize(
    ("host", "port"), [("", 1883), (None, 1883), ("broker", 0), ("broker", 65536), ("broker", "1883")]
)
def test_what_is_no_address_is_refused_at_once(host: Any, port: Any) -> None:
    with pytest.raises(ValueError, match=r"a broker's (host|port) is"):
        MasterNodeTransport(host, port)


@pytest.mark.parametrize("host", ["[::1]", "::1"])
def test_a_broker_on_ipv6(stock_mosquitto: Callable[..., int], host: str) -> None:
    port = free_port()
    stock_mosquitto(f"listener {port} ::1")
    with MasterNodeTransport(host, port) as master:
        assert master.is_connected(), master.last_error


def test_a_name_with_a_dead_address_first(
    monkeypatch: pytest.MonkeyPatch, mosquitto: Served, eventually: Eventually
) -> None:
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, **options: Any) -> Any:
        if host == "broker.test" and not options.get("flags"):
            return [tcp(mosquitto.port, "100::1"), tcp(mosquitto.port)]
        return real(host, port, **options)

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    with MasterNodeTransport("broker.test", mosquitto.port) as master:
        assert master.is_connected(), master.last_error


def test_dns_that_hangs_for_some_does_not_hang_others(
    monkeypatch: pytest.MonkeyPatch, mosquitto: Served
) -> None:
    real = socket.getaddrinfo
    go = threading.Event()

    def getaddrinfo(host: Any, port: Any, **options: Any) -> Any:
        if str(host).endswith(".hangs") and not options.get("flags"):
            go.wait(2 * PATIENCE_S)
        return real("127.0.0.1" if host == "works" else host, port, **options)

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    hanging = [MasterNodeTransport(f"broker{number}.hangs", 1883) for number in range(50)]
    try:
        for master in hanging:
            master.start(timeout_s=0)
        with MasterNodeTransport("works", mosquitto.port) as master:
            assert master.is_connected(), master.last_error
    finally:
        for master in hanging:
            master.kill()
        go.set()


def test_many_who_ask_for_one_name_share_a_thread(
    monkeypatch: pytest.MonkeyPatch, mosquitto: Served, eventually: Eventually
) -> None:
    real = socket.getaddrinfo
    asked = []
    go = threading.Event()

    def getaddrinfo(host: Any, port: Any, **options: Any) -> Any:
        if host == "shared.test" and not options.get("flags"):
            asked.append(host)
            go.wait(2 * PATIENCE_S)
            return [tcp(mosquitto.port)]
        return real(host, port, **options)

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    masters = [MasterNodeTransport("shared.test", mosquitto.port) for _ in range(20)]
    for master in masters:
        master.start(timeout_s=0)
    driver = AsyncioDriver.shared()
    begun = threading.Event()

    def later() -> None:
        driver.call_later(0.05, begun.set)

    driver.call_on_loop(later)
    assert begun.wait(PATIENCE_S)
    go.set()
    eventually(lambda: all(master.is_connected() for master in masters))
    assert len(asked) == 1
    for master in masters:
        master.stop()


def test_a_name_that_hangs_does_not_keep_the_program_from_ending() -> None:
    program = """
import socket, time
real = socket.getaddrinfo
socket.getaddrinfo = lambda *a, **k: real(*a, **k) if k.get("flags") else time.sleep(3600)
from dcompute import MasterNodeTransport
master = MasterNodeTransport("hangs.test")
print(master.start(timeout_s=0.2))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    assert done.stdout == "False\n"


def test_a_node_without_a_broker_says_so_in_words() -> None:
    node = ComputeNodeTransport("127.0.0.1", free_port(), "n", install_signal_handlers=False)
    try:
        assert not node.start()
        assert "connection refused" in node.last_error
    finally:
        node.stop()
