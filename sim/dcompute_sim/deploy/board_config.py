"""A board's config.py, the board it is for, and the broker it names."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dcompute_sim.deploy.deploy_errors import InvalidInput

Settings = dict[str, str | int | bool | None]


@dataclass(frozen=True)
class Watchpoint:
    """How this machine reaches the broker at which a board is to appear."""

    host: str
    port: int = 1883
    user: str | None = None
    password: str | None = None
    tls: bool = False
    ca: Path | None = None
    namespace: str = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def __repr__(self) -> str:  # without the password
        return f"Watchpoint({self})"


@dataclass(frozen=True)
class DeployTarget:
    """One board to deploy to.

    Attributes:
        name: the node's id; "" when it is not known before the board is asked.
        port: what mpremote is given.
        config: the board's config.py; None: the one it has stays.
        watch: None: as the board's config.py says.
    """

    name: str
    port: str
    config: Settings | None = None
    watch: Watchpoint | None = None


def parse_config(text: str, name: str) -> Settings:
    """Return the settings in a config.py, which must hold plain `NAME = value` lines only. Raises
    InvalidInput."""
    found: Settings = {}
    try:
        for statement in ast.parse(text).body:
            if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                target = statement.targets[0]
                if isinstance(target, ast.Name):
                    found[target.id] = ast.literal_eval(statement.value)
                    continue
            raise InvalidInput(
                f"{name}:{statement.lineno}: only `NAME = value` lines belong into a config.py"
            )
    except SyntaxError as error:
        raise InvalidInput(f"{name}:{error.lineno}: {error.msg}") from None
    except ValueError:
        raise InvalidInput(
            f"{name}:{statement.lineno}: the value must be a plain text, number or constant"
        ) from None
    return found


def watchpoint_of(config: Settings) -> Watchpoint:
    """Return the broker that a config.py names, reached from here as from the board."""
    user, password = config.get("MQTT_USER"), config.get("MQTT_PASSWORD")
    return Watchpoint(
        str(config.get("MQTT_HOST", "")),
        int(config.get("MQTT_PORT") or 1883),
        None if user is None else str(user),
        None if password is None else str(password),
        bool(config.get("MQTT_TLS")),
        namespace=str(config.get("NAMESPACE") or ""),
    )


def config_text(config: Mapping[str, object]) -> str:
    """Return a config.py that says this."""
    return "".join(f"{name} = {value!r}\n" for name, value in config.items())
