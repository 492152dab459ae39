"""The events of a run in order: kept, written as JSON lines, read again, and digested."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, Union

import msgspec

from dcompute_sim.trace.event import Event
from dcompute_sim.trace.event_types import EVENT_TYPES
from dcompute_sim.trace.node_events import NodeMemory, NotModelled
from dcompute_sim.trace.run_events import RunStarted

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Union[EVENT_TYPES])  # noqa: UP007


class TraceError(ValueError):
    """A trace file could not be read; the message names file and line."""


class Sink(Protocol):
    """Takes the lines of a trace as they come."""

    def write(self, data: bytes, /) -> object: ...


class Trace:
    """An append-only list of events, with a digest and optional listeners (live views).

    Args:
        sink: takes each event at once, as one JSON line.
    """

    add: Callable[[Event], None]
    """Append an event; its time must not be before the previous one's."""

    def __init__(self, sink: Sink | None = None) -> None:
        self.events: list[Event] = []
        self._sink = sink
        self._listeners: list[Callable[[Event], None]] = []
        self.add = self.events.append if sink is None else self._add_and_tell  # a layer less for each event

    def _add_and_tell(self, event: Event) -> None:
        self.events.append(event)
        if self._sink is not None:
            self._sink.write(_encoder.encode(event) + b"\n")
        for listener in self._listeners:
            listener(event)

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with every event added from now on."""
        self._listeners.append(listener)
        self.add = self._add_and_tell

    @property
    def started(self) -> RunStarted:
        """The first event; TraceError if there is none."""
        first = self.events[0] if self.events else None
        if not isinstance(first, RunStarted):
            raise TraceError("a trace begins with a run_started event")
        return first

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    def digest(self) -> str:
        """Return the SHA-256 over the JSON lines, readings of memory apart; see `digest`."""
        return digest(self.events)

    def write(self, path: Path) -> None:
        """Write all events as JSON lines."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            for event in self.events:
                out.write(_encoder.encode(event) + b"\n")


def digest(events: Iterable[Event]) -> str:
    """Return the SHA-256 (hex) over the JSON lines of those `events` that repeat, however the scenario was
    named."""
    hasher = hashlib.sha256()
    for event in filter(repeats, events):
        if isinstance(event, RunStarted):  # a path is typed in many ways, and an emulator of any width serves
            event = msgspec.structs.replace(event, scenario=Path(event.scenario).stem, emulator="")
        hasher.update(_encoder.encode(event))
        hasher.update(b"\n")
    return hasher.hexdigest()


def repeats(event: Event) -> bool:
    """Say whether a run that is repeated has this event again, to the byte: all but readings of memory.

    MicroPython's collector looks for what may be an address, and keeps some bytes more or less, depending on
    where its process was loaded; and what a thread takes of the heap, or of its stack, depends on the build.
    """
    return not isinstance(event, NodeMemory) and not (
        isinstance(event, NotModelled) and event.name.startswith("_thread.")
    )


def encode_event(event: Event) -> bytes:
    """Return one event as its JSON line, without the newline."""
    return _encoder.encode(event)


def read(path: Path) -> Trace:
    """Read a trace written by `Trace.write`. Raises TraceError naming file and line of what is wrong."""
    trace = Trace()
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                trace.add(_decoder.decode(line))
            except msgspec.MsgspecError as error:
                raise TraceError(f"{path}:{number}: not a trace event: {error}") from None
    if not trace.events or not isinstance(trace.events[0], RunStarted):
        raise TraceError(f"{path}:1: a trace begins with a run_started event")
    return trace
