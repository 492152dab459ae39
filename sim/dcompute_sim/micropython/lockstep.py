"""Emulated ESP32s in virtual time: unmodified firmware, one thread of one process at a time, SimPy's clock.

The rules:

1. **A board runs only while it holds a grant.** It computes until it must wait; the request it then sends
   says for what, and becomes an event of the simulation. One grant, one request: nothing else passes.
2. **Whatever a board can see comes with a grant**: the time, bytes that arrived, orders of the testbed.
   Whatever it does is in its request, and happens when that is taken. So a run is a pure function of the
   firmware, the seed and the faults, on any machine and any build of MicroPython.
3. **A wait is void when it is over.** Each wait has a serial; an answer that comes late (a timer of a wait
   that an arrival has ended, a grant to a process that is gone) finds another serial and does nothing.
4. **A chip that stands still is granted nothing**: what falls due is held, in order, until `resume`.
5. Computing takes what the chip's timing says (`Board.timing`), and the board has one processor: while it
   computes for one thread, turns of the others wait, in order. Without a timing it takes nothing, but each
   look at the clock 20 microseconds: else a program that waits by looking at the clock would never see it
   move. Who prints more than the console's FIFO holds waits until it has gone down the line.

Why processes and not an interpreter of our own, or MicroPython as a library: the files on the board must be
the very files that a chip runs, compiled by the very compiler; and a board that exhausts its heap, recurses
into the ground or is struck by a fatal error of MicroPython must take nobody with it. Why requests and not
system calls intercepted (ptrace, LD_PRELOAD): a wait of one thread would be a futex of many, and the unix
port's own threads run side by side; the shims wait in one place, by name (shims/lockstep/_kernel.py, the
other half of this).

Why turns may run ahead (`_grant_others`): a turn costs two context switches, and a second processor would be
idle. Turns of boards that come next are granted early, for as long as nothing that the board now running does
can reach another before its turn: a message takes at least the latency of a link. Their answers are still
taken when they are due, in order. Rejected: running boards freely between two messages (optimistic
simulation, with roll back); it needs a copy of each process at each message.

A board's host in the virtual network stands for its Wi-Fi interface and its TCP stack: `power_cut` of the
host is silence, `crash` its FIN.
"""

from __future__ import annotations

import heapq
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from simpy import Environment
from simpy.events import NORMAL, URGENT

from dcompute_sim.micropython import board as boards
from dcompute_sim.micropython import flash_folder
from dcompute_sim.micropython import lockstep_wire as wire
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.kept import Kept
from dcompute_sim.micropython.lockstep_process import LockstepError, LockstepProcess
from dcompute_sim.micropython.lockstep_sockets import Sockets
from dcompute_sim.micropython.process import RESETS, RESTART_S, BoardListener
from dcompute_sim.micropython.provision import Emulator
from dcompute_sim.micropython.watchdog import Watchdog
from dcompute_sim.net.network import Host
from dcompute_sim.net.observer import ByteTap
from dcompute_sim.net.sockets import Socket

AHEAD = 16
"""Turns that may run ahead of the one that is due; 0: none, and the run is the same."""
_HEAD = wire.REQUEST.size
_CONSOLE_FIFO = 128  # bytes; ESP-IDF, SOC_UART_FIFO_LEN, which the port's console writes to itself
_ROUNDING_S = 1e-9
_WLAN_STATES = {1000: "radio_off", 1001: "joining", 1010: "connected"}  # anything else: it tries again


class _Wake:
    """A thread's turn; to SimPy, an event that succeeded. Void unless the thread still waits for this one."""

    __slots__ = ("board", "callbacks", "granted", "result", "serial", "thread")
    _ok = True

    def __init__(self, board: LockstepBoard, thread: int, serial: int, result: int) -> None:
        self.board = board
        self.thread = thread
        self.serial = serial
        self.result = result
        self.granted = False  # ahead of its time; the answer is taken when it is due
        self.callbacks: object = _TURN


def _turn(wake: _Wake) -> None:
    wake.board._turn(wake)


_TURN = (_turn,)


class LockstepBoard:
    """One emulated board in virtual time. `start`, then faults at will; `close` at the end, always.

    Args:
        env: the clock, in seconds.
        host: the board's place in the virtual network.
        emulator: from `provision()`.
        board: what it is and what is on it.
        listener: told what happens.

    Attributes:
        root: the board's flash, a folder.
        turns: how often the firmware ran until it had to wait: what a run costs.
        turns_ahead: how many of these ran beside the turns of other boards, before they were due.
    """

    def __init__(
        self, env: Environment, host: Host, emulator: Emulator, board: Board, listener: BoardListener
    ) -> None:
        self.board = board
        self.host = host
        self.boots = 0
        self.turns = 0
        self.turns_ahead = 0
        self._env = env
        self._emulator = emulator
        self._listener = listener
        self._folder = flash_folder.new_folder(host.name)
        self.root = self._folder / "flash"
        self.root.mkdir()
        self._process: LockstepProcess | None = None
        self._radio = dict(board.radio)
        self._kept = Kept(board.clock_start_us)
        self._power_on_s = 0.0
        self._serial = 0
        self._half_line = b""
        self._parked: dict[int, int] = {}  # thread -> serial of what it waits for
        self._waiting: dict[int, int] = {}  # those of them that any arrival wakes
        self._orders: list[bytes] = []
        self._held: list[_Wake] = []  # fell due while hung
        self._ahead: _Wake | None = None  # granted ahead; the process is at it
        self._behind: list[_Wake] = []  # fell due while the process was at that
        self._hung = False
        self._booted = False
        self._busy_until_s = 0.0  # the processor computes until then
        self._printing_until_s = 0.0  # the serial line is at what was printed until then
        self._asleep = False
        self._power_saving = True  # of the WLAN, the port's default
        self._state = "off"
        self._watchdog = Watchdog(host.network.clock, lambda: self._reset(boards.WDT_RESET))
        self._memory: dict[int, Callable[[int, int], None]] = {}
        self._restart = 0
        self._awake_until_s = 0.0  # the radio, where it saves power
        self._beacon_s = (
            None if board.timing is None else board.timing.beacon_s(f"{board.seed}/{board.uid.hex()}")
        )
        self._sockets = Sockets(host, self._arrival, self._answer, self)
        host.serves = Socket
        with flash_folder.removed_on_error(self._folder):
            board.write_flash(self.root)

    # --- power ------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether the process exists (a hung one does)."""
        return self._process is not None

    @property
    def asleep(self) -> bool:
        """Whether it is in deep sleep."""
        return self._asleep

    @property
    def pid(self) -> int | None:
        """The process that is the board's chip; None while it is off."""
        return None if self._process is None else self._process.pid

    def read_along(self, tap: ByteTap) -> None:
        """Show `tap` what this board sends and receives."""
        self._sockets.tap = tap

    @property
    def stood_still(self) -> bool:
        """While it hangs: whether something fell due meanwhile."""
        return bool(self._held)

    def start(self, reset_cause: int = boards.PWRON_RESET) -> None:
        """Switch on; the firmware runs from the next event on."""
        if self._process is not None:
            raise RuntimeError(f"board {self.host.name} is already running")
        self._restart += 1
        self._asleep = False
        self.host.power_on()
        self.boots += 1
        self._power_on_s = self._env.now
        self._hung = self._booted = False
        seed = zlib.crc32(f"{self.board.seed}/{self.board.uid.hex()}/{self.boots}".encode()) & 0x3FFFFFFF
        described = replace(self.board, radio=self._radio, seed=seed, address=self.host.address)
        kept = self._kept.start(reset_cause, self._env.now)
        self._process = LockstepProcess(
            self.host.name, self._emulator, described, self.root, reset_cause, kept
        )
        self._busy_until_s = self._printing_until_s = 0.0
        self._power_saving = True
        self._listener.started(self.boots, reset_cause)
        self._draws("boot")
        self._park(0, delay_us=self._boot_us(reset_cause))

    def _boot_us(self, reset_cause: int) -> int:
        timing = self.board.timing
        if timing is None:
            return 0
        return round((timing.filesystem + (reset_cause != boards.SOFT_RESET) * timing.boot) * 1e6)

    def crash(self) -> None:
        """Let the program die, not its TCP stack: FIN for its connections."""
        if self._stop() is not None:
            self.host.crash()
            self._listener.stopped("kill")
            self._draws("off")

    def power_cut(self) -> None:
        """Lose everything, silently; nothing answers until `start`."""
        stopped = self._stop()
        self.host.power_cut()
        if stopped is not None:
            self._listener.stopped("kill")
        self._draws("off")

    def hang(self) -> None:
        """Let the chip stand still; its watchdog, if the firmware started one, still bites."""
        self._hung = self.running

    def resume(self) -> None:
        """Go on after `hang`: what fell due meanwhile happens now."""
        self._hung = False
        held, self._held = self._held, []
        for wake in held:
            # SimPy has taken the callbacks away when it was due.
            wake.callbacks = _TURN
            self._env.schedule(cast(Any, wake), NORMAL, 0)

    def close(self) -> None:
        """End the process and remove its folder; the object is of no further use."""
        self._stop()
        flash_folder.remove_folder(self._folder)

    # --- the board's surroundings -----------------------------------------------------------------------

    def radio(self, **changes: object) -> None:
        """Change the air around the board (keys: class Radio in shims/network.py); kept over reboots."""
        self._radio |= changes
        self._order({"op": "radio", "set": changes, "at_us": self._now_us()})

    def kick(self, reason: int = 200, stuck: str | None = None) -> None:
        """Let the access point throw the board out; `reason` is what `WLAN.status()` then shows.

        `stuck` (silent, raises): how the interface fails to join any network, until it is started afresh.
        """
        self._order({"op": "kick", "reason": reason, "stuck": stuck, "at_us": self._now_us()})

    def leave(self) -> None:
        """Have our firmware's program call `stop()` when it next looks for a task; it then tells `left`."""
        self._order({"op": "leave"})

    def read_memory(self, answer: Callable[[int, int], None]) -> None:
        """Call `answer(heap in use, free)` (bytes, after a collection) when the board next runs."""
        ident = self._serial = self._serial + 1
        self._memory[ident] = answer
        self._order({"op": "memory", "id": ident})

    def _order(self, order: dict[str, object]) -> None:
        if self.running:
            self._orders.append(wire.record(0, 0, json.dumps(order).encode()))

    def _now_us(self) -> int:
        return round((self._env.now - self._power_on_s) * 1e6)

    def used(self) -> None:
        """Keep the radio awake for a while: a frame was sent or heard."""
        if self.board.timing is not None:
            self._awake_until_s = self._env.now + self.board.timing.awake

    def asleep_s(self) -> float:
        """Return how long its modem sleeps on: until the beacon that says that something is there. The access
        point keeps it."""
        if self._beacon_s is None or not self._power_saving or self._env.now <= self._awake_until_s:
            return 0.0
        every_s, first_s = self._beacon_s
        return every_s - (self._env.now - first_s) % every_s

    # --- the process ------------------------------------------------------------------------------------

    def _stop(self) -> str | None:
        """Take the process away, with all that it waited for; its last words, None if there was none."""
        self._restart += 1
        self._asleep = False
        if self._process is None:
            return None
        said = self._process.end()
        self._process = None
        self._parked.clear()
        self._waiting.clear()
        self._orders.clear()
        self._held.clear()
        self._behind.clear()
        self._ahead = None
        self._memory.clear()
        self._sockets.forget()
        self._watchdog.stop()
        return said

    # --- turns ------------------------------------------------------------------------------------------

    def _park(self, thread: int, delay_us: int | None) -> int:
        """Let `thread` wait, for at most `delay_us` if given; return the serial that identifies this wait."""
        serial = self._serial = self._serial + 1
        self._parked[thread] = serial
        if delay_us is not None:
            self._env.schedule(cast(Any, _Wake(self, thread, serial, 0)), NORMAL, delay_us / 1e6)
        return serial

    def _answer(self, thread: int, serial: int, result: int, delay_us: int = 0) -> None:
        """Give `thread` its turn with `result`, if it still waits for `serial` by then."""
        self._env.schedule(cast(Any, _Wake(self, thread, serial, result)), NORMAL, delay_us / 1e6)

    def _arrival(self) -> None:
        """Give every thread that waits for arrivals a turn: something is there for a socket."""
        waiting, self._waiting = self._waiting, {}
        for thread, serial in waiting.items():
            self._answer(thread, serial, 0)

    def _turn(self, wake: _Wake) -> None:
        """Grant a turn that is due, unless that was done ahead, and take the answer."""
        if wake.granted:
            if self._ahead is not wake:
                return  # the process it was granted to is gone
        elif self._parked.get(wake.thread) != wake.serial:
            return
        if self._hung:
            self._held.append(wake)
            return
        left_s = self._busy_until_s - self._env.now
        if left_s > _ROUNDING_S and not wake.granted:
            # Ahead of what the thread that computes now does next: the interpreter's lock goes round.
            wake.callbacks = _TURN
            self._env.schedule(cast(Any, wake), URGENT, left_s)
            return
        if self._ahead is None:
            self._grant(wake, self._env.now)
            self._grant_others()
        elif not wake.granted:
            # The process is at another turn, and holds one grant at a time (rule 1).
            self._behind.append(wake)
            return
        self._ahead = None
        self._take_answer()
        behind, self._behind = self._behind, []
        for late in behind:
            self._answer(late.thread, late.serial, late.result)

    def _grant(self, wake: _Wake, at_s: float) -> None:
        self.turns += 1
        del self._parked[wake.thread]
        self._waiting.pop(wake.thread, None)
        arrived = b""
        if self._orders or self._sockets.news:
            arrived = b"".join(self._orders) + self._sockets.take_news()
            self._orders.clear()
        now_ms, rest_us = divmod(round((at_s - self._power_on_s) * 1e6), 1000)
        assert self._process is not None
        self._process.write(
            wire.GRANT.pack(len(arrived), wake.thread, rest_us, now_ms, wake.result) + arrived
        )

    def _grant_others(self) -> None:
        """Let boards whose turns come next run meanwhile, on other processors.

        That is sound while nothing that this board, or any of them, does now can reach another before its
        turn: for as long as a message takes to leave a board. Any other event in between ends it. Each answer
        is taken in its own time, so the run is the same as without.
        """
        queue: list[Any] = self._env._queue
        seen: list[object] = []
        passed_over: set[LockstepBoard] = set()
        end_s = self._env.now + self.host.link.latency_s
        while queue and len(seen) < AHEAD:
            due_s, _, _, event = queue[0]
            if type(event) is not _Wake or due_s >= end_s:
                break
            seen.append(heapq.heappop(queue))
            board = event.board
            if board is self or board in passed_over or not board._may_run_ahead(event):
                continue
            if board._busy_until_s > due_s:  # its turn comes when that is over, and before any later one
                passed_over.add(board)
            else:
                board._grant(event, due_s)
                board._ahead = event
                board.turns_ahead += 1
                event.granted = True
                end_s = min(end_s, due_s + board.host.link.latency_s)
        for entry in seen:
            heapq.heappush(queue, entry)

    def _may_run_ahead(self, wake: _Wake) -> bool:
        return (
            self._ahead is None
            and not self._hung
            and not self._orders
            and not self._sockets.news  # to read bytes before their time would be seen by their sender
            and self._parked.get(wake.thread) == wake.serial
        )

    def _take_answer(self) -> None:
        process = self._process
        op = wire.MORE
        while op == wire.MORE:
            request = self._read()
            if not request:
                self._died()
                return
            size, op, _, thread, a, b, charge_us = wire.REQUEST.unpack_from(request)
            if size:
                for kind, number, body in wire.records(request, _HEAD):
                    self._take_record(kind, number, body)
                    if self._process is not process:
                        return  # whoever heard that has switched it off: what it was about to do is void
        if self.board.timing is not None:
            room_s = self._printing_until_s - _CONSOLE_FIFO * self.board.timing.character
            charge_us = max(charge_us, round((room_s - self._env.now) * 1e6))
            if charge_us:
                self._busy_until_s = self._env.now + charge_us / 1e6
        if op == wire.SLEEP:
            self._park(thread, charge_us + b)
        else:
            self._take_request(op, thread, a, b, charge_us)

    def _read(self) -> bytes:
        assert self._process is not None
        try:
            return self._process.read()
        except LockstepError:
            self._stop()
            raise

    def _take_request(self, op: int, thread: int, a: int, b: int, charge_us: int) -> None:
        if op == wire.WAIT:
            serial = self._park(thread, charge_us + b if b >= 0 else None)
            self._waiting[thread] = serial
            if self._orders or self._sockets.news:
                self._arrival()
        elif op == wire.PARK:
            self._park(thread, None)
        elif op == wire.CONNECT:
            self._sockets.connect(a, thread, self._park(thread, None), b)
        elif op == wire.DRAIN:
            self._sockets.drain(a, thread, self._park(thread, None), b)
        elif op == wire.RESOLVE:
            self._sockets.resolve(thread, self._park(thread, None))
        elif op == wire.RESET:
            self._reset(a, b)
        elif op != wire.EXIT:
            self._died(f"it sent an unknown request {op}")

    def _take_record(self, kind: int, number: int, body: bytes) -> None:
        if kind == wire.WRITE:
            self._sockets.write(number, body)
        elif kind == wire.PRINT:
            if self.board.timing is not None:
                began_s = max(self._env.now, self._printing_until_s)
                characters = len(body) + body.count(b"\n")  # the port sends CR before each
                self._printing_until_s = began_s + characters * self.board.timing.character
            *lines, self._half_line = (self._half_line + body).split(b"\n")
            texts = [line.decode(errors="replace").rstrip("\r") for line in lines]
            for text in self.board.printed(texts, self.root, self._emulator):
                self._listener.output(text)
        elif kind == wire.EVENT:
            self._take_event(json.loads(body))
        elif kind == wire.CLOSE:
            self._sockets.close(number)
        elif kind == wire.ADDRESS:
            self._sockets.name(number, body)
        elif kind == wire.SPAWN:
            self._park(number, 0)
        elif kind == wire.WAKE:
            waits_for = self._parked.get(number)
            if waits_for is not None:  # else it was about to wait, and had no memory left to
                self._answer(number, waits_for, 0)
        elif kind == wire.WATCHDOG:
            self._watchdog.feed(int.from_bytes(body, "little"))
        elif kind == wire.ACCEPT:
            self._sockets.take(number)
        elif kind == wire.LISTEN:
            self._sockets.listen(number, body)
        elif kind == wire.BIND:
            self._sockets.bind(number, body)
        elif kind == wire.SEND:
            self._sockets.send(number, body)
        elif kind == wire.TLS_BEGIN:
            self._sockets.tls_begin(number, body)
        elif kind == wire.TLS_FINISH:
            self._sockets.tls_finish(number)

    # --- what a board tells -----------------------------------------------------------------------------

    def _take_event(self, event: dict[str, Any]) -> None:
        name = str(event.pop("ev"))
        if name == "memory":
            answer = self._memory.pop(int(event["id"]), None)
            if answer is not None:
                answer(int(event["alloc"]), int(event["free"]))
            return
        if name == "keep":
            self._kept.take(event["name"], event["value"])
            return
        if name == "boot":
            self._booted = True
            self._draws("radio_off")
        elif name == "wlan":
            self._draws(_WLAN_STATES.get(event["status"], "joining"))
        elif name == "power_saving":
            self._power_saving = event["on"]
            if self._state in ("connected", "power_saving"):
                self._draws("connected")
        elif name == "crash":
            lines = str(event["text"]).split("\n")
            event["text"] = "\n".join(self.board.printed(lines, self.root, self._emulator))
        self._listener.event(name, event)

    def _draws(self, state: str) -> None:
        """Tell the current of `state`, where the chip's is known."""
        if self.board.timing is None:
            return
        if state == "connected" and self._power_saving:
            state = "power_saving"
        if state != self._state:
            self._state = state
            milliamperes = 0.0 if state == "off" else getattr(self.board.timing.current_ma, state)
            self._listener.event("power", {"state": state, "microamperes": round(milliamperes * 1000)})

    # --- ends of a boot ---------------------------------------------------------------------------------

    def _died(self, why: str = "") -> None:
        """Restart after the process went by itself: a fatal error of MicroPython, after which the chip
        restarts."""
        said = self._stop()
        self._restart_soon(f"died: {why or said}", boards.HARD_RESET if self._booted else None)

    def _reset(self, cause: int, asleep_ms: int = 0) -> None:
        self._stop()
        self._restart_soon(RESETS.get(cause, "reset"), cause if asleep_ms >= 0 else None, asleep_ms)

    def _restart_soon(self, how: str, cause: int | None, asleep_ms: int = 0) -> None:
        """Restart after a while. The chip's connections vanish unannounced; the rebooted stack answers them
        with RST. A soft reset closes them: the port's collector frees every object, and a socket that is
        freed is closed (ports/esp32/main.c, `gc_sweep_all`; modsocket.c, `__del__`).

        `cause`: of the restart; None: there is none.
        """
        if cause == boards.SOFT_RESET:
            self.host.crash()
        else:
            self.host.power_cut()
        self._listener.stopped(how)
        self._asleep = how == RESETS[boards.DEEPSLEEP_RESET]
        self._draws("deep_sleep" if self._asleep else "off")
        restart = self._restart
        if cause is not None:
            wait_s = (RESTART_S if self.board.timing is None else 0.0) + asleep_ms / 1e3
            self.host.network.clock.call_later(wait_s, lambda: self._start_again(restart, cause))

    def _start_again(self, restart: int, cause: int) -> None:
        # Else somebody has started or stopped the board meanwhile: that counts.
        if self._restart == restart:
            self.start(cause)
