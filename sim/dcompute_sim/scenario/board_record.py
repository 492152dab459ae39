"""The record of a board, as `dcompute board check` measures it, and what firmware nodes make of it.

A scenario names the file (`profile: my_board.json`); its firmware nodes then have that board's heap, are as
far from the broker, take as long to join the Wi-Fi, and (in virtual time) compute as slowly.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from dcompute_sim.scenario.network_settings import OwnNetwork
from dcompute_sim.yamlfile.yaml_model import Model

_SCAN_AND_DHCP_MS = 200  # what the emulated WLAN takes besides, see class Radio in shims/network.py

Positive = Annotated[float, Field(ge=0)]


class Figures(Model):
    """What several measurements of one thing gave."""

    count: Annotated[int, Field(ge=1)]
    min: Positive
    median: Positive
    p90: Positive
    max: Positive

    @classmethod
    def of(cls, values: Sequence[float]) -> Figures:
        """Return those of at least one value, rounded to three decimals."""
        ordered = [round(value, 3) for value in sorted(values)]
        p90 = ordered[min(len(ordered) - 1, round(0.9 * (len(ordered) - 1)))]
        middle = round((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2, 3)
        return cls(count=len(ordered), min=ordered[0], median=middle, p90=p90, max=ordered[-1])


class BoardRecord(Model):
    """One board, measured. Heap sizes in bytes after a collection."""

    format: Literal[1] = 1
    machine: str
    micropython: str
    heap_bytes: Annotated[int, Field(ge=16 * 1024)]
    flash_free_bytes: int
    loop_us: Positive  # one turn of an empty loop
    wifi_join_ms: Figures
    ready_after_reset_s: Positive
    round_trip_ms: Figures  # from a task's PUBLISH on the board's link to its PUBACK
    tasks: int
    tasks_per_s: Positive
    heap_free_before_bytes: int  # with the firmware running, before the tasks
    heap_free_after_bytes: int  # and after them
    will_after_reset_s: Positive
    keepalive_s: Positive  # with which that was measured

    @property
    def network(self) -> OwnNetwork:
        """The link that gives these round trips: half of one each way, the spread as jitter."""
        trips = self.round_trip_ms
        latency_s, jitter_s = trips.median / 2000, (trips.p90 - trips.median) / 2000
        return OwnNetwork().model_copy(update={"latency": round(latency_s, 6), "jitter": round(jitter_s, 6)})

    @property
    def radio(self) -> dict[str, object]:
        """Settings of the emulated WLAN that join in this time."""
        half_ms = _SCAN_AND_DHCP_MS // 2
        join_ms = max(0, round(self.wifi_join_ms.median) - _SCAN_AND_DHCP_MS)
        return {"scan_ms": half_ms, "join_ms": join_ms, "dhcp_ms": half_ms}


def read_record(path: Path) -> BoardRecord:
    """Return the record in a file. ValueError, with the reason, when there is none."""
    try:
        return BoardRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ValueError(f"{path} is not a record of a board: {where}: {first['msg']}") from None
