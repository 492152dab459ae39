"""Which boards a command means, and what they are to be told: from ports, or from a fleet file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dcompute.broker_url import BadBrokerUrl, BrokerUrl
from dcompute.parts import number_of
from dcompute_sim.deploy.board_config import DeployTarget, Settings, Watchpoint, parse_config
from dcompute_sim.deploy.deploy_errors import InvalidInput, SomethingMissing
from dcompute_sim.deploy.firmware import Firmware
from dcompute_sim.deploy.fleet_file import FleetFile
from dcompute_sim.hardware.serial_link import usb_ports

FLEET_FILE = Path("fleet.yaml")


@dataclass(frozen=True)
class Selection:
    """What the options say about boards.

    Attributes:
        fleet: a fleet file; None: `fleet.yaml` if it is here and `ports` are not given.
        secrets: a file of secrets, over the one that the fleet file names.
        boards: names in the fleet file.
        everything: all boards of the fleet file, or on all USB ports.
        config: a config.py for boards that no fleet file describes.
    """

    ports: Sequence[str] = ()
    everything: bool = False
    boards: Sequence[str] = ()
    fleet: Path | None = None
    secrets: Path | None = None
    config: Path | None = None

    def targets(self, firmware: Firmware) -> list[DeployTarget]:
        """Return the boards meant, their settings checked by the firmware's own rules.

        Raises InvalidInput or ScenarioError, with file and line, for every wrong setting of all of them.
        """
        fleet = self.fleet
        if fleet is None and not self.ports and (FLEET_FILE.is_file() or self.boards):
            fleet = FLEET_FILE
        if fleet is not None:
            return self._from_fleet(FleetFile(fleet, self.secrets), firmware)
        return self._from_ports(firmware)

    def _from_fleet(self, fleet: FleetFile, firmware: Firmware) -> list[DeployTarget]:
        if self.config is not None:
            raise InvalidInput("--config and a fleet file contradict each other: the fleet file says it all")
        names = list(fleet.fleet.boards) if self.everything else list(dict.fromkeys(self.boards))
        if not names:
            known = ", ".join(fleet.fleet.boards)
            raise InvalidInput(f"which boards of {fleet.path}? --all, or --board with one of: {known}")
        if self.ports and len(self.ports) != len(names):
            raise InvalidInput("--port together with a fleet file needs as many --board, in the same order")
        targets = fleet.targets(names, firmware)
        if self.ports:
            targets = [replace(target, port=port) for target, port in zip(targets, self.ports, strict=True)]
        seen: dict[str, str] = {}
        for target in targets:
            if target.port in seen:
                raise InvalidInput(f"{seen[target.port]} and {target.name} are both on port {target.port}")
            seen[target.port] = target.name
        return targets

    def _from_ports(self, firmware: Firmware) -> list[DeployTarget]:
        ports = list(dict.fromkeys(line for port in self.ports for line in _lines(port)))
        if not ports:
            there = usb_ports()
            if not self.everything:
                raise InvalidInput(
                    "which board? --port, or --fleet with --all or --board; "
                    f"USB serial ports here: {', '.join(there) or 'none'}"
                )
            if not there:
                raise SomethingMissing(f"no USB serial port here, and no {FLEET_FILE}")
            ports = there
        config: Settings | None = None
        if self.config is not None:
            config = _read_config(self.config, firmware)
            if len(ports) > 1 and config.get("NODE_ID"):
                raise InvalidInput(
                    f"{self.config}: one NODE_ID for {number_of(len(ports), 'board')}; use a fleet file"
                )
        return [DeployTarget("", port, config) for port in ports]


def parse_watchpoint(text: str) -> Watchpoint:
    """Return a broker's URL, as of `--broker`. Raises InvalidInput."""
    try:
        url = BrokerUrl.parse(text)
    except BadBrokerUrl as error:
        raise InvalidInput(f"--broker: {error}") from None
    return Watchpoint(url.host, url.port, url.username, url.password, url.tls)


def _lines(port: str) -> list[str]:
    """Return a port, or those named in a file, a line each, as `dcompute board --port-file` writes it."""
    try:
        return Path(port).read_text().split() if Path(port).is_file() else [port]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"--port {port}: no file of ports: {error}") from None


def _read_config(path: Path, firmware: Firmware) -> Settings:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"config {path}: {error}") from None
    config = parse_config(text, str(path))
    try:
        firmware.check(config)
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {str(error).removeprefix('config.py: ')}") from None
    return config
