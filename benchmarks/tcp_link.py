"""One case over the kernel's TCP: `python -m benchmarks.tcp_link CASE` (`LinkCase` as JSON) prints `Seen` as
JSON.

This process makes two network namespaces and a TUN device in each, starts mosquitto and the master in one and
the nodes in the other, and carries IP packets between the two devices as the link of the case would: each
waits its turn on the shared bandwidth, takes the latency, or is lost. The namespaces go with the last process
in them.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from dcompute_sim.brokers.mosquitto import find_mosquitto

from benchmarks.tcp import LinkCase

_CLONE_NEWNET = 0x40000000
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_IPV4 = 4
_BROKER, _NODES = "10.77.0.1", "10.77.0.2"
_MOST_BYTES = 65_536
_libc = ctypes.CDLL(None, use_errno=True)


def _namespace(address: str) -> tuple[int, int]:
    """Enter a new network namespace with a TUN device of this address: the namespace's and the device's
    descriptor."""
    if _libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "a network namespace cannot be made")
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", b"t0", _IFF_TUN | _IFF_NO_PI))
    for command in (f"addr add {address}/24 dev t0", "link set t0 up", "link set lo up"):
        subprocess.run(["ip", *command.split()], check=True)
    return os.open("/proc/self/ns/net", os.O_RDONLY), tun


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "a network namespace cannot be entered")


class Link:
    """Carries packets between two TUN devices."""

    def __init__(self, case: LinkCase, one: int, other: int) -> None:
        self._other = {one: other, other: one}
        self._latency_s = case.latency_ms / 1e3
        self._bytes_per_s = case.kbit_per_s * 1000 / 8 if case.kbit_per_s else None
        self._loss = case.loss
        self._rng = random.Random(1)
        self._busy_until_s = 0.0
        self._due: list[tuple[float, int, int, bytes]] = []
        self._count = 0

    def carry(self, ends: Sequence[subprocess.Popen[str]], until_s: float) -> None:
        """Until both ends are done (a link that ends before them kills every node), or the clock says so."""
        while (now_s := time.monotonic()) < until_s and any(end.poll() is None for end in ends):
            while self._due and self._due[0][0] <= now_s:
                _, _, target, packet = heapq.heappop(self._due)
                os.write(target, packet)
            wait_s = min(self._due[0][0] - now_s if self._due else 0.2, until_s - now_s)
            for source in select.select(list(self._other), [], [], max(0.0, wait_s))[0]:
                self._accept(source)

    def _accept(self, source: int) -> None:
        packet = os.read(source, _MOST_BYTES)
        if packet[0] >> 4 != _IPV4:
            return
        now_s = sent_s = time.monotonic()
        if self._bytes_per_s is not None:
            sent_s = self._busy_until_s = max(now_s, self._busy_until_s) + len(packet) / self._bytes_per_s
        if self._rng.random() < self._loss:
            return
        self._count += 1
        heapq.heappush(self._due, (sent_s + self._latency_s, self._count, self._other[source], packet))


def _python(role: str, case: LinkCase) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.tcp_participants", role, _BROKER, json.dumps(vars(case))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def main(case: LinkCase) -> int:
    """The whole case."""
    at_broker, broker_tun = _namespace(_BROKER)
    at_nodes, nodes_tun = _namespace(_NODES)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "mosquitto.conf"
        config.write_text(f"listener 1883 {_BROKER}\nallow_anonymous true\nset_tcp_nodelay true\nuser root\n")
        _enter(at_broker)
        started: list[subprocess.Popen[str]] = []
        started.append(
            subprocess.Popen([find_mosquitto(), "-c", config], stderr=subprocess.DEVNULL, text=True)
        )
        try:
            time.sleep(0.5)
            master = _python("master", case)
            _enter(at_nodes)
            nodes = _python("nodes", case)
            started += [master, nodes]
            Link(case, broker_tun, nodes_tun).carry((master, nodes), time.monotonic() + case.length_s + 40)
            seen = json.loads(master.communicate(timeout=20)[0])
            seen["disconnections"] = json.loads(nodes.communicate(timeout=20)[0])
        finally:
            for process in started:
                process.kill()
                process.wait()
    print(json.dumps(seen))
    return 0


if __name__ == "__main__":
    sys.exit(main(LinkCase(**json.loads(sys.argv[1]))))
