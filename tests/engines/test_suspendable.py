"""A program that hangs: what waits for it, and what it may still call off when it goes on."""

from __future__ import annotations

from dcompute_sim.engines.virtual import VirtualDriver
from dcompute_sim.interfaces.suspendable import SuspendableDriver
from dcompute_sim.net.network import Network
from dcompute_sim.rng import Rng
from simpy import Environment


def test_a_timer_that_came_due_in_a_hang_can_be_cancelled_by_what_waited_before_it() -> None:
    """Found by seed 5293 of the swarm: an attempt that failed in a hang, and whose time was up in the same
    one, was counted twice, and two attempts followed it."""
    env = Environment()
    network = Network(env)
    driver = SuspendableDriver(VirtualDriver(network.host("node"), network.clock, Rng("n")), Rng("g"))
    happened: list[str] = []

    def refused() -> None:
        happened.append("refused")
        patience.cancel()

    driver.call_later(1, refused)
    patience = driver.call_later(2, lambda: happened.append("no answer"))
    driver.call_later(3, lambda: happened.append("other"))
    driver.freeze()
    env.run(until=4)
    assert happened == []
    driver.thaw()
    assert happened == ["refused", "other"]
