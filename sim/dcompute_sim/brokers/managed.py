"""The life cycle of a broker in a process of ours: one port over restarts, a private folder, a sure end."""

from __future__ import annotations

import asyncio
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path

from dcompute_sim.brokers.real_broker import BrokerError, BrokerSecurity

STOP_TIMEOUT_S = 10.0
"""How long a broker has to write down its memory once it is told to end."""


class ManagedBroker(ABC):
    """A RealBroker but for how its process is started. For one task at a time."""

    name: str
    granularity_s: float

    def __init__(
        self,
        security: BrokerSecurity | None = None,
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        state: Path | None = None,
    ) -> None:
        """Prepare it. `port` None: a free one. `state`: the file of its memory, which otherwise ends with
        `stop`."""
        self._security = security or BrokerSecurity()
        self._host = host
        self._port = port
        self._state = state
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: asyncio.subprocess.Process | None = None

    @property
    def host(self) -> str:
        return self._host

    @property
    def port(self) -> int:
        if self._port is None:
            raise BrokerError(f"the {self.name} broker has no port before it was started")
        return self._port

    @property
    def can_restart(self) -> bool:
        return True

    @property
    def process_id(self) -> int | None:
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    @property
    def pid(self) -> int:
        """The process, for faults that signal it; BrokerError when it does not run."""
        if self.process_id is None:
            raise BrokerError(f"the {self.name} broker is not running")
        return self.process_id

    async def start(self) -> None:
        """Start it and return once it accepts connections. Without a port, the first start picks one."""
        if self._process is not None:
            raise BrokerError(f"the {self.name} broker was started already; stop it first")
        paused = self._folder is not None
        if not paused:
            self._folder = tempfile.TemporaryDirectory(prefix=f"dcompute-{self.name}-")
        try:
            self._port = await self._launch()
        except BaseException:
            await self._end_process()
            if not paused:
                self._forget()
            raise

    async def stop(self) -> None:
        """End it, so that it writes down its memory; by force when it does not obey."""
        await self._end_process()
        self._forget()

    async def pause(self, *, keep_memory: bool) -> None:
        await self._end_process()
        if not keep_memory and self._folder is not None:
            self._memory_file.unlink(missing_ok=True)

    async def restart(self, *, keep_memory: bool) -> None:
        await self.pause(keep_memory=keep_memory)
        await self.start()

    @abstractmethod
    async def _launch(self) -> int:
        """Set `_process`, wait until it accepts connections, return its port; BrokerError when it fails."""

    @property
    def _private(self) -> Path:
        assert self._folder is not None
        return Path(self._folder.name)

    @property
    def _memory_file(self) -> Path:
        return self._state or self._private / "memory"

    async def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    def _forget(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
