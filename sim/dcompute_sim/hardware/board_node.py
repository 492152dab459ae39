"""A board node: hardware on a serial port. What is done to it goes over the serial line, what it does is read
off its wire.

A real board has no side channel to tell what its node core does, so `wiretap` tells it from the bytes
that cross its link, for virtual boards too. The link is a fault proxy on this machine, in the broker's place.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Hashable, Mapping, Sequence
from typing import Any, Protocol

from dcompute.node_wire import Topics
from dcompute_sim import trace as t
from dcompute_sim.brokers.model.packets import publish_head
from dcompute_sim.engines.real_machine import RealMachine
from dcompute_sim.faults.effects import BOOTED, LEFT, WITHHELD
from dcompute_sim.faults.injection import HowStuck
from dcompute_sim.first_version import update_key
from dcompute_sim.hardware.board_errors import BoardError
from dcompute_sim.hardware.hardware_map import BoardLocation
from dcompute_sim.hardware.run_config import BoardProgram, append_settings, inspect, remove_settings
from dcompute_sim.hardware.serial_link import SerialLink
from dcompute_sim.hardware.shared_link import SharedLink, Work
from dcompute_sim.interfaces.node import NodeSpec
from dcompute_sim.interfaces.suspendable import SuspendableDriver
from dcompute_sim.interfaces.world import EngineError
from dcompute_sim.net.observer import Direction
from dcompute_sim.nodes.firmware_node import config_for, own_settings
from dcompute_sim.nodes.observed_node import ObservedNode
from dcompute_sim.recorder import Recorder
from dcompute_sim.rng import Rng
from dcompute_sim.wiretap import TimedTap

_FOREVER_S = 3600
_HANG_BEGINS_S = 0.5  # what was on its way still gets out
_BOOT_SIGNS = ("rst:0x", "soft reboot")
_OWN = ("WIFI_SSID", "WIFI_PASSWORD", "STATIC_IP")  # the board's, whatever they are


class Switch(Protocol):
    """The plug of a virtual board."""

    @property
    def port(self) -> str:
        """Its serial port."""

    def power_on(self) -> None: ...
    def power_off(self) -> None: ...
    async def close(self) -> None: ...


class BoardNode(ObservedNode):
    """Does to a board what is done to a node, and tells its story (an `interfaces.node.Node`).

    Args:
        plug_in: makes the virtual board behind `place`; None for a real one.
        needs_hooks: whether the scenario does to it what only firmware with debug hooks can be made to do.
    """

    def __init__(
        self,
        spec: NodeSpec,
        machine: RealMachine,
        recorder: Recorder,
        place: BoardLocation,
        plug_in: Callable[[], Coroutine[Any, Any, Switch]] | None,
        needs_hooks: bool,
    ) -> None:
        super().__init__(spec, recorder)
        self._spec = spec
        self._machine = machine
        self._place = place
        self._plug_in = plug_in
        self._needs_hooks = needs_hooks
        self._topics = Topics(spec.namespace)
        self._no_program = SuspendableDriver(machine.driver, Rng("no program"))  # it never draws
        self._loop = asyncio.get_running_loop()
        self._tap = TimedTap(self.name, self.node_id, self._topics, self.core_event, self._loop.time)
        self._line: SharedLink | None = None
        self._program: BoardProgram | None = None
        self._switch: Switch | None = None
        self._jobs: set[asyncio.Task[None]] = set()
        self._running = False
        self._unplugged = False
        self._boots = 0
        self._resetting = False
        self._leaving = False
        self._hung_since_s: float | None = None
        self._hung_owes = False  # the broker said something that wants an answer
        self._hung_spoke = False

    @property
    def running(self) -> bool:
        return self._running

    @property
    def round_trips_s(self) -> Sequence[float]:
        """Of each message sent to it, until it was acknowledged."""
        return list(self._tap.round_trips_s)

    # --- before and after the run -------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Stop what runs on the board and make it this run's. BoardError when it cannot be used."""
        port = self._place.port
        if self._plug_in is not None:
            self._switch = await self._plug_in()
            port = self._switch.port
        assert port is not None
        line = self._line = SharedLink(self.name, port, self._place.baud, self._printed)
        await line.open()
        await line.do(SerialLink.enter)
        program = await line.do(inspect)
        if self._needs_hooks and not program.has_hooks:
            raise BoardError(
                f"{self.name} at {port}: its firmware has no debug_hooks, and the scenario lets it `hang`: "
                "deploy dcompute's own firmware, or leave that fault out for boards"
            )
        if self._spec.group.layout == "slots" and not program.home:
            raise BoardError(
                f"{self.name} at {port}: its firmware is not in slots, as `layout: slots` says: put it "
                "there with dcompute deploy"
            )
        run = config_for(self._spec, self._machine)
        settings = {k: v for k, v in run.items() if k not in _OWN}
        settings |= {"DEBUG_HOOKS": program.has_hooks, **own_settings(self._spec, run)}
        slots = self._spec.group.layout == "slots"
        key = update_key(self._spec.node_id, self._spec.namespace) if slots else b""
        await line.do(lambda link: append_settings(link, program, settings, key))
        self._program = program
        self._machine.proxy.tap = self

    async def put_back(self) -> str:
        """Give the board back to its owner, with its own config.py, started; say what went wrong, if so."""
        trouble = ""
        for job in list(self._jobs):
            await asyncio.wait([job])
        program = self._program
        if self._line is not None:
            try:
                if program is not None and self._switch is None:
                    await self._line.do(SerialLink.enter)
                    await self._line.do(remove_settings)
                    await self._line.do(self._hard_reset)
            except BoardError as error:
                trouble = f"{error}; its config.py still has this run's lines at its end"
            await self._line.close()
        if self._switch is not None:
            await self._switch.close()
        return trouble

    def close(self) -> None:
        """Do nothing: all of it takes time: `put_back` does it."""

    # --- what a person does -------------------------------------------------------------------------------

    def power_on(self) -> None:
        if self._running:
            return
        self._running = True
        if self._switch is not None and self._unplugged:
            self._unplugged = False
            self._switch.power_on()
            self._booted()
        else:
            self._do(self._hard_reset, self._booted)

    def _booted(self) -> None:
        self._boots += 1
        self._recorder.add(t.NodeStarted, node=self.name, boot=self._boots)

    def crash(self) -> None:
        """Reset the board softly and hold it at the prompt: the chip closes the program's sockets (FIN)."""
        if self._running:
            self._running = False
            self._do(SerialLink.enter, lambda: self._gone("crash"))

    def leave(self) -> None:
        """Have its program call `stop()`, when the firmware's debug hook has heard of it."""
        if self._running:
            self._leaving = self._command("leave", None)

    def drain(self) -> None:
        raise EngineError(f"{self.name}: a board has no such way to leave; `leave` is its own")

    def power_cut(self, how: str = "power_cut") -> None:
        if not self._running:
            return
        if how == "reboot":
            self._reboot()
            return
        assert self._switch is not None, "checked before the run"
        self._running = False
        self._machine.power_cut(self._no_program)
        self._switch.power_off()
        self._unplugged = True
        self._gone(how)

    def _reboot(self) -> None:
        """Let the board start anew. It comes back by itself, so it counts as running all the while."""
        self._resetting = True
        proxy = self._machine.proxy
        was_up = proxy.is_up
        if self._switch is not None:  # the FIN that its host sends for it must not cross
            proxy.down()
        self._gone("reboot")

        def done() -> None:
            if self._switch is not None:
                proxy.forget()
                if was_up:
                    proxy.up()
            self._booted()

        self._do(self._hard_reset, done)

    def hang(self, for_s: float | None = None) -> None:
        if self._command("hang", for_s):
            self._recorder.add(t.NodeStopped, node=self.name, how="hang")
            self._hung_since_s = self._loop.time()
            self._hung_owes = self._hung_spoke = False
            by_then_s = self._spec.group.keepalive + _HANG_BEGINS_S
            self._loop.call_later(by_then_s if for_s is None else 0.9 * for_s, self._judge_hang)

    def _judge_hang(self) -> None:
        """Judge whether it had something to say (an answer, a ping) and did not."""
        if self._hung_since_s is not None and not self._hung_spoke:
            owes_ping = self._loop.time() - self._hung_since_s > self._spec.group.keepalive
            if self._hung_owes or owes_ping:
                self._recorder.effect(self.name, WITHHELD)

    def resume(self) -> None:
        """Do nothing: the board's own clock ends it."""
        self._hung_since_s = None

    def wifi(self, present: bool, for_s: float | None = None, *, kick: bool = False) -> None:
        if not present and not self._command("wifi_off", for_s):
            self._log("warning", "only the link is silent; the board's WLAN, which cannot be told, stays up")

    def wifi_stuck(self, how: HowStuck) -> Callable[[], bool]:
        raise EngineError(f"{self.name}: the driver of a board on a serial port cannot be made to hang")

    def hears(
        self, rssi: Mapping[str, int | None], lost: Callable[[], None], joined: Callable[[], None]
    ) -> Mapping[str, int | None]:
        raise EngineError(f"{self.name}: a board on a serial port hears what is on the air")

    def station(self, mac: str, *, near: bool) -> None:
        raise EngineError(f"{self.name}: a board on a serial port is joined by who is there")

    def _command(self, command: str, for_s: float | None) -> bool:
        """Give the firmware's debug hook an order, in the broker's place; whether it could be given."""
        if self._program is None or not self._program.has_hooks or not self._tap.between_packets:
            return False
        info = {"command": command, "for_s": _FOREVER_S if for_s is None else for_s}
        payload = json.dumps({"task_info": info}).encode()
        head = publish_head(self._topics.task_of(self.node_id).encode(), payload, 0)
        return self._machine.proxy.tell(head + payload)

    # --- the serial line ----------------------------------------------------------------------------------

    def _hard_reset(self, link: SerialLink) -> None:
        link.restart(self._place.reset_by)

    def _do(self, work: Work[None], then: Callable[[], None]) -> None:
        async def job() -> None:
            assert self._line is not None
            try:
                await self._line.do(work)
            except BoardError as error:
                self._log("error", str(error))
            else:
                then()

        task = self._loop.create_task(job())
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    def _printed(self, line: str) -> None:
        if self._resetting and any(sign in line for sign in _BOOT_SIGNS):
            self._resetting = False
            self._recorder.effect(self.name, BOOTED, "booted, as its serial line says")
        if line:
            self._recorder.add(t.NodeOutput, node=self.name, text=line)

    # --- the wire (`net.observer.ByteTap`) ------------------------------------------------------------

    def crossed(self, conn: Hashable, direction: Direction, data: bytes) -> None:
        if self._hung_since_s is not None and self._loop.time() - self._hung_since_s > _HANG_BEGINS_S:
            self._hung_spoke = self._hung_spoke or direction == "to_broker"
            self._hung_owes = self._hung_owes or direction == "to_node"
        self._tap.crossed(conn, direction, data)

    def closed(self, conn: Hashable) -> None:
        self._tap.closed(conn)
        if self._leaving:
            self._leaving = self._running = False
            self._gone("exit")
            self._recorder.effect(self.name, LEFT, "left: its connection has ended")
