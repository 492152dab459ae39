"""Passwords and certificates: what is wrong has a message of its own, and no secret is in any of them."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.brokers import passwords
from dcompute_sim.brokers.real_broker import BrokerSecurity

from dcompute.asyncio_driver import AsyncioDriver
from dcompute.master_transport import MasterNodeTransport
from dcompute.node_transport import ComputeNodeTransport
from dcompute.security import Tls, tls_context

from ..conftest import PATIENCE_S, Authority
from .conftest import Eventually, Served

SECRET = "s3cret-pass"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("credentials")


@pytest.fixture(scope="module")
def authority(folder: Path, new_authority: Callable[..., Authority]) -> Authority:
    return new_authority(folder)


@pytest.fixture
def password_file(folder: Path) -> Path:
    path = folder / "passwords"
    path.write_text(f"#role fleet any\nfleet:{passwords.hash_password(SECRET)}\n")
    return path


Connect = Callable[..., str]


@pytest.fixture(params=[MasterNodeTransport, ComputeNodeTransport])
def connect(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Any:
    """`connect(port, ...)`: start a transport; "" if it is connected, else why not."""
    caplog.set_level(logging.DEBUG)
    started: list[Any] = []

    def attempt(port: int, host: str = "localhost", **options: Any) -> str:
        if request.param is ComputeNodeTransport:
            options = {"node_id": f"n{len(started)}", "install_signal_handlers": False, **options}
        transport = request.param(host, port, **options)
        started.append(transport)
        assert transport.start(timeout_s=PATIENCE_S) == (transport.last_error == "")
        parts = [vars(part) for part in vars(transport).values() if hasattr(part, "__dict__")]
        for text in (caplog.text, repr(transport), repr(parts), transport.last_error):
            assert SECRET not in text
        return str(transport.last_error)

    yield attempt
    for transport in started:
        transport.kill()


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
def test_passwords(connect: Connect, serve: Callable[..., Served], password_file: Path, kind: str) -> None:
    port = serve(kind, BrokerSecurity(password_file=password_file)).port
    assert connect(port, username="fleet", password=SECRET) == ""
    for wrong in (
        {},
        {"username": "fleet", "password": SECRET + "x"},
        {"username": "nobody", "password": SECRET},
    ):
        error = connect(port, **wrong)
        assert "the broker refused the connection" in error
        assert "check username and password" in error


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
def test_certificates(
    connect: Connect,
    serve: Callable[..., Served],
    authority: Authority,
    new_authority: Callable[..., Authority],
    folder: Path,
    kind: str,
) -> None:
    certificate, key = authority.issue("server")
    port = serve(kind, BrokerSecurity(certificate=certificate, key=key)).port
    assert connect(port, tls=Tls(authority.file)) == ""
    context = ssl.create_default_context(cafile=str(authority.file))
    assert connect(port, tls=context) == ""
    unknown_ca = new_authority(folder, "unknown")
    for unknown in (Tls(unknown_ca.file), True):
        error = connect(port, tls=unknown)
        assert f"the certificate of localhost:{port} was not accepted" in error
        assert "issuer" in error or "self-signed" in error
    error = connect(port, "127.0.0.1", tls=Tls(authority.file))
    assert "was not accepted: IP address mismatch" in error
    plain = connect(port)
    assert plain
    assert "certificate" not in plain


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
def test_an_expired_certificate(
    connect: Connect, serve: Callable[..., Served], authority: Authority, kind: str
) -> None:
    certificate, key = authority.issue("expired", expired=True)
    port = serve(kind, BrokerSecurity(certificate=certificate, key=key)).port
    error = connect(port, tls=Tls(authority.file))
    assert error == f"the certificate of localhost:{port} was not accepted: certificate has expired"


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
def test_client_certificates(
    connect: Connect,
    serve: Callable[..., Served],
    authority: Authority,
    new_authority: Callable[..., Authority],
    folder: Path,
    eventually: Eventually,
    kind: str,
) -> None:
    certificate, key = authority.issue("server")
    port = serve(kind, BrokerSecurity(certificate=certificate, key=key, client_ca=authority.file)).port
    own, own_key = authority.issue("client")
    assert connect(port, tls=Tls(authority.file, own, own_key)) == ""
    both = folder / "both.pem"
    both.write_bytes(own.read_bytes() + own_key.read_bytes())
    assert connect(port, tls=Tls(authority.file, both)) == ""
    assert connect(port, tls=Tls(authority.file))
    foreign, foreign_key = new_authority(folder, "foreign").issue("foreign-client")
    assert connect(port, tls=Tls(authority.file, foreign, foreign_key))


def test_tls_where_there_is_none(connect: Connect, mosquitto: Served, authority: Authority) -> None:
    error = connect(mosquitto.port, tls=Tls(authority.file))
    assert error
    assert "was not accepted" not in error


def test_a_closed_port(connect: Connect, serve: Callable[..., Served]) -> None:
    broker = serve("mosquitto")
    broker.pause(keep_memory=False)
    for host in ("127.0.0.1", "localhost"):
        error = connect(broker.port, host)
        assert error == f"nothing listens at {host}:{broker.port} (connection refused)"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70 + ".invalid"])
def test_an_unknown_host(connect: Connect, host: str) -> None:
    assert connect(1883, host) == f"the name {host!r} has no address"


def test_files_that_cannot_be_used_are_named(folder: Path, authority: Authority) -> None:
    certificate, _ = authority.issue("one")
    _, other_key = authority.issue("two")
    rubbish = folder / "rubbish.pem"
    rubbish.write_text("no certificate")
    for files, named in [
        (Tls(folder / "missing.pem"), "CA file .*missing.pem"),
        (Tls(rubbish), "CA file .*rubbish.pem"),
        (Tls(authority.file, folder / "missing.crt"), "certificate .*missing.crt"),
        (Tls(authority.file, certificate, other_key), "one.crt, key .*two.key"),
    ]:
        with pytest.raises(ValueError, match=named):
            ComputeNodeTransport(node_id="n", tls=files)
    assert tls_context(None) is None
    assert tls_context(False) is None
    assert AsyncioDriver.shared() is AsyncioDriver.shared()
