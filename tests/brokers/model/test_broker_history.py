"""What a broker held at a moment, as its history tells it, is what it held then: whatever clients do."""

from __future__ import annotations

from collections import Counter

from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.wire import ClientWill, PacketKind
from dcompute_sim.brokers.model import BrokerConfig
from dcompute_sim.brokers.model.broker_history import BrokerHistory, HeldMemory, HeldSession, RecordedBroker
from hypothesis import given
from hypothesis import strategies as st

from .conftest import Bench, Peer

CONFIG = BrokerConfig(inflight_window=2, queue_limit=2)
KINDS = ["connect", "subscribe", "unsubscribe", "publish", "acknowledge", "receive", "release", "complete"]
KINDS += ["leave", "lose", "wait", "restart"]
STEPS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 2), st.integers(0, 2), st.booleans()), max_size=50
)


class Recorded(Bench):
    """A bench whose broker writes its history; each step of it is a moment."""

    def __init__(self) -> None:
        super().__init__()
        self.history = BrokerHistory()
        self.moments: list[HeldMemory] = []
        self.lost: Counter[str] = Counter()
        self.broker: RecordedBroker = self.begun()

    def begun(self) -> RecordedBroker:
        return RecordedBroker(self.history, self.moment, CONFIG, observer=self)

    def moment(self) -> tuple[int, int]:
        return len(self.moments), round(self.now_s * 1e6)

    def restart(self) -> None:
        memory = self.broker.snapshot()
        self.broker.stop()
        self.history.stopped(self.moment())
        assert self.history.at(*self.moment())[:2] == ({}, {}), "a broker that is down holds nothing"
        self.broker = self.begun()
        self.broker.restore(memory)

    def message_dropped(self, client_id: str, topic: str, reason: str) -> None:
        self.lost[client_id] += 1

    def remember(self) -> None:
        """Keep what the broker holds now, all of it looked at."""
        sessions = {
            name: HeldSession(
                it.clean,
                it.write is not None,
                len(it.inflight),
                len(it.queue),
                len(it.incoming),
                len(it.subscriptions),
            )
            for name, it in self.broker.sessions.items()
        }
        retained = {topic.decode(): payload for topic, (_, payload) in self.broker.retained.items()}
        self.moments.append(HeldMemory(sessions, retained, dict(self.lost)))


def do(bench: Recorded, peers: dict[int, Peer], step: str, who: int, what: int, flag: bool) -> None:
    peer = peers.get(who)
    if step == "wait":
        bench.advance_to(bench.now_s + 4 * what)
    elif step == "restart":
        peers.clear()
        bench.restart()
    elif step == "connect":
        will = ClientWill(f"t/{what}", b"gone" * flag, qos=1, retain=True) if what else None
        peers[who] = bench.connect(f"c{who}", clean=flag, keepalive_s=5, will=will)
    elif peer is None or peer.closed:
        return
    elif step == "subscribe":
        peer.send(wire.subscribe(9, [("t/#" if flag else f"t/{what}", what)]))
    elif step == "unsubscribe":
        peer.send(wire.unsubscribe(9, ["t/#"]))
    elif step == "publish":
        peer.publish(f"t/{who}", "x" * what, qos=what, packet_id=1 + who, retain=flag)
    elif step == "leave":
        peer.disconnect()
    elif step == "lose":
        peer.lose()
        peers.pop(who)
    else:
        kinds = {"acknowledge": "PUBACK", "receive": "PUBREC", "complete": "PUBCOMP", "release": "PUBREL"}
        peer.acknowledge(PacketKind[kinds[step]], 1 + what)


@given(STEPS)
def test_each_moment_is_what_the_broker_held_then(steps: list[tuple[str, int, int, bool]]) -> None:
    bench, peers = Recorded(), dict[int, Peer]()
    times_us = []
    for step in steps:
        do(bench, peers, *step)
        times_us.append(bench.moment()[1])
        bench.remember()
    for number, (held, time_us) in enumerate(zip(bench.moments, times_us, strict=True)):
        told = bench.history.at(number, time_us)
        assert told == held, steps[: number + 1]
