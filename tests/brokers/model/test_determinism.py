"""Equal calls give equal bytes, whatever the process and its hash seed."""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
import hashlib, random
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.wire import ClientWill, PacketKind
from dcompute_sim.brokers.model import Broker, BrokerConfig

digest = hashlib.sha256()

class Port:
    def __init__(self, number): self.number = number
    def write(self, data): digest.update(b"%d %b" % (self.number, data))
    def close(self): digest.update(b"%d closed" % self.number)

draw = random.Random(7)
broker = Broker(BrokerConfig(inflight_window=3, queue_limit=9))
connections = []
for step in range(4000):
    now_s = step / 10
    broker.tick(now_s)
    name, topic = f"n{draw.randrange(40)}", f"t/{draw.randrange(9)}"
    if step % 8 == 0:
        connection = broker.opened(Port(step), now_s)
        connections.append(connection)
        will = ClientWill("t/will", name.encode(), qos=1, retain=True)
        data = wire.connect(name, clean=draw.random() < 0.5, will=will, keepalive_s=draw.randrange(5, 9))
        data += wire.subscribe(1, [(draw.choice(("#", "t/+", topic)), draw.randrange(3)) for _ in range(3)])
    else:
        connection = draw.choice(connections)
        qos = draw.randrange(3)
        data = wire.publish(topic, b"%d" % step, qos=qos, retain=draw.random() < 0.3, packet_id=1)
        data += wire.acknowledgement(PacketKind.PUBREL, 1)
    broker.received(connection, data, now_s)
    if draw.random() < 0.1:
        broker.lost(draw.choice(connections), now_s)
digest.update(broker.snapshot())
print(digest.hexdigest())
"""


def test_processes_with_different_hash_seeds_agree() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(digests) == 1
