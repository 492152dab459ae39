"""The master, or the nodes, of one case of `benchmarks.tcp`: `ROLE HOST CASE`; prints what it saw as JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict

from benchmarks.tcp import LinkCase, summed
from dcompute.errors import NodeUnavailable
from dcompute.events import MasterEvent, NodeDisconnected, NodeEvent, ResultReceived
from dcompute.master_transport import MasterNodeTransport
from dcompute.node_transport import ComputeNodeTransport
from dcompute.worker import TaskLoop

_SETTLE_S, _REST_S = 5.0, 15.0  # before the first task and after the last


def master(host: str, case: LinkCase) -> None:
    """Send tasks round robin; print deaths, results and latencies."""
    began_s = time.monotonic()
    sent: dict[str, float] = {}
    latencies_s: list[float] = []
    deaths: list[str] = []

    def observe(event: MasterEvent) -> None:
        if isinstance(event, ResultReceived) and event.task in sent:
            latencies_s.append(time.monotonic() - sent.pop(event.task))

    with MasterNodeTransport(host, observer=observe) as transport:
        transport.set_dead_nodes_callback(deaths.extend)
        time.sleep(_SETTLE_S)
        number = 0
        while time.monotonic() < began_s + case.length_s - _REST_S:
            task = f"t{number}"
            for turn in range(case.nodes):  # the next that lives
                try:
                    sent[task] = time.monotonic()
                    name = f"n-{(number + turn) % case.nodes + 1}"
                    transport.send_task(name, {"id": task, "data": "x" * 200})
                    break
                except NodeUnavailable:
                    del sent[task]
            number += 1
            time.sleep(1 / case.tasks_per_s)
        time.sleep(max(0.0, began_s + case.length_s - time.monotonic()))
        seen = summed(len(deaths), 0, latencies_s)
    print(json.dumps(asdict(seen)), flush=True)


def nodes(host: str, case: LinkCase) -> None:
    """Answer every task at once; print how often a connection was lost."""
    began_s = time.monotonic()
    lost: list[str] = []

    def observe(event: NodeEvent) -> None:
        if isinstance(event, NodeDisconnected):
            lost.append(event.reason)

    transports = [
        ComputeNodeTransport(
            host,
            node_id=f"n-{number + 1}",
            keepalive=case.keepalive_s,
            install_signal_handlers=False,
            observer=observe,
        )
        for number in range(case.nodes)
    ]
    for transport in transports:
        loop = TaskLoop(transport, lambda task, done: done(0))
        transport.set_task_callback(loop.kick)
        transport.start(timeout_s=0)
    time.sleep(max(0.0, began_s + case.length_s - time.monotonic()))
    print(json.dumps(len(lost)), flush=True)
    time.sleep(_SETTLE_S)  # until the master has counted: what ends now is no death of the case's
    os._exit(0)


if __name__ == "__main__":
    _, role, host, given = sys.argv
    {"master": master, "nodes": nodes}[role](host, LinkCase(**json.loads(given)))
