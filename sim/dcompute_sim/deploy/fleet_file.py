"""The fleet file: which boards there are, and what each is told in its config.py."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import Field, SecretStr, ValidationError, field_validator

from dcompute.node_names import check_node_id
from dcompute_sim.deploy.board_config import DeployTarget, Settings, Watchpoint
from dcompute_sim.deploy.deploy_errors import InvalidInput, SomethingMissing
from dcompute_sim.deploy.secrets import read_secrets, substituted
from dcompute_sim.virtual_boards.port_files import port_named
from dcompute_sim.yamlfile.place import locate
from dcompute_sim.yamlfile.problems import LocatedError, Problem, Span, choice_hint
from dcompute_sim.yamlfile.tree import Leaf, Map, decode, parse, to_data
from dcompute_sim.yamlfile.validation import problems_of
from dcompute_sim.yamlfile.yaml_model import Flag, Model, Text, wrong

# Where the value of a config.py key comes from, below a board (or below `defaults`).
_PLACES: dict[str, tuple[str, ...]] = {
    "WIFI_SSID": ("wifi", "ssid"),
    "WIFI_PASSWORD": ("wifi", "password"),
    "STATIC_IP": ("static", "ip"),
    "NETMASK": ("static", "netmask"),
    "GATEWAY": ("static", "gateway"),
    "DNS_SERVER": ("static", "dns"),
    "MQTT_HOST": ("broker", "host"),
    "MQTT_PORT": ("broker", "port"),
    "MQTT_USER": ("broker", "user"),
    "MQTT_PASSWORD": ("broker", "password"),
    "MQTT_TLS": ("broker", "tls"),
    "MQTT_CA_FILE": ("broker", "ca_file"),
    "MQTT_TLS_INSECURE": ("broker", "insecure"),
    "NODE_TYPE": ("type",),
    "NAMESPACE": ("namespace",),
}


class Wifi(Model):
    """The network a board joins."""

    ssid: Text
    password: SecretStr = Field(default=SecretStr(""), description='Left out or "": an open network.')


class Static(Model):
    """A fixed address in place of DHCP."""

    ip: Text
    netmask: Text = "255.255.255.0"
    gateway: Text
    dns: Text


class BrokerAt(Model):
    """The broker, as the boards see it."""

    host: Text
    port: int = 1883
    user: Text | None = None
    password: SecretStr | None = None
    tls: Flag = False
    ca_file: Text | None = Field(default=None, description="On the board: the authority's certificate (DER).")
    insecure: Flag = Field(default=False, description="`tls` without `ca_file`: any broker is believed.")
    ca: Text | None = Field(default=None, description="On this machine: the authority's certificate (PEM).")
    seen_from_here: Text | None = Field(
        default=None,
        description="HOST:PORT by which this machine reaches that broker, if not as the boards do.",
    )


class OwnLogin(Model):
    """Who a board is to the broker, in place of the broker's `user` and `password`."""

    user: Text | None = Field(default=None, description="Left out: the board's id.")
    password: SecretStr


class BoardEntry(Model):
    """One board, or the defaults of all. What a board says itself replaces the default as a whole."""

    port: Text | None = Field(
        default=None, description="Its serial port, or a file in which the port's name is."
    )
    wifi: Wifi | None = None
    static: Static | None = None
    broker: BrokerAt | None = None
    login: OwnLogin | None = Field(default=None, description="A user of its own, as access rules need it.")
    type: Text = Field(default="ESP32", description="device_type, as masters see it.")
    namespace: str = Field(default="", description="Common prefix of all topics.")
    settings: Settings = Field(default={}, description="Further settings of config.py, as LED_PIN: 2.")


class Fleet(Model):
    """A fleet file."""

    secrets: Text | None = Field(default=None, description="A file of NAME=value lines, beside this one.")
    defaults: BoardEntry = Field(
        default=BoardEntry(), description="For every board that does not say otherwise."
    )
    boards: dict[str, BoardEntry] = Field(
        min_length=1, description="Node id -> what is special about this board."
    )

    @field_validator("boards")
    @classmethod
    def _ids(cls, boards: dict[str, BoardEntry]) -> dict[str, BoardEntry]:
        for name in boards:
            try:
                check_node_id(name)
            except ValueError as error:
                raise wrong(str(error)) from None
        return boards


@dataclass(frozen=True)
class BoardLogin:
    """A board as the broker knows it: its user is its id."""

    node_id: str
    password: str = field(repr=False)
    namespace: str = ""


class ConfigRules(Protocol):
    """What a firmware wants of its config.py."""

    @property
    def known_settings(self) -> frozenset[str]: ...
    def check(self, config: Settings) -> None:
        """Raise InvalidInput, naming the key, where it is wrong."""


class FleetFile:
    """A fleet file that was read and found sound; its errors name file and line."""

    def __init__(
        self, path: Path, secrets: Path | None = None, environment: Mapping[str, str] = os.environ
    ) -> None:
        """Read the file. Raises LocatedError with the place of each problem, or InvalidInput if a file cannot
        be read."""
        self.path = path
        self._tree = _read(path, secrets, environment)
        try:
            self.fleet = Fleet.model_validate(to_data(self._tree), by_alias=True, by_name=False)
        except ValidationError as error:
            raise LocatedError(problems_of(error, self._tree, Fleet)) from None

    def targets(self, names: Sequence[str], rules: ConfigRules) -> list[DeployTarget]:
        """Return the boards of these names, complete. Raises LocatedError with all that is wrong with any."""
        targets: list[DeployTarget] = []
        problems: list[Problem] = []
        for name in names:
            try:
                target = self._target(name, rules.known_settings)
                assert target.config is not None
                rules.check(target.config)
                targets.append(target)
            except LocatedError as error:
                problems += error.problems
            except InvalidInput as error:
                # The firmware's own rules speak of config.py, which is made from this file: whoever reads the
                # complaint can mend only the place here of the setting that it names.
                complaint = str(error).removeprefix("config.py: ")
                words = str(error).replace(":", " ").split()
                key = next((word for word in words if word.isupper() and len(word) > 3), "")
                place = self._place(name, _PLACES.get(key, ("settings", key)))
                problems.append(Problem(place, complaint))
        if problems:
            raise LocatedError(problems)
        return targets

    def logins(self) -> list[BoardLogin]:
        """Return every board's user and password. Raises LocatedError for a board that has no user of its
        own."""
        found, problems = [], []
        for name in self.fleet.boards:
            board = self._merged(name)
            broker = board.broker
            user, password = (broker.user, broker.password) if broker is not None else (None, None)
            if user == name and password is not None:
                found.append(BoardLogin(name, password.get_secret_value(), board.namespace))
                continue
            why = f"it logs in as `{user}`" if user else "it has no user"
            problems.append(
                Problem(
                    self._place(name, ("login",)),
                    f"rules can hold a user to one board only, and {why}",
                    "give the board a `login: {password: ...}` of its own; its user is then its id",
                )
            )
        if problems:
            raise LocatedError(problems)
        return found

    def _target(self, name: str, known_settings: frozenset[str]) -> DeployTarget:
        board = self._merged(name)
        for section in ("wifi", "broker", "port"):
            if getattr(board, section) is None:
                where = self._place(name, ())
                raise LocatedError(
                    [Problem(where, f"`{section}` is missing here", "here, or under `defaults`")]
                )
        for key in board.settings:
            if key not in known_settings or key in _PLACES or key == "NODE_ID":
                allowed = sorted(known_settings - set(_PLACES) - {"NODE_ID"})
                where = self._place(name, ("settings", key))
                raise LocatedError(
                    [Problem(where, f"no setting is called `{key}`", choice_hint(key, allowed))]
                )
        assert board.broker is not None
        assert board.port is not None
        try:
            port = port_named(board.port, self.path.parent)
        except ValueError as error:
            raise SomethingMissing(f"{self.path}: {error}") from None
        return DeployTarget(name, port, _settings(name, board), _watchpoint(self.path, board))

    def _merged(self, name: str) -> BoardEntry:
        known = self.fleet.boards
        if name not in known:
            where = self._tree.keys["boards"]
            raise LocatedError([Problem(where, f"no board is called `{name}`", choice_hint(name, known))])
        board, defaults = known[name], self.fleet.defaults
        given = {key: getattr(board, key) for key in board.model_fields_set}
        given["settings"] = {**defaults.settings, **board.settings}
        merged = defaults.model_copy(update=given)
        login, broker = merged.login, merged.broker
        if login is not None and broker is not None:
            as_itself = {"user": login.user or name, "password": login.password}
            merged = merged.model_copy(update={"broker": broker.model_copy(update=as_itself)})
        return merged

    def _place(self, name: str, path: tuple[str, ...]) -> Span:
        """Return where a board's value stands: with the board, else under `defaults`, else the board's own
        key."""
        for above in (("boards", name), ("defaults",)):
            real, key, node = locate(self._tree, above + path)
            if len(real) == len(above) + len(path):
                return node.span if isinstance(node, Leaf) and path else key or node.span
        _, key, node = locate(self._tree, ("boards", name))
        return key or node.span


def _read(path: Path, secrets: Path | None, environment: Mapping[str, str]) -> Map:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"fleet file {path}: {error.strerror or error}") from None
    source = decode(data, str(path))
    tree = parse(source)
    if not isinstance(tree, Map):
        hint = "a mapping with `boards:` is wanted; docs/hardware.md shows one"
        raise LocatedError([Problem(Span(source, 1, 1), "this is not a fleet file", hint)])
    named = tree.entries.get("secrets")
    if secrets is None and isinstance(named, Leaf) and isinstance(named.value, str):
        secrets = path.parent / named.value
    return substituted(tree, read_secrets(secrets) if secrets else {}, environment)


def _settings(name: str, board: BoardEntry) -> Settings:
    """Return the board's config.py."""
    assert board.wifi is not None
    assert board.broker is not None
    broker, static = board.broker, board.static
    config: Settings = {
        "WIFI_SSID": board.wifi.ssid,
        "WIFI_PASSWORD": board.wifi.password.get_secret_value(),
        "STATIC_IP": static.ip if static else None,
    }
    if static is not None:
        config |= {"NETMASK": static.netmask, "GATEWAY": static.gateway, "DNS_SERVER": static.dns}
    config |= {
        "MQTT_HOST": broker.host,
        "MQTT_PORT": broker.port,
        "MQTT_USER": broker.user,
        "MQTT_PASSWORD": broker.password.get_secret_value() if broker.password else None,
        "MQTT_TLS": broker.tls,
        "NODE_TYPE": board.type,
        "NODE_ID": name,
        "NAMESPACE": board.namespace,
    }
    if broker.ca_file:
        config["MQTT_CA_FILE"] = broker.ca_file
    if broker.insecure:
        config["MQTT_TLS_INSECURE"] = True
    return config | board.settings


def _watchpoint(path: Path, board: BoardEntry) -> Watchpoint:
    broker = board.broker
    assert broker is not None
    host, port = broker.host, broker.port
    if broker.seen_from_here:
        host, _, digits = broker.seen_from_here.rpartition(":")
        if not host or not digits.isdigit():
            raise InvalidInput(f"{path}: seen_from_here {broker.seen_from_here!r}: HOST:PORT is wanted")
        port = int(digits)
    password = broker.password.get_secret_value() if broker.password else None
    ca = path.parent / broker.ca if broker.ca else None
    return Watchpoint(host, port, broker.user, password, broker.tls, ca, board.namespace)
