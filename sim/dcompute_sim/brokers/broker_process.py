"""Our own brokers, each in a process of its own, as a run and `dcompute broker` use them.

A broker that shares the loop or the interpreter of its clients distorts their timing by tens of milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from dcompute_sim.brokers.managed import ManagedBroker
from dcompute_sim.brokers.real_broker import BrokerError, BrokerSecurity

_START_TIMEOUT_S = 20.0
# Our brokers look at a client's silence when 1.5 x keepalive has passed; this much is for a busy machine.
# Plain amqtt never looks: a run that expects it to is to find out soon.
_GRANULARITY_S = 0.25


class BrokerProcess(ManagedBroker):
    """One broker process of ours on one port."""

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
        super().__init__(security, host=host, port=port, state=state)
        self.name = kind

    async def pause(self, *, keep_memory: bool) -> None:
        if keep_memory and not self._remembers:
            raise BrokerError(f"{self.name} cannot be restarted with its memory: it has no way to keep it")
        await super().pause(keep_memory=keep_memory)

    async def _launch(self) -> int:
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(),
                stdin=asyncio.subprocess.PIPE,  # ends with us, and the broker with it
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the run, which then ends its broker last
            )
        return await self._port_it_says()

    @property
    def _remembers(self) -> bool:
        return self.name != "amqtt-plain"

    @property
    def _log(self) -> Path:
        return self._private / "stderr"

    def _command(self) -> list[str]:
        security = self._security
        files = {
            "--password-file": security.password_file,
            "--cert": security.certificate,
            "--key": security.key,
            "--client-ca": security.client_ca,
            "--state": self._memory_file if self._remembers else None,
        }
        command = [
            sys.executable,
            "-m",
            "dcompute_sim.brokers.serve",
            "--die-with-parent",
            "--kind",
            self.name,
        ]
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
