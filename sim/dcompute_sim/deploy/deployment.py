"""One board, from the first question to `ready` at the broker, or back to what it was."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from dcompute.bundle import CONFIG_FILE, BadBundle, Bundle
from dcompute.update_keys import UpdateKeys
from dcompute_sim.deploy.board_config import DeployTarget, Settings, Watchpoint, parse_config, watchpoint_of
from dcompute_sim.deploy.board_plan import BoardPlan, line_back, make_plan, running
from dcompute_sim.deploy.deploy_errors import Damaged, DeployError, InvalidInput
from dcompute_sim.deploy.firmware import Firmware
from dcompute_sim.deploy.install import Installer
from dcompute_sim.deploy.probe import Probe, Survey, probe, survey
from dcompute_sim.deploy.ready_watch import UNSEEN, ReadySeen, ReadyWatcher, Watchers
from dcompute_sim.deploy.serial_log import SerialLog
from dcompute_sim.deploy.slots import FLAT, SLOTS, SlotLine, is_launcher
from dcompute_sim.hardware.board_errors import BoardError, BoardGone, FlashFull
from dcompute_sim.hardware.serial_link import ANSWER_S, SerialLink

READY_S = 90.0
_RETAINED_S = 1.0
_TRIES = 3  # to copy over a noisy line
Say = Callable[[str, str], None]  # step, detail


@dataclass(frozen=True)
class Options:
    """What is the same for all boards of one command.

    Attributes:
        wait: for the broker's word that the board is ready.
        dry_run: look, say what would be done, and restart the board.
        ready_s: how long a board may take from its reset to `ready`.
        answer_s: how long a board may take to show its prompt.
        umqtt: the files of umqtt, for boards whose MicroPython has none.
        watch: where this machine reaches the broker, over what fleet file or board say.
        keys: what gives each board its key for updates over the air; None: it keeps the one it has, or none.
        rekey: give each board a new key, and make the one it has worthless.
    """

    wait: bool = True
    dry_run: bool = False
    ready_s: float = READY_S
    answer_s: float = ANSWER_S
    umqtt: Callable[[], dict[str, bytes]] | None = None
    watch: Watchpoint | None = None
    keys: UpdateKeys | None = None
    rekey: bool = False


@dataclass(frozen=True)
class DeployOutcome:
    """How it ended with one board that came up, or was only looked at."""

    version: str
    detail: str
    sent: tuple[str, ...] = ()


class Deployment:
    """One board under the hands of one command. All raises DeployError: what was wrong, and what now is.

    Whatever happens, the board is restarted: it never stays at the prompt.
    """

    def __init__(self, target: DeployTarget, options: Options, watchers: Watchers, say: Say) -> None:
        self._target = target
        self._options = options
        self._watchers = watchers
        self._say = say
        self._stopped = False  # the board's program, by us

    # --- the commands -------------------------------------------------------------------------------------

    def deploy(self, firmware: Firmware) -> DeployOutcome:
        """Bring a version onto the board."""
        if self._target.config is not None and self._options.wait:
            self._watcher(self._target.config)  # an unreachable broker is told before the board is disturbed
        with self._at_the_prompt() as (link, board):
            self._check_loads(firmware, board)
            seen = survey(link, firmware.files)
            config = self._config(link, seen)
            bundle = self._bundle(firmware, config)
            plan = self._plan(link, firmware, bundle, seen, board)
            settings = parse_config(bundle.files[CONFIG_FILE].decode(errors="replace"), CONFIG_FILE)
            watcher = self._watcher(settings) if self._options.wait else None
            check_room(link, plan, board)
            self._say("plan", plan.describe())
            if self._options.dry_run:
                return DeployOutcome(bundle.version, f"would copy: {plan.describe()}", plan.send)
            before = watcher.look(self._node_id(settings, board)) if watcher else UNSEEN
            self._put(link, board, bundle, plan, firmware)
            self._put_key(link, self._node_id(settings, board), str(settings.get("NAMESPACE") or ""))
            self._restart(link)
            if watcher is None:
                return DeployOutcome(bundle.version, "copied; not waited for", plan.send)
            self._await(link, watcher, self._node_id(settings, board), before, bundle.version, (plan, seen))
            return DeployOutcome(bundle.version, f"ready, {plan.describe()}", plan.send)

    def rollback(self) -> DeployOutcome:
        """Go back to the version in the other slot (or the program before the first deploy)."""
        with self._at_the_prompt() as (link, board):
            seen = survey(link)
            line = line_back(seen)
            if line is None:
                raise DeployError(
                    f"{self._target.port}: the board holds no other version, so there is no way back"
                )
            version = seen.version(line.current) or "the program before the first deploy"
            if self._options.dry_run:
                return DeployOutcome(version, "would go back to it")
            known = line.current in SLOTS  # else nobody knows whether it ever reports to a broker
            if not (known and self._options.wait):
                self._switch_back(link, line, version)
                return DeployOutcome(version, "switched; not waited for")
            settings = parse_config(
                _config_at(link, seen, line.current).decode(errors="replace"), CONFIG_FILE
            )
            watcher, node_id = self._watcher(settings), self._node_id(settings, board)
            before = watcher.look(node_id)
            self._switch_back(link, line, version)
            self._await(link, watcher, node_id, before, version, None)
            return DeployOutcome(version, "ready")

    def _switch_back(self, link: SerialLink, line: SlotLine, version: str) -> None:
        self._say("switch", version)
        Installer(link).point_to(line)
        self._restart(link)

    def ask(self) -> ReadySeen:
        """Return what the broker has heard of the board, which is not disturbed. InvalidInput: which is
        it?"""
        config = self._target.config
        if not config or not config.get("NODE_ID"):
            raise InvalidInput(
                f"{self._target.port}: which node that is, and at which broker, stands in a fleet file; "
                "without one only the board knows: --look stops it, looks, and restarts it"
            )
        return self._watcher(config).known(str(config["NODE_ID"]), _RETAINED_S)

    def look(self) -> tuple[Probe, Survey, ReadySeen]:
        """Return what is on the board, and what the broker knows of it.

        That is from before the board was disturbed if a fleet file says which node it is; else the board's
        own config.py does, and it has been stopped by then.
        """
        config = self._target.config
        known = self._known_as(config, str(config["NODE_ID"])) if config and config.get("NODE_ID") else UNSEEN
        with self._at_the_prompt() as (link, board):
            seen = survey(link)
            if known == UNSEEN:
                with contextlib.suppress(BoardError):
                    own = parse_config(_config_at(link, seen, running(seen).current).decode(), CONFIG_FILE)
                    known = self._known_as(own, self._node_id(own, board))
            return board, seen, known

    def _known_as(self, settings: Settings, node_id: str) -> ReadySeen:
        """Return what the broker of these settings knows; nothing if it cannot be reached or is not to be
        asked."""
        if not self._options.wait:
            return UNSEEN
        with contextlib.suppress(BoardError):
            return self._watcher(settings).known(node_id, _RETAINED_S)
        return UNSEEN

    # --- parts --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _at_the_prompt(self) -> Iterator[tuple[SerialLink, Probe]]:
        """Yield the board, stopped and asked what it is; restarted at the end if nobody has."""
        self._say("connect", self._target.port)
        with SerialLink(self._target.port) as link:
            link.enter(self._options.answer_s)
            self._stopped = True
            self._say("probe", "")
            try:
                try:
                    board = probe(link)
                except BoardGone:
                    if not self._enters(link):
                        raise
                    board = probe(link)
                self._say("probe", f"MicroPython {board.version_text} on {board.platform}")
                yield link, board
            except BoardGone:
                self._stopped = False  # it would not hear it
                raise
            finally:
                if self._stopped:
                    with contextlib.suppress(BoardError):
                        link.restart()

    def _enters(self, link: SerialLink) -> bool:
        """Say whether the board shows its prompt again: the line is there, and has but garbled something."""
        try:
            link.enter(self._options.answer_s)
        except BoardError:
            return False
        return True

    def _plan(
        self, link: SerialLink, firmware: Firmware, bundle: Bundle, seen: Survey, board: Probe
    ) -> BoardPlan:
        return make_plan(bundle, firmware.launcher, firmware.boot, seen, board, link.boot_ends)

    def _restart(self, link: SerialLink) -> None:
        self._stopped = False
        self._say("reset", "")
        link.restart()

    def _check_loads(self, firmware: Firmware, board: Probe) -> None:
        made = firmware.mpy_version
        if made is None:
            return
        loads = board.mpy & 0xFF
        if made != loads:
            takes = f"loads version {loads}" if board.mpy else "loads none"
            raise DeployError(
                f"{self._target.port}: the compiled files are .mpy version {made}, and MicroPython "
                f"{board.version_text} on this board {takes}: deploy without --compile, or with the "
                "mpy-cross of its release; nothing was changed"
            )

    def _config(self, link: SerialLink, seen: Survey) -> Settings | bytes:
        """Return the config.py to go with the version: the target's, else what the board has."""
        if self._target.config is not None:
            return self._target.config
        current = running(seen).current if is_launcher(seen.main) else FLAT
        return _config_at(link, seen, current)

    def _bundle(self, firmware: Firmware, config: Settings | bytes) -> Bundle:
        try:
            if isinstance(config, bytes):
                firmware.check(parse_config(config.decode(errors="replace"), f"{CONFIG_FILE} of the board"))
            return firmware.bundle(config)
        except (InvalidInput, BadBundle) as error:
            raise InvalidInput(
                f"{self._target.name or self._target.port}: {error}; nothing was changed"
            ) from None

    def _watcher(self, settings: Settings) -> ReadyWatcher:
        return self._watchers.at(self._options.watch or self._target.watch or watchpoint_of(settings))

    def _node_id(self, settings: Settings, board: Probe) -> str:
        return str(settings.get("NODE_ID") or board.uid)

    def _put_key(self, link: SerialLink, node_id: str, namespace: str) -> None:
        """Write the board's key for updates, after its program: a key without one would be good for
        nothing."""
        keys = self._options.keys
        if keys is None:
            return
        try:
            key = (keys.rekey if self._options.rekey else keys.enroll)(node_id, namespace)
        except (OSError, ValueError) as error:
            raise DeployError(f"{keys.path}: {error}") from None
        Installer(link).put_key(key)
        self._say("key", "a new one" if self._options.rekey else "")

    def _put(
        self, link: SerialLink, board: Probe, bundle: Bundle, plan: BoardPlan, firmware: Firmware
    ) -> None:
        installer = Installer(link)
        if not board.umqtt and self._options.umqtt is not None:
            self._say("copy", "umqtt")
            installer.add_library(self._options.umqtt())
        if not plan.changes:
            return
        self._say("copy", plan.describe())
        for tries_left in reversed(range(_TRIES)):
            try:
                installer.fill_slot(bundle, plan, self._sent)
                break
            except BoardError as error:
                noise = isinstance(error, BoardGone | Damaged)
                if not (noise and tries_left and self._enters(link)):
                    if isinstance(error, BoardGone):
                        told = "it still boots what it booted. Deploy again: what arrived is not sent twice"
                    else:
                        installer.clear(plan.slot)
                        told = "nothing was switched, it boots what it booted"
                    raise type(error)(f"{error}; {told}") from None
            self._say("again", "the line is noisy")
            installer = Installer(link)
            plan = self._plan(link, firmware, bundle, survey(link, firmware.files), board)
        self._say("switch", f"slot {plan.slot}")
        installer.switch(plan, firmware.launcher, firmware.boot)

    def _sent(self, done: int, total: int) -> None:
        self._say("copy", f"{done / 1024:.0f} of {total / 1024:.0f} KiB")

    def _await(
        self,
        link: SerialLink,
        watcher: ReadyWatcher,
        node_id: str,
        before: ReadySeen,
        version: str,
        undo: tuple[BoardPlan, Survey] | None,
    ) -> None:
        """Wait for `ready` in this version; else undo and say why."""
        self._say("wait", f"for {node_id} at {watcher.point}")
        log = SerialLog(link)
        found = watcher.wait(node_id, before, self._options.ready_s, partial(self._follow, log))
        if found is not None and found.version == version:
            return
        if found is None:
            why = f"{node_id} did not report ready within {self._options.ready_s:.0f} s"
        else:
            why = f"{node_id} came up with version {found.version}, not {version}"
        if said := log.last_words():
            why += f"; it says: {said}"
        if undo is None:
            raise DeployError(f"{self._target.port}: {why}")
        self._say("roll back", "")
        raise DeployError(f"{self._target.port}: {why}. {self._undone(link, watcher, node_id, before, undo)}")

    def _follow(self, log: SerialLog, timeout_s: float) -> None:
        log.follow(timeout_s)
        self._say("wait", log.last_words())

    def _undone(
        self,
        link: SerialLink,
        watcher: ReadyWatcher,
        node_id: str,
        before: ReadySeen,
        undo: tuple[BoardPlan, Survey],
    ) -> str:
        """Roll back over the serial line; says how that went."""
        plan, seen = undo
        if not plan.changes:
            return "Nothing had been changed"
        try:
            with self._again(link) as again:
                Installer(again).undo(plan, seen)
                latest = watcher.look(node_id)
                again.restart()
                if not before.life:  # nobody ever saw what it ran before at this broker
                    return "Rolled back: the board boots what it booted before"
                back = watcher.wait(
                    node_id, latest, self._options.ready_s, partial(self._follow, SerialLog(again))
                )
        except BoardError as error:
            return f"Rolling back over serial failed ({error}); the board does so itself when its trial ends"
        if back is None:
            return "Rolled back, but the version before does not report ready either"
        return (
            f"Rolled back: version {back.version} is ready again"
            if back.version
            else "Rolled back, ready again"
        )

    @contextlib.contextmanager
    def _again(self, link: SerialLink) -> Iterator[SerialLink]:
        """Yield the board at its prompt again, by a new opening of the port if it went away with the
        reset."""
        try:
            link.enter(self._options.answer_s)
            yield link
            return
        except BoardGone:
            link.close()
        with SerialLink(self._target.port) as fresh:
            fresh.enter(self._options.answer_s)
            yield fresh


def check_room(link: SerialLink, plan: BoardPlan, board: Probe) -> None:
    """Raise FlashFull when what the plan needs does not fit."""
    if plan.changes and plan.bytes_needed > board.free_bytes:
        raise FlashFull(
            f"{link.port}: the flash has {board.free_bytes // 1024} of {board.size_bytes // 1024} KiB free, "
            f"and {plan.bytes_needed // 1024} are needed: remove files (mpremote fs ls) or use --compile; "
            "nothing was changed"
        )


def _config_at(link: SerialLink, seen: Survey, slot: str) -> bytes:
    """Return the config.py of a slot, else that of the root."""
    places = [f"/{slot}/{CONFIG_FILE}" if slot in SLOTS else f"/{CONFIG_FILE}", f"/{CONFIG_FILE}"]
    for place in places:
        if place in seen.files:
            return link.read_file(place)
    raise InvalidInput(
        f"{link.port}: the board has no {CONFIG_FILE}, and none was given: use --config, or a fleet file "
        "(docs/hardware.md)"
    )
