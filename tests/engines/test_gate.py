"""A program that hangs: what waits for it, and what it may still call off when it goes on."""

from __future__ import annotations

from dcompute_sim.engines.virtual import VirtualDriver
from dcompute_sim.interfaces.suspendable import Gate
from dcompute_sim.net.network import Network
from dcompute_sim.rng import Dice
from simpy import Environment


def test_a_timer_that_came_due_in_a_hang_can_be_cancelled_by_what_waited_before_it() -> None:
    """Found by seed 5293 of the swarm: an attempt that failed in a hang, and whose time was up in the same
    one, was counted twice, and two attempts followed it."""
    env = Environment()
    network = Network(env)
    gate = Gate(VirtualDriver(network.host("node"), network.clock, Dice("n")), Dice("g"))
    happened: list[str] = []

    def refused() -> None:
        happened.append("refused")
        patience.cancel()

    gate.call_later(1, refused)
    patience = gate.call_later(2, lambda: happened.append("no answer"))
    gate.call_later(3, lambda: happened.append("other"))
    gate.freeze()
    env.run(until=4)
    assert happened == []
    gate.thaw()
    assert happened == ["refused", "other"]
