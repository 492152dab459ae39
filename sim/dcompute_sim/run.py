"""One run of one scenario: picks the engine, lets the director work, gives back trace and verdict."""

from __future__ import annotations

import contextlib
import gc
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from dcompute_sim import trace as t
from dcompute_sim.brokers.real_broker import BrokerError
from dcompute_sim.checks.verdict import Verdict, judge
from dcompute_sim.director import Director
from dcompute_sim.interfaces.broker_access import OPEN, TESTBED, BrokerAccess
from dcompute_sim.interfaces.world import EngineError
from dcompute_sim.mutants import check_names, check_reach
from dcompute_sim.mutants.catalogue import FIRMWARE, FOREIGN, MASTER
from dcompute_sim.net.fence import Fence
from dcompute_sim.recorder import Recorder
from dcompute_sim.scenario import RunTarget, Scenario, board_nodes, concretise, retarget
from dcompute_sim.scenario.acl import acl_lines
from dcompute_sim.trace import Event, Sink, Trace
from dcompute_sim.yamlfile.problems import without_passwords

if TYPE_CHECKING:
    from dcompute_sim.brokers.lodging import Lodging
    from dcompute_sim.brokers.model.broker_history import BrokerHistory
    from dcompute_sim.brokers.real_broker import BrokerSecurity, RealBroker
    from dcompute_sim.hardware.bench import Bench
    from dcompute_sim.interfaces.tls_logins import TlsLogins

VIRTUAL_BROKER = "model"
REAL_BROKER = "embedded"
CallSoon = Callable[[Callable[[], object]], object]
_COLLECT_AFTER = 50_000  # new objects
_LEAST_FILES_PER_NODE = 4
_OPEN_FILES_PER_NODE = 6  # its socket, both sides of its proxy, a listener, and room


@dataclass(frozen=True)
class RunOptions:
    """How to run a scenario, over what it says itself.

    Args:
        reference: how the user named the scenario; goes into the trace, so that it can be replayed.
        variation: which combination of its matrix it is.
        time: virtual or real.
        broker: kind or URL.
        seed: instead of the scenario's.
        mutants: what nodes and master are, where they are reached.
        target: as what its firmware groups run; over `time`.
        boards: the hardware map, where it has board groups.
        overrides: what `--set` changed (already applied; for the record).
        sink: where each event is written as it happens.
        listeners: told every event.
        pcap: where a virtual run's packets go.
        attend: given the director of a run in real time, and what has something called on its loop from
            another thread, before the run begins: for whoever wants to lay hands on it.
        broker_history: is written in virtual time, of what the broker holds at each moment.
    """

    reference: str = ""
    variation: str = ""
    time: str | None = None
    broker: str | None = None
    seed: int | None = None
    mutants: tuple[str, ...] = ()
    target: RunTarget | None = None
    boards: Path | None = None
    overrides: tuple[str, ...] = ()
    sink: Sink | None = None
    listeners: Sequence[Callable[[Event], None]] = ()
    pcap: Path | None = None
    attend: Callable[[Director, CallSoon], None] | None = None
    broker_history: BrokerHistory | None = None


@dataclass(frozen=True)
class RunOutcome:
    """What a run gave. `wall_s`: how long it took."""

    scenario: Scenario
    trace: Trace
    verdict: Verdict
    wall_s: float
    options: RunOptions = field(default_factory=RunOptions)


def run_scenario(scenario: Scenario | str | Path, options: RunOptions | None = None) -> RunOutcome:
    """Run a scenario to its end and judge it.

    Args:
        scenario: or its file, or the name of one that ships.

    Raises:
        ScenarioError, EngineError, BrokerError, MutantError: it cannot be run like this; the message
            says why.
    """
    options = options or RunOptions()
    if not isinstance(scenario, Scenario):
        from dcompute_sim.scenario import find, load  # here: who has a Scenario needs no reader of YAML

        options = replace(options, reference=options.reference or str(scenario))
        scenario = load(find(scenario))
    _check_mutants(scenario, options)
    scenario = _concrete(scenario, options)
    time_ = scenario.time if options.target else options.time or scenario.time
    options = replace(options, seed=scenario.seed, time=time_)
    bench = _bench(scenario, options)
    trace = Trace(options.sink)
    for listener in options.listeners:
        trace.listen(listener)
    began_s = time.perf_counter()
    if options.time == "virtual":
        with _rare_collections():
            _run_virtual(scenario, options, trace)
    else:
        import asyncio  # here, as the engine below: nobody in virtual time has a use for it

        asyncio.run(_serve_real(scenario, options, trace, bench))
    wall_s = time.perf_counter() - began_s
    return RunOutcome(scenario, trace, judge(scenario.expect, trace.events), wall_s, options)


def _concrete(scenario: Scenario, options: RunOptions) -> Scenario:
    if options.target is not None:
        scenario = retarget(scenario, options.target)
    return concretise(scenario, options.seed)


def _check_mutants(scenario: Scenario, options: RunOptions) -> None:
    """Refuse mutants that reach nobody, whatever the seed draws: such a run would seem to say something."""
    if options.target is not None:
        scenario = retarget(scenario, options.target)
    check_names(options.mutants)
    kinds = {MASTER, *(scenario.random.node_kinds if scenario.random is not None else ())}
    for name, group in scenario.fleet.items():
        kind = FOREIGN if group.kind == FIRMWARE and group.files is not None else group.kind
        kinds.add(kind)
        if group.variant is not None:
            check_names([group.variant])
            check_reach([group.variant], {kind}, f"group {name}")
    if scenario.master.variant is not None:
        check_names([scenario.master.variant])
        check_reach([scenario.master.variant], {MASTER}, "the master")
    check_reach(options.mutants, kinds, scenario.name)


def _bench(scenario: Scenario, options: RunOptions) -> Bench | None:
    """Return the boards of a concrete scenario, none of them touched yet; None if it has none."""
    nodes = board_nodes(scenario)
    if not nodes:
        return None
    if options.time != "real":
        raise EngineError("real boards run in real time only: --time real, or --target sim to simulate them")
    if options.boards is None:
        raise EngineError(
            f"{scenario.name} has nodes on boards, such as {next(iter(nodes))}: which port is whose says a "
            "hardware map, --boards boards.yaml, or a boards.yaml beside the scenario (docs/hardware.md)"
        )
    from dcompute_sim.hardware.bench import Bench
    from dcompute_sim.hardware.hardware_map import load_map
    from dcompute_sim.hardware.supported_faults import check_supported, nodes_with_hooks

    places = load_map(options.boards, nodes)
    check_supported(scenario, places)
    return Bench(places, nodes_with_hooks(scenario, places))


def _broker_of(scenario: Scenario, options: RunOptions, default: str) -> str:
    """Return `--broker`, else what the scenario names, else the default of this kind of time."""
    if options.broker is not None and options.broker != "auto":
        return options.broker
    return default if scenario.broker == "auto" else scenario.broker


def _run_virtual(scenario: Scenario, options: RunOptions, trace: Trace) -> None:
    from dcompute_sim.brokers.model.profiles import PROFILES
    from dcompute_sim.brokers.names import not_in_virtual_time
    from dcompute_sim.engines.virtual import VirtualEngine
    from dcompute_sim.nodes.factories import VIRTUAL_NODES

    broker = _broker_of(scenario, options, VIRTUAL_BROKER)
    if broker not in PROFILES:
        raise EngineError(not_in_virtual_time(broker))
    assert options.seed is not None
    engine = VirtualEngine(
        trace,
        options.seed,
        VIRTUAL_NODES,
        broker,
        scenario.limits,
        scenario.namespace,
        scenario.tls,
        options.broker_history,
        _access_of(scenario),
    )
    _begin(trace, scenario, options, engine.broker_name, engine.broker_granularity_s)
    with _log_into(engine.recorder):
        director = Director(engine, engine.recorder, scenario, options.mutants)
        try:
            fence = Fence(allow=("dcompute_sim.report.live", "dcompute_sim.page", "dcompute_sim.micropython"))
            with engine.capture(options.pcap), fence:
                engine.run(director.run)
        finally:
            engine.recorder.close()
            director.close()


def _access_of(scenario: Scenario) -> BrokerAccess:
    if not scenario.users and scenario.acl is None:
        return OPEN
    acl = None if scenario.acl is None else acl_lines(scenario.acl)
    return BrokerAccess(scenario.users, acl, scenario.node_ids())


@contextlib.contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for reference cycles less often: a fleet is many objects that live to the end, each search visits
    all that is young, and a tenth of a short run's time went there. To be left when the fleet is garbage: one
    search of the young then visits it once, and frees it. (The search that comes due by itself goes on, now
    and then, to all that there is: 30 ms for the modules.)"""
    usual = gc.get_threshold()
    gc.set_threshold(_COLLECT_AFTER, *usual[1:])
    try:
        yield
    finally:
        gc.collect(0)
        gc.set_threshold(*usual)


async def _serve_real(scenario: Scenario, options: RunOptions, trace: Trace, bench: Bench | None) -> None:
    from dcompute_sim.brokers.factory import make_broker
    from dcompute_sim.brokers.open_files import need_open_files

    if options.pcap is not None:
        raise EngineError(
            "--pcap writes the packets of a virtual run; for real sockets use tcpdump on loopback"
        )
    if scenario.users:
        raise EngineError("`users:` are those of the broker in virtual time; a real one has a password file")
    nodes = len(scenario.nodes())
    need_open_files(50 + _LEAST_FILES_PER_NODE * nodes, 500 + _OPEN_FILES_PER_NODE * nodes)
    kind = _broker_of(scenario, options, REAL_BROKER)
    with tempfile.TemporaryDirectory(prefix="dcompute-tls-") as folder:
        security, logins = _secured(scenario, kind, Path(folder))
        broker = make_broker(kind, security=security, limits=scenario.limits, acl=_acl_file(scenario))
        await _serve_on(broker, scenario, options, trace, bench, logins)


def _acl_file(scenario: Scenario) -> str | None:
    """Return what the scenario's broker reads, by which the testbed's own clients may do everything."""
    return None if scenario.acl is None else f"{scenario.acl}\nuser {TESTBED}\ntopic readwrite #\n"


def _secured(scenario: Scenario, broker: str, folder: Path) -> tuple[BrokerSecurity | None, TlsLogins | None]:
    """Return what the broker of a run with `tls:` shows, and how its clients log in."""
    if scenario.tls is None:
        return None, None
    if "://" in broker:
        raise EngineError("`tls:` is for brokers of the run's own; of another one its URL says: mqtts://...")
    for name, group in scenario.fleet.items():
        if group.kind == "board":
            raise EngineError(
                f"group {name} is judged by what crosses its wire, which TLS hides: leave `tls:` out"
            )
    from dcompute_sim.brokers.run_certificates import run_certificates

    return run_certificates(scenario.tls.certificate, folder)


async def _serve_on(
    broker: RealBroker,
    scenario: Scenario,
    options: RunOptions,
    trace: Trace,
    bench: Bench | None,
    logins: TlsLogins | None,
) -> None:
    from asyncio import CancelledError, get_running_loop

    from dcompute_sim.engines.real import RealEngine
    from dcompute_sim.nodes.factories import REAL_NODES

    assert options.seed is not None
    await broker.start()
    lodging = _lodging(scenario, broker)
    if lodging is not None:
        scenario = scenario.model_copy(update={"namespace": lodging.namespace})
        await lodging.clear()
    factories = {**REAL_NODES, "board": bench.node} if bench is not None else REAL_NODES
    access = _access_of(scenario)
    engine = RealEngine(trace, options.seed, broker, factories, bench, logins, access)
    try:
        _begin(trace, scenario, options, engine.broker_name, engine.broker_granularity_s)
        with _log_into(engine.recorder):
            if lodging is not None:
                engine.recorder.add(t.LogLine, who="broker", level="info", text=lodging.told)
            director = Director(engine, engine.recorder, scenario, options.mutants)
            if options.attend is not None:
                options.attend(director, get_running_loop().call_soon_threadsafe)
            try:
                await engine.run(director.run)
            except CancelledError:
                engine.recorder.add(t.RunEnded, reason="interrupted")
                raise
            finally:
                engine.recorder.close()
                director.close()
    finally:
        await engine.close()
        if lodging is not None:
            await lodging.clear()


def _lodging(scenario: Scenario, broker: RealBroker) -> Lodging | None:
    """Return where the run lives on somebody else's broker; None on one of our own, which ends with it."""
    from dcompute_sim.brokers.external import ExternalBroker
    from dcompute_sim.brokers.lodging import Lodging

    if not isinstance(broker, ExternalBroker):
        return None
    bound = any(group.kind == "board" or group.files is not None for group in scenario.fleet.values())
    return Lodging(broker.address, scenario.namespace, scenario.node_ids().values(), bound=bound)


def planned(scenario: Scenario, options: RunOptions) -> t.RunStarted:
    """Tell how the trace of such a run would begin, as far as it is known without a broker."""
    return _started(_concrete(scenario, options), options)


def _started(scenario: Scenario, options: RunOptions) -> t.RunStarted:
    virtual = (scenario.time if options.target else options.time or scenario.time) == "virtual"
    return t.RunStarted(
        t_us=0,
        scenario=options.reference or scenario.name,
        seed=scenario.seed,
        time="virtual" if virtual else "real",
        broker=_broker_of(scenario, options, VIRTUAL_BROKER if virtual else REAL_BROKER),
        broker_granularity_s=0.0,
        mutants=list(options.mutants),
        overrides=[without_passwords(override) for override in options.overrides],
        variation=options.variation,
        target=options.target or "",
    )


def _begin(trace: Trace, scenario: Scenario, options: RunOptions, broker: str, granularity_s: float) -> None:
    started = _started(scenario, options)
    known_now: dict[str, object] = {"broker": broker, "broker_granularity_s": granularity_s}
    boards = [group for group in scenario.fleet.values() if group.kind == FIRMWARE]
    if boards:
        from dcompute_sim.nodes.emulator import emulator

        told = str(emulator())
        chips = [group.chip() for group in boards] if started.time == "virtual" else []
        if any(chip is not None and chip.allocate for chip in chips):
            told += f"; what they allocate takes time: a digest of {emulator().word_bits} bit only"
        known_now["emulator"] = told
    trace.add(msgspec.structs.replace(started, **known_now))


class _log_into(logging.Handler):
    """While open, warnings of production code go into the trace instead of onto the screen."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(logging.WARNING)
        self._recorder = recorder
        self._logger = logging.getLogger("dcompute")

    def emit(self, record: logging.LogRecord) -> None:
        who, colon, text = record.getMessage().partition(": ")
        if not colon:
            who, text = "", record.getMessage()
        self._recorder.add(t.LogLine, who=who, level=record.levelname.lower(), text=text)

    def __enter__(self) -> None:
        self._propagated = self._logger.propagate
        self._logger.propagate = False
        self._logger.addHandler(self)

    def __exit__(self, *_error: object) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = self._propagated


__all__ = ["BrokerError", "EngineError", "RunOptions", "RunOutcome", "run_scenario"]
