"""A firmware node: an emulated ESP32 with unmodified files, in real or in virtual time.

What its node core tells (through the emulator, the files unchanged) becomes the trace's events, as for a
python node. Both kinds of time give a `BoardRunner`; everything else is the same here.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from dcompute.node_wire import Topics
from dcompute_sim import trace as t
from dcompute_sim.faults.effects import JOINED_ITS_POINT, LEFT, LOST, WITHHELD, WLAN_LOST
from dcompute_sim.faults.injection import HowStuck
from dcompute_sim.first_version import FIRST_RELEASE, FIRST_VERSION, update_key
from dcompute_sim.fwbuild.firmware_files import product
from dcompute_sim.interfaces.node import NodeSpec
from dcompute_sim.interfaces.world import EngineError, Machine
from dcompute_sim.micropython import unmodelled
from dcompute_sim.micropython.board import DEFAULT_HEAP_BYTES, Board
from dcompute_sim.micropython.emulated_config import WIFI_SSID, emulated_config
from dcompute_sim.micropython.process import BoardListener
from dcompute_sim.mutants.overlay import overlay
from dcompute_sim.net.observer import ByteTap
from dcompute_sim.nodes.observed_node import ObservedNode
from dcompute_sim.recorder import Recorder
from dcompute_sim.scenario.board_record import BoardRecord
from dcompute_sim.scenario.fleet import Group, unique_id
from dcompute_sim.scenario.own_config import SETTING
from dcompute_sim.scenario.stand_ins import StandIns
from dcompute_sim.wiretap import MqttTap

_GOT_IP = 1010
_WLAN_WELL = (1000, 1001, _GOT_IP)  # idle, connecting, has its address; all else says why it has not
_THROWN_OUT = 2  # the reason an access point gives that forgets its stations (WIFI_REASON_AUTH_EXPIRE)
_DEAF_DBM = -95  # as in shims/network.py: what is weaker is not heard
AUTHORITY_FILE = "run-authority.der"
"""The certificate on a board's flash by which it judges the broker's, in a run with `tls:`."""


class BoardRunner(Protocol):
    """An emulated board in some kind of time."""

    @property
    def running(self) -> bool: ...
    @property
    def asleep(self) -> bool:
        """Whether it is in deep sleep, from which it may wake by itself."""

    @property
    def stood_still(self) -> bool:
        """While it hangs: whether it had something to do and did not."""

    def start(self) -> None: ...
    def crash(self) -> None: ...
    def power_cut(self) -> None: ...
    def hang(self) -> None: ...
    def resume(self) -> None: ...
    def radio(self, **changes: object) -> None: ...
    def kick(self, reason: int, stuck: HowStuck | None = None) -> None: ...
    def leave(self) -> None:
        """Have our firmware's program call `stop()`; the board tells `left` when that has returned."""

    def read_along(self, tap: ByteTap) -> None: ...
    def read_memory(self, answer: Callable[[int, int], None]) -> None:
        """Call `answer(heap in use, free)`, in bytes, once the board says."""

    def close(self) -> None: ...


MakeRunner = Callable[[Board, BoardListener], BoardRunner]


class FirmwareNode(ObservedNode):
    """Tells the story of one emulated board (an `interfaces.node.Node`).

    Args:
        make_runner: gives the emulated board of this kind of time.
    """

    def __init__(self, spec: NodeSpec, machine: Machine, recorder: Recorder, make_runner: MakeRunner) -> None:
        super().__init__(spec, recorder)
        self._spec = spec
        self._machine = machine
        self._make_runner = make_runner
        self._runner: BoardRunner | None = None
        self._has_core = False
        self._wifi_stuck = False
        points = spec.group.access_points or {}
        self._rssi: dict[str, int | None] = {name: point.rssi for name, point in points.items()}
        self._access_point: str | None = None  # that it is on, as its WLAN tells
        self._stations: list[str] = []  # that join its own access point
        self._joined: Callable[[], None] | None = None  # while it has lost it: to be called when on one again
        self._memory_asked = False
        self._heap_bytes = 0
        self._short_of_memory = False
        self._booting = False  # as far as is known
        self._tells_boot = _has_boot(spec.group)

    @property
    def running(self) -> bool:
        return self._runner is not None and self._runner.running

    def power_on(self) -> None:
        if self.running:
            return
        self._machine.power_on()
        if self._runner is None:  # only now is the machine's address known
            board = board_for(self._spec, self._machine)
            self._heap_bytes = board.heap_bytes
            self._runner = self._make_runner(board, self)
            if self._spec.group.files is not None:
                tap = MqttTap(self.name, self.node_id, Topics(self._spec.namespace), self._from_wire)
                self._runner.read_along(tap)
        self._runner.start()

    def crash(self) -> None:
        if self._runner is not None and self.running:
            self._runner.crash()
            self._gone("crash")

    def leave(self) -> None:
        """Have the board's program call `stop()` when it next looks for a task, and do no more."""
        if self._runner is not None and self.running:
            self._runner.leave()

    def drain(self) -> None:
        raise EngineError(f"{self.name}: a board has no such way to leave; `leave` is its own")

    def power_cut(self, how: str = "power_cut") -> None:
        if self._runner is None:
            return
        asleep = self._runner.asleep
        if asleep or self.running:
            self._runner.power_cut()
            self._gone(how)
        if asleep:  # on the wire there is nothing to see of it
            self._recorder.effect(self.name, LOST, "it slept, and does not wake up")

    def hang(self, for_s: float | None = None) -> None:
        if self._runner is not None and self.running:
            self._runner.hang()
            self._recorder.add(t.NodeStopped, node=self.name, how="hang")

    def resume(self) -> None:
        if self._runner is not None and self.running:
            if self._runner.stood_still:
                self._recorder.effect(self.name, WITHHELD)
            self._runner.resume()

    def wifi(self, present: bool, for_s: float | None = None, *, kick: bool = False) -> None:
        if self._runner is not None:
            if kick:
                self._runner.kick(_THROWN_OUT)
            self._runner.radio(ap=present)

    def wifi_stuck(self, how: HowStuck) -> Callable[[], bool]:
        self._wifi_stuck = self._runner is not None and self.running
        if self._runner is not None:
            self._runner.kick(_THROWN_OUT, how)
        return lambda: self._wifi_stuck

    def hears(
        self, rssi: Mapping[str, int | None], lost: Callable[[], None], joined: Callable[[], None]
    ) -> Mapping[str, int | None]:
        before = {name: self._rssi[name] for name in rssi}
        self._rssi |= rssi
        if self._runner is not None:
            self._runner.radio(points=_points(self._spec.group, self._rssi))
        on = self._access_point
        if on is None:
            return before
        is_heard = (self._rssi.get(on) or _DEAF_DBM - 1) >= _DEAF_DBM
        if not is_heard and self._joined is None:
            self._joined = joined
            lost()
        elif is_heard:
            self._on_air()
        return before

    def station(self, mac: str, *, near: bool) -> None:
        change = self._stations.append if near else self._stations.remove
        change(mac)
        if self._runner is not None:
            self._runner.radio(stations=list(dict.fromkeys(self._stations)))

    def _on_air(self) -> None:
        if self._joined is not None:
            joined, self._joined = self._joined, None
            joined()

    def tell_memory(self) -> None:
        if self._runner is None or not self.running or self._memory_asked:
            return
        self._memory_asked = True
        if self._booting:
            self._booting = False
            self._recorder.add(t.BootRuns, node=self.name)

        def answer(allocated: int, free: int) -> None:
            self._memory_asked = False
            self._recorder.add(t.NodeMemory, node=self.name, allocated=allocated, free=free)

        self._runner.read_memory(answer)

    def close(self) -> None:
        if self._runner is not None:
            self._runner.close()

    # --- what the board tells ---------------------------------------------------------------------------

    def started(self, boot: int, reset_cause: int) -> None:
        self._memory_asked = self._wifi_stuck = False
        self._booting = self._tells_boot
        self._access_point = None
        self.life = boot
        self._recorder.add(t.NodeStarted, node=self.name, boot=boot)

    def stopped(self, how: str) -> None:
        if how == "kill":  # our own doing, and told already
            return
        self._gone("crash" if how.startswith("died") else "reboot", how)
        self._log("warning", f"the board stopped: {how}")

    def output(self, line: str) -> None:
        self._recorder.add(t.NodeOutput, node=self.name, text=line)
        if line.startswith("MemoryError") and not self._short_of_memory:
            self._short_of_memory = True
            heap = f"{self._heap_bytes / 1024:.4g} KiB"
            usual = f"{DEFAULT_HEAP_BYTES // 1024} KiB are usual"
            self._log("warning", f"short of memory: its program has a heap of {heap} (`heap:`; {usual})")

    def event(self, name: str, fields: dict[str, Any]) -> None:
        if name == "core":
            self._has_core = True
            self.core_event(fields["name"], fields["fields"])
        elif name == "wlan":
            self._wlan(fields["status"], fields.get("point"))
        elif name == "stations":
            if macs := fields["macs"]:
                self._recorder.effect(self.name, JOINED_ITS_POINT, f"joined by {', '.join(macs)}")
        elif name == "wlan_afresh":
            self._wifi_stuck = False
        elif name == "left" and self._runner is not None:
            self._runner.crash()
            self._gone("exit")
            self._recorder.effect(self.name, LEFT, "left: its stop() has returned")
        elif name == "crash":
            self._log("error", f"uncaught in thread {fields['thread']}: {fields['text']}")
            if fields["thread"] == "main":
                self._recorder.add(t.ProgramEnded, node=self.name, error=_in_short(fields["text"]))
        elif name == "ended":
            self._log("error", "the program has ended")
            self._recorder.add(t.ProgramEnded, node=self.name)
        elif name == "booted":
            self._booting = False
        elif name == "power":
            self._recorder.add(t.NodePower, node=self.name, **fields)
        elif name == "pin":
            self._recorder.add(t.PinShown, node=self.name, **fields)
        elif name == "missing" and fields["name"] in unmodelled.NAMES:
            self._recorder.add(t.NotModelled, node=self.name, name=fields["name"])

    def _wlan(self, status: int, access_point: str | None) -> None:
        self._access_point = access_point if status == _GOT_IP else None
        if status == _GOT_IP:
            self._on_air()
        elif status not in _WLAN_WELL:
            self._recorder.effect(self.name, WLAN_LOST, f"its WLAN lost the network ({status})")

    def _from_wire(self, name: str, fields: Mapping[str, object]) -> None:
        """Take from the wire what somebody else's firmware does not tell."""
        if not self._has_core:
            self.core_event(name, fields)


def _in_short(traceback: str) -> str:
    """Return what was raised, and where: `ImportError: no module named 'x' (main.py, line 3)`."""
    *lines, error = traceback.strip().splitlines() or [""]
    for line in reversed(lines):
        if line.strip().startswith("File "):
            _, file, where = line.split('"')
            return f"{error} ({file}{where.partition(', in ')[0]})"
    return error


def board_for(spec: NodeSpec, machine: Machine) -> Board:
    """Return the board of a node: our firmware or the group's own files, with a config.py made for this
    run."""
    group = spec.group
    run = config_for(spec, machine)
    config = {**run, **own_settings(spec, run)}
    stand_ins = group.stand_ins or StandIns()
    record = group.profile if isinstance(group.profile, BoardRecord) else None
    return Board(
        uid=unique_id(spec.name),
        files=[Path(group.files)] if group.files else [product()],
        config=config,
        overlay={} if group.files else overlay(spec.mutants, product()),
        extra={} if machine.login.authority is None else {AUTHORITY_FILE: machine.login.authority},
        stand_ins=Path(stand_ins.modules) if stand_ins.modules else None,
        wiring=stand_ins.wiring(),
        broker_at=group.broker_at or (),
        entry=group.entry,
        heap_bytes=group.heap or (record.heap_bytes if record else DEFAULT_HEAP_BYTES),
        radio={**(record.radio if record else {}), **_air(group, run)},
        seed=zlib.crc32(f"{spec.seed}/board/{spec.name}".encode()),
        tells_boot=_has_boot(group),
        slots=group.layout == "slots",
        version=FIRST_VERSION,
        release=FIRST_RELEASE,
        update_key=update_key(spec.node_id, spec.namespace),
    )


def _has_boot(group: Group) -> bool:
    """Say whether it is somebody else's program, with a boot.py of its own."""
    return group.files is not None and (Path(group.files) / "boot.py").is_file()


def _air(group: Group, run: Mapping[str, object]) -> dict[str, object]:
    """Return what is on the air for it. A program may have a password of its own in its source, so one is
    asked for only where the scenario speaks of it."""
    rssi = {name: point.rssi for name, point in (group.access_points or {}).items()}
    asks = group.wifi_password is not None or "WIFI_PASSWORD" in (group.config or {})
    air: dict[str, object] = {"password": run["WIFI_PASSWORD"]} if asks else {}
    return {**air, "points": _points(group, rssi)} if rssi else air


def _points(group: Group, rssi: Mapping[str, int | None]) -> list[list[Any]]:
    """Return what the board's WLAN is told of its access points (shims/network.py, Radio.points)."""
    told = [
        [name, point.ssid or WIFI_SSID, point.channel, rssi[name]]
        for name, point in (group.access_points or {}).items()
    ]
    return sorted(told, key=lambda point: (point[2], -(point[3] or _DEAF_DBM)))


def own_settings(spec: NodeSpec, run: Mapping[str, object]) -> dict[str, object]:
    """Return what the group gives its programs besides what the run does, with settings of `run` for their
    names in braces; a name alone keeps its setting's type."""

    def filled_in(value: object) -> object:
        if not isinstance(value, str):
            return value
        if alone := SETTING.fullmatch(value):
            return run.get(alone[1], value)
        return SETTING.sub(lambda found: str(run.get(found[1], found[0])), value)

    return {name: filled_in(value) for name, value in (spec.group.config or {}).items()}


def config_for(spec: NodeSpec, machine: Machine) -> dict[str, object]:
    """Return what config.py says for this run."""
    group = spec.group
    config = emulated_config(
        *machine.address,
        MQTT_USER=machine.login.username,
        MQTT_PASSWORD=machine.login.password,
        MQTT_TLS=machine.login.tls is not None,
        NODE_ID=spec.node_id,
        NAMESPACE=spec.namespace,
        MQTT_KEEPALIVE=max(1, round(group.keepalive)),
        POLL_MS=max(1, round(group.poll * 1000)),
    )
    if group.wifi_password is not None:
        config["WIFI_PASSWORD"] = group.wifi_password
    if machine.login.authority is not None:
        config["MQTT_CA_FILE"] = AUTHORITY_FILE
    elif machine.login.tls is not None:
        config["MQTT_TLS_INSECURE"] = True  # the authority of somebody else's broker is not on the flash
    if group.queue_limit:
        config["QUEUE_LIMIT"] = group.queue_limit
    if group.hold_limit:
        config["HOLD_LIMIT"] = group.hold_limit
    return config
