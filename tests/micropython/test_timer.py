"""`machine.Timer` as on the port, the same program in real and in virtual time."""

from __future__ import annotations

import pytest

from .conftest import RunsWith, VirtualRig


def test_callbacks_run_in_the_main_thread_while_it_sleeps_and_its_sleep_is_whole(
    lines: RunsWith, request: pytest.FixtureRequest
) -> None:
    got = lines("""
        import _thread, machine, time
        who = []
        timer = machine.Timer(0)
        timer.init(period=50, callback=lambda t: who.append(_thread.get_ident()))
        began = time.ticks_ms()
        time.sleep_ms(530)
        slept = time.ticks_diff(time.ticks_ms(), began)
        timer.deinit()
        print(len(who), slept)
        print({_thread.get_ident()} == set(who), slept >= 530)
        known = len(who)
        time.sleep_ms(120)
        print(len(who) == known)
        once = []
        machine.Timer(1, mode=machine.Timer.ONE_SHOT, period=30, callback=once.append)
        time.sleep_ms(200)
        print(len(once), once[0] is machine.Timer(1))
        print("done")
    """)
    count, slept_ms = map(int, got[0].split())
    least = 3 if request.node.callspec.params["lines"] == "real" else 9  # a busy machine drops callbacks
    assert least <= count <= slept_ms // 50 + 1
    assert got[1:4] == ["True True", "True", "1 True"]


def test_what_a_callback_raises_is_printed_and_the_timer_goes_on(lines: RunsWith) -> None:
    got = lines("""
        import machine, time
        calls = []
        def bad(timer):
            calls.append(1)
            raise ValueError("in a callback")
        timer = machine.Timer(2)
        timer.init(period=40, callback=bad)
        time.sleep_ms(400)
        timer.deinit()
        print("called", len(calls) > 5, len(calls))
        print("done")
    """)
    (called,) = [line for line in got if line.startswith("called")]
    assert called.startswith("called True")
    assert got.count("ValueError: in a callback") == int(called.split()[-1])


def test_one_id_is_one_timer_and_there_are_four(lines: RunsWith) -> None:
    got = lines("""
        import machine, time
        first, second = [], []
        machine.Timer(3, period=20, callback=lambda t: first.append(1))
        machine.Timer(3, period=20, callback=lambda t: second.append(1))
        time.sleep_ms(210)
        print(first, len(second) > 5, machine.Timer(3) is machine.Timer(3))
        for arguments, settings in (((9,), {}), ((4,), {}), ((0,), {"period": 10, "hard": True})):
            try:
                machine.Timer(*arguments, **settings)
                print("taken")
            except ValueError as error:
                print("refused")
        print("done")
    """)
    assert got[:4] == ["[] True True", "refused", "refused", "refused"]


def test_a_callback_sets_a_flag_that_asyncio_waits_for(lines: RunsWith) -> None:
    """The way of micropython-async: an interrupt or a timer sets a ThreadSafeFlag."""
    got = lines("""
        import asyncio, machine
        flag = asyncio.ThreadSafeFlag()
        async def main():
            timer = machine.Timer(0)
            timer.init(period=50, callback=lambda t: flag.set())
            for _ in range(3):
                await flag.wait()
                print("tick")
            timer.deinit()
        asyncio.run(main())
        print("done")
    """)
    assert got == ["tick", "tick", "tick", "done"]


def test_a_callback_comes_while_the_main_thread_waits_for_a_socket_and_not_for_a_lock(
    virtual: VirtualRig,
) -> None:
    """As on a board, whose lock is taken without looking at the scheduler."""
    virtual.network.host("server").listen(7, lambda stream: None)
    board, heard = virtual.add("""
        import _thread, machine, network, socket, time
        wlan = network.WLAN(network.STA_IF)
        wlan.active(True)
        wlan.connect("a", "b")
        while not wlan.isconnected():
            time.sleep_ms(20)
        sock = socket.socket()
        sock.connect(("server", 7))
        sock.settimeout(1)
        machine.Timer(0, period=300, callback=lambda t: print("fired", time.ticks_ms() // 100))
        began = time.ticks_ms()
        try:
            sock.recv(1)
        except OSError:
            print("timed out after", time.ticks_diff(time.ticks_ms(), began) // 100)
        machine.Timer(0).deinit()
        lock = _thread.allocate_lock()
        lock.acquire()
        def free():
            time.sleep(1)
            lock.release()
        _thread.start_new_thread(free, ())
        machine.Timer(1, mode=machine.Timer.ONE_SHOT, period=200, callback=lambda t: print("late"))
        lock.acquire()
        print("locked")
        time.sleep_ms(1)
        print("done")
    """)
    board.start()
    virtual.run(10)
    fired = [line for line in heard.lines if line.startswith("fired")]
    assert len(fired) == 3
    assert heard.lines[3:] == ["timed out after 11", "locked", "late", "done"]
