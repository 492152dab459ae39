"""TCP in virtual time: how connections begin, carry bytes and end, with the times real kernels keep."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from dcompute_sim.net.profile import LINUX, LWIP_ESP32
from dcompute_sim.net.sockets import OWN_BUFFER_BYTES

from .conftest import World

# --- beginning ---


def test_a_handshake_takes_a_round_trip(world: World) -> None:
    done: list[tuple[float, object]] = []
    socket = world.node.connect("broker", 1883, lambda error: done.append((world.env.now, error)))
    assert not done
    with pytest.raises(BlockingIOError):
        socket.send(b"early")
    with pytest.raises(BlockingIOError):
        socket.recv(1)
    world.run(1)
    assert done == [(pytest.approx(0.02), None)]
    assert len(world.streams) == 1
    assert world.observer.told == [("opened", "node", 1)]


def test_nobody_listens_refuses_after_a_round_trip(world: World) -> None:
    done: list[tuple[float, Any]] = []
    world.node.connect("broker", 9, lambda error: done.append((world.env.now, error)))
    world.run(1)
    [(at, error)] = done
    assert at == pytest.approx(0.02)
    assert isinstance(error, ConnectionRefusedError)
    assert world.observer.told == [("refused", "node", "rst")]


@pytest.mark.parametrize(("profile", "gives_up_s"), [(LINUX, 127.0), (LWIP_ESP32, 18.5)])
def test_silence_times_the_attempt_out_as_each_kernel_does(
    world: World, profile: Any, gives_up_s: float
) -> None:
    host = world.network.host("other", profile)
    done: list[tuple[float, Any]] = []
    host.link.down()
    host.connect("broker", 1883, lambda error: done.append((world.env.now, error)))
    world.run(200)
    [(at, error)] = done
    assert at == pytest.approx(gives_up_s)
    assert isinstance(error, TimeoutError)
    assert set(world.observer.told) == {("refused", "other", "silence")}


def test_a_repeated_syn_gets_through_when_the_link_heals(world: World) -> None:
    done: list[float] = []
    world.node.link.down()
    world.node.connect("broker", 1883, lambda _error: done.append(world.env.now))
    world.run(4)
    world.node.link.up()
    world.run(20)
    assert done == [pytest.approx(7.02)]  # SYNs at 0, 1, 3 and 7 s


def test_an_attempt_that_a_silence_overtakes_tells_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by seed 4671 of the swarm: the first SYN was lost by chance, the next ones in the silence."""
    world.node.slow(0.01, loss=0.5)
    monkeypatch.setattr(world.node.link, "loses", lambda: True)
    world.node.connect("broker", 1883)
    world.run(2)
    assert world.observer.told == []
    world.node.link.down()
    world.run(2)
    assert world.observer.told == [("refused", "node", "silence")]


def test_without_a_wlan_the_network_is_unreachable(world: World) -> None:
    done: list[Any] = []
    world.node.link.drop()
    world.node.connect("broker", 1883, done.append)
    assert not done
    world.run(0.1)
    assert done[0].errno == errno.ENETUNREACH


def test_a_host_without_power_does_not_answer_a_syn(world: World) -> None:
    done: list[Any] = []
    world.broker.power_cut()
    world.node.connect("broker", 1883, done.append)
    world.run(200)
    assert isinstance(done[0], TimeoutError)


def test_giving_up_an_attempt_leaves_nothing_behind(world: World) -> None:
    done: list[Any] = []
    socket = world.node.connect("broker", 1883, done.append)
    socket.close()
    world.run(10)
    assert not done
    assert not world.streams
    assert not world.node.connections
    assert not world.broker.connections


def test_the_handshakes_last_part_lost_is_made_good_by_the_first_bytes(world: World) -> None:
    socket = world.node.connect("broker", 1883)
    world.run(0.021)
    assert socket.is_open
    world.node.link.down()
    world.run(0.1)
    socket.send(b"hello")
    assert not world.streams
    world.node.link.up()
    world.run(1)
    assert world.received == [b"hello"]


# --- bytes ---


def test_bytes_cross_in_order_and_writes_of_one_instant_arrive_together(world: World) -> None:
    socket = world.connect()
    arrivals: list[bytes] = []
    world.streams[0].on_data = arrivals.append
    socket.send(b"a")
    socket.send(b"b")
    world.run(0.001)
    socket.send(b"c")
    world.run(1)
    assert arrivals == [b"ab", b"c"]


def test_a_socket_reads_as_sockets_do(world: World) -> None:
    socket = world.connect()
    woken: list[float] = []
    socket.on_readable = lambda: woken.append(world.env.now)
    world.streams[0].write(b"hello")
    world.run(0.1)
    assert len(woken) == 1
    assert [socket.recv(1), socket.recv(2), socket.recv(100)] == [b"h", b"el", b"lo"]
    with pytest.raises(BlockingIOError):
        socket.recv(1)


def test_jitter_never_reorders(make_world: Callable[..., World]) -> None:
    world = make_world(jitter_s=0.5)
    socket = world.node.connect("broker", 1883)
    world.run(3)
    for number in range(200):
        socket.send(bytes([number]))
        world.run(0.003)
    world.run(3)
    assert world.received[0] == bytes(range(200))


def test_bandwidth_is_shared_by_both_directions(world: World) -> None:
    socket = world.connect()
    world.node.slow(0.0, bytes_per_s=1_000)
    socket.send(bytes(1000))
    world.streams[0].write(bytes(500))
    arrived: list[float] = []
    socket.on_readable = lambda: arrived.append(world.env.now)
    began = world.env.now
    world.run(5)
    assert arrived == [pytest.approx(began + 1.5 + 2 * 0.052)]  # 52 bytes of headers each


def test_a_full_send_buffer_blocks_until_the_other_side_reads(world: World) -> None:
    reader = world.connect()
    stream = world.streams[0]
    full: list[bool] = []
    stream.on_full = full.append
    limit = LINUX.send_buffer_bytes
    stream.write(bytes(limit + OWN_BUFFER_BYTES))
    assert full == [], "a server has a buffer of its own"
    stream.write(bytes(1))
    world.run(1)
    assert full == [True]
    while reader.unread_bytes:
        reader.recv(65_536)
    assert full == [True, False]

    writer = world.connect()
    world.node.link.down()
    assert writer.send(bytes(limit + 10)) == limit
    with pytest.raises(BlockingIOError):
        writer.send(b"more")
    room: list[float] = []
    writer.on_writable = lambda: room.append(world.env.now)
    world.node.link.up()
    world.run(5)
    assert len(room) == 1
    assert writer.send(b"more") == 4


# --- silence ---


def test_held_bytes_come_at_the_next_retransmission_not_at_once(world: World) -> None:
    socket = world.connect()
    began = world.env.now
    world.node.link.down()
    socket.send(b"held")
    world.run(1.0)
    socket.send(b" more")
    world.run(0.5)
    world.node.link.up()
    arrived: list[tuple[float, bytes]] = []
    world.streams[0].on_data = lambda data: arrived.append((world.env.now - began, data))
    world.run(10)
    # The timeout is the round trip of 20 ms and 200 ms. After one a probe leaves, and only then it runs: sent
    # again after 0.22, 0.44, 0.88 and 1.76 s, as Linux was seen to do. The window is then one segment: the
    # second goes when the first is acknowledged.
    assert [data for _, data in arrived] == [b"held", b" more"]
    assert [at for at, _ in arrived] == [pytest.approx(1.76 + 0.01), pytest.approx(1.76 + 0.03)]
    assert world.observer.of("held") == [("node", "to_broker", 4), ("node", "to_broker", 5)]


def test_an_esp32_retransmits_more_slowly(world: World) -> None:
    host = world.network.host("esp", LWIP_ESP32)
    socket = world.connect(host)
    began = world.env.now
    host.link.down()
    socket.send(b"held")
    world.run(2)
    host.link.up()
    arrived: list[float] = []
    world.streams[0].on_data = lambda _data: arrived.append(world.env.now - began)
    world.run(20)
    assert arrived == [pytest.approx(1.5 + 3.0 + 0.01)]


@pytest.mark.parametrize(
    ("profile", "gives_up_s"),
    # Linux: a probe after 0.22 s; that ten times doubled, then 120 s each, until 924.6 s are over since the
    # first timeout.
    [(LINUX, 0.22 + 0.22 * 1023 + 6 * 120), (LWIP_ESP32, 1151.0)],
)
def test_the_sender_gives_up_and_its_peer_stays_half_open(
    world: World, profile: Any, gives_up_s: float
) -> None:
    host = world.network.host("other", profile)
    socket = world.connect(host)
    began = world.env.now
    host.link.down()
    socket.send(b"lost")
    woken: list[float] = []
    socket.on_readable = lambda: woken.append(world.env.now - began)
    world.run(2000)
    assert woken == [pytest.approx(gives_up_s)]
    with pytest.raises(TimeoutError):
        socket.recv(1)
    assert world.observer.of("closed") == [("other", 1, "timeout", "node")]
    assert not world.closed
    host.link.up()
    world.streams[0].write(b"anybody?")
    world.run(1)
    assert isinstance(world.closed[0][1], ConnectionResetError)


def test_lost_segments_of_a_bad_link_are_repeated(make_world: Callable[..., World]) -> None:
    world = make_world()
    socket = world.connect()
    world.node.slow(0.01, loss=0.3)
    for number in range(100):
        socket.send(bytes([number]))
        world.run(0.5)
    world.run(60)
    assert world.received[0] == bytes(range(100))
    assert not world.observer.of("held")  # that is silence, which chance is not


def test_a_retransmission_lost_by_chance_backs_off_as_one_in_silence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed 1008 of the swarm: a broker gives up a node whose link has long been well. So do real ones; the
    observer is told that nothing crosses, and until when."""
    socket = world.connect()
    began = world.env.now
    world.node.link.down()
    for text in (b"one ", b"two ", b"three"):
        socket.send(text)
        world.run(0.05)
    world.run(4)
    world.node.link.up()
    draws = iter([True])
    world.node.slow(0.01, loss=0.5)
    monkeypatch.setattr(world.node.link, "loses", lambda: next(draws, False))  # the first that is sent now
    arrived: list[tuple[float, bytes]] = []
    world.streams[0].on_data = lambda data: arrived.append((world.env.now - began, data))
    world.run(20)
    # A probe two round trips after the second; sent again 6.82 s later (lost) and 13.86; all three in one.
    probe_s = 0.05 + 2 * 0.02 + 0.002
    assert arrived == [(pytest.approx(probe_s + 0.22 * 63 + 0.01), b"one two three")]
    assert [kind for kind, *_ in world.observer.told if kind in ("stalled", "resumed")] == [
        "stalled",
        "resumed",
    ]


def test_a_stalled_connection_is_told_of_until_bytes_cross_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = world.connect()
    world.node.link.down()
    socket.send(b"held")
    world.run(0.1)
    assert not world.observer.of("stalled")
    world.run(0.2)
    assert world.observer.of("stalled") == [("node", 1)]
    assert 0.2 <= world.observer.missed_s[0] < 0.3, "since it was sent, not since its repetition was lost"
    world.run(5)
    world.node.link.up()
    draws = iter([True])
    world.node.slow(0.01, loss=0.5)
    monkeypatch.setattr(world.node.link, "loses", lambda: next(draws, False))
    world.run(5)  # retransmitted after 6.2 s, lost
    assert world.received == [b""]
    assert not world.observer.of("resumed")
    world.run(10)  # 12.6 s
    assert world.received == [b"held"]
    assert world.observer.of("resumed") == [("node", 1)]
    assert len(world.observer.of("stalled")) == 1


def test_what_comes_the_other_way_ends_no_stall(world: World) -> None:
    """Seed 9874 of the swarm: a task that came acknowledged nothing; the ping before was still missing."""
    world.node.slow(0.45, loss=1e-9)  # so that both sides watch, and know how long a round trip takes
    socket = world.node.connect("broker", 1883)
    world.run(2)
    for word in (b"well", b"more"):
        socket.send(word)
        world.run(2)
    world.node.link.down()
    socket.send(b"held")
    world.run(0.1)
    assert world.observer.of("stalled") == [("node", 1)]
    world.node.link.up()
    world.streams[0].write(b"task")
    world.run(0.6)
    assert socket.readable
    assert not world.observer.of("resumed")
    world.run(20)
    assert world.received == [b"wellmoreheld"]
    assert world.observer.of("resumed") == [("node", 1)]


def test_what_is_still_missing_when_what_was_ahead_is_acknowledged_is_told(
    make_world: Callable[..., World],
) -> None:
    """Seed 2293 of the swarm of boards: a PUBACK got through and ended the stall of the `ready` behind it,
    which an ESP32 sends again after a second and a half. The run ended, and nothing said why nobody knew."""
    world = make_world()
    board = world.network.host("board", LWIP_ESP32)
    socket = world.connect(board)
    board.slow(0.1, loss=0.5)
    draws = iter([False, True])  # the second that is sent from now on
    board.link.loses = lambda: next(draws, False)  # type: ignore[method-assign]
    socket.send(b"puback ")
    world.run(0.00002)
    socket.send(b"ready")
    world.run(0.3)
    assert world.received == [b"puback "]
    told = [kind for kind, *_ in world.observer.told if kind in ("stalled", "resumed")]
    assert told == ["stalled", "resumed", "stalled"]
    assert world.observer.missed_s[-1] == pytest.approx(0.2, abs=0.05)  # since it was written
    world.run(5)
    assert world.received == [b"puback ready"]
    assert len(world.observer.of("resumed")) == 2


def test_bytes_in_flight_when_the_link_fails_are_held(world: World) -> None:
    socket = world.connect()
    socket.send(b"in flight")
    world.run(0.005)
    world.node.link.down()
    world.run(1)
    assert world.received == [b""]
    world.node.link.up()
    world.run(5)
    assert world.received == [b"in flight"]


# --- loss ---


def test_what_is_joined_when_sent_again_follows_on(world: World) -> None:
    """Found by a hunt: bytes are far out on a slow link when it fails, others are written after. While nobody
    knows yet of the first that they are lost, the timer of the others may expire; joined over the gap, the
    bytes came in another order, and a node's `busy` after its `ready`."""
    socket = world.connect()
    world.node.slow(1.8)
    socket.send(b"far ")
    world.run(0.3)
    socket.send(b"out, ")
    world.node.slow(0.01)
    world.run(0.1)
    world.node.link.down()
    for text in (b"then ", b"more"):
        socket.send(text)
        world.run(0.2)
    world.run(3)
    world.node.link.up()
    world.run(60)
    assert world.received == [b"far out, then more"]


def lose(world: World, link: str, numbers: set[int]) -> list[int]:
    """Make the broker's or the node's link lose these of the segments that are sent from now on, either
    way."""
    count: list[int] = []

    def loses() -> bool:
        count.append(1)
        return len(count) in numbers

    host = getattr(world, link)
    host.slow(host.link.latency_s, loss=0.5)
    host.link.loses = loses
    return count


def test_the_timeout_follows_the_round_trip(world: World) -> None:
    """A fixed one of 0.2 s sent everything three times on a round trip of 600 ms."""
    world.node.slow(0.3)
    socket = world.node.connect("broker", 1883)
    world.run(1)
    sent = lose(world, "node", set())
    for _ in range(20):
        socket.send(b"x" * 100)
        world.run(2)
    assert len(sent) == 40  # each once, and its acknowledgement


def test_bytes_beyond_a_gap_are_kept_and_the_gap_is_filled_within_a_round_trip(world: World) -> None:
    socket = world.connect()
    world.node.slow(0.3)
    began = world.env.now
    arrived: list[tuple[float, int]] = []
    world.streams[0].on_data = lambda data: arrived.append((world.env.now - began, len(data)))
    lose(world, "node", {1})
    for _ in range(5):
        socket.send(b"x" * 100)
        world.run(0.01)
    world.run(5)
    # Three later ones acknowledged: the first leaves again 0.6 s after the fourth left, all are there 0.3 s
    # later.
    assert arrived == [(pytest.approx(0.03 + 0.6 + 0.3), 100)] * 5


def test_few_segments_under_way_are_recovered_without_the_timer(world: World) -> None:
    """RFC 8985: of two, one acknowledged is enough, after a quarter of the round trip."""
    world.node.slow(1.0)
    socket = world.node.connect("broker", 1883)
    world.run(3)
    lose(world, "node", {1})
    socket.send(b"one")
    world.run(0.01)
    socket.send(b"two")
    world.run(2.55 + 1)  # the timer would take 4 s and the way 1
    assert world.received == [b"onetwo"]


def test_a_word_lost_again_and_again_is_probed_for_before_its_timer_doubles(world: World) -> None:
    """RFC 8985, 7: after 0.22 (the probe), 0.44 and 0.88 s, where the timer alone says 0.22, 0.66, 1.54."""
    socket = world.connect()
    world.node.slow(0.01, loss=1e-9)
    socket.send(b"measured ")
    world.run(1)
    lose(world, "node", {1, 2, 3})
    began = world.env.now
    arrived: list[float] = []
    world.streams[0].on_data = lambda _data: arrived.append(world.env.now - began)
    socket.send(b"lost")
    world.run(20)
    assert arrived == [pytest.approx(0.88 + 0.01, abs=0.01)]


def test_one_probe_for_what_nothing_was_heard_of(world: World) -> None:
    """After one that was answered the next word is probed for, too: the receiver says what it has twice."""
    socket = world.connect()
    world.node.slow(0.01, loss=1e-9)
    arrived: list[float] = []
    world.streams[0].on_data = lambda _data: arrived.append(world.env.now)
    for _ in range(3):
        sent = lose(world, "node", {2})  # the acknowledgement
        socket.send(b"twice")
        world.run(5)
        assert len(sent) == 4  # word, acknowledgement, probe, acknowledgement
    assert len(arrived) == 3


def test_each_write_is_a_segment_where_links_lose(world: World) -> None:
    """As under TCP_NODELAY: each has its own luck."""
    socket = world.connect()
    sent = lose(world, "node", {1})
    socket.send(b"one ")
    socket.send(b"two")
    world.run(5)
    assert world.received == [b"one two"]
    assert len(sent) >= 4


def test_an_esp32_neither_probes_nor_is_probed_for(world: World) -> None:
    """lwIP names nothing beyond a gap (LWIP_TCP_SACK_OUT is off), and Linux probes only those who do."""
    host = world.network.host("esp", LWIP_ESP32)
    world.connect(host)
    host.slow(0.01, loss=1e-9)
    began = world.env.now
    sent: list[float] = []

    def loses() -> bool:
        sent.append(world.env.now - began)
        return True

    host.link.loses = loses  # type: ignore[method-assign]
    world.streams[0].write(b"task")
    world.run(2)
    assert sent == [pytest.approx(at_s, abs=0.01) for at_s in (0.0, 0.22, 0.66, 1.54)]


def test_a_lost_answer_to_a_syn_makes_the_round_trip_look_long(world: World) -> None:
    """Linux echoes the timestamp of the SYN that came first, and a client the one of the SYN-ACK that did:
    who lost an answer takes the second's wait for the round trip, as measured beside a kernel."""
    world.node.slow(0.01, loss=1e-9)
    for lost, side in (({2}, "client"), ({3}, "server")):
        lose(world, "node", lost)
        socket = world.node.connect("broker", 1883)
        world.run(1.5)
        end = socket if side == "client" else world.streams[-1]
        assert end.window is not None
        assert end.window.round_trip.timeout_s > 3 * 1.0, side


def test_what_comes_later_than_the_word_before_is_told(world: World) -> None:
    """Once: what follows as late comes in the same intervals as it was said."""
    socket = world.connect()
    socket.send(b"quick")
    world.run(1)
    world.node.slow(2.0)
    for _ in range(3):
        socket.send(b"late")
        world.run(0.5)
    world.node.slow(0.01)
    world.run(5)
    assert world.observer.of("late") == [("node", 1, pytest.approx(2.01, abs=0.02))]
    world.node.slow(0.0, bytes_per_s=1_000)  # a narrow link is slow to whoever has much to say
    socket.send(b"x" * 200)
    world.run(5)
    assert len(world.observer.of("late")) == 1
    socket.send(b"x" * 5_000)
    world.run(30)
    assert len(world.observer.of("late")) > 1


def test_what_is_sent_again_is_late_since_it_was_written(world: World) -> None:
    socket = world.connect()
    socket.send(b"in time")
    world.run(1)
    world.node.link.down()
    socket.send(b"held")
    world.run(5)
    world.node.link.up()
    world.run(5)  # sent again after 7.04 s
    assert world.received == [b"in timeheld"]
    assert world.observer.of("late") == [("node", 1, pytest.approx(0.22 * 32 + 0.01, abs=0.01))]
    assert world.observer.late_missed_s == [pytest.approx(0.22 * 32, abs=0.01)]


def test_a_copy_of_what_has_arrived_is_not_late_and_hides_nothing(world: World) -> None:
    """Seed 8325 of swarm_boards: the acknowledgement is late, so what has arrived is sent again; the next
    word is the first that is late, and the broker loses patience."""
    world.node.slow(0.0, loss=1e-9)
    socket = world.node.connect("broker", 1883)
    world.run(1)
    socket.send(b"in time")
    world.run(0.015)
    world.node.slow(2.5, loss=1e-9)
    world.run(5)
    assert world.received == [b"in time"]
    assert world.observer.of("late") == []
    socket.send(b"ping")
    world.run(5)
    assert world.received == [b"in timeping"]
    assert world.observer.of("late") == [("node", 1, pytest.approx(2.51, abs=0.02))]


def test_what_waits_for_room_is_late_since_it_was_written(world: World) -> None:
    """Seed 7352 of the swarm: of what was written at once, the window lets the last go after round trips."""
    world.node.slow(0.3, loss=1e-9)
    socket = world.node.connect("broker", 1883)
    world.run(5)
    socket.send(b"first")
    world.run(5)
    socket.send(b"x" * 60_000)  # more than the window of ten segments
    world.run(5)
    assert len(world.received[0]) == 60_005
    assert world.observer.of("late")
    assert all(missed_s > 0.3 for missed_s in world.observer.late_missed_s)


def test_what_is_swallowed_on_its_way_is_missed_since_it_was_sent(world: World) -> None:
    """Found by a hunt: a ping is three seconds on its way over a slow link, and meets a silence then."""
    socket = world.connect()
    world.node.slow(3.0)
    socket.send(b"ping")
    world.run(2.9)
    world.node.link.down()
    world.run(0.2)
    assert world.observer.of("stalled") == [("node", 1)]
    assert world.observer.missed_s == [pytest.approx(3.0, abs=0.05)]


def test_a_word_that_meets_silence_and_is_not_repeated_for_long_is_told(world: World) -> None:
    """Seed 8203 of the swarm: the link had been slow, so the kernel waited for 7 s, and the broker had given
    the node up by then. Nothing had said that nothing crossed."""
    world.node.slow(2.0, loss=1e-9)  # the round trip is measured
    socket = world.node.connect("broker", 1883)
    world.run(10)
    world.node.slow(0.01, loss=1e-9)
    socket.send(b"well")
    world.run(10)
    world.node.link.down()
    socket.send(b"ping")
    world.run(0.1)
    world.node.link.up()
    assert [kind for kind, *_ in world.observer.told if kind in ("stalled", "resumed")] == ["stalled"]
    world.run(20)
    assert world.received == [b"wellping"]
    assert world.observer.of("resumed")


def test_a_lost_acknowledgement_sends_again_and_delivers_once(world: World) -> None:
    socket = world.connect()
    began = world.env.now
    sent = lose(world, "node", {2})
    socket.send(b"once")
    world.run(5)
    assert world.received == [b"once"]
    assert len(sent) == 4  # bytes, acknowledgement (lost), both again
    assert world.env.now > began
    socket.close()
    world.run(5)
    assert [error for _, error in world.closed] == [None]


def test_an_answer_carries_the_acknowledgement(world: World) -> None:
    socket = world.connect()
    stream = world.streams[0]
    stream.on_data = lambda data: stream.write(b"answer")
    sent = lose(world, "node", set())
    socket.send(b"question")
    world.run(5)
    assert len(sent) == 3  # question; answer; its acknowledgement


def test_a_burst_waits_for_the_window(world: World) -> None:
    """RFC 6928: ten segments, then as many more as are acknowledged."""
    world.node.slow(0.1)
    socket = world.node.connect("broker", 1883)
    world.run(1)
    lose(world, "node", set())
    began = world.env.now
    arrived: dict[float, int] = {}

    def data(data: bytes) -> None:
        at_s = round(world.env.now - began, 3)
        arrived[at_s] = arrived.get(at_s, 0) + 1

    world.streams[0].on_data = data
    socket.send(bytes(40 * 1460))
    world.run(5)
    assert arrived == {0.1: 10, 0.3: 20, 0.5: 10}


def test_a_loss_halves_the_window_and_a_timeout_closes_it(world: World) -> None:
    world.node.slow(0.1)
    socket = world.node.connect("broker", 1883)
    world.run(1)
    lose(world, "node", {1})
    socket.send(bytes(12 * 1460))
    world.run(0.35)
    assert socket.window is not None
    assert 5 <= int(socket.window.size) < 10
    world.run(1)
    assert world.received == [bytes(12 * 1460)]
    world.node.link.down()
    socket.send(b"x")
    world.run(1)
    assert socket.window is not None
    assert socket.window.size == 1


@pytest.mark.parametrize("end", ["crash", "abort"])
def test_a_lost_reset_is_provoked_again(world: World, end: str) -> None:
    """A crash whose FIN and one RST were lost was told only when the keepalive ended."""
    socket = world.connect()
    stream = world.streams[0]
    lose(world, "node", {1, 3})
    began = world.env.now
    if end == "crash":
        world.node.crash()
    else:
        socket.abort()
    stream.write(b"are you there?")
    world.run(5)
    assert [at < began + 1 for at, _ in world.closed] == [True]
    assert isinstance(world.closed[0][1], ConnectionResetError)


def test_a_handshakes_lost_parts_are_repeated_by_who_sent_them(world: World) -> None:
    for numbers, done_s, accepted_s in (
        ({1}, 1.02, 1.03),  # SYN: the client after 1 s
        ({2}, 1.02, 1.03),  # SYN-ACK: client and server after 1 s
        ({3}, 0.02, 1.03),  # the last part: the server repeats the SYN-ACK
    ):
        lose(world, "node", numbers)
        began = world.env.now
        done: list[float] = []
        accepted = len(world.streams)
        world.node.connect(
            "broker",
            1883,
            partial(lambda done, began, _error: done.append(world.env.now - began), done, began),
        )
        world.run(accepted_s - 0.015)
        assert len(world.streams) == accepted
        world.run(0.03)
        assert len(world.streams) == accepted + 1, numbers
        assert done == [pytest.approx(done_s, abs=0.011)]


def test_a_link_that_is_well_again_is_watched_no_longer(world: World) -> None:
    socket = world.connect()
    world.node.link.down()
    socket.send(b"x")
    world.run(0.5)
    assert socket.is_watched
    world.node.link.up()
    world.run(5)
    assert world.received == [b"x"]
    assert not socket.is_watched
    assert not world.streams[0].is_watched


# --- ends ---


def test_closing_sends_fin_and_reading_to_the_end_gives_nothing(world: World) -> None:
    socket = world.connect()
    world.streams[0].write(b"bye")
    world.streams[0].close()
    world.run(1)
    assert [socket.recv(10), socket.recv(10), socket.recv(10)] == [b"bye", b"", b""]
    assert not world.closed  # it closed by itself
    assert world.observer.of("closed") == [("node", 1, "fin", "broker")]
    socket.close()
    world.run(1)
    assert not world.node.connections


def test_a_crash_closes_what_the_program_had_open(world: World) -> None:
    socket = world.connect()
    called: list[int] = []
    socket.on_readable = lambda: called.append(1)
    world.node.crash()
    world.streams[0].write(b"too late")
    world.run(1)
    assert world.closed == [(pytest.approx(0.11), None)]
    assert world.observer.of("closed") == [("node", 1, "fin", "node")]
    assert not called


def test_a_crash_with_unread_bytes_resets(world: World) -> None:
    world.connect()
    world.streams[0].write(b"never read")
    world.run(1)
    world.node.crash()
    world.run(1)
    assert isinstance(world.closed[0][1], ConnectionResetError)
    assert world.observer.of("closed") == [("node", 1, "rst", "node")]


def test_half_closed_connections_carry_bytes_the_other_way(world: World) -> None:
    socket = world.connect()
    stream = world.streams[0]
    stream.on_data = lambda data: stream.write(b"answer to " + data)
    socket.send(b"request")
    socket.shutdown()
    with pytest.raises(BrokenPipeError):
        socket.send(b"more")
    world.run(1)
    assert [socket.recv(100), socket.recv(100)] == [b"answer to request", b""]


def test_two_resets_that_cross_are_an_end_that_is_told(world: World) -> None:
    """Found by seed 17 of a larger swarm: both programs died with bytes under way to each other."""
    socket = world.connect()
    socket.send(b"for nobody")
    world.streams[0].write(b"for nobody")
    socket.close()
    world.streams[0].close()
    world.run(1)
    assert [entry[:3] for entry in world.observer.of("closed")] == [("node", 1, "rst")]


def test_bytes_for_a_closed_program_are_answered_with_rst(world: World) -> None:
    socket = world.connect()
    stream = world.streams[0]
    socket.close()
    stream.write(b"crossed the FIN on the way")
    world.run(1)
    assert world.observer.of("closed") == [("node", 1, "fin", "node")]
    assert not world.node.connections
    assert not world.broker.connections


def test_abort_resets_the_other_side(world: World) -> None:
    socket = world.connect()
    world.streams[0].write(b"before")
    world.streams[0].abort()
    world.run(1)
    assert socket.recv(100) == b"before"
    with pytest.raises(ConnectionResetError):
        socket.recv(100)
    with pytest.raises(ConnectionResetError):
        socket.send(b"x")
    assert world.observer.of("closed") == [("node", 1, "rst", "broker")]


def test_a_reset_in_between_reaches_both_sides(world: World) -> None:
    socket = world.connect()
    world.node.reset_connections()
    world.run(0.1)
    with pytest.raises(ConnectionResetError):
        socket.recv(1)
    assert isinstance(world.closed[0][1], ConnectionResetError)
    assert world.observer.of("closed") == [("node", 1, "rst", "node")]


def test_on_a_forgotten_connection_nothing_crosses_either_way_and_a_new_one_works(world: World) -> None:
    socket = world.connect()
    is_held = world.node.forget_connections()
    socket.send(b"lost")
    world.streams[0].abort()  # its RST, too
    world.run(300)
    assert world.received == [b""]
    assert is_held()
    with pytest.raises(BlockingIOError):
        socket.recv(1)
    socket.close()
    assert not is_held()
    again = world.connect()
    again.send(b"heard")
    world.run(1)
    assert world.received == [b"", b"heard"]


def test_a_fin_waits_for_the_link_too(world: World) -> None:
    world.connect()
    world.node.link.down()
    world.node.crash()
    world.run(5)
    assert not world.closed
    assert world.observer.of("held") == [("node", "to_broker", 0)]
    world.node.link.up()
    world.run(10)
    assert [error for _, error in world.closed] == [None]


# --- power ---


def test_a_power_cut_is_silent_and_the_next_byte_after_reboot_meets_rst(world: World) -> None:
    world.connect()
    world.node.power_cut()
    assert world.observer.of("closed") == [("node", 1, "lost", "node")]
    world.run(100)
    assert not world.closed
    world.streams[0].write(b"anybody?")
    world.run(1)
    assert not world.closed  # nothing answers
    assert world.observer.of("held") == [("node", "to_node", 8)]
    world.node.power_on()
    world.run(10)
    assert isinstance(world.closed[0][1], ConnectionResetError)


def test_a_rebooted_node_connects_anew_beside_the_forgotten_connection(world: World) -> None:
    world.connect()
    world.node.power_cut()
    world.node.power_on()
    socket = world.connect()
    socket.send(b"again")
    world.run(1)
    assert world.received == [b"", b"again"]
    assert world.streams[0].is_open


def test_a_broker_that_loses_power_answers_with_rst_when_it_is_back(world: World) -> None:
    socket = world.connect()
    world.broker.power_cut()
    socket.send(b"hello?")
    world.run(5)
    with pytest.raises(BlockingIOError):
        socket.recv(1)
    world.broker.power_on()
    world.run(10)
    with pytest.raises(ConnectionResetError):
        socket.recv(1)


def test_a_stopped_broker_closes_its_connections_and_refuses_new_ones(world: World) -> None:
    socket = world.connect()
    world.broker.crash()
    world.run(1)
    assert socket.recv(1) == b""
    done: list[Any] = []
    world.node.connect("broker", 1883, done.append)
    world.run(1)
    assert isinstance(done[0], ConnectionRefusedError)
    world.broker.listen(1883, lambda stream: None)
    world.node.connect("broker", 1883, done.append)
    world.run(1)
    assert done[1] is None


# --- pushed clients ---


def test_a_client_stream_pushes_what_arrives_and_ends_once(world: World) -> None:
    told: list[object] = []
    stream = world.node.connect_stream("broker", 1883, told.append)
    stream.on_data = told.append
    stream.on_closed = told.append
    world.run(0.1)
    stream.write(b"ping")
    world.run(0.1)
    world.streams[0].write(b"pong")
    world.streams[0].close()
    world.run(1)
    assert told == [None, b"pong", None]
    assert world.received == [b"ping"]
    stream.write(b"ignored")
    world.run(1)
    assert not world.node.connections


def test_nothing_is_left_when_all_is_closed(world: World) -> None:
    for _ in range(20):
        socket = world.connect()
        socket.send(b"x")
        socket.close()
        world.run(0.1)
    world.run(1)
    assert not world.node.connections
    assert not world.broker.connections
    assert len(world.env._queue) < 20 + 5  # SYN timers, cancelled
