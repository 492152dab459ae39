"""Firmware nodes in virtual time: emulated boards in lockstep with the clock."""

from __future__ import annotations

from dcompute_sim.engines.virtual import VirtualMachine
from dcompute_sim.interfaces.node import Node, NodeSpec
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.lockstep import LockstepBoard
from dcompute_sim.micropython.process import BoardListener
from dcompute_sim.net.profile import LWIP_ESP32
from dcompute_sim.nodes.emulator import emulator
from dcompute_sim.nodes.firmware_node import FirmwareNode
from dcompute_sim.recorder import Recorder


def firmware_node(spec: NodeSpec, machine: VirtualMachine, recorder: Recorder) -> Node:
    """A firmware node on the host that `machine` is. EmulatorUnavailable where there is no MicroPython."""
    host = machine.host
    host.tcp = LWIP_ESP32

    def runner(board: Board, listener: BoardListener) -> LockstepBoard:
        return LockstepBoard(host.network.env, host, emulator(), board, listener)

    return FirmwareNode(spec, machine, recorder, runner)
