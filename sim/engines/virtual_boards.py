"""Firmware nodes in virtual time: emulated boards in lockstep with the clock."""

from __future__ import annotations

from functools import cache

from sim.engines.base import Machine
from sim.micropython.board import Board
from sim.micropython.lockstep import LockstepBoard
from sim.micropython.process import Listener
from sim.micropython.provision import Emulator, provision
from sim.net.network import Network
from sim.net.profile import LWIP_ESP32
from sim.nodes.base import Node, NodeSpec
from sim.nodes.firmware import FirmwareNode
from sim.recorder import Recorder


@cache
def _emulator() -> Emulator:
    return provision()


def firmware_node(spec: NodeSpec, machine: Machine, recorder: Recorder, network: Network) -> Node:
    """A firmware node on the host that `machine` is. EmulatorUnavailable where there is no MicroPython."""
    emulator = _emulator()
    host = network.host(machine.name)
    host.tcp = LWIP_ESP32

    def runner(board: Board, listener: Listener) -> LockstepBoard:
        return LockstepBoard(network.env, host, emulator, board, listener)

    return FirmwareNode(spec, machine, recorder, runner)
