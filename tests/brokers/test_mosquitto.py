"""The mosquitto launcher: what it keeps over restarts, how it ends, and what it says when it cannot begin."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from dcompute_sim.brokers import passwords
from dcompute_sim.brokers.access import UserRole
from dcompute_sim.brokers.conformance.broker_under_test import BrokerUnderTest
from dcompute_sim.brokers.conformance.client import Client, RefusedByBroker, connect
from dcompute_sim.brokers.conformance.wire import ClientWill
from dcompute_sim.brokers.mosquitto import MosquittoBroker, configuration, find_mosquitto
from dcompute_sim.brokers.real_broker import BrokerError, BrokerMissing, BrokerSecurity, RealBroker
from dcompute_sim.scenario.broker_limits import AS_IT_COMES, BrokerLimits

from ..conftest import PATIENCE_S


def _target(broker: RealBroker, password: str | None = None) -> BrokerUnderTest:
    user = None if password is None else "tester"
    return BrokerUnderTest(broker.host, broker.port, token="t", username=user, password=password)


async def _leave_memories(broker: RealBroker) -> None:
    """A retained message, a kept session, and messages queued for it at QoS 1 and 0."""
    node = await connect(_target(broker), "node", clean=False)
    await node.subscribe("task/#")
    await node.disconnect()
    master = await connect(_target(broker), "master")
    await master.publish("status", b"ready", qos=1, retain=True)
    await master.publish("task/0", b"lost", qos=0)
    await master.publish("task/1", b"queued", qos=1)
    await master.disconnect()


async def _remembered(broker: RealBroker) -> tuple[bool, list[bytes], list[bytes]]:
    """Session present, queued messages, retained messages."""
    node = await connect(_target(broker), "node", clean=False)
    await node.ping()
    late = await connect(_target(broker), "late")
    await late.subscribe("status")
    await late.ping()
    for client in (node, late):
        await client.disconnect()
    return node.session_present, _payloads(node), _payloads(late)


def _payloads(client: Client) -> list[bytes]:
    return [message.payload for message in client.messages]


@pytest.mark.parametrize("keep_memory", [True, False])
def test_restart_keeps_or_drops_its_memory(keep_memory: bool) -> None:
    async def restarted() -> tuple[tuple[bool, list[bytes], list[bytes]], bool]:
        broker = MosquittoBroker()
        await broker.start()
        try:
            port, pid = broker.port, broker.pid
            await _leave_memories(broker)
            await broker.restart(keep_memory=keep_memory)
            return await _remembered(broker), broker.port == port and broker.pid != pid
        finally:
            await broker.stop()

    remembered, same_port_new_process = asyncio.run(restarted())
    assert same_port_new_process
    assert remembered == ((True, [b"queued"], [b"ready"]) if keep_memory else (False, [], []))


def test_paused_it_is_away_until_started_again() -> None:
    async def away_and_back() -> tuple[bool, bool]:
        broker = MosquittoBroker()
        await broker.start()
        try:
            port = broker.port
            await _leave_memories(broker)
            await broker.pause(keep_memory=True)
            away = not _accepts(port)
            await broker.start()
            return away, broker.port == port and (await _remembered(broker))[2] == [b"ready"]
        finally:
            await broker.stop()

    assert asyncio.run(away_and_back()) == (True, True)


def test_a_restart_publishes_the_wills_of_the_connected() -> None:
    """As its module says: a node that was connected has a retained `dead` until it is back."""

    async def retained_after() -> list[bytes]:
        broker = MosquittoBroker()
        await broker.start()
        try:
            node = await connect(_target(broker), "node", will=ClientWill("status", b"dead", retain=True))
            await node.publish("status", b"ready", qos=1, retain=True)
            await broker.restart(keep_memory=True)
            await node.fin()
            return (await _remembered(broker))[2]
        finally:
            await broker.stop()

    assert asyncio.run(retained_after()) == [b"dead"]


def test_a_state_file_outlives_it(tmp_path: Path) -> None:
    async def started_twice() -> tuple[bool, list[bytes], list[bytes]]:
        for leave in (True, False):
            broker = MosquittoBroker(state=tmp_path / "below" / "memory.db")
            await broker.start()
            try:
                if leave:
                    await _leave_memories(broker)
                else:
                    return await _remembered(broker)
            finally:
                await broker.stop()
        raise AssertionError

    assert asyncio.run(started_twice()) == (True, [b"queued"], [b"ready"])


def test_stop_ends_the_process_and_forgets_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ended() -> tuple[int, Path]:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        broker = MosquittoBroker()
        await broker.start()
        pid = broker.pid
        (folder,) = tmp_path.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        await broker.stop()
        with pytest.raises(BrokerError, match="not running"):
            _ = broker.pid
        return pid, folder

    pid, folder = asyncio.run(ended())
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_it_ends_when_its_starter_is_killed() -> None:
    """By SIGKILL, which leaves no time to stop anything (Linux: setpriv --pdeathsig)."""
    code = (
        "import asyncio, os, signal\n"
        "from dcompute_sim.brokers.mosquitto import MosquittoBroker\n"
        "async def main():\n"
        "    broker = MosquittoBroker()\n"
        "    await broker.start()\n"
        "    print(broker.pid, broker.port, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    port = int(ran.stdout.split()[1])
    deadline_s = time.monotonic() + PATIENCE_S
    while _accepts(port):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(("limits", "kept"), [(AS_IT_COMES, 1_000), (BrokerLimits(queued=0), 1_200)])
def test_it_is_started_as_it_comes_unless_limits_are_named(limits: BrokerLimits, kept: int) -> None:
    """2.0.11 keeps 1,000 messages for an absent client: a run on a kinder one would say too much."""
    count = 1_200

    async def queued() -> int:
        broker = MosquittoBroker()
        broker.limits = limits
        await broker.start()
        try:
            node = await connect(_target(broker), "node", clean=False)
            await node.subscribe("task")
            await node.disconnect()
            master = await connect(_target(broker), "master")
            ids = [master.start_publish("task", b"work", qos=1) for _ in range(count)]
            for packet_id in ids:
                await master.finish(packet_id, qos=1)
            node = await connect(_target(broker), "node", clean=False)
            messages = await node.message_count("task", kept)
            for client in (node, master):
                await client.disconnect()
            return len(messages)
        finally:
            await broker.stop()

    assert asyncio.run(queued()) == kept


def test_the_password_file_decides_who_gets_in(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    passwords.set_user(file, "tester", "right", UserRole.ANY)

    async def codes() -> list[int]:
        broker = MosquittoBroker(BrokerSecurity(password_file=file))
        await broker.start()
        seen = []
        try:
            for password in ("right", "wrong", None):
                try:
                    await (await connect(_target(broker, password), "client")).disconnect()
                    seen.append(0)
                except RefusedByBroker as refused:
                    seen.append(refused.code)
            return seen
        finally:
            await broker.stop()

    assert asyncio.run(codes()) == [0, 5, 5]


def test_missing_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dcompute_sim.brokers.mosquitto.shutil.which", lambda name, path=None: None)
    monkeypatch.delenv("DCOMPUTE_MOSQUITTO", raising=False)
    with pytest.raises(BrokerMissing, match="apt-get install mosquitto"):
        asyncio.run(MosquittoBroker().start())
    monkeypatch.setenv("DCOMPUTE_MOSQUITTO", str(tmp_path / "nowhere"))
    with pytest.raises(BrokerMissing, match="DCOMPUTE_MOSQUITTO"):
        asyncio.run(MosquittoBroker().start())


def test_the_variable_names_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "my-mosquitto"
    program.write_text("#!/bin/sh\necho broken >&2; exit 7\n")
    program.chmod(0o755)
    monkeypatch.setenv("DCOMPUTE_MOSQUITTO", str(program))
    assert find_mosquitto() == program
    with pytest.raises(BrokerError, match=r"status 7.*\n*broken"):
        asyncio.run(MosquittoBroker().start())


def test_a_port_in_use_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        broker = MosquittoBroker(port=taken.getsockname()[1])
        with pytest.raises(BrokerError, match="in use"):
            asyncio.run(broker.start())


def test_a_free_port_taken_meanwhile_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as free:
        ports = [taken.getsockname()[1], free.getsockname()[1]]
    with socket.create_server(("127.0.0.1", ports[0])):
        offered = iter(ports)
        monkeypatch.setattr("dcompute_sim.brokers.mosquitto.free_port", lambda host: next(offered))

        async def port() -> int:
            broker = MosquittoBroker()
            await broker.start()
            await broker.stop()
            return broker.port

        assert asyncio.run(port()) == ports[1]


def test_an_address_that_is_not_ours_is_said() -> None:
    with pytest.raises(BrokerError, match=r"cannot listen on 192\.0\.2\.1"):
        asyncio.run(MosquittoBroker(host="192.0.2.1").start())


def test_tls_needs_certificate_and_key() -> None:
    half = BrokerSecurity(certificate=Path("cert.pem"))
    with pytest.raises(BrokerError, match="both a certificate and its key"):
        configuration("127.0.0.1", 1883, half, Path("memory"))


def test_configuration_of_a_secured_broker(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("password_file", "certificate", "key", "client_ca")}
    lines = configuration("127.0.0.1", 18830, BrokerSecurity(**files), tmp_path / "memory").splitlines()
    assert {
        "listener 18830 127.0.0.1",
        "allow_anonymous false",
        f"password_file {files['password_file']}",
        f"certfile {files['certificate']}",
        f"keyfile {files['key']}",
        f"cafile {files['client_ca']}",
        "require_certificate true",
        "max_connections -1",
        "set_tcp_nodelay true",
    } <= set(lines)
