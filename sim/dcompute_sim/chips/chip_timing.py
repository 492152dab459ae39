"""A chip's figures, read from its file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from dcompute_sim.rng import Rng
from dcompute_sim.yamlfile.units import Duration
from dcompute_sim.yamlfile.yaml_model import Model

_FOLDER = Path(__file__).parent
NAMES = tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))
"""Chips that there is a file of."""
DEFAULT = "esp32"
UNTIMED = "none"
"""In place of a chip's name: computing, booting and joining take no more than the emulator needs."""

_INTERNAL_BYTES = 256 * 1024  # a larger heap lies in PSRAM

Milliamperes = Annotated[float, Field(ge=0, le=10_000)]


class Spread(Model):
    """Evenly between two durations, drawn anew for each board."""

    min: Duration
    max: Duration


class Current(Model):
    """Milliamperes in each state of a board."""

    boot: Milliamperes = Field(description="From power or reset to the first line of main.py.")
    radio_off: Milliamperes = Field(description="The program runs, the WLAN does not.")
    joining: Milliamperes = Field(description="Scanning, associating, waiting for an address.")
    connected: Milliamperes = Field(description="On the network with power saving off.")
    power_saving: Milliamperes = Field(description="On the network in modem sleep, the port's default.")
    deep_sleep: Milliamperes = Field(description="`machine.deepsleep`.")


class ChipTiming(Model):
    """How long what takes on one kind of chip, and the current that it draws meanwhile."""

    boot: Duration = Field(description="From power or reset until MicroPython runs, without the filesystem.")
    filesystem: Duration = Field(description="To mount it: after a soft reset, too.")
    compile: Duration = Field(description="To import a KiB of source.")
    load: Duration = Field(description="To import a KiB of compiled module.")
    scan: Duration = Field(description="To find the access point.")
    join: Duration = Field(description="To authenticate and associate.")
    dhcp: Spread = Field(description="To get an address.")
    branches: Duration = Field(description="To compute until the program has come by a thousand branches.")
    allocate: Duration = Field(
        0.0,
        description="To take a KiB of heap, besides: nearer to what programs take; the digest of a run is "
        "then that of one width of words (32 or 64 bits). Left out: nothing.",
    )
    loop: Duration = Field(description="What a turn of an empty loop takes, by which chips are compared.")
    collect: Duration = Field(description="A collection, in the memory of the chip.")
    # 100 to 286 ms for 4 and 8 MiB: micropython/micropython#8428, peterhinch/micropython-micro-gui#10.
    collect_psram: Duration = Field(0.03, description="For each MiB of a heap that lies in PSRAM.")
    # micropython/micropython-esp32#131, ECDHE with a certificate of RSA 2048; the other chips: their files.
    tls: Duration = Field(1.2, description="To compute a TLS handshake; all else stands still meanwhile.")
    # micropython/micropython#3782: 80 ms for 4 KiB erased; joltwallet/esp_littlefs#179: an append 20 to 70,
    # each 15th 250 to 350. The flash is a part of its own, alike beside each of the chips.
    erase: Duration = Field(0.08, description="To erase 4 KiB of flash; everything else stands still.")
    commit: Duration = Field(0.045, description="To close a file that was written, to rename or remove one.")
    compact: Duration = Field(0.3, description="Every fifteenth of these.")
    # ports/esp32/uart.h, MICROPY_HW_UART_REPL_BAUD: 115,200, ten bits for eight.
    character: Duration = Field(
        8.68e-05, description="To print one over the serial line, which 128 bytes of FIFO are ahead of."
    )
    beacon: Spread | None = Field(
        None, description="In modem sleep: between two beacons that say what waits; left out: nothing waits."
    )
    awake: Duration = Field(
        # ESP-IDF, CONFIG_ESP_WIFI_SLP_DEFAULT_MIN_ACTIVE_TIME
        0.05,
        description="How long the radio stays awake after a frame, before modem sleep.",
    )
    current_ma: Current

    def collect_s(self, heap_bytes: int) -> float:
        """Return how long a collection of such a heap takes."""
        return self.collect if heap_bytes <= _INTERNAL_BYTES else heap_bytes / (1 << 20) * self.collect_psram

    def dhcp_s(self, board: str) -> float:
        """Tell how long the board of that name waits for an address."""
        return Rng(f"{board}/dhcp").uniform(self.dhcp.min, self.dhcp.max)

    def beacon_s(self, board: str) -> tuple[float, float] | None:
        """Return, of that board's access point, seconds between beacons that it wakes up for, and to the
        first."""
        if self.beacon is None:
            return None
        rng = Rng(f"{board}/beacon")
        every_s = rng.uniform(self.beacon.min, self.beacon.max)
        return every_s, rng.uniform(0, every_s)


def read_chip(path: Path) -> ChipTiming:
    """Return the chip in a file. LocatedError, with file and line, when it is wrong or there is none."""
    # Here, for a run without boards reads no YAML.
    from dcompute_sim.yamlfile.include import read
    from dcompute_sim.yamlfile.problems import LocatedError
    from dcompute_sim.yamlfile.tree import to_data
    from dcompute_sim.yamlfile.validation import problems_of
    from dcompute_sim.yamlfile.variables import substitute

    tree = substitute(read(path, noun="a chip's timing", hint=f"as {_FOLDER / DEFAULT}.yaml is one"))
    try:
        return ChipTiming.model_validate(to_data(tree))
    except ValidationError as error:
        raise LocatedError(problems_of(error, tree, ChipTiming)) from None


@cache
def chip_named(name: str) -> ChipTiming | None:
    """Return one of `NAMES`; None for `UNTIMED`."""
    return None if name == UNTIMED else read_chip(_FOLDER / f"{name}.yaml")
