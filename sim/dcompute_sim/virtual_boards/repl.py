"""The protocols a MicroPython board speaks on its serial line, as a state machine without input or output.

Friendly prompt with paste mode, raw REPL and raw-paste mode, as MicroPython's `shared/runtime/pyexec.c`
serves them. Bytes go in; what is to be done comes out, in order. While a program runs, what is typed is its
input; what it leaves unread when it ends was meant for the prompt, and must be handed back by `ended`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from dcompute_sim.virtual_boards.continuation import wants_more

CTRL_A, CTRL_B, CTRL_C, CTRL_D, CTRL_E = 1, 2, 3, 4, 5
_BACKSPACE, _DELETE, _ESCAPE, _ENTER, _TAB = 0x08, 0x7F, 0x1B, 0x0D, 0x09

PASTE_BUFFER = 256  # a board's input buffer; it announces one half and grants the other at once
_WINDOW = PASTE_BUFFER // 2

_RAW_BANNER = b"raw REPL; CTRL-B to exit\r\n"
_PASTE_BANNER = b"paste mode; Ctrl-C to cancel, Ctrl-D to finish\r\n=== "
_INTERRUPTED = "Traceback (most recent call last):\nKeyboardInterrupt: \n"


@dataclass(frozen=True)
class Say:
    """Send these bytes to the line."""

    data: bytes


@dataclass(frozen=True)
class Run:
    """Execute this code; `single`: show the value of an expression. `ended` must follow."""

    code: bytes
    single: bool


@dataclass(frozen=True)
class Feed:
    """Input for the program that runs."""

    data: bytes


@dataclass(frozen=True)
class Interrupt:
    """Raise KeyboardInterrupt in the program that runs."""


@dataclass(frozen=True)
class SoftReset:
    """Start afresh: boot.py, and main.py too unless in raw mode. `started`, later `ended`, must follow."""


Action = Say | Run | Feed | Interrupt | SoftReset


class _Mode(Enum):
    FRIENDLY = auto()
    PASTE = auto()
    RAW = auto()
    RAW_PASTE = auto()


class Repl:
    """One board's end of the line.

    Args:
        banner: what the friendly prompt begins with, e.g. `MicroPython v1.25.0 on ...`.
    """

    def __init__(self, banner: str) -> None:
        self._banner = f'{banner}\r\nType "help()" for more information.\r\n'.encode()
        self._actions: list[Action] = []
        self._steps = {
            _Mode.FRIENDLY: self._friendly,
            _Mode.PASTE: self._paste,
            _Mode.RAW: self._raw,
            _Mode.RAW_PASTE: self._raw_paste,
        }
        self.interrupt_char = CTRL_C
        """What `micropython.kbd_intr` set; -1: every byte is the program's."""
        self.power_on()

    @property
    def raw(self) -> bool:
        """In raw mode: a soft reset leaves main.py out."""
        return self._mode in (_Mode.RAW, _Mode.RAW_PASTE)

    @property
    def running(self) -> bool:
        """Whether a program runs (boot.py and main.py, or a block)."""
        return self._running

    def power_on(self) -> None:
        """Begin as after a hard reset: friendly, and boot.py runs."""
        self._mode = _Mode.FRIENDLY
        self.started()

    def started(self) -> None:
        """Run boot.py, after any reset."""
        self._running = True
        self._booting = True
        self._line = bytearray()
        self._text = bytearray()  # what precedes the line in the same statement
        self._window = 0
        self._escape = False
        self.interrupt_char = CTRL_C

    def received(self, data: bytes) -> list[Action]:
        """Take bytes that came in on the line."""
        for at, byte in enumerate(data):
            if self._running:
                self._for_program(data[at:])
                break
            self._steps[self._mode](byte)
        return self._taken()

    def ended(self, error: str, unread: bytes = b"") -> list[Action]:
        """Take the end of the program: its traceback or "", and what it left of its input."""
        self._running = False
        self.interrupt_char = CTRL_C
        shown = error.replace("\n", "\r\n").encode()
        if self._booting:
            self._booting = False
            self._say(_RAW_BANNER + b">" if self.raw else self._banner + b">>> ")
        elif self.raw:
            self._mode = _Mode.RAW
            self._say(b"\x04" + shown + b"\x04>")
        else:
            self._say(shown + b">>> ")
        return self._taken() + self.received(unread)

    def _taken(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions

    def _say(self, data: bytes) -> None:
        self._actions.append(Say(data))

    def _run(self, code: bytes, single: bool = False) -> None:
        self._running = True
        self._actions.append(Run(code, single))

    def _soft_reset(self) -> None:
        self._say(b"MPY: soft reboot\r\n")
        self._running = True
        self._actions.append(SoftReset())

    def _for_program(self, data: bytes) -> None:
        start = 0
        for at, byte in enumerate(data):
            if byte == self.interrupt_char:
                if at > start:
                    self._actions.append(Feed(data[start:at]))
                self._actions.append(Interrupt())
                start = at + 1
        if start < len(data):
            self._actions.append(Feed(data[start:]))

    # --- the friendly prompt ------------------------------------------------------------------------------

    def _friendly(self, byte: int) -> None:
        if self._escape:  # cursor keys and the like: there is no history to go through
            self._escape = not (0x40 <= byte <= 0x7E and byte != ord("["))
        elif byte == _ESCAPE:
            self._escape = True
        elif byte == _ENTER:
            self._line_typed()
        elif byte in (_BACKSPACE, _DELETE):
            if self._line:
                del self._line[-1]
                self._say(b"\x08 \x08")
        elif byte == CTRL_C:
            self._new_prompt(b"\r\n")
        elif byte == _TAB and not self._line.strip():
            self._echo(b"    ")
        elif byte >= 0x20:
            self._echo(bytes([byte]))
        elif not self._line and not self._text:
            self._control_key(byte)

    def _control_key(self, byte: int) -> None:
        if byte == CTRL_A:
            self._mode = _Mode.RAW
            self._say(b"\r\n" + _RAW_BANNER + b">")
        elif byte == CTRL_B:
            self._say(b"\r\n" + self._banner + b">>> ")
        elif byte == CTRL_D:
            self._say(b"\r\n")
            self._soft_reset()
        elif byte == CTRL_E:
            self._mode = _Mode.PASTE
            self._say(b"\r\n" + _PASTE_BANNER)

    def _echo(self, data: bytes) -> None:
        self._line += data
        self._say(data)

    def _line_typed(self) -> None:
        self._say(b"\r\n")
        line = bytes(self._line)
        self._line.clear()
        self._text += line + b"\n"
        if wants_more(bytes(self._text), line):
            self._say(b"... ")
            return
        code = bytes(self._text)
        self._text.clear()
        if code.strip():
            self._run(code, single=True)
        else:
            self._say(b">>> ")

    def _new_prompt(self, before: bytes) -> None:
        self._line.clear()
        self._text.clear()
        self._say(before + b">>> ")

    def _paste(self, byte: int) -> None:
        if byte == CTRL_C:
            self._mode = _Mode.FRIENDLY
            self._new_prompt(b"\r\n")
        elif byte == CTRL_D:
            self._mode = _Mode.FRIENDLY
            code = bytes(self._line)
            self._line.clear()
            self._say(b"\r\n")
            self._run(code)
        elif byte == _ENTER:
            self._line += b"\n"
            self._say(b"\r\n=== ")
        else:
            self._echo(bytes([byte]))

    # --- the raw REPL -------------------------------------------------------------------------------------

    def _raw(self, byte: int) -> None:
        if byte == CTRL_A:
            self._raw_again()
        elif byte == CTRL_B:
            self._mode = _Mode.FRIENDLY
            self._line.clear()
            self._say(b"\r\n" + self._banner + b">>> ")
        elif byte == CTRL_C:
            self._line.clear()
        elif byte == CTRL_D:
            self._raw_finished()
        else:
            self._line.append(byte)

    def _raw_again(self) -> None:
        asked = bytes(self._line)
        self._line.clear()
        if asked == bytes([CTRL_E]) + b"A":
            self._mode = _Mode.RAW_PASTE
            self._window = _WINDOW
            self._say(b"R\x01" + _WINDOW.to_bytes(2, "little") + b"\x01")
        elif len(asked) == 2 and asked[0] == CTRL_E:  # some way to send code that we do not know
            self._say(b"R\x00>")
        else:
            self._say(_RAW_BANNER + b">")

    def _raw_finished(self) -> None:
        code = bytes(self._line)
        self._line.clear()
        self._say(b"OK")
        if code:
            self._run(code)
        else:
            self._say(b"\r\n")
            self._soft_reset()

    def _raw_paste(self, byte: int) -> None:
        if byte in (CTRL_C, CTRL_D):
            code = bytes(self._line)
            self._line.clear()
            self._mode = _Mode.RAW
            self._say(b"\x04")
            if byte == CTRL_D:
                self._run(code)
            else:
                self._actions += self.ended(_INTERRUPTED)
            return
        self._line.append(byte)
        self._window -= 1
        if self._window == 0:
            self._window = _WINDOW
            self._say(b"\x01")
