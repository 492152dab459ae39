"""The hardware map, `boards.yaml`: which board of a scenario hangs on which serial port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from dcompute_sim.virtual_boards.port_files import port_named
from dcompute_sim.yamlfile.include import read
from dcompute_sim.yamlfile.place import at
from dcompute_sim.yamlfile.problems import LocatedError, Problem, choice_hint
from dcompute_sim.yamlfile.tree import Map, to_data
from dcompute_sim.yamlfile.units import Size
from dcompute_sim.yamlfile.validation import problems_of
from dcompute_sim.yamlfile.variables import substitute
from dcompute_sim.yamlfile.yaml_model import Flag, Model, Text, wrong

LOOPBACK = "127.0.0.1"
_FILE_KEYS = ("include", "vars")
_DEFAULT_BAUD = 115_200
_DEFAULT_FLASH_BYTES = 2 * 1024 * 1024


class MapEntry(Model):
    """The board, or the boards, behind one name of the map."""

    port: Text | None = Field(
        default=None,
        description="Serial port of the board, such as /dev/ttyUSB0, or a file in which its name is.",
    )
    ports: list[Text] | None = Field(
        default=None, description="Serial ports of a group's boards, in the order of its nodes."
    )
    virtual: Flag = Field(
        default=False, description="No port: the run makes a virtual board, with the firmware on its flash."
    )
    baud: Annotated[int, Field(strict=True, ge=300, le=10_000_000)] = Field(
        default=_DEFAULT_BAUD, description="Rate of the serial line."
    )
    reset: Literal["repl", "rts"] = Field(
        default="repl",
        description="How to reset it: machine.reset() at its prompt, or RTS where that is wired to EN.",
    )
    flash: Size = Field(default=_DEFAULT_FLASH_BYTES, description="virtual: size of the filesystem.")

    @model_validator(mode="after")
    def _one_way(self) -> MapEntry:
        ways = [self.port is not None, self.ports is not None, self.virtual]
        if sum(ways) != 1:
            raise wrong("a board has a `port` (a group: `ports`) or is `virtual: true`")
        return self


class HardwareMap(Model):
    """A hardware map."""

    version: Literal[1] = Field(description="Of this format; always 1.")
    host: Text | None = Field(
        default=None,
        description="Address of this machine that the boards see; not needed when all are virtual.",
    )
    boards: dict[Text, MapEntry] = Field(
        description="Boards by node name, or by group name for all its nodes."
    )


@dataclass(frozen=True)
class BoardLocation:
    """Where one node's board is. `port`: None for a virtual board, which gets one when it is made."""

    port: str | None
    host: str
    baud: int
    reset_by: Literal["repl", "rts"]
    flash_bytes: int

    @property
    def virtual(self) -> bool:
        return self.port is None


def load_map(path: Path, nodes: Mapping[str, str]) -> dict[str, BoardLocation]:
    """Return the place of every node. LocatedError, with file and line, when the map is wrong or lacks one.

    Args:
        nodes: names of the scenario's board nodes -> their group, in order.
    """
    tree = substitute(read(path, noun="a hardware map", hint="see docs/hardware.md"))
    try:
        found = HardwareMap.model_validate(to_data(tree))
    except ValidationError as error:
        raise LocatedError(problems_of(error, tree, HardwareMap, file_keys=_FILE_KEYS)) from None
    places: dict[str, BoardLocation] = {}
    problems: list[Problem] = []
    numbers: dict[str, int] = {}
    for node, group in nodes.items():
        number = numbers[group] = numbers.get(group, 0) + 1
        key = node if node in found.boards else group
        if key not in found.boards:
            hint = choice_hint(node, found.boards)
            problems.append(at(tree, ("boards",), f"no board for the node `{node}`", hint, key=True))
            continue
        problem = _problem(found, tree, key, node, number)
        if problem is not None:
            problems.append(problem)
            continue
        entry = found.boards[key]
        port = entry.ports[number - 1] if entry.ports is not None else entry.port
        try:
            port = port_named(port, path.parent) if port is not None else None
        except ValueError as error:
            problems.append(at(tree, ("boards", key), str(error), key=True))
            continue
        host = LOOPBACK if entry.virtual else found.host or LOOPBACK
        places[node] = BoardLocation(port, host, entry.baud, entry.reset, entry.flash)
    problems += _taken_twice(places, tree)
    if problems:
        raise LocatedError(problems)
    return places


def _problem(found: HardwareMap, tree: Map, key: str, node: str, number: int) -> Problem | None:
    entry = found.boards[key]
    if not entry.virtual and found.host is None:
        hint = "`host: 192.168.1.10`: the address of this machine that the boards see"
        return at(tree, (), f"`host` is missing, and the board of `{node}` is a real one", hint)
    if entry.port is not None and key != node and number > 1:
        hint = "`ports: [...]` names one for each node, or give each node an entry"
        return at(tree, ("boards", key, "port"), f"one port for all nodes of `{key}`", hint)
    if entry.ports is not None and len(entry.ports) < number:
        there = len(entry.ports)
        return at(tree, ("boards", key, "ports"), f"only {there} ports, and none is left for `{node}`")
    return None


def _taken_twice(places: Mapping[str, BoardLocation], tree: Map) -> list[Problem]:
    first: dict[str, str] = {}
    problems = []
    for node, place in places.items():
        if place.port is None:
            continue
        other = first.setdefault(place.port, node)
        if other != node:
            message = f"`{place.port}` is the port of two nodes, `{other}` and `{node}`"
            problems.append(at(tree, ("boards", node, "port"), message, "a board is one node", key=False))
    return problems
