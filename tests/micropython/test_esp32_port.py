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
        for name in ("I2S", "hibernate"):
            try:
                getattr(machine, name)
            except AttributeError as error:
                print(error)
        try:
            import bluetooth
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
        for name in ("machine.I2S", "bluetooth", "tls.server_side")
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
    "esp32.Partition": "esp32.Partition('vfs').writeblocks(0, b'x')",
    "webrepl": "__import__('webrepl').start(8266, 'secret')",
    "neopixel.write": "neopixel.NeoPixel(machine.Pin(5), 1).write()",
    "machine.ADC": "machine.ADC(34).read()",
    "machine.DAC": "machine.DAC(25).write(1)",
    "machine.TouchPad": "machine.TouchPad(27).read()",
    "machine.PWM": "machine.PWM(5).deinit()",
    "machine.bitstream": "machine.bitstream(machine.Pin(5), 0, (400, 850, 800, 450), b'1')",
    "machine.time_pulse_us": "machine.time_pulse_us(machine.Pin(19), 1, 100)",
    "machine.I2C": "machine.I2C(0).scan()",
    "machine.SPI": "machine.SPI(1).read(1)",
    "machine.UART": "machine.UART(1)",
    "machine.UART.write": "machine.UART(1).write(b'x')",
    "dht": "__import__('dht').DHT22(machine.Pin(15)).measure()",
    "onewire": "__import__('onewire').OneWire(machine.Pin(4))",
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
    except (AttributeError, ImportError, OSError):
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


_READS_ALL = """
import asyncio, config, dht, ds18x20, machine, onewire, time
from machine import ADC, I2C, Pin, SPI, TouchPad, UART, time_pulse_us
def since():
    return time.ticks_ms() // 1000
print(ADC(Pin(34)).read_uv(), TouchPad(Pin(27)).read(), time_pulse_us(Pin(19, Pin.IN), 1), SPI(1).read(4))
climate = dht.DHT22(Pin(15))
climate.measure()
print(climate.temperature(), climate.humidity())
i2c = I2C(0)
print([hex(address) for address in i2c.scan()])
print(i2c.readfrom_mem(0x76, 0xD0, 1), i2c.readfrom_mem(0x76, 0xFA, 3))
i2c.writeto(0x44, b"\\x2c\\x06")
print(i2c.readfrom(0x44, 2))
bus = ds18x20.DS18X20(onewire.OneWire(Pin(4)))
roms = bus.scan()
bus.convert_temp()
print([bus.read_temp(rom) for rom in roms])
time.sleep(1)
print([bus.read_temp(rom) for rom in roms])
door = Pin(13, Pin.IN)
door.irq(lambda pin: print("door", pin.value(), since()), Pin.IRQ_RISING | Pin.IRQ_FALLING)
async def gps():
    reader = asyncio.StreamReader(UART(2, 9600))
    while True:
        print(await reader.readline(), since(), ADC(Pin(34)).read_uv())
        if since() >= 6:
            machine.reset()
asyncio.run(gps())
"""


def test_a_scenario_says_what_is_connected_to_pins_and_buses(tmp_path: Path) -> None:
    """Each kind of it, values with a course, and over a reset; with the whole heap for the program."""
    (tmp_path / "board").mkdir()
    (tmp_path / "board/main.py").write_text(_READS_ALL)
    (tmp_path / "wired.yaml").write_text(
        textwrap.dedent(
            """
            version: 1
            name: wired
            duration: 7500ms
            fleet:
              esp:
                kind: firmware
                files: board
                stand_ins:
                  pins: {13: {0s: 0, 4s: 1, 5s: 0}}
                  volts: {34: {0s: 1.5, 5s: 2}}
                  touch: {27: 300}
                  pulses: {19: 580}
                  dht: {15: {temperature: 21.5, humidity: 40}}
                  one_wire: {4: [21.5, -3.25]}
                  i2c: {0x76: {0xD0: 0x58, 0xFA: [1, 2, 3]}, 0x44: {0x2C: [7, 8]}}
                  spi: {1: [1, 2, 3]}
                  uart: {2: {says: "$GPGGA\\n", every: 2s}}
            """
        )
    )
    events = list(run_scenario(load(tmp_path / "wired.yaml"), RunOptions()).trace)
    printed = [event.text for event in events if isinstance(event, t.NodeOutput)]
    assert printed == [
        "1500000 300 580 b'\\x01\\x02\\x03\\x01'",
        "21.5 40.0",
        "['0x44', '0x76']",
        "b'X' b'\\x01\\x02\\x03'",
        "b'\\x07\\x08'",
        "[85.0, 85.0]",
        "[21.5, -3.25]",
        "door 1 4",
        "b'$GPGGA\\n' 4 1500000",
        "door 0 5",
        "b'$GPGGA\\n' 6 2000000",
        "2000000 300 580 b'\\x01\\x02\\x03\\x01'",
        "21.5 40.0",
        "['0x44', '0x76']",
        "b'X' b'\\x01\\x02\\x03'",
        "b'\\x07\\x08'",
        "[85.0, 85.0]",
        "[21.5, -3.25]",
    ]
    assert not_modelled(events) == []


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ("pins: {13: 2}", "13"),
        ("pins: {24: 1}", "an ESP32 has no pin 24"),
        ("volts: {34: 5}", "3.6"),
        ("volts: {34: {5s: 1, 2s: 2}}", "one after the other"),
        ("volts: {34: {5: 1}}", "unit"),
        ("i2c: {0x99: {0: 1}}", "119"),
        ("i2c: {0x76: {0: 256}}", "255"),
        ("dht: {15: {temperature: 20}}", "`humidity` is missing"),
        ("uart: {3: {says: x}}", "2"),
        ("adc: {34: 1}", "adc"),
    ],
)
def test_what_cannot_be_connected_is_refused_where_it_stands(
    tmp_path: Path, wrong: str, complaint: str
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        f"version: 1\nname: wrong\nduration: 3s\nfleet:\n  esp:\n    kind: firmware\n"
        f"    stand_ins:\n      {wrong}\n"
    )
    with pytest.raises(LocatedError, match=complaint) as raised:
        load(path)
    assert "wrong.yaml:8" in str(raised.value)


def test_what_is_connected_costs_the_program_no_heap(tmp_path: Path) -> None:
    """On a chip it is in flash and in registers; what the emulator needs for it comes on top."""
    (tmp_path / "board").mkdir()
    (tmp_path / "board/main.py").write_text("import gc\ngc.collect()\nprint(gc.mem_free() // 64)\n")
    free = []
    for stand_ins in ("", f"stand_ins: {{i2c: {{0x76: {{0: {[7] * 200}}}}}}}"):
        path = tmp_path / "heap.yaml"
        path.write_text(
            f"version: 1\nname: heap\nduration: 3s\nfleet:\n  esp:\n    kind: firmware\n    files: board\n"
            f"    heap: 40KiB\n    {stand_ins}\n"
        )
        events = list(run_scenario(load(path), RunOptions()).trace)
        free += [int(event.text) for event in events if isinstance(event, t.NodeOutput)]
    assert len(free) == 2
    assert abs(free[0] - free[1]) <= 2


def test_stand_ins_are_for_emulated_boards_and_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    for group, complaint in (
        ("{kind: board, stand_ins: .}", "never get onto a board"),
        ("{kind: firmware, stand_ins: nowhere}", "there is no folder"),
    ):
        path.write_text(f"version: 1\nname: wrong\nduration: 3s\ntime: real\nfleet: {{esp: {group}}}\n")
        with pytest.raises(LocatedError, match=complaint):
            load(path)
