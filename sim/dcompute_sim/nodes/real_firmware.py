"""Firmware nodes in real time: each an emulated board in a process of its own, behind its fault proxy."""

from __future__ import annotations

from pathlib import Path

from dcompute_sim.engines.real_machine import RealMachine
from dcompute_sim.interfaces.node import Node, NodeSpec
from dcompute_sim.interfaces.suspendable import SuspendableDriver
from dcompute_sim.micropython.board import PWRON_RESET, Board
from dcompute_sim.micropython.process import BoardListener, FirmwareProcess
from dcompute_sim.net.observer import ByteTap
from dcompute_sim.nodes.emulator import emulator
from dcompute_sim.nodes.firmware_node import FirmwareNode
from dcompute_sim.recorder import Recorder
from dcompute_sim.rng import Rng


class _RealBoard(FirmwareProcess):
    """A board's process, whose power the machine's link knows of, and that knows when this is silent."""

    def __init__(self, board: Board, listener: BoardListener, machine: RealMachine) -> None:
        super().__init__(emulator(), board, listener, machine.name)
        self._machine = machine
        self._no_program = SuspendableDriver(machine.driver, Rng("no program"))  # it never draws
        machine.on_silence = lambda silent: self.radio(silent=silent)
        machine.proxy.chip(lambda: self.vanished)

    def read_along(self, tap: ByteTap) -> None:
        """Show `tap` what crosses this board's link."""
        self._machine.read_along(tap)

    @property
    def stood_still(self) -> bool:
        """The kernel's word for it: a stopped process runs nothing."""
        stat = Path(f"/proc/{self.pid}/stat")
        return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "T"

    def start(self, reset_cause: int = PWRON_RESET) -> None:
        """Switch on, or begin anew: what is sent on connections of before is answered with RST."""
        self._machine.power_on()
        super().start(reset_cause)

    def stopping(self) -> None:
        """Cut the link: a chip that resets or sleeps sends no FIN."""
        self._machine.power_cut(self._no_program)

    def crash(self) -> None:
        """Let the program die; its kernel sends FIN."""
        self.kill()

    def power_cut(self) -> None:
        """Cut the link first, so that the FIN of the dying process does not cross."""
        self._machine.power_cut(self._no_program)
        self.kill()


def firmware_node(spec: NodeSpec, machine: RealMachine, recorder: Recorder) -> Node:
    """Return a firmware node behind its link `machine`. EmulatorUnavailable where there is no MicroPython."""
    return FirmwareNode(spec, machine, recorder, lambda board, listener: _RealBoard(board, listener, machine))
