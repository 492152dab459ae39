"""Sockets that still connect, and polls of objects that are no sockets, as on the port; in either time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from dcompute_sim.net.sockets import Stream

from .conftest import RealRig, RunsWith, VirtualRig

Address = tuple[str, int]

_JOIN = """
import errno, network, select, socket, time
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect("a", "b")
while not wlan.isconnected():
    time.sleep_ms(20)
"""

_BEGIN = (
    _JOIN
    + """
sock = socket.socket()
sock.setblocking(False)
try:
    sock.connect(ADDRESS)
    print("connected at once")
except OSError as error:
    print("connect", errno.errorcode[error.errno])
"""
)


@contextlib.contextmanager
def _deaf_server() -> Iterator[Address]:
    """Accepts nobody, and its queue is full: whoever connects goes on connecting."""
    with socket.socket() as server, contextlib.ExitStack() as stack:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(2):
            peer = stack.enter_context(socket.socket())
            peer.setblocking(False)
            peer.connect_ex(server.getsockname())
        yield server.getsockname()


@pytest.fixture(params=["real", "virtual"])
def while_connecting(request: pytest.FixtureRequest) -> RunsWith:
    """Runs a program whose ADDRESS never answers; what it printed."""
    rig = request.getfixturevalue(request.param)
    if request.param == "real":

        def run_really(program: str) -> list[str]:
            with _deaf_server() as address:
                found: list[str] = rig.lines(program.replace("ADDRESS", repr(address)))
                return found

        return run_really

    def run_virtually(program: str) -> list[str]:
        rig.network.host("server").listen(7, lambda stream: None)
        rig.network.host("server").link.down()
        board, heard = rig.add(program.replace("ADDRESS", '("server", 7)'))
        board.start()
        rig.run(10)
        found: list[str] = heard.lines
        return found

    return run_virtually


def test_a_socket_that_connects_has_nothing_yet_and_takes_nothing_yet(while_connecting: RunsWith) -> None:
    """None from a stream, EAGAIN from a socket; ENOTCONN would be the end of peterhinch's mqtt_as."""
    got = while_connecting(
        _BEGIN
        + """
for what, argument in (("write", b"x"), ("read", 1), ("send", b"x"), ("recv", 1)):
    try:
        print(what, getattr(sock, what)(argument))
    except OSError as error:
        print(what, errno.errorcode[error.errno])
poller = select.poll()
poller.register(sock)
print("poll", poller.poll(100))
print("done")
"""
    )
    assert got[:6] == [
        "connect EINPROGRESS",
        "write None",
        "read None",
        "send EAGAIN",
        "recv EAGAIN",
        "poll []",
    ]


def test_a_connection_begun_without_waiting_is_used_once_it_stands(virtual: VirtualRig) -> None:
    """The way of mqtt_as: write again and again until it takes something, then read likewise."""

    def echo(stream: Stream) -> None:
        stream.on_data = stream.write

    virtual.network.host("server").listen(7, echo)
    board, heard = virtual.add(
        _BEGIN.replace("ADDRESS", '("server", 7)')
        + """
tries = 0
while not sock.write(b"hello"):
    tries += 1
    time.sleep_ms(1)
try:
    sock.connect(("server", 7))
except OSError as error:
    print("again", error.errno)
answer = None
while not answer:
    answer = sock.read(5)
    time.sleep_ms(1)
print(tries > 5, answer)
"""
    )
    board.start()
    virtual.run(5)
    assert heard.lines == ["connect EINPROGRESS", "again 106", "True b'hello'"]


def test_one_that_is_refused_says_so_to_whoever_uses_it(virtual: VirtualRig) -> None:
    virtual.network.host("server")
    board, heard = virtual.add(
        _BEGIN.replace("ADDRESS", '("server", 7)')
        + """
time.sleep(1)
for what, argument in (("send", b"x"), ("recv", 1)):
    try:
        print(what, getattr(sock, what)(argument))
    except OSError as error:
        print(what, errno.errorcode[error.errno])
"""
    )
    board.start()
    virtual.run(5)
    assert heard.lines == ["connect EINPROGRESS", "send ECONNREFUSED", "recv ECONNREFUSED"]


def test_one_that_is_made_to_wait_waits_until_it_stands(virtual: VirtualRig) -> None:
    virtual.network.host("server").listen(7, lambda stream: stream.write(b"welcome"))
    board, heard = virtual.add(
        _BEGIN.replace("ADDRESS", '("server", 7)')
        + """
sock.setblocking(True)
print(sock.write(b"hello"), sock.read(7))
slow = socket.socket()
slow.setblocking(False)
try:
    slow.connect(("nowhere", 7))
except OSError:
    pass
slow.settimeout(2)
began = time.ticks_ms()
try:
    slow.write(b"x")
except OSError as error:
    print(errno.errorcode[error.errno], time.ticks_diff(time.ticks_ms(), began) // 100)
"""
    )
    virtual.network.host("nowhere").link.down()
    board.start()
    virtual.run(10)
    assert heard.lines == ["connect EINPROGRESS", "5 b'welcome'", "ETIMEDOUT 21"]


def _silence(rig: Any, program: str, time: str) -> list[str]:
    """Run a program whose ADDRESS accepts and then says nothing; what it printed."""
    if time == "real":
        with socket.create_server(("127.0.0.1", 0)) as server:
            found: list[str] = rig.lines(program.replace("ADDRESS", repr(server.getsockname())))
            return found
    rig.network.host("server").listen(7, lambda stream: None)
    board, heard = rig.add(program.replace("ADDRESS", '("server", 7)'))
    board.start()
    rig.run(20)
    heard_lines: list[str] = heard.lines
    return heard_lines


@pytest.mark.parametrize("time", ["real", "virtual"])
def test_a_wait_that_is_over_is_an_error_whatever_was_waited_for(
    request: pytest.FixtureRequest, time: str
) -> None:
    """ETIMEDOUT, as on the port, where Linux says EAGAIN and a stream would say nothing."""
    got = _silence(
        request.getfixturevalue(time),
        _JOIN
        + """
sock = socket.socket()
sock.connect(ADDRESS)
sock.settimeout(0.2)
for what in ("recv", "read", "readinto", "readline"):
    began = time.ticks_ms()
    arguments = () if what == "readline" else (bytearray(4),) if what == "readinto" else (4,)
    try:
        print(what, getattr(sock, what)(*arguments))
    except OSError as error:
        print(what, errno.errorcode[error.errno], time.ticks_diff(time.ticks_ms(), began) >= 190)
print("done")
""",
        time,
    )
    assert got[:4] == [f"{what} ETIMEDOUT True" for what in ("recv", "read", "readinto", "readline")]


# --- objects that are polled ------------------------------------------------------------------------------


def test_a_thread_safe_flag_wakes_asyncio(lines: RunsWith) -> None:
    """Set by a task, by another thread while all tasks wait, and before anybody waits."""
    got = lines("""
        import asyncio, _thread, time
        flag = asyncio.ThreadSafeFlag()

        def setter():
            time.sleep_ms(200)
            flag.set()

        async def main():
            async def soon():
                await asyncio.sleep_ms(50)
                flag.set()
            task = asyncio.create_task(soon())
            await flag.wait()
            print("by a task")
            _thread.start_new_thread(setter, ())
            began = time.ticks_ms()
            await flag.wait()
            waited = time.ticks_diff(time.ticks_ms(), began)
            print("by a thread", waited >= 190, waited)
            flag.set()
            await flag.wait()
            print("before")
            try:
                await asyncio.wait_for_ms(flag.wait(), 100)
            except asyncio.TimeoutError:
                print("never")
        asyncio.run(main())
        print("done")
    """)
    assert got[0] == "by a task"
    assert got[1].startswith("by a thread True")
    assert got[2:5] == ["before", "never", "done"]


def test_an_object_is_asked_by_ioctl_and_one_without_is_refused(lines: RunsWith) -> None:
    got = lines("""
        import io, select, time
        class Stream(io.IOBase):
            def ioctl(self, request, argument):
                return argument & 4 if request == 3 else -1
        stream = Stream()
        poller = select.poll()
        poller.register(stream, 5)
        print([(s is stream, events) for s, events in poller.poll(1000)])
        poller.modify(stream, 1)
        began = time.ticks_ms()
        print(poller.poll(100), time.ticks_diff(time.ticks_ms(), began) >= 99)
        try:
            poller.register(object())
            print(poller.poll(0))
        except OSError as error:
            print("refused")
        print("done")
    """)
    assert got[:3] == ["[(True, 4)]", "[] True", "refused"]


def test_threads_that_look_at_objects_do_not_keep_one_another_awake(virtual: VirtualRig) -> None:
    """Each looks when another thread has run; a look is no running, or two would look for ever."""
    board, heard = virtual.add("""
        import io, select, time, _thread
        class Flag(io.IOBase):
            state = 0
            def ioctl(self, request, argument):
                return self.state & argument
        flags = [Flag(), Flag(), Flag()]
        def look(number):
            poller = select.poll()
            poller.register(flags[number], 1)
            poller.poll()
            print(number, time.ticks_ms())
        for number in range(3):
            _thread.start_new_thread(look, (number,))
        time.sleep(1)
        flags[1].state = 1
        time.sleep(1)
        flags[0].state = flags[2].state = 1
        time.sleep(1)
    """)
    board.start()
    virtual.run(10)
    shown = [(line.split()[0], round(int(line.split()[1]), -2)) for line in heard.lines]
    assert shown[0] == ("1", 1000)
    assert sorted(shown[1:]) == [("0", 2000), ("2", 2000)]
    assert board.turns < 60


_ASKS = """
import network, socket, time, machine
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect("a", "b")
while not wlan.isconnected():
    time.sleep_ms(20)
if machine.reset_cause() == machine.WDT_RESET:
    print("reset by the watchdog")
    while True:
        time.sleep(1)
time.sleep_ms(200)
"""
_LOOKS_UP = """
begun = time.ticks_ms()
try:
    print(socket.getaddrinfo("broker.example", 1883))
except OSError as error:
    print(error.errno, time.ticks_diff(time.ticks_ms(), begun) // 1000)
"""


def test_a_name_on_a_dead_link_blocks_for_long(virtual: VirtualRig) -> None:
    """As lwIP's: four questions in seven seconds. On a link that is well a wrong name is told at once."""
    board, heard = virtual.add(_ASKS + _LOOKS_UP + "time.sleep(1)" + _LOOKS_UP)
    board.start()
    virtual.run(0.4)
    board.host.link.down()
    virtual.run(7.9)
    board.host.link.up()
    virtual.run(20)
    assert heard.lines == ["-202 7", "-202 0"]


def test_a_watchdog_bites_in_the_middle_of_a_look_up(virtual: VirtualRig) -> None:
    board, heard = virtual.add(_ASKS + "dog = machine.WDT(timeout=3000)" + _LOOKS_UP)
    board.start()
    virtual.run(0.4)
    board.host.link.down()
    virtual.run(20)
    assert heard.lines == ["reset by the watchdog"]


def test_so_it_does_in_real_time(real: RealRig) -> None:
    async def go() -> None:
        program = _ASKS + "dog = machine.WDT(timeout=600)" + _LOOKS_UP
        async with real.running(program) as (process, heard):
            await heard.wait(lambda: ("wlan", {"status": 1010}) in heard.happened)
            process.radio(silent=True)
            await heard.wait_line("reset by")

    asyncio.run(go())


def test_in_real_time_the_look_up_ends_after_its_patience(real: RealRig) -> None:
    lines = real.lines(_ASKS + _LOOKS_UP, until="-202", radio={"silent": True, "dns_patience_ms": 300})
    assert lines == ["-202 0"]


def test_boards_reach_one_another_by_name_by_address_and_all_at_once(virtual: VirtualRig) -> None:
    serves = (
        _ASKS
        + """
news = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
news.bind(("", 5005))
server = socket.socket()
server.bind(("", 80))
server.listen()
print(news.recvfrom(100)[0])
for _ in range(2):
    sock, peer = server.accept()
    print(sock.readline(), peer[0])
    sock.close()
"""
    )
    asks = (
        _ASKS
        + """
time.sleep(1)
news = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
news.sendto(wlan.ifconfig()[0], ("255.255.255.255", 5005))
address = socket.getaddrinfo("node-1", 80)[0][-1]
print(wlan.ifconfig()[0], address)
for target in (("node-1", 80), address):
    sock = socket.socket()
    sock.connect(target)
    sock.write(b"hello\\n")
    print(sock.read())
    sock.close()
"""
    )
    boards = [virtual.add(program, f"node-{n}") for n, program in enumerate((serves, asks), 1)]
    for board, _ in boards:
        board.start()
    virtual.run(10)
    (server, served), (client, asked) = [(board.host.address, heard.lines) for board, heard in boards]
    assert served == [repr(client.encode()), f"b'hello\\n' {client}", f"b'hello\\n' {client}"]
    assert asked == [f"{client} ('{server}', 80)", "b''", "b''"]
