"""Board nodes in real time, and the virtual boards that stand in for hardware."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from dcompute_sim.engines.real_machine import RealMachine
from dcompute_sim.hardware.board_errors import BoardError
from dcompute_sim.hardware.board_node import BoardNode, Switch
from dcompute_sim.hardware.hardware_map import LOOPBACK, BoardLocation
from dcompute_sim.interfaces.node import NodeSpec
from dcompute_sim.interfaces.world import EngineError
from dcompute_sim.micropython import flash_folder
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.provision import provision
from dcompute_sim.nodes.firmware_node import board_for
from dcompute_sim.recorder import Recorder
from dcompute_sim.virtual_boards.serial import PtyPort
from dcompute_sim.virtual_boards.virtual_board import VirtualBoard, own


class Bench:
    """The boards of one run; a `RunFixture` of the real engine.

    Args:
        places: the hardware map's place of each board node.
        to_hang: nodes that the scenario may let hang, which takes a debug hook in their firmware.
    """

    def __init__(self, places: Mapping[str, BoardLocation], to_hang: frozenset[str] = frozenset()) -> None:
        self._places = places
        self._to_hang = to_hang
        self.nodes: list[BoardNode] = []

    def link_host(self, name: str) -> str:
        """Return the address of this machine at which the node of that name finds its link."""
        place = self._places.get(name)
        return place.host if place is not None else LOOPBACK

    def node(self, spec: NodeSpec, machine: RealMachine, recorder: Recorder) -> BoardNode:
        """Return a board node, to be prepared."""
        if machine.login.tls is not None:
            raise EngineError(
                "boards are judged by what crosses their wire, which TLS hides: use a broker without it"
            )
        place = self._places[spec.name]

        async def plug_in() -> Switch:
            return await _VirtualHardware.make(spec, machine, place)

        node = BoardNode(
            spec, machine, recorder, place, plug_in if place.virtual else None, spec.name in self._to_hang
        )
        self.nodes.append(node)
        return node

    async def set_up(self) -> None:
        """Make every board this run's. EngineError with all that cannot be used."""
        found = await asyncio.gather(*(node.prepare() for node in self.nodes), return_exceptions=True)
        wrong = [error for error in found if isinstance(error, BaseException)]
        for error in wrong:
            if not isinstance(error, BoardError):
                raise error
        if wrong:
            raise EngineError("\n".join(map(str, wrong)))

    async def tear_down(self) -> list[str]:
        """Give every board back; what went wrong."""
        return [said for said in await asyncio.gather(*(node.put_back() for node in self.nodes)) if said]


class _Prompt:
    """Waits for a board that has nothing to run to come to its prompt."""

    def __init__(self) -> None:
        self.seen = asyncio.Event()

    def happened(self, name: str, fields: dict[str, object]) -> None:
        if name == "ended":
            self.seen.set()


class _VirtualHardware:
    """A virtual board on a flash of its own, as if somebody had deployed the firmware to it."""

    def __init__(self, board: VirtualBoard, root: Path) -> None:
        self._board = board
        self._root = root

    @classmethod
    async def make(cls, spec: NodeSpec, machine: RealMachine, place: BoardLocation) -> _VirtualHardware:
        emulator = await asyncio.to_thread(provision)
        board = board_for(spec, machine)
        root = flash_folder.new_folder(spec.name)
        chip = Board(uid=board.uid, files=(), heap_bytes=board.heap_bytes, seed=board.seed)
        prompt = _Prompt()
        made = cls(
            VirtualBoard(emulator, chip, root, PtyPort(), flash_bytes=place.flash_bytes, watcher=prompt), root
        )
        await made._board.plug_in()
        await prompt.seen.wait()
        board.write_flash(root)  # only now, so that no program had to be stopped
        own(root)
        return made

    @property
    def port(self) -> str:
        return self._board.address

    def power_on(self) -> None:
        self._board.power_on()

    def power_off(self) -> None:
        self._board.power_off()

    async def close(self) -> None:
        await self._board.close()
        flash_folder.remove_folder(self._root)
