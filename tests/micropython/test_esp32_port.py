"""Each row of the table of the ESP32 port's behaviour, in real and in virtual time, and the page of them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import socketserver
import ssl
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import pytest
from dcompute_sim import trace as t
from dcompute_sim.brokers.real_broker import BrokerSecurity
from dcompute_sim.brokers.run_certificates import run_certificates
from dcompute_sim.engines.virtual_tls import modelled_certificate, modelled_logins
from dcompute_sim.micropython.unmodelled import MISSING, NAMES, SIMPLER
from dcompute_sim.net.sockets import Stream
from dcompute_sim.net.tls_stream import ServerStream
from dcompute_sim.report.not_modelled import not_modelled
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario, check, load
from dcompute_sim.scenario.broker_tls import CertificateKind
from dcompute_sim.yamlfile.problems import LocatedError

from . import port_rows
from .conftest import RealRig, VirtualRig
from .port_rows import Row

RunsRows = Callable[[Sequence[Row]], list[str]]
"""Runs rows on one board; what it printed."""


_POINTS = [["far", "home", 1, -80], ["other", "guests", 6, -60], ["near", "home", 11, -50]]
_NEAR = ["0a0000000001", "0a0000000002"]
_AIR: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "roaming": (
        {"points": _POINTS, "beacon_ms": 300},
        {"points": [["far", "home", 1, None], *_POINTS[1:]]},
    ),
    "stations": ({"stations": _NEAR}, {"stations": _NEAR[1:]}),
}
"""What is on the air around boards of a topic, and what changes when they print "moves"."""


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            while data := self.request.recv(4096):
                self.request.sendall(data)


class _EchoDatagram(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, answering = self.request
        answering.sendto(data, self.client_address)


@pytest.fixture(scope="module")
def datagram_port() -> Iterator[int]:
    with socketserver.UDPServer(("127.0.0.1", 0), _EchoDatagram) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def echo_port() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


class _TlsEchoes(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, security: BrokerSecurity) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        assert security.certificate is not None
        self._context.load_cert_chain(security.certificate, security.key)
        super().__init__(("127.0.0.1", 0), _Echo)

    def finish_request(self, request: Any, client_address: Any) -> None:
        try:
            secured = self._context.wrap_socket(request, server_side=True)
        except OSError:  # the client refuses
            return
        super().finish_request(secured, client_address)


class TlsRig(NamedTuple):
    """Where echoes are, and what authority a client of theirs knows, by what their certificate is like."""

    addresses: dict[str, tuple[str, int]]
    authorities: dict[str, bytes]
    own: tuple[bytes, bytes]
    """A certificate that a board may show, and its key."""


@pytest.fixture(scope="module")
def tls_echoes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsRig]:
    addresses, authorities = {}, {}
    own = (b"", b"")
    with contextlib.ExitStack() as stack:
        for kind in get_args(CertificateKind):
            security, logins = run_certificates(kind, tmp_path_factory.mktemp(kind))
            server = stack.enter_context(_TlsEchoes(security))
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            stack.callback(server.shutdown)
            addresses[kind] = ("127.0.0.1", server.server_address[1])
            assert logins.nodes.authority is not None
            authorities[kind] = logins.nodes.authority
            assert security.certificate is not None
            assert security.key is not None
            own = (security.certificate.read_bytes(), security.key.read_bytes())
        yield TlsRig(addresses, authorities, own)


@pytest.fixture
def really(real: RealRig, echo_port: int, datagram_port: int, tls_echoes: TlsRig) -> RunsRows:
    async def until_over(text: str, topic: str) -> list[str]:
        air, changes = _AIR.get(topic, ({}, {}))
        async with real.running(text, radio=air) as (process, heard):
            if changes:
                await heard.wait_line("moves")
                process.radio(**changes)
            await heard.wait_line("@@ over")
            return heard.lines

    def run(rows: Sequence[Row]) -> list[str]:
        with socket.socket() as reserved, socket.socket() as free:  # bound, but nobody listens
            reserved.bind(("127.0.0.1", 0))
            free.bind(("127.0.0.1", 0))
            here = free.getsockname()
            free.close()
            text = port_rows.program(
                rows,
                SERVER=("127.0.0.1", echo_port),
                DATAGRAMS=("127.0.0.1", datagram_port),
                NOBODY=reserved.getsockname(),
                HERE=here,
                TLS=tls_echoes.addresses,
                AUTHORITIES=tls_echoes.authorities,
                OWN=tls_echoes.own,
            )
            return asyncio.run(until_over(text, rows[0].topic))

    return run


def _serve_tls(kind: CertificateKind, stream: Stream) -> None:
    secured = ServerStream(stream, modelled_certificate(kind, "server"))
    secured.serve(secured.write)


@pytest.fixture
def virtually(virtual: VirtualRig) -> RunsRows:
    def echo(stream: Stream) -> None:
        stream.on_data = stream.write

    server = virtual.network.host("server")
    server.listen(7, echo)
    addresses, authorities = {}, {}
    for port, kind in enumerate(get_args(CertificateKind), 8883):
        server.listen(port, functools.partial(_serve_tls, kind))
        addresses[kind] = ("server", port)
        authorities[kind] = modelled_logins().nodes.authority
    server.datagram_ports[9] = lambda host, port, data: server.send_datagram(9, host, port, data)

    def run(rows: Sequence[Row]) -> list[str]:
        name = f"node-{len(virtual.boards)}"
        text = port_rows.program(
            rows,
            SERVER=("server", 7),
            DATAGRAMS=(server.address, 9),
            NOBODY=("server", 8),
            HERE=("127.0.0.1", 8080),
            TLS=addresses,
            AUTHORITIES=authorities,
            OWN=(b"-----BEGIN CERTIFICATE-----", b"-----BEGIN PRIVATE KEY-----"),
        )
        air, changes = _AIR.get(rows[0].topic, ({}, {}))
        board, heard = virtual.add(text, name, radio=air)
        board.start()
        if changes:
            virtual.run(virtual.env.now + 20)
            assert "moves" in heard.lines, "\n".join(heard.lines)
            board.radio(**changes)
        virtual.run(virtual.env.now + 60)
        return heard.lines

    return run


def _sections(lines: Sequence[str]) -> list[list[str]]:
    """What was printed under each number; a board that reset prints the same number again, and goes on."""
    found: dict[str, list[str]] = {}
    at = ""
    for line in lines:
        if line.startswith("@@"):
            at = line
            found.setdefault(at, [])
        elif at:
            found[at].append(line)
    return [found[at] for at in found if at != "@@ over"]


def _parts(topic: str) -> list[list[Row]]:
    rows = port_rows.rows(topic)
    return [[row] for row in rows] if topic in port_rows.A_BOARD_EACH else [rows]


@pytest.mark.parametrize("time", ["really", "virtually"])
@pytest.mark.parametrize("topic", port_rows.ORDER)
def test_the_emulator_does_as_the_port(request: pytest.FixtureRequest, topic: str, time: str) -> None:
    run: RunsRows = request.getfixturevalue(time)
    wrong = []
    for part in _parts(topic):
        printed = _sections(run(part))
        assert len(printed) == len(part), f"it ended after {part[len(printed) - 1].title!r}: {printed[-1]}"
        wrong += [
            f"{row.title}: {got} is not {row.prints}"
            for row, got in zip(part, printed, strict=True)
            if got != row.prints
        ]
    assert not wrong, "\n".join(wrong)


def test_the_page_is_made_of_the_rows() -> None:
    written = Path(__file__).parents[2] / "docs/esp32-port.md"
    assert written.read_text() == port_rows.page(), "run: python tests/micropython/port_rows.py > " + str(
        written
    )


def test_every_file_of_rows_is_run() -> None:
    assert {path.stem for path in port_rows.FOLDER.glob("*.upy")} == set(port_rows.ORDER)


def test_a_program_that_asks_for_what_is_not_modelled_is_named_in_the_verdict(tmp_path: Path) -> None:
    """A name that no board has either is a mistake in the program, and no shortcoming of the emulator's."""
    program = """
        import machine, ssl, time
        for name in ("ADC", "hibernate"):
            try:
                getattr(machine, name)
            except AttributeError as error:
                print(error)
        try:
            import dht
        except ImportError as error:
            print(error)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        except AttributeError as error:
            print(error)
        machine.freq(240000000)
        while True:
            time.sleep(1)
    """
    (tmp_path / "main.py").write_text(textwrap.dedent(program))
    scenario = Scenario.model_validate(
        {
            "version": 1,
            "name": "missing",
            "duration": "5s",
            "fleet": {"esp": {"kind": "firmware", "count": 3, "files": str(tmp_path)}},
        }
    )
    check(scenario)
    events = list(run_scenario(scenario, RunOptions(time="virtual")).trace)
    assert not_modelled(events) == [
        f"the emulator does not model {name}, for which esp-1 and 2 more asked (docs/esp32-port.md)"
        for name in ("machine.ADC", "dht", "tls.server_side")
    ] + [
        "esp-1 and 2 more used machine.freq, and here computing takes as long at any frequency "
        "(docs/esp32-port.md)"
    ]


_TOUCHES = {
    "TLS": "ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)",
    "_thread.stack_size": "start(deep)",
    "_thread.start_new_thread": "start(computes)",
    "network.AP_IF": "network.WLAN(network.AP_IF).active(True)",
    "machine.freq": "machine.freq(240000000)",
    "machine.lightsleep": "machine.lightsleep(1)",
    "machine.disable_irq": "machine.enable_irq(machine.disable_irq())",
    "esp32.wake_on": "esp32.wake_on_ext0(machine.Pin(4))",
    "esp32.idf_heap_info": "esp32.idf_heap_info(esp32.HEAP_DATA)",
    "esp32.raw_temperature": "esp32.raw_temperature()",
    "neopixel.write": "neopixel.NeoPixel(machine.Pin(5), 1).write()",
}
_TOUCHES_ALL = f"""
import _thread, esp32, machine, neopixel, network, ssl, sys, time
def deep(more=15):
    if more:
        deep(more - 1)
    else:
        time.sleep_ms(1)
def computes():
    for number in range(10):
        bytearray(10000)
    time.sleep_ms(1)
def start(function):
    over = []
    def runs():
        function()
        over.append(1)
    _thread.start_new_thread(runs, ())
    while not over:
        time.sleep_ms(1)
def met(line):
    try:
        exec(line)
    except (AttributeError, ImportError):
        pass
for name in {[name for names in MISSING.values() for name in names]}:
    module, _, part = name.partition(".")
    met("import %s; %s" % (module, name))
for line in {[_TOUCHES[name] for name in SIMPLER]}:
    met(line)
    met(line)
print("done")
"""


@pytest.mark.parametrize("time", ["real", "virtual"])
def test_a_board_tells_of_all_that_the_page_lists(request: pytest.FixtureRequest, time: str) -> None:
    """The register is one: whatever the page says is missing or simpler is told when it is touched, once."""
    rig = request.getfixturevalue(time)
    if time == "virtual":
        board, heard = rig.add(_TOUCHES_ALL)
        board.start()
        rig.run(20)
    else:

        async def go() -> Any:
            async with rig.running(_TOUCHES_ALL) as (_, heard):
                await heard.wait_line("done")
                return heard

        heard = asyncio.run(go())
    told = [fields["name"] for fields in heard.all("missing")]
    assert set(told) == NAMES
    assert not [name for name in SIMPLER if told.count(name) > 1]


@pytest.mark.parametrize("time", ["virtual", "real"])
def test_stand_ins_take_the_place_of_what_is_not_there_and_stay_off_the_board(
    tmp_path: Path, time: Literal["virtual", "real"]
) -> None:
    """A driver of the user's, and what the port has and we have not; an error in them shows no path."""
    sensor, board = tmp_path / "sensor", tmp_path / "board"
    sensor.mkdir()
    board.mkdir()
    (sensor / "bme280.py").write_text("def read():\n    return 21.5\n\ndef broken():\n    return 1 // 0\n")
    (sensor / "stand_ins.py").write_text(
        "import machine\nclass ADC:\n    def __init__(self, pin): pass\n"
        "    def read_u16(self): return 4711\nmachine.ADC = ADC\n"
    )
    (board / "bme280.py").write_text("raise OSError('no such chip on the bus')\n")
    (board / "main.py").write_text(
        "import bme280, machine, os, time\nprint(bme280.read(), machine.ADC(machine.Pin(34)).read_u16())\n"
        "print(sorted(os.listdir()))\nbme280.broken()\n"
    )
    (tmp_path / "sensors.yaml").write_text(
        "version: 1\nname: sensors\nduration: 3s\n"
        "fleet: {esp: {kind: firmware, files: board, stand_ins: sensor}}\n"
    )
    events = list(run_scenario(load(tmp_path / "sensors.yaml"), RunOptions(time=time)).trace)
    printed = [event.text for event in events if isinstance(event, t.NodeOutput)]
    assert printed[:2] == ["21.5 4711", "['bme280.py', 'config.py', 'main.py']"]
    assert any('File "stand_ins/bme280.py", line 5, in broken' in line for line in printed), printed
    assert not_modelled(events) == []


def test_stand_ins_are_for_emulated_boards_and_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    for group, complaint in (
        ("{kind: board, stand_ins: .}", "never get onto a board"),
        ("{kind: firmware, stand_ins: nowhere}", "there is no folder"),
    ):
        path.write_text(f"version: 1\nname: wrong\nduration: 3s\ntime: real\nfleet: {{esp: {group}}}\n")
        with pytest.raises(LocatedError, match=complaint):
            load(path)
