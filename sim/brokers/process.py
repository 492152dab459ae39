"""Our own brokers, each in a process of its own, as a run and `dcompute broker` use them.

A broker that shares the loop or the interpreter of its clients distorts their timing by tens of milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from sim.brokers.base import BrokerError, BrokerSecurity

_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 10.0
# Our brokers look at a client's silence when 1.5 x keepalive has passed; this much is for a busy machine.
# Plain amqtt never looks: a run that expects it to is to find out soon.
_GRANULARITY_S = 0.25


class BrokerProcess:
    """One broker process on one port, which stays the same over restarts. For one task at a time."""

    granularity_s = _GRANULARITY_S

    def __init__(
        self,
        kind: str,
        security: BrokerSecurity | None = None,
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        state: Path | None = None,
    ) -> None:
        """`port` None: a free one. `state`: the file of its memory, which otherwise ends with `stop`."""
        self.name = kind
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
    def pid(self) -> int:
        """The process, for faults that signal it; BrokerError when it does not run."""
        if self._process is None or self._process.returncode is not None:
            raise BrokerError(f"the {self.name} broker is not running")
        return self._process.pid

    async def start(self) -> None:
        if self._process is not None:
            raise BrokerError(f"the {self.name} broker was started already; stop it first")
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="dcompute-broker-")
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(),
                stdin=asyncio.subprocess.PIPE,  # ends with us, and the broker with it
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the run, which then ends its broker last
            )
        try:
            self._port = await self._port_it_says()
        except BaseException:
            await self._end_process()
            raise

    async def stop(self) -> None:
        """End it, so that it writes down its memory; by force when it does not obey."""
        await self._end_process()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    async def pause(self, *, keep_memory: bool) -> None:
        if keep_memory and not self._remembers:
            raise BrokerError(f"{self.name} cannot be restarted with its memory: it has no way to keep it")
        await self._end_process()
        if not keep_memory and self._folder is not None:
            self._memory_file.unlink(missing_ok=True)

    async def restart(self, *, keep_memory: bool) -> None:
        await self.pause(keep_memory=keep_memory)
        await self.start()

    @property
    def _remembers(self) -> bool:
        return self.name != "amqtt-plain"

    @property
    def _private(self) -> Path:
        assert self._folder is not None
        return Path(self._folder.name)

    @property
    def _log(self) -> Path:
        return self._private / "stderr"

    @property
    def _memory_file(self) -> Path:
        return self._state or self._private / "memory.json"

    def _command(self) -> list[str]:
        security = self._security
        files = {
            "--password-file": security.password_file,
            "--cert": security.certificate,
            "--key": security.key,
            "--client-ca": security.client_ca,
            "--state": self._memory_file if self._remembers else None,
        }
        command = [sys.executable, "-m", "sim.brokers.serve", "--die-with-parent", "--kind", self.name]
        command += ["--host", self._host, "--port", str(self._port or 0)]
        for option, path in files.items():
            if path is not None:
                command += [option, str(path)]
        return command

    async def _port_it_says(self) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                line = await self._process.stdout.readline()
                if line:
                    port: int = json.loads(line)["listening"][1]
                    return port
                status = await self._process.wait()
        except TimeoutError:
            raise BrokerError(
                f"the {self.name} broker was not up after {_START_TIMEOUT_S:.0f} s; it said: {self._said()}"
            ) from None
        raise BrokerError(f"the {self.name} broker did not start (status {status}): {self._said()}")

    def _said(self) -> str:
        return self._log.read_text(errors="replace").strip() or "nothing"

    async def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _STOP_TIMEOUT_S)
            except TimeoutError:
                process.kill()
                await process.wait()
