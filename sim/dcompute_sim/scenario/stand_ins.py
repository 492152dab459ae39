"""What stands in for the world around an emulated board: values at its pins and buses, modules for drivers.

A value is always the same, or has a course: `{0s: 0, 20s: 1}`, in times since the board was first switched
on, so that it is the same in virtual and in real time and goes on over resets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from dcompute_sim.yamlfile.units import DURATION_PATTERN, Duration, UnitError, parse_duration
from dcompute_sim.yamlfile.yaml_model import Model, ShortModel, Text, wrong

_PINS = frozenset((*range(24), 25, 26, 27, *range(32, 40)))


def _from_hexadecimal(number: object) -> object:
    """Return what YAML 1.2 calls a number and our reader of YAML a text."""
    return (
        int(number, 16) if isinstance(number, str) and re.fullmatch("0x[0-9A-Fa-f]{1,8}", number) else number
    )


def _is_time(time: object) -> object:
    try:
        parse_duration(time)
    except UnitError as error:
        raise wrong(str(error)) from None
    return time


def _is_pin(number: int) -> int:
    if number not in _PINS:
        raise wrong(f"an ESP32 has no pin {number}")
    return number


def _which(value: object) -> str:
    return "course" if isinstance(value, dict) else "value"


def _in_order(course: dict[str, Any]) -> dict[str, Any]:
    times = [parse_duration(time) for time in course]
    if times != sorted(set(times)) or not times:
        raise wrong("the times of a course must come one after the other")
    return course


Pin = Annotated[int, AfterValidator(_is_pin)]
Address = Annotated[int, BeforeValidator(_from_hexadecimal), Field(ge=0x08, le=0x77)]
Register = Annotated[int, BeforeValidator(_from_hexadecimal), Field(ge=0, le=0xFFFF)]
Time = Annotated[
    str, BeforeValidator(_is_time), WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN})
]
Level = Literal[0, 1]
Microseconds = Annotated[int, Field(strict=True, ge=1, le=10_000_000)]
Volts = Annotated[float, Field(ge=0, le=3.6)]
Degrees = Annotated[float, Field(ge=-55, le=125)]
Percent = Annotated[float, Field(ge=0, le=100)]
Byte = Annotated[int, BeforeValidator(_from_hexadecimal), Field(strict=True, ge=0, le=255)]
Bytes = Byte | list[Byte]

_T = TypeVar("_T")
Course = Annotated[
    Annotated[_T, Tag("value")] | Annotated[dict[Time, _T], AfterValidator(_in_order), Tag("course")],
    Discriminator(_which),
]


class Climate(Model):
    """What a DHT11 or DHT22 measures."""

    temperature: Course[Degrees] = Field(description="In degrees Celsius.")
    humidity: Course[Percent] = Field(description="In percent.")


class SerialTalker(Model):
    """Who is at the other end of a UART."""

    says: Text = Field(description="The text, again and again; a line ends in `\\n` where it is to end.")
    every: Duration = Field(default=1.0, description="How often.")


class StandIns(ShortModel):
    """What is connected to the boards. A plain folder is the same as `{modules: folder}`.

    Each value is always the same, or a mapping of times (since the board was first switched on) to values.
    """

    short_schema: ClassVar[dict[str, object]] = {"type": "string"}

    modules: Text | None = Field(
        default=None,
        description="Folder of MicroPython modules in place of drivers for what is not there, relative to "
        "this file. They come before the board's own files; a `stand_ins.py` among them runs before boot.py.",
    )
    pins: dict[Pin, Course[Level]] | None = Field(
        default=None, description="By pin: its level, 0 or 1, when it is an input; interrupts come by it."
    )
    volts: dict[Pin, Course[Volts]] | None = Field(default=None, description="By pin: what an ADC measures.")
    touch: dict[Pin, Course[Register]] | None = Field(
        default=None, description="By pin: what a TouchPad reads; some 1000 untouched, 300 touched."
    )
    pulses: dict[Pin, Course[Microseconds]] | None = Field(
        default=None,
        description="By pin: how many microseconds the pulse lasts that `machine.time_pulse_us` measures.",
    )
    dht: dict[Pin, Climate] | None = Field(
        default=None, description="By pin: what a DHT11 or DHT22 measures."
    )
    one_wire: dict[Pin, list[Course[Degrees]]] | None = Field(
        default=None, description="By pin: what each DS18B20 on the 1-Wire bus measures, in degrees Celsius."
    )
    i2c: dict[Address, dict[Register, Course[Bytes]]] | None = Field(
        default=None,
        description="By address, of either bus: the device's registers, each a byte or the bytes from there "
        "on. Others keep what is written. The answer to a command stands in the register of its first byte.",
    )
    spi: dict[Annotated[int, Field(ge=0, le=2)], Course[Bytes]] | None = Field(
        default=None, description="By bus (0: a SoftSPI): the bytes that come back, over and over."
    )
    uart: dict[Annotated[int, Field(ge=0, le=2)], SerialTalker] | None = Field(
        default=None, description="By number: who is at the other end of it."
    )

    shown: list[Pin] | None = Field(
        default=None,
        description="Pins whose outputs are seen: each change of a level, a PWM, a DAC or NeoPixels is an "
        "event `pin_shown`, which `sometimes`, `never` and their like can ask for.",
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        return {"modules": value} if isinstance(value, str) else value

    def short(self) -> object:
        """Return the folder, where there is nothing else."""
        return None if self.wiring() or self.modules is None else self.modules

    def wiring(self) -> dict[str, object] | None:
        """Return what the board is told (shims/frozen/_wiring.py); None where it is nothing."""
        said: Mapping[str, Mapping[int, object] | None] = {
            "machine.Pin": self.pins,
            "machine.ADC": self.volts,
            "machine.TouchPad": self.touch,
            "machine.time_pulse_us": self.pulses,
            "dht": self.dht,
            "onewire": self.one_wire,
            "machine.I2C": self.i2c,
            "machine.SPI": self.spi,
            "machine.UART": self.uart,
        }
        wired: dict[str, object] = {
            part: {str(key): _told(value) for key, value in values.items()}
            for part, values in said.items()
            if values is not None
        }
        if self.shown is not None:
            wired["shown"] = [str(pin) for pin in self.shown]
        return wired or None


def _told(value: object) -> object:
    """Return it as a board takes it: times in microseconds, courses as pairs."""
    match value:
        case Climate():
            return {"temperature": _told(value.temperature), "humidity": _told(value.humidity)}
        case SerialTalker():
            return {"says": value.says, "every_us": round(value.every * 1e6)}
        case dict() if all(isinstance(key, int) for key in value):  # the registers of a device
            return {str(register): _told(there) for register, there in value.items()}
        case dict():
            return {"course": [[round(parse_duration(time) * 1e6), then] for time, then in value.items()]}
        case list():
            return [_told(each) for each in value]
    return value
