"""What an ESP32's modules have and the emulator's have not.

A program that asks for one of these gets an AttributeError that says so; the board tells, the trace has it,
and the run's verdict names it: what did not happen here may well happen on a chip. `docs/esp32-port.md` lists
them.
"""

from __future__ import annotations

from collections.abc import Mapping

NOT_MODELLED: Mapping[str, tuple[str, ...]] = {
    "analogue pins": ("machine.ADC", "machine.ADCBlock", "machine.DAC"),
    "pulses": ("machine.PWM", "machine.bitstream", "machine.time_pulse_us", "esp32.RMT"),
    "buses": (
        "machine.I2C",
        "machine.SoftI2C",
        "machine.SPI",
        "machine.SoftSPI",
        "machine.UART",
        "machine.I2S",
        "machine.SDCard",
    ),
    "other peripherals": ("machine.TouchPad", "machine.Signal", "machine.Counter", "machine.Encoder"),
    "other networks": ("network.PPP", "network.LAN"),
    "modules": (
        "aioespnow",
        "apa106",
        "bluetooth",
        "btree",
        "dht",
        "ds18x20",
        "espnow",
        "onewire",
        "upysh",
        "webrepl",
    ),
    "other parts of the chip": ("esp32.Partition", "esp32.ULP", "esp32.PCNT", "esp32.idf_task_info"),
}
"""What they are, and their names."""

NOT_TIMED = (
    "flash writes, which stall everything: 80 ms for 4 KiB erased, 20 to 350 ms for an append",
    "modem sleep, where a chip's file has no `beacon`: what comes to a board waits up to 300 ms for one",
    "what other threads than the main one compute; collections that come by themselves; work in C",
    "TLS handshakes: 1 to 3 s",
)
"""What takes no time here and does on a chip; nothing tells of it when a program does it."""

NOT_LIMITED = (
    "the depth of a thread's stack (their number is limited)",
    "memory outside MicroPython's heap but for sockets and threads: 20 KB for each TLS connection",
    "the air: one access point at a time, no roaming, no stations of the board's own access point",
)
"""What is larger or simpler here than on a chip; nothing tells of it either."""

IN_VIRTUAL_TIME = ("TLS",)
"""What works in real time only."""

NAMES = frozenset(name for names in NOT_MODELLED.values() for name in names) | {"ssl.SSLContext"}
"""All of it; TLS is asked for in vain in virtual time only."""
