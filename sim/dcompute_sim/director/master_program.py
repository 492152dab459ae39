"""A master under test, on a machine of its own: a process, which can crash and return.

*The* master has the production transport, which reports the dead and is asked for everything the API offers,
and an executor, which has the work done. The other masters of a scenario have an executor and nothing else.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcompute.events import MasterEvent, MasterObserver
from dcompute.master_transport import MasterNodeTransport
from dcompute_sim import trace as t
from dcompute_sim.director.node_ids import NodeIds
from dcompute_sim.director.public_api import PublicApi
from dcompute_sim.interfaces.suspendable import SuspendableDriver
from dcompute_sim.interfaces.world import Machine
from dcompute_sim.mutants.classes import master_classes
from dcompute_sim.recorder import Recorder
from dcompute_sim.rng import Rng
from dcompute_sim.scenario import MASTER, AskerSettings, Master

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

    from dcompute.bundle import Bundle
    from dcompute.parts import NodeMemory
    from dcompute.records import NodeInfo
    from dcompute.updates import UpdateProgress
    from dcompute_sim.director.executor_program import ExecutorProgram

_USUAL_PRIORITY = 5  # of the protocol, as written on its page


class MasterProgram:
    """Starts, crashes and asks the production code of one master.

    Args:
        name: of the program.
        executor: what has its work done; None where nothing is to be done so.
    """

    def __init__(
        self,
        name: str,
        settings: AskerSettings,
        machine: Machine,
        *,
        seed: str,
        executor: ExecutorProgram | None,
    ) -> None:
        self.name = name
        self.executor = executor
        self._settings = settings
        self._machine = machine
        self._seed = seed
        self._boots = 0
        self._driver: SuspendableDriver | None = None

    @property
    def connected(self) -> bool:
        """It runs and has a broker."""
        return self.executor is not None and self.executor.connected

    @property
    def link(self) -> Machine:
        """Its machine's way to the broker."""
        return self._machine

    @property
    def asker(self) -> str:
        """The name under which its executor asks; "" while it has none."""
        return "" if self.executor is None else self.executor.asker

    def fill_disk(self, refused: Callable[[], None] | None) -> None:
        """Refuse from now on what its executor's journal is to write; None: it can again."""
        if self.executor is not None:
            self.executor.fill_disk(refused)

    def start(self) -> None:
        """Switch the master on (with an empty memory, but for its journal)."""
        if self._driver is not None:
            return
        self._boots += 1
        self._machine.power_on()
        self._driver = SuspendableDriver(self._machine.driver, Rng(f"{self._seed}/{self.name}/{self._boots}"))
        self._start(self._driver)
        if self.executor is not None:
            self.executor.start(self._machine, self._driver)

    def _start(self, driver: SuspendableDriver) -> None:
        """Start what it has beside its executor."""

    def crash(self, *, lose_journal: bool = False) -> None:
        """Let its process die."""
        if self._driver is None:
            return
        self._kill()
        if self.executor is not None:
            self.executor.crashed(lose_journal=lose_journal)

    def close(self) -> None:
        """End it with the run."""
        if self._driver is not None:
            self._kill()

    def _kill(self) -> None:
        assert self._driver is not None
        self._driver.cut()
        self._machine.crash(self._driver)
        self._driver = None


class TransportMaster(MasterProgram):
    """The master whose transport is under test too.

    Args:
        mutants: names of those that it has.
        observer: is told what the transport tells, after the trace was.
        ids: of the nodes, on the wire; everybody but the transport speaks of their names.
    """

    def __init__(
        self,
        settings: Master,
        machine: Machine,
        recorder: Recorder,
        *,
        namespace: str,
        seed: str,
        mutants: tuple[str, ...],
        executor: ExecutorProgram | None,
        observer: MasterObserver,
        ids: NodeIds,
    ) -> None:
        super().__init__(MASTER, settings, machine, seed=seed, executor=executor)
        self._liveness_s = settings.liveness
        self._probe_s = settings.probe
        self._limits = {} if settings.node_limit is None else {"node_limit": settings.node_limit}
        self._collects = settings.collects
        self._disk: TemporaryDirectory[str] | None = None
        if settings.remembers:
            from tempfile import TemporaryDirectory

            self._disk = TemporaryDirectory(prefix="dcompute-master-")
        self._memory: NodeMemory | None = None
        self._recorder = recorder
        self._namespace = namespace
        self._mutants = mutants
        self._observer = observer
        self._api = PublicApi(recorder, ids, settings.forgets)
        self._ids = ids
        self._updates: dict[str, tuple[Bundle, bytes, bool, float]] = {}
        self.transport: MasterNodeTransport | None = None

    @property
    def connected(self) -> bool:
        return self.transport is not None and self.transport.is_connected()

    def _start(self, driver: SuspendableDriver) -> None:
        self._recorder.add(
            t.MasterStarted,
            boot=self._boots,
            liveness_s=self._liveness_s or 0.0,
            remembers=self._disk is not None,
        )
        host, port = self._machine.address
        transport_class, registry_class = master_classes(self._mutants)
        if self._disk is not None:
            from dcompute.parts import NodeMemory  # SQLite, for which other runs have no use

            self._memory = NodeMemory(Path(self._disk.name, "nodes"))
        self.transport = transport_class(
            host,
            port,
            username=self._machine.login.username,
            password=self._machine.login.password,
            tls=self._machine.login.tls,
            keepalive=max(1, round(self._settings.keepalive)),
            namespace=self._namespace,
            liveness_s=self._liveness_s,
            probe_s=self._probe_s,
            journal=self._memory,
            **self._limits,
            driver=driver,
            observer=self._observe,
            registry_class=registry_class,
        )
        self.transport.set_dead_nodes_callback(self._api.called_back)
        self.transport.start(timeout_s=0)
        for node, (bundle, key, back, patience_s) in self._updates.items():
            self.begin_update(node, bundle, key, back=back, patience_s=patience_s)

    def update(self, node: str, bundle: Bundle, key: bytes, *, back: bool, patience_s: float) -> None:
        """Bring a board to a version; begun again by a master that has crashed meanwhile."""
        self._updates[node] = (bundle, key, back, patience_s)
        if self.transport is not None:
            self.begin_update(node, bundle, key, back=back, patience_s=patience_s)

    def begin_update(
        self, node: str, bundle: Bundle, key: bytes, *, back: bool, patience_s: float, taken: bool = False
    ) -> None:
        """Have the transport, which must be there, begin an update that this process alone knows of."""
        assert self.transport is not None
        self.transport.update_node(
            self._ids.id_of(node), bundle, key, back=back, taken=taken, patience_s=patience_s
        )

    @property
    def boots(self) -> int:
        """How often it was started."""
        return self._boots

    def progress(self) -> dict[str, UpdateProgress]:
        """Return how far the updates of the present process are, by node."""
        told = self.transport.updates() if self.transport is not None else []
        return {self._ids.name_of(each.node_id): each for each in told}

    def send_task(self, node: str, fields: dict[str, Any]) -> None:
        """Send a task through the transport, which must be there. NodeUnavailable as it raises it.

        The task's id decides in which way the priority is said, as programs do either: in the task, as an
        argument, or, where it is the usual one, not at all.
        """
        assert self.transport is not None
        node_id, priority = self._ids.id_of(node), fields["priority"]
        if zlib.crc32(fields["id"].encode()) & 1:
            self.transport.send_task(node_id, fields)
            return
        rest = {name: value for name, value in fields.items() if name != "priority"}
        if priority == _USUAL_PRIORITY:
            self.transport.send_task(node_id, rest)
        else:
            self.transport.send_task(node_id, rest, priority)

    def info_of(self, node: str) -> NodeInfo | None:
        """Return what the transport knows of a node, if anything."""
        return self.transport.get_node_info(self._ids.id_of(node)) if self.transport is not None else None

    def told_by(self, node: str, about: str) -> str:
        """Return what a board tells among its capabilities, such as its `version`; "" if it tells none."""
        info = self.info_of(node)
        return str(info["capabilities"].get(about) or "") if info else ""

    def _observe(self, event: MasterEvent) -> None:
        event = self._ids.renamed(event)
        self._recorder.master_observer(event)
        self._observer(event)

    def collect(self) -> None:
        """Use the public API as the program above the master does, and write down what it says."""
        if self.transport is not None and self._collects:
            self._api.poll(self.transport)

    def finish(self, nodes: Iterable[str]) -> None:
        """Ask for all there is to know: the run is about to end."""
        if self.transport is not None:
            self._api.poll(self.transport)
            self._api.ask(self.transport, nodes)

    def crash(self, *, lose_journal: bool = False) -> None:
        if self._driver is not None:
            super().crash(lose_journal=lose_journal)
            self._recorder.add(t.MasterStopped, how="crash")

    def _kill(self) -> None:
        super()._kill()
        self.transport = None
        if self._memory is not None:  # what was not written by now is lost
            self._memory.close()

    def close(self) -> None:
        super().close()
        if self._disk is not None:
            self._disk.cleanup()
