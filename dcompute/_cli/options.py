"""Options that several commands share, written once: a dataclass whose fields are options.

@dataclass(frozen=True)
class Broker:
    broker: Annotated[str, typer.Option(help="Where it is.")] = "mqtt://localhost"
    keepalive: Annotated[int, typer.Option(help="In seconds.")] = 60

@app.command()
@grouped
def ping(broker: Broker) -> None: ...      # dcompute ping --broker ... --keepalive ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return `command` as Typer is to see it: with the fields of each dataclass in its place."""
    hints = get_type_hints(command)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}

    @wraps(command)
    def flat(**given: object) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    shown: list[Parameter] = []
    for parameter in _parameters(command):
        group = groups.get(parameter.name)
        shown += [parameter] if group is None else _parameters(group)
    vars(flat)["__signature__"] = Signature(shown)
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return flat


def _parameters(what: Callable[..., object]) -> Iterator[Parameter]:
    """Return those of a function or a dataclass, with real annotations; Typer passes all by name."""
    hints = get_type_hints(what, include_extras=True)
    for name, parameter in signature(what).parameters.items():
        yield parameter.replace(annotation=hints[name], kind=Parameter.KEYWORD_ONLY)
