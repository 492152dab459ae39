"""The fleet file: what boards are told, where secrets come from, and errors at their place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from dcompute_sim.deploy.board_config import DeployTarget, config_text, parse_config
from dcompute_sim.deploy.deploy_errors import InvalidInput, SomethingMissing
from dcompute_sim.deploy.firmware import gather
from dcompute_sim.deploy.fleet_file import FleetFile
from dcompute_sim.deploy.selection import Selection
from dcompute_sim.yamlfile.problems import LocatedError

SOUND = """\
WIFI_SSID = "x"
WIFI_PASSWORD = ""
MQTT_HOST = "kiln"
MQTT_PORT = 1883
MQTT_USER = None
MQTT_PASSWORD = None
MQTT_TLS = False
NODE_TYPE = "ESP32"
"""
FLEET = """\
secrets: secrets.env
defaults:
  wifi: {ssid: workshop, password: "${WORKSHOP}"}
  broker: {host: 192.168.1.10, user: boards, password: "${BROKER}", seen_from_here: "localhost:1884"}
  settings: {LED_PIN: 2, WATCHDOG_S: 60}
boards:
  kiln:
    port: /dev/ttyUSB0
    static: {ip: 192.168.1.51, gateway: 192.168.1.1, dns: 192.168.1.1}
    settings: {WATCHDOG_S: 0}
  lathe: {port: "ports:2", type: S3}
"""
SECRETS = "# of the workshop\nWORKSHOP = hammer = tongs \nBROKER=b $ecret\nOTHER=never copied\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(text: str = FLEET, secrets: str = SECRETS) -> Path:
        (tmp_path / "secrets.env").write_text(secrets)
        (tmp_path / "ports").write_text("/dev/pts/7\n/dev/pts/8\n")
        path = tmp_path / "fleet.yaml"
        path.write_text(text)
        return path

    return write


def targets(path: Path, *names: str, **environment: str) -> list[DeployTarget]:
    return FleetFile(path, environment=environment).targets(names, gather())


def test_what_boards_are_told(write: Callable[..., Path]) -> None:
    kiln, lathe = targets(write(), "kiln", "lathe")
    assert kiln.config == {
        "WIFI_SSID": "workshop",
        "WIFI_PASSWORD": "hammer = tongs",
        "STATIC_IP": "192.168.1.51",
        "NETMASK": "255.255.255.0",
        "GATEWAY": "192.168.1.1",
        "DNS_SERVER": "192.168.1.1",
        "MQTT_HOST": "192.168.1.10",
        "MQTT_PORT": 1883,
        "MQTT_USER": "boards",
        "MQTT_PASSWORD": "b $ecret",
        "MQTT_TLS": False,
        "NODE_TYPE": "ESP32",
        "NODE_ID": "kiln",
        "NAMESPACE": "",
        "LED_PIN": 2,
        "WATCHDOG_S": 0,
    }
    assert lathe.config is not None
    assert (lathe.config["STATIC_IP"], lathe.config["NODE_TYPE"], lathe.config["WATCHDOG_S"]) == (
        None,
        "S3",
        60,
    )
    assert lathe.port == "/dev/pts/8"
    assert str(lathe.watch) == "localhost:1884"
    assert "ecret" not in repr(lathe.watch)
    assert parse_config(config_text(kiln.config), "config.py") == kiln.config


def test_the_environment_comes_before_the_file_of_secrets(write: Callable[..., Path]) -> None:
    (kiln,) = targets(write(), "kiln", WORKSHOP="from outside")
    assert kiln.config is not None
    assert kiln.config["WIFI_PASSWORD"] == "from outside"


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("${WORKSHOP}", "${WORKSHOPS}", 3, "`${WORKSHOPS}` is not in the environment or the `secrets` file"),
        ("ssid: workshop", "sid: workshop", 3, "unknown key `sid`"),
        ("LED_PIN: 2", "LED_PINN: 2", 5, "no setting is called `LED_PINN`"),
        ("LED_PIN: 2", "LED_PIN: 99", 5, "LED_PIN must be a whole number from 0 to 48"),
        ("WATCHDOG_S: 0}", "WATCHDOG_S: 5}", 10, "WATCHDOG_S must be 0 (off) or at least 30"),
        ("ip: 192.168.1.51", "ip: 192.168.1.510", 9, "STATIC_IP must be an address"),
        ("host: 192.168.1.10", "port: 70000", 4, "`host` is missing here"),
        ("host: 192.168.1.10", "host: h, port: 70000", 4, "MQTT_PORT must be a whole number from 1 to 65535"),
        ("    port: /dev/ttyUSB0\n", "", 7, "`port` is missing here"),
        ("  kiln:", "  ki ln:", 7, "node id 'ki ln'"),
        ("boards:\n", "board:\n", 6, "unknown key `board`"),
    ],
)
def test_errors_name_the_line(
    write: Callable[..., Path], old: str, new: str, line: int, message: str
) -> None:
    assert old in FLEET
    path = write(FLEET.replace(old, new))
    with pytest.raises(LocatedError) as caught:
        targets(path, "kiln", "lathe")
    assert message in str(caught.value)
    assert f"{path}:{line}:" in str(caught.value)


def test_no_message_shows_a_secret(write: Callable[..., Path]) -> None:
    for secrets in ("WORKSHOP=hunter2\nBROKER=x\n", "hunter2\nWORKSHOP=1\n"):
        with pytest.raises((LocatedError, InvalidInput)) as caught:
            targets(write(secrets=secrets), "kiln")
        assert "hunter2" not in str(caught.value)


def test_the_boards_meant(write: Callable[..., Path], tmp_path: Path) -> None:
    firmware, fleet = gather(), write()
    chosen = Selection(everything=True, fleet=fleet).targets(firmware)
    assert [target.name for target in chosen] == ["kiln", "lathe"]
    assert Selection(boards=["lathe"], fleet=fleet, ports=["/dev/x"]).targets(firmware)[0].port == "/dev/x"
    with pytest.raises(InvalidInput, match="--all, or --board with one of: kiln, lathe"):
        Selection(fleet=fleet).targets(firmware)
    with pytest.raises(LocatedError, match="no board is called `kilm`"):
        Selection(boards=["kilm"], fleet=fleet).targets(firmware)
    with pytest.raises(InvalidInput, match="both on port"):
        Selection(everything=True, fleet=write(FLEET.replace("ports:2", "/dev/ttyUSB0"))).targets(firmware)
    with pytest.raises(SomethingMissing, match="has 2 lines"):
        Selection(everything=True, fleet=write(FLEET.replace("ports:2", "ports:3"))).targets(firmware)
    with pytest.raises(InvalidInput, match="which board"):
        Selection().targets(firmware)


def test_a_config_py_must_be_plain_and_sound(tmp_path: Path) -> None:
    config = tmp_path / "config.py"
    for text, message in (
        ("import os\n", "config.py:1: only `NAME = value` lines"),
        ("A = 1\nB = open('x')\n", "config.py:2: the value must be a plain"),
        ("A = (\n", "config.py:1"),
        (
            "WIFI_SSID = 'x'\nMQTT_HOTS = 'y'\nWIFI_PASSWORD = ''\nMY_SENSOR = 4\n",
            "MQTT_HOST, MQTT_PORT, MQTT_USER, MQTT_PASSWORD, MQTT_TLS, NODE_TYPE are missing .*; "
            "MQTT_HOTS is no setting: did you mean MQTT_HOST.$",
        ),
        (f"{SOUND}MY_SENSOR = 5\nPOL_MS = 1\n", "config.py: POL_MS is no setting: did you mean POLL_MS.$"),
    ):
        config.write_text(text)
        with pytest.raises(InvalidInput, match=message):
            Selection(ports=["/dev/x"], config=config).targets(gather())


def test_the_fleet_file_of_the_docs(write: Callable[..., Path]) -> None:
    docs = Path(__file__).parents[2] / "docs" / "hardware.md"
    example = next(
        block for block in docs.read_text().split("```yaml\n")[1:] if block.startswith("secrets:")
    ).partition("```")[0]
    path = write(example, secrets="WIFI_PASSWORD=hammer and tongs\nMQTT_PASSWORD=b\n")
    (path.parent / "ports").write_text("/dev/pts/1\n/dev/pts/2\n/dev/pts/3\n")
    assert [target.name for target in targets(path, "kiln", "lathe", "saw")] == ["kiln", "lathe", "saw"]
