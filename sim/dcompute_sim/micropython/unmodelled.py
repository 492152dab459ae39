"""What an ESP32 has or does and the emulator has not, or does otherwise: one register, for the page of it
(`docs/esp32-port.md`), for what boards tell, and for the run's verdict.

Three kinds, by what a program notices. What is *missing* is asked for in vain: the program gets an error that
says so. What is *simpler* works, and not as on a chip. Both are told by the board (`missing`, `absent` and
`simpler` in shims/_board.py), noted in the trace and named by the verdict: what did not happen here may well
happen on a chip. Only for what no shim can see (`UNSEEN`) there is nothing but the page.
"""

from __future__ import annotations

from collections.abc import Mapping

MISSING: Mapping[str, tuple[str, ...]] = {
    "buses and pulses": ("machine.I2S", "machine.SDCard", "machine.Counter", "machine.Encoder", "esp32.RMT"),
    "blocks of analogue pins": ("machine.ADCBlock",),
    "other networks": ("network.PPP", "network.LAN"),
    "modules": (
        "aioespnow",
        "bluetooth",
        "btree",
        "espnow",
        "inisetup",
    ),
    "other parts of the chip": (
        "esp32.ULP",
        "esp32.PCNT",
        "esp32.idf_task_info",
        "machine.mem8",
        "machine.mem16",
        "machine.mem32",
        "machine.dht_readinto",
        "machine.I2CTarget",
        "esp.flash_read",
        "esp.flash_write",
        "esp.flash_erase",
        "esp.flash_user_start",
        "esp.gpio_matrix_in",
        "esp.gpio_matrix_out",
    ),
    "file systems of the program's own, consoles": ("os.VfsFat", "os.VfsLfs2", "os.dupterm"),
    "of TLS, in virtual time": ("tls.server_side", "tls.getpeercert"),
}
"""Names that a program asks for in vain, by what they are."""

_UNWIRED = "nothing is connected to it: the group's `stand_ins` can say what is"

_UNSEEN = "what it puts out is seen by nobody"
_NOT_SHOWN = f"{_UNSEEN}: the group's `stand_ins` can show its pin (`shown`)"

SIMPLER: Mapping[str, str] = {
    "TLS": "it is a model in virtual time, without ciphers that might not meet or servers that ask for a "
    "certificate, and in real time a handshake takes none of a chip's 1 to 3 s",
    "network.AP_IF": "who joins a board's own access point (fault `station`) says nothing to it",
    "machine.freq": "computing takes as long at any frequency",
    "machine.lightsleep": "light sleep is a pause: the WLAN stays on, and nothing but its time ends it",
    "esp32.wake_on": "nothing moves a pin of a chip that sleeps: it wakes by its timer only",
    "esp32.idf_heap_info": "the memory outside MicroPython's heap is always the same",
    "esp32.Partition": "what is in a partition reads as erased, and what is written there is forgotten",
    "esp32.raw_temperature": "the chip is always as warm",
    "webrepl": "nobody comes to its server",
    **dict.fromkeys(("machine.DAC", "machine.PWM", "neopixel.write"), _NOT_SHOWN),
    **dict.fromkeys(
        (
            "machine.ADC",
            "machine.TouchPad",
            "machine.time_pulse_us",
            "machine.I2C",
            "machine.SPI",
            "machine.UART",
            "dht",
            "onewire",
        ),
        _UNWIRED,
    ),
    **dict.fromkeys(("machine.bitstream", "machine.UART.write"), _UNSEEN),
    "_thread.stack_size": "calls may go 13 deeper in a thread than its stack on a chip holds",
    "_thread.start_new_thread": "what a thread other than the main one computes takes no time in virtual "
    "time and holds up all others in real time",
    "machine.disable_irq": "interrupts and other threads go on while they are disabled",
}
"""By the name under which a board tells it: what happens here instead."""

UNSEEN = (
    "an ADC is linear and without noise, what is measured and answered is as `stand_ins` say",
    "the text of a pin is its number; since ESP-IDF 5.5 it has mode, pull and drive as well",
    "a chip's heap begins with 64 KiB and grows as it is needed, and `gc.mem_free` counts what it may still "
    "get; here it is all there from the start",
    "floats have 64 bits, and 32 on a chip: `1 / 3` prints more digits, what is above 3.4e38 is no infinity",
    "a board without a console (a serial line) may write more than the 2 MiB that `os.statvfs` tells",
    "in real time a board takes this machine's time, which its report says: nothing of what a chip takes to "
    "boot, join, compute, wake its radio (modem sleep), write to flash",
    "in virtual time what a thread other than the main one computes without taking of the heap (with whole "
    "numbers only) takes no time, nor does work in C beyond its calls",
    "calls go 13 deeper in a thread than its stack on a chip holds (12 in 5 KB), for the modules that are C "
    "there: told of threads that wait so deep, not of those that compute; and 136 in the main thread, for 46",
    "who prints more than the console's FIFO holds stops other threads too; in real time it takes nothing",
)
"""What is otherwise than on a chip and nothing tells of."""

NAMES = frozenset(name for names in MISSING.values() for name in names) | frozenset(SIMPLER)
"""All that a board may tell of."""


def in_words(name: str, boards: str) -> str:
    """Return what `boards` have met that told `name`."""
    if name in SIMPLER:
        return f"{boards} used {name}, and here {SIMPLER[name]} (docs/esp32-port.md)"
    return f"the emulator does not model {name}, for which {boards} asked (docs/esp32-port.md)"
