"""What the ESP32 port does, row by row: read from `esp32_port/*.upy`, run in either time, shown as a page.

A row is a heading (`## ...`), where it is known from (`# source:`), a piece of MicroPython, and what it
prints (`# prints:`), on the emulator as on a board. The rows of a file run one after the other on one board;
those of `power` reset theirs, so each has a board of its own. `docs/esp32-port.md` is made of the same rows:

    python tests/micropython/port_rows.py > docs/esp32-port.md
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dcompute_sim.micropython.unmodelled import MISSING, SIMPLER, UNSEEN

FOLDER = Path(__file__).parent / "esp32_port"
ORDER = (
    "time",
    "machine",
    "power",
    "pins",
    "peripherals",
    "files",
    "esp32",
    "network",
    "roaming",
    "stations",
    "socket",
    "server",
    "tls",
    "select",
    "thread",
    "frozen",
)
A_BOARD_EACH = ("power",)

PRELUDE = '''
import _thread, errno, gc, machine, network, select, socket, sys, time

def shows(function, *args, message=True, **settings):
    """Prints what it gives, or the exception with the name of its error."""
    try:
        print(function(*args, **settings))
    except Exception as error:
        said = list(error.args) if message or isinstance(error, OSError) else []
        if isinstance(error, OSError) and said and said[0] in errno.errorcode:
            said[0] = errno.errorcode[said[0]]
        if not message:
            said = []
        print(*[type(error).__name__] + said)

def wait(condition):
    while not condition():
        time.sleep_ms(5)

def join():
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    if not wlan.isconnected():
        wlan.connect("home", "secret")
        wait(wlan.isconnected)
'''


@dataclass(frozen=True)
class Row:
    """One behaviour."""

    topic: str
    title: str
    source: str
    program: str
    prints: Sequence[str]


def rows(topic: str) -> list[Row]:
    """The rows of a file, in its order."""
    return list(_parse(topic, (FOLDER / f"{topic}.upy").read_text()))


def _parse(topic: str, text: str) -> Iterator[Row]:
    for part in text.split("\n## ")[1:]:
        title, *lines = part.splitlines()
        sources = [line.removeprefix("# source: ") for line in lines if line.startswith("# source: ")]
        prints = [line.removeprefix("# prints: ") for line in lines if line.startswith("# prints: ")]
        assert len(sources) == 1, f"{topic}: {title}: one source"
        assert prints, f"{topic}: {title}: prints nothing"
        program = "\n".join(line for line in lines if not line.startswith(("# source: ", "# prints: ")))
        yield Row(topic, title, sources[0], program.strip(), prints)


def program(parts: Sequence[Row], **given: object) -> str:
    """A main.py that runs them one after the other; each is announced by `@@` and its number."""
    text = f"# {parts[0].topic}\n" + PRELUDE + "".join(f"{name} = {value}\n" for name, value in given.items())
    for number, row in enumerate(parts):
        body = textwrap.indent(row.program, "    ")
        text += (
            f'print("@@", {number})\ntry:\n{body}\n'
            f'except Exception as error:\n    print("raised", repr(error))\n'
        )
    return text + 'print("@@ over")\n'


def page() -> str:
    """The rows as a document."""
    text = _HEAD
    for topic in ORDER:
        heading = (FOLDER / f"{topic}.upy").read_text().splitlines()[0].removeprefix("# ")
        text += f"\n## {heading}\n\n| behaviour | known from |\n|---|---|\n"
        for row in rows(topic):
            text += f"| {row.title.replace('|', '&#124;')} | {row.source} |\n"
    text += _MISSING
    text += "".join(
        f"* {what}: {', '.join(f'`{name}`' for name in names)}\n" for what, names in MISSING.items()
    )
    text += _SIMPLER
    text += "".join(f"* `{name}`: {what}\n" for name, what in SIMPLER.items())
    text += "\nNothing tells of these:\n\n"
    return text + "".join(f"* {what}\n" for what in UNSEEN)


_HEAD = """# What the emulator does as the ESP32 port does

Made by `python tests/micropython/port_rows.py` of the rows in `tests/micropython/esp32_port`: a test runs
each row in real and in virtual time (`pytest tests/micropython/test_esp32_port.py`), another holds this page.
Sources are files of MicroPython's repository (read at 1.29-preview), ESP-IDF and lwIP.
"""

_MISSING = """
## What is not modelled

A program that touches one of these gets an AttributeError (an ImportError for a module) that says so, and the
run's verdict names it.

"""

_SIMPLER = """
These work and do less than on a chip; the verdict names them when a program uses them.

"""


if __name__ == "__main__":
    print(page(), end="")
