"""mosquitto as a broker of a run: started from the machine with a private configuration, ended by its handle.

How it keeps its memory over a restart (measured with Debian's 2.0.11): on SIGTERM it first publishes the
will of every client still connected, then saves retained messages, kept sessions and the QoS 1 and 2 messages
queued for them. So after `restart(keep_memory=True)` a node that was connected has a retained `dead` until it
is back.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
from collections import Counter
from pathlib import Path

from dcompute_sim.brokers import open_files
from dcompute_sim.brokers.managed import ManagedBroker
from dcompute_sim.brokers.real_broker import BrokerError, BrokerMissing, BrokerSecurity
from dcompute_sim.scenario.broker_limits import AS_IT_COMES, BrokerLimits

# mosquitto 2.0.11 looks at keepalives in steps: the will of a silent client came 0.3 to 5.9 s after 1.5 x
# keepalive in 20 tries, at a keepalive of 2 s and of 10 s alike. Newer versions are finer.
GRANULARITY_S = 6.0

_START_TIMEOUT_S = 10.0
_POLL_S = 0.005
_OPEN_FILES = 16_384
_DENIED = re.compile(
    r"Denied PUBLISH from (.*) \(d\d, q\d, r\d, m\d+, '(.*)', \.\.\. \(\d+ bytes\)\)$", re.MULTILINE
)
_PORT_TRIES = 5  # between finding a free port and mosquitto taking it, somebody else may


class MosquittoBroker(ManagedBroker):
    """One mosquitto process on one port."""

    name = "mosquitto"
    granularity_s = GRANULARITY_S
    limits = AS_IT_COMES
    """Instead of its defaults."""
    acl: str | None = None
    """Access rules of the run; what they deny is told by `denied`."""
    _denied: tuple[tuple[str, str], ...] = ()

    def denied(self) -> Counter[tuple[str, str]]:
        """Return how many messages were denied, by client id and topic, as its log tells."""
        log = self._private / "mosquitto.log"
        said = log.read_text(errors="replace") if log.exists() else ""
        return Counter([*self._denied, *_DENIED.findall(said)])

    async def _launch(self) -> int:
        program = find_mosquitto()
        open_files.raise_open_files(_OPEN_FILES)
        if self._port is not None:
            return await self._launch_on(program, self._port)
        for _ in range(_PORT_TRIES - 1):
            try:
                return await self._launch_on(program, free_port(self._host))
            except _AddressInUse:
                await self._end_process()
        return await self._launch_on(program, free_port(self._host))

    async def _launch_on(self, program: Path, port: int) -> int:
        config, log = self._private / "mosquitto.conf", self._private / "mosquitto.log"
        self._memory_file.parent.mkdir(parents=True, exist_ok=True)
        written = configuration(self._host, port, self._security, self._memory_file, self.limits)
        if self.acl is not None:
            rules = self._private / "acl"
            rules.write_text(self.acl)
            written += f"acl_file {rules}\nlog_type all\n"
        config.write_text(written)
        with log.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *_ended_with_us(),
                str(program),
                "-c",
                str(config),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the run, which then ends its broker last
            )
        await self._until_running(log)
        return port

    async def _end_process(self) -> None:
        await super()._end_process()
        if self.acl is not None and self._folder is not None:
            self._denied = tuple(self.denied().elements())  # what starts next begins its log anew
            (self._private / "mosquitto.log").unlink(missing_ok=True)

    async def _until_running(self, log: Path) -> None:
        """Wait until it runs: mosquitto says "running" once its listeners are open; a connection may be a
        stranger's."""
        assert self._process is not None
        deadline = asyncio.get_running_loop().time() + _START_TIMEOUT_S
        while True:
            ended = self._process.returncode is not None
            said = log.read_text(errors="replace")
            if " running\n" in said and not ended:
                return
            if "Address already in use" in said:
                raise _AddressInUse(
                    f"mosquitto: the port is in use already; choose another one. It said:\n{said}"
                )
            if ended:
                status = self._process.returncode
                raise BrokerError(f"mosquitto ended at once with status {status}; it said:\n{said}")
            if asyncio.get_running_loop().time() > deadline:
                raise BrokerError(f"mosquitto was not up after {_START_TIMEOUT_S:.0f} s; it said:\n{said}")
            await asyncio.sleep(_POLL_S)


class _AddressInUse(BrokerError):
    pass


def find_mosquitto() -> Path:
    """Return the program: $DCOMPUTE_MOSQUITTO, else on PATH, else in the sbin folders that a user's PATH
    lacks."""
    named = os.environ.get("DCOMPUTE_MOSQUITTO")
    if named:
        if found := shutil.which(named):
            return Path(found)
        raise BrokerMissing(f"DCOMPUTE_MOSQUITTO is {named!r}, not a program; correct it or unset it")
    for place in (None, "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"):
        if found := shutil.which("mosquitto", path=place):
            return Path(found)
    raise BrokerMissing(
        "mosquitto is not on this machine: install it (Debian, Ubuntu: `sudo apt-get install mosquitto`; "
        "macOS: `brew install mosquitto`), name it in DCOMPUTE_MOSQUITTO, or take the embedded broker"
    )


def configuration(
    host: str,
    port: int,
    security: BrokerSecurity,
    memory_file: Path,
    limits: BrokerLimits = AS_IT_COMES,
) -> str:
    """Return its configuration file: as it comes but for what a private one needs, and for the limits a
    scenario names."""
    options = [
        ("listener", f"{port} {host}"),
        ("max_connections", "-1"),
        ("set_tcp_nodelay", "true"),
        ("connection_messages", "false"),
        ("log_dest", "stderr"),
        ("persistence", "true"),
        ("persistence_location", f"{memory_file.parent.resolve()}/"),
        ("persistence_file", memory_file.name),
        ("autosave_interval", "0"),
    ]
    if limits.in_flight is not None:
        options.append(("max_inflight_messages", str(limits.in_flight)))
    if limits.queued is not None:
        options.append(("max_queued_messages", str(limits.queued)))
    if limits.packet is not None:
        options.append(("max_packet_size", str(limits.packet)))
    if os.geteuid() == 0:
        options.append(("user", "root"))  # otherwise it becomes user `mosquitto`, who cannot read our files
    if security.password_file is None:
        options.append(("allow_anonymous", "true"))
    else:
        options += [("allow_anonymous", "false"), ("password_file", str(security.password_file.resolve()))]
    if security.acl_file is not None:
        options += [("acl_file", str(security.acl_file.resolve())), ("use_username_as_clientid", "true")]
    if security.certificate is not None and security.key is not None:
        options.append(("certfile", str(security.certificate.resolve())))
        options.append(("keyfile", str(security.key.resolve())))
        if security.client_ca is not None:
            options += [("cafile", str(security.client_ca.resolve())), ("require_certificate", "true")]
    elif security.certificate or security.key or security.client_ca:
        raise BrokerError("TLS needs both a certificate and its key (a client CA only adds to them)")
    return "".join(f"{name} {value}\n" for name, value in options)


def _ended_with_us() -> list[str]:
    """Return a wrapper by which the kernel ends mosquitto should we die without ending it, where Linux has
    one."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []


def free_port(host: str) -> int:
    """Find a port of `host` that nobody listens on just now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, 0), family=family) as server:
            port: int = server.getsockname()[1]
            return port
    except OSError as error:
        raise BrokerError(f"mosquitto cannot listen on {host}: {error.strerror}") from None
