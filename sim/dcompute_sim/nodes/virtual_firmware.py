"""Firmware nodes in virtual time: emulated boards in lockstep with the clock."""

from __future__ import annotations

from dataclasses import replace

from dcompute_sim.engines.virtual import VirtualMachine
from dcompute_sim.interfaces.node import Node, NodeSpec
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.lockstep import LockstepBoard
from dcompute_sim.micropython.process import BoardListener
from dcompute_sim.net.profile import LWIP_ESP32
from dcompute_sim.nodes.emulator import emulator
from dcompute_sim.nodes.firmware_node import FirmwareNode
from dcompute_sim.recorder import Recorder
from dcompute_sim.scenario.board_record import BoardRecord


def _timed(board: Board, spec: NodeSpec) -> Board:
    """Return `board` with what its chip takes, where no record of a board says otherwise."""
    timing = spec.group.chip()
    if timing is None:
        return board
    if isinstance(spec.group.profile, BoardRecord):
        times_as_slow = spec.group.profile.loop_us * 1e-6 / timing.loop
        computing = {
            "branches": timing.branches * times_as_slow,
            "allocate": timing.allocate * times_as_slow,
        }
        timing = timing.model_copy(update=computing)
    air = {
        "scan_ms": round(timing.scan * 1000),
        "join_ms": round(timing.join * 1000),
        "dhcp_ms": round(timing.dhcp_s(f"{spec.seed}/{spec.name}") * 1000),
    }
    return replace(board, timing=timing, radio={**air, **board.radio})


def firmware_node(spec: NodeSpec, machine: VirtualMachine, recorder: Recorder) -> Node:
    """Return a firmware node on the host that `machine` is. EmulatorUnavailable where there is no
    MicroPython."""
    host = machine.host
    host.tcp = LWIP_ESP32

    def runner(board: Board, listener: BoardListener) -> LockstepBoard:
        return LockstepBoard(host.network.env, host, emulator(), _timed(board, spec), listener)

    return FirmwareNode(spec, machine, recorder, runner)
