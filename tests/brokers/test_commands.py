"""`dcompute broker`: what each command prints, and the status it ends with."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from dcompute_sim.brokers import passwords
from dcompute_sim.brokers.access import UserRole
from dcompute_sim.brokers.cli import PASSWORD_VARIABLE, app
from dcompute_sim.brokers.factory import make_broker
from dcompute_sim.brokers.passwords import load, verify
from dcompute_sim.brokers.real_broker import BrokerSecurity
from typer.testing import CliRunner, Result

from dcompute.broker_url import BrokerUrl

from ..conftest import PATIENCE_S, Authority

QUICK = "will-on-reset,qos-is-the-lower"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory, new_authority: Callable[..., Authority]) -> Authority:
    return new_authority(tmp_path_factory.mktemp("authority"), host="127.0.0.1")


def _run(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=typed, env={PASSWORD_VARIABLE: None})


@asynccontextmanager
async def _broker(kind: str, security: BrokerSecurity | None = None) -> AsyncIterator[str]:
    broker = make_broker(kind, security=security)
    await broker.start()
    try:
        scheme = "mqtts" if security is not None and security.certificate is not None else "mqtt"
        yield f"{scheme}://127.0.0.1:{broker.port}"
    finally:
        await broker.stop()


def _check(kind: str, *arguments: str, security: BrokerSecurity | None = None, user: str = "") -> Result:
    """Run `check` against a broker started for it."""

    async def checked() -> Result:
        async with _broker(kind, security) as url:
            return await asyncio.to_thread(_run, "check", url.replace("://", f"://{user}"), *arguments)

    return asyncio.run(checked())


# --- check --------------------------------------------------------------------------------------------------


def test_check_of_a_good_broker_ends_with_0() -> None:
    result = _check("mosquitto", "--rows", f"{QUICK},many-connections", "--connections", "20")
    assert result.exit_code == 0, result.output
    assert "3 passed" in result.stdout
    assert "20 of 20" in result.stdout


def test_check_of_a_faulty_broker_ends_with_1_and_json_says_why() -> None:
    result = _check("amqtt-plain", "--rows", QUICK, "--one-by-one", "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert {row["name"]: row["outcome"] for row in report["rows"]} == {
        "will-on-reset": "passed",
        "qos-is-the-lower": "failed",
    }
    assert "published 0, subscribed 1, got 1" in report["rows"][1]["detail"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("check", "broker"), "begins with mqtt://"),
        (("check", "mqtt://127.0.0.1:1", "--rows", "nonsense"), "no such row: nonsense"),
        (("check", "mqtt://127.0.0.1:1", "--rows", ","), "no rows named"),
        (("check", "mqtt://127.0.0.1:1", "--connections", "0"), "--connections"),
        (("check", "mqtts://127.0.0.1:1", "--ca", __file__), "CA file"),
        (("check", "mqtt://me@127.0.0.1:1"), "no password"),
        (("--kind", "amqtt-plain", "--state", "x"), "keeps nothing"),
        (("--cert", __file__), "both --cert and --key"),
        (("--kind", "mosquito"), "mosquito"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...], word: str) -> None:
    result = _run(*arguments)
    assert result.exit_code == 2
    assert word in result.stderr


def test_when_no_row_applies_it_is_no_pass() -> None:
    result = _check("mosquitto", "--rows", "wrong-password")
    assert result.exit_code == 2
    assert "nothing was tested" in result.stderr


def test_a_closed_port_ends_with_3() -> None:
    result = _run("check", "mqtt://127.0.0.1:1")
    assert result.exit_code == 3
    assert "nothing listens there" in result.stderr


def test_a_stranger_on_the_port_ends_with_3() -> None:
    """Something that accepts and closes, as a web server does that is not spoken to in its language."""

    async def checked() -> Result:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await asyncio.to_thread(_run, "check", f"mqtt://127.0.0.1:{port}")

    result = asyncio.run(checked())
    assert result.exit_code == 3
    assert "does not speak MQTT" in result.stderr


@pytest.mark.parametrize("kind", ["mosquitto", "embedded", "model"])
def test_a_wrong_password_ends_with_3_and_is_not_echoed(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    passwords.set_user(file, "tester", "right", UserRole.ANY)
    security = BrokerSecurity(password_file=file)
    refused = _check(kind, "--rows", "wrong-password", security=security, user="tester:hushhush@")
    assert refused.exit_code == 3
    assert "wrong user name or password" in refused.stderr
    assert "hushhush" not in refused.output
    let_in = _check(kind, "--rows", "wrong-password", security=security, user="tester:right@")
    assert let_in.exit_code == 0, let_in.output


@pytest.mark.parametrize("kind", ["mosquitto", "embedded", "model"])
def test_tls_with_certificates_on_both_sides(kind: str, authority: Authority) -> None:
    server, client = authority.issue("server"), authority.issue("client")
    security = BrokerSecurity(None, server.certificate, server.key, authority.file)
    ours = ("--ca", str(authority.file), "--cert", str(client.certificate), "--key", str(client.key))
    good = _check(kind, "--rows", "will-on-fin,large-payload,malformed-client", *ours, security=security)
    assert good.exit_code == 0, good.output
    without = _check(kind, *ours[:2], security=security)
    assert without.exit_code == 3
    assert "client certificate" in without.stderr


def test_an_expired_certificate_of_the_broker_is_named(authority: Authority) -> None:
    server = authority.issue("old-server", expired=True)
    security = BrokerSecurity(None, server.certificate, server.key)
    result = _check("mosquitto", "--ca", str(authority.file), security=security)
    assert result.exit_code == 3
    assert "its certificate has expired" in result.stderr


def test_an_expired_certificate_of_ours_is_named(authority: Authority) -> None:
    server, client = authority.issue("server-2"), authority.issue("old-client", expired=True)
    security = BrokerSecurity(None, server.certificate, server.key, authority.file)
    ours = ("--ca", str(authority.file), "--cert", str(client.certificate), "--key", str(client.key))
    result = _check("mosquitto", *ours, security=security)
    assert result.exit_code == 3
    assert "our client certificate has expired" in result.stderr


def test_an_untrusted_certificate_is_named(authority: Authority) -> None:
    server = authority.issue("server-3")
    security = BrokerSecurity(None, server.certificate, server.key)
    result = _check("mosquitto", security=security)
    assert result.exit_code == 3
    assert "not trusted" in result.stderr


@pytest.mark.parametrize("kind", ["embedded", "model", "mosquitto"])
def test_tls_to_a_plain_port_is_named(kind: str) -> None:
    async def checked() -> Result:
        async with _broker(kind) as url:
            return await asyncio.to_thread(_run, "check", url.replace("mqtt:", "mqtts:"))

    result = asyncio.run(checked())
    assert result.exit_code == 3
    assert "speaks MQTT without TLS: write mqtt://" in result.stderr


@pytest.mark.parametrize("kind", ["embedded", "model", "mosquitto"])
def test_no_tls_to_a_tls_port_is_named(authority: Authority, kind: str) -> None:
    server = authority.issue(f"server-plain-{kind}")

    async def checked() -> Result:
        async with _broker(kind, BrokerSecurity(None, server.certificate, server.key)) as url:
            return await asyncio.to_thread(_run, "check", url.replace("mqtts:", "mqtt:"))

    result = asyncio.run(checked())
    assert result.exit_code == 3
    assert "that port speaks TLS: write mqtts://" in result.stderr


# --- passwd -------------------------------------------------------------------------------------------------


def test_passwd_asks_twice_and_never_echoes(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    result = _run("passwd", str(file), "me", typed="hushhush\nhushhush\n")
    assert result.exit_code == 0, result.output
    assert "hushhush" not in result.output
    assert verify(b"hushhush", load(file)["me"])


def test_passwd_takes_it_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    result = CliRunner().invoke(app, ["passwd", str(file), "me"], env={PASSWORD_VARIABLE: "from there"})
    assert result.exit_code == 0, result.output
    assert verify(b"from there", load(file)["me"])


def test_passwd_refuses_a_broken_file(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    file.write_text("me:plain\n")
    result = _run("passwd", str(file), "me", typed="x\nx\n")
    assert result.exit_code == 2
    assert "passwords:1" in result.stderr
    assert file.read_text() == "me:plain\n"


# --- serve --------------------------------------------------------------------------------------------------


@contextmanager
def _serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a process of its own, and the first line it prints."""
    code = "from dcompute_sim.brokers.cli import app; app()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline()
        finally:
            process.kill()


@pytest.mark.parametrize("kind", ["embedded", "model", "amqtt-plain", "mosquitto"])
def test_serve_until_interrupted(kind: str) -> None:
    with _serving("--kind", kind, "--listen", "0") as (process, said):
        assert said.startswith(f"{kind} listens on mqtt://127.0.0.1:")
        address = BrokerUrl.parse(said.split()[3])
        with socket.create_connection((address.host, address.port), timeout=PATIENCE_S):
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE_S) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.host, address.port), timeout=PATIENCE_S)


@pytest.mark.parametrize("kind", ["embedded", "mosquitto"])
def test_serve_on_a_taken_port_ends_with_1(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = _run("--kind", kind, "--listen", str(taken.getsockname()[1]))
    assert result.exit_code == 1
    assert "in use" in result.stderr


def test_serve_without_mosquitto_ends_with_3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCOMPUTE_MOSQUITTO", "/nowhere/mosquitto")
    result = _run("--kind", "mosquitto", "--listen", "0")
    assert result.exit_code == 3
    assert "DCOMPUTE_MOSQUITTO" in result.stderr
