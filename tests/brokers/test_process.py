"""Brokers in processes of their own: how they start, keep their port, remember, fail and end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from dcompute_sim.brokers.broker_process import BrokerProcess
from dcompute_sim.brokers.conformance.broker_under_test import BrokerUnderTest
from dcompute_sim.brokers.conformance.client import Client, connect, dial
from dcompute_sim.brokers.real_broker import BrokerError, BrokerSecurity
from dcompute_sim.brokers.serve import KINDS

from ..conftest import PATIENCE_S


@asynccontextmanager
async def running(broker: BrokerProcess) -> AsyncIterator[BrokerUnderTest]:
    await broker.start()
    try:
        yield BrokerUnderTest(broker.host, broker.port, token="process")
    finally:
        await broker.stop()


async def retained(target: BrokerUnderTest) -> list[str]:
    client = await connect(target, "reader")
    await client.subscribe("#")
    await client.publish("end", b"", qos=1)
    await client.message("end")
    await client.disconnect()
    return [message.topic for message in client.messages if message.retain]


async def leave_something(target: BrokerUnderTest) -> Client:
    client = await connect(target, "kept", clean=False)
    await client.subscribe("t")
    await client.publish("status", b"ready", qos=1, retain=True)
    return client


@pytest.mark.parametrize("kind", KINDS)
def test_serves_from_start_to_stop(kind: str) -> None:
    async def main() -> None:
        broker = BrokerProcess(kind)
        async with running(broker) as target:
            client = await connect(target, "n")
            await client.ping()
            pid = broker.pid
        assert await client.closed_by_broker()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        with pytest.raises(BrokerError, match="is not running"):
            _ = broker.pid

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["embedded", "model"])
def test_restart_keeps_the_port_and_as_told_the_memory(kind: str) -> None:
    async def main() -> None:
        broker = BrokerProcess(kind)
        async with running(broker) as target:
            for keep_memory in (True, False):
                client = await leave_something(target)
                await broker.restart(keep_memory=keep_memory)
                assert await client.closed_by_broker()
                assert broker.port == target.port
                assert await retained(target) == (["status"] if keep_memory else [])
                back = await connect(target, "kept", clean=False)
                assert back.session_present is keep_memory
                await back.disconnect()

    asyncio.run(main())


def test_memory_ends_with_stop_unless_it_has_a_file(tmp_path: Path) -> None:
    async def main() -> None:
        for state, remembered in ((None, []), (tmp_path / "memory", ["status"])):
            broker = BrokerProcess("embedded", state=state)
            async with running(broker) as target:
                await leave_something(target)
            async with running(broker) as target:
                assert await retained(target) == remembered

    asyncio.run(main())


def test_plain_amqtt_has_no_memory_to_keep() -> None:
    async def main() -> None:
        broker = BrokerProcess("amqtt-plain")
        async with running(broker) as target:
            await broker.restart(keep_memory=False)
            await (await connect(target, "n")).ping()
            with pytest.raises(BrokerError, match="amqtt-plain cannot be restarted with its memory"):
                await broker.restart(keep_memory=True)
            await (await connect(target, "n")).ping()

    asyncio.run(main())


def test_a_broker_that_hangs_is_ended_by_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dcompute_sim.brokers.managed.STOP_TIMEOUT_S", 0.1)

    async def main() -> None:
        broker = BrokerProcess("embedded")
        await broker.start()
        pid = broker.pid
        os.kill(pid, signal.SIGSTOP)
        await broker.stop()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    asyncio.run(main())


async def start_and_fail(broker: BrokerProcess) -> str:
    with pytest.raises(BrokerError) as failure:
        await broker.start()
    await broker.stop()
    return str(failure.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_busy_port_is_named(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = asyncio.run(start_and_fail(BrokerProcess(kind, port=port)))
    assert (
        f"the {kind} broker did not start (status 1): 127.0.0.1:{port} is in use by another program" in said
    )
    assert "Traceback" not in said


@pytest.mark.parametrize("kind", ["embedded", "amqtt-plain"])
@pytest.mark.parametrize(
    ("option", "content", "message"),
    [
        ("password_file", None, "cannot be read as a password file"),
        ("password_file", "anna:secret", "not a `user:$7$...` line"),
        ("certificate", None, "there is no such file"),
        ("certificate", "no PEM", "not PEM files that belong together"),
        ("client_ca", None, "there is no such file"),
        ("key", "no PEM", "not PEM files that belong together"),
    ],
)
def test_an_unusable_file_is_named(
    tmp_path: Path, self_signed: tuple[Path, Path], kind: str, option: str, content: str | None, message: str
) -> None:
    path = tmp_path / "the-file"
    if content is not None:
        path.write_text(content)
    files = {} if option == "password_file" else dict(zip(("certificate", "key"), self_signed, strict=True))
    security = BrokerSecurity(**(files | {option: path}))
    said = asyncio.run(start_and_fail(BrokerProcess(kind, security)))
    assert str(path) in said
    assert message in said
    assert "Traceback" not in said


def test_half_of_tls_is_refused(self_signed: tuple[Path, Path]) -> None:
    said = asyncio.run(start_and_fail(BrokerProcess("embedded", BrokerSecurity(certificate=self_signed[0]))))
    assert "TLS needs both a certificate and its key" in said


def test_misuse_is_told() -> None:
    async def main() -> None:
        broker = BrokerProcess("embedded")
        with pytest.raises(BrokerError, match="no port before it was started"):
            _ = broker.port
        async with running(broker):
            with pytest.raises(BrokerError, match="started already"):
                await broker.start()

    asyncio.run(main())


# -- the program itself

SERVE = (sys.executable, "-m", "dcompute_sim.brokers.serve", "--port", "0")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_says_where_it_listens_and_ends_on_signals(number: signal.Signals) -> None:
    with subprocess.Popen(SERVE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        host, port = json.loads(process.stdout.readline())["listening"]
        with socket.create_connection((host, port)):
            process.send_signal(number)
            out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (0, "")
    assert "ERROR" not in err
    assert "Traceback" not in err


def test_the_program_ends_with_its_parent() -> None:
    """The parent is killed and ends nothing itself, but its end of the pipe closes."""
    parent = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    command = (sys.executable, "-c", parent, *SERVE, "--die-with-parent")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = {process.stdout.readline(), process.stdout.readline()}
        (host, port) = next(json.loads(line)["listening"] for line in said if "listening" in line)
        process.kill()
        process.wait()
        assert process.stdout.read() == ""  # returns when the broker, which holds this pipe as well, is gone

    async def main() -> None:
        with pytest.raises(ConnectionRefusedError):
            await dial(BrokerUnderTest(host, port, token="gone"), "n")

    asyncio.run(main())


def test_the_program_refuses_nonsense() -> None:
    for arguments in (("--port", "70000"), ("--kind", "best"), ("--port", "x")):
        process = subprocess.run((*SERVE, *arguments), capture_output=True, text=True, timeout=PATIENCE_S)
        assert process.returncode == 2
        assert arguments[0] in process.stderr
