"""A board at the end of a serial line: mpremote's own transport, every wait bounded, every failure told.

Rules, for deploys and runs alike:

* A step has a deadline. mpremote's `SerialTransport` waits for ever in places (a read without timeout, a line
  that is never silent), so its serial object is wrapped: past the deadline each of its calls raises.
* A failure is one of `board_errors`, with the port, what was being done, and what helps. mpremote meets
  garbage with whatever its parsing raises (ValueError, struct.error, ...); all of it ends here.
* Nothing is printed. mpremote prints what it did not expect before it raises "could not enter raw repl"; here
  whatever waits for a prompt raises by itself when the prompt does not come, so it never gets to that.
* The way to the prompt is ours. mpremote interrupts once and gives up after one wait. A board in the middle
  of its start needs to be interrupted again and again, and so does one whose boot.py blocks, or ends in
  sys.exit(), which starts it anew for ever (ports/esp32/main.c: a forced exit of boot.py is a soft reset),
  and one that restarts once its prompt has shown (its watchdog, or the interrupt itself crashed it). Each
  interrupt is answered in the end, so a question of our own tells when the last one has been.
* A watchdog that boot.py started bites a board that waits at its prompt, and nothing stops it. Started again
  it takes the new time (esp_task_wdt_reconfigure), which is as long as any step here. A board that had none
  has one then: it restarts by itself if we never come back.

Rejected: a protocol of our own over pyserial. The raw REPL, raw paste with its flow control and the file
functions are mpremote's business, tested against more boards than we will see.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import serial
import serial.tools.list_ports
from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport

from dcompute_sim.hardware.board_errors import BoardError, BoardGone, FlashFull, NoAnswer, PortMissing

ANSWER_S = 10.0  # for the prompt; a chip that was struck while it allocated needs a restart first
STEP_S = 60.0  # for one piece of code on the board
BAUD = 115200
_TRIES = 3  # a chip that restarted by itself once its prompt had shown takes Ctrl-D for its program's
_TRY_S = 0.5
_REBOOT_S = 5.0
_KEPT_BYTES = 4096
_CHAR_S = 5.0
_WRITE_BYTES = 512
_INTERRUPTED_S = 0.05
_RTS_S = 0.1
_PAUSE_S = 0.002
_LONGER_WATCHDOG = """
import machine
try:
    machine.WDT(timeout=600000)
except Exception:
    pass  # a chip that cannot count so far keeps what it had
"""
_BANNER = b"raw REPL; CTRL-B to exit\r\n"
_REBOOT = b"soft reboot\r\n"
_RESET = b"import machine\nmachine.reset()"

_KNOWN_VOICES = (
    (b"waiting for download", "the chip waits in its bootloader: press reset (or EN) without holding BOOT"),
    (b"invalid header", "its flash is empty: flash MicroPython"),
    (b"No bootable app", "its flash is empty: flash MicroPython"),
)


class SerialLink:
    """Talks to one board. After `enter`, its program is stopped and it obeys.

    Attributes:
        boot_ends: boot.py came to its end at the last `enter`, without being interrupted.

    Raises (every method):
        BoardGone: the line fell silent, or is gone. FlashFull: OSError 28. BoardError: another exception
        on the board.
    """

    def __init__(self, port: str, baud: int = BAUD) -> None:
        """Open the port. PortMissing says why it cannot be."""
        self.port = port
        self.boot_ends = True
        self._questions = 0
        self._transport = _open(port, baud)
        self._line = _Bounded(self._transport.serial)
        self._transport.serial = self._line

    def __enter__(self) -> SerialLink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the port; the board goes on with what it does."""
        self._line.allow(_CHAR_S)
        with contextlib.suppress(OSError, serial.SerialException):
            self._transport.close()

    @property
    def at_prompt(self) -> bool:
        """It waits at the raw prompt: nothing is said there but answers."""
        return bool(self._transport.in_raw_repl)

    def fileno(self) -> int:
        """Return the descriptor to wait on for what the board prints."""
        return int(self._line.fileno())

    # --- the prompt ---------------------------------------------------------------------------------------

    def enter(self, answer_s: float = ANSWER_S) -> None:
        """Stop the program and start the interpreter afresh: no thread is left. NoAnswer if it cannot."""
        with self._bounded("asking for the prompt", 5 * answer_s + _TRIES * (answer_s + _REBOOT_S) + 1):
            for tries_left in reversed(range(_TRIES)):
                self._ask(answer_s)
                self._line.write(b"\x04")
                heard = self._hear(_REBOOT, min(_REBOOT_S, answer_s))
                if heard.endswith(_REBOOT):
                    break
                if not tries_left:
                    raise NoAnswer(
                        f"{self.port}: the board does not restart at Ctrl-D, but says {_quoted(heard)}: "
                        "press its reset and try again"
                    )
            # Twice as long as for an answer: one that joins a Wi-Fi takes its time, and ends.
            self.boot_ends = self._hear(_BANNER, 2 * answer_s).endswith(_BANNER)
            if not self.boot_ends:
                self._ask(answer_s)
            self._settle(answer_s)
            self._transport.in_raw_repl = True
        self.run(_LONGER_WATCHDOG)

    def _ask(self, answer_s: float) -> None:
        """Interrupt whatever runs, again and again, until the raw prompt shows."""
        give_up = time.monotonic() + answer_s
        heard = b""
        while not heard.endswith(_BANNER):
            if time.monotonic() >= give_up:
                raise NoAnswer(f"{self.port}: {_what_it_is(heard)}")
            self._line.write(b"\r\x03\x03\r\x01")
            heard = heard[-_KEPT_BYTES:] + self._hear(_BANNER, min(_TRY_S, answer_s))

    def _settle(self, answer_s: float) -> None:
        """Read on until a question of ours is answered: whatever was asked before has been, too."""
        self._questions += 1
        answer = f"settled {self._questions}"
        self._line.write(b"\r\x03\x01" + f"print({answer!r})".encode() + b"\x04")
        wanted = answer.encode() + b"\r\n\x04\x04"  # mpremote looks for the prompt behind it
        if not (heard := self._hear(wanted, answer_s)).endswith(wanted):
            raise NoAnswer(f"{self.port}: the prompt does not obey: {_quoted(heard)}")

    def _hear(self, wanted: bytes, timeout_s: float) -> bytes:
        heard = b""
        give_up = time.monotonic() + timeout_s
        while not heard.endswith(wanted) and time.monotonic() < give_up:
            # byte by byte near the end would be mpremote's way; what comes after `wanted` must stay unread
            if self._line.inWaiting():
                heard += self._line.read(1)
            else:
                time.sleep(_PAUSE_S)
        return heard

    # --- orders -------------------------------------------------------------------------------------------

    def run(self, code: str, timeout_s: float = STEP_S) -> str:
        """Execute code; returns what it printed."""
        with self._bounded("waiting for the board", timeout_s):
            said, error = self._transport.exec_raw(code, timeout=timeout_s)
            if error:
                raise TransportExecError(said, error.decode(errors="replace"))
            return bytes(said).decode(errors="replace")

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, which must be a literal."""
        return ast.literal_eval(self.run(f"print(repr({expression}))").strip())

    def read_file(self, path: str) -> bytes:
        """Return a file's contents."""
        with self._bounded(f"reading {path}", STEP_S):
            return bytes(self._transport.fs_readfile(path, _WRITE_BYTES))

    def write_file(self, path: str, data: bytes, progress: Callable[[int], None] | None = None) -> None:
        """Write a file; `progress` is told the bytes written."""
        told = (lambda done, _: progress(done)) if progress else None
        with self._bounded(f"writing {path}", STEP_S + len(data) / 500):
            self._transport.fs_writefile(path, data, _WRITE_BYTES, told)

    def exists(self, path: str) -> bool:
        """Say whether there is a file or folder of that name."""
        with self._bounded(f"looking for {path}", STEP_S):
            return bool(self._transport.fs_exists(path))

    def restart(self, by: Literal["repl", "rts"] = "repl") -> None:
        """Reset the chip, as the button does; the prompt is gone, and what it prints can be read.

        Args:
            by: `rts`: the RTS line, where it is wired to EN; it interrupts nothing. `repl`: at the prompt;
                what runs is interrupted for it.
        """
        with self._bounded("resetting the board", STEP_S), contextlib.suppress(TransportError):
            if by == "rts":
                self._line.dtr = False
                self._line.rts = True
                time.sleep(_RTS_S)
                self._line.rts = False
            elif self._transport.in_raw_repl:
                self._transport.exec_raw_no_follow(_RESET)
            else:
                # Without waiting for answers: its other threads go on, and print in between.
                self._line.write(b"\r\x03\x03")
                time.sleep(_INTERRUPTED_S)
                self._line.write(b"\r\x01" + _RESET + b"\x04")
        self._transport.in_raw_repl = False

    def listen(self, timeout_s: float) -> bytes:
        """Return what has come on the line; waits at most so long for something. OSError when the port is
        gone."""
        self._line.allow(timeout_s + 1)
        give_up = time.monotonic() + timeout_s
        while not (waiting := self._line.inWaiting()) and time.monotonic() < give_up:
            time.sleep(0.01)
        return self._line.read(min(waiting, 4096)) if waiting else b""

    def read_ready(self) -> bytes:
        """Return what has come on a line whose `fileno` is readable. OSError when the port is gone."""
        self._line.allow(_CHAR_S)
        return self._line.read(self._line.inWaiting() or 1)  # 0 waiting: its end, which `read` raises

    @contextlib.contextmanager
    def _bounded(self, what: str, timeout_s: float) -> Iterator[None]:
        self._line.allow(timeout_s)
        try:
            yield
        except BoardError:
            raise
        except TransportExecError as error:
            last = (str(error.error_output).strip().splitlines() or ["no message"])[-1]
            if "ENOSPC" in last or last == "OSError: 28":
                raise FlashFull(f"{self.port}: the board's flash is full ({what})") from None
            raise BoardError(f"{self.port}: the board says {last!r} ({what})") from None
        except LineLost:
            raise BoardGone(
                f"{self.port}: the board did not answer within {timeout_s:.0f} s ({what})"
            ) from None
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise FlashFull(f"{self.port}: the board's flash is full ({what})") from None
            raise BoardGone(f"{self.port}: the line broke ({what}: {error})") from None
        except (TransportError, serial.SerialException, ValueError, SyntaxError, IndexError) as error:
            # mpremote meets garbage with whatever its parsing raises
            raise BoardGone(
                f"{self.port}: the board does not answer as it should ({what}: {error})"
            ) from None
        except Exception as error:  # struct.error of a cut header
            raise BoardGone(f"{self.port}: the line broke ({what}: {error!r})") from None


class QuietTransport(SerialTransport):  # type: ignore[misc]  # mpremote is untyped
    """Raises by itself where mpremote would print what it read, and then raise."""

    def read_until(self, min_num_bytes: int, ending: bytes, *args: object, **kwargs: object) -> bytes:
        data = bytes(super().read_until(min_num_bytes, ending, *args, **kwargs))
        if b"REPL" in ending and not data.endswith(ending):
            raise TransportError(f"no raw prompt, but {_quoted(data)}")
        return data


class LineLost(Exception):
    """The step has had its time."""


class _Bounded:
    """A pyserial object none of whose calls is allowed after the deadline."""

    def __init__(self, line: Any) -> None:
        self._line = line
        self._until = time.monotonic() + _CHAR_S
        line.timeout = _CHAR_S
        with contextlib.suppress(AttributeError, NotImplementedError):
            line.write_timeout = _CHAR_S

    def allow(self, seconds: float) -> None:
        """Begin a new step."""
        self._until = time.monotonic() + seconds

    def _check(self) -> None:
        if time.monotonic() > self._until:
            raise LineLost

    def read(self, size: int = 1) -> bytes:
        self._check()
        return bytes(self._line.read(size))

    def write(self, data: bytes) -> int:
        self._check()
        return int(self._line.write(data) or 0)

    def inWaiting(self) -> int:  # pyserial's name, which mpremote uses
        self._check()
        return int(self._line.inWaiting())

    def close(self) -> None:
        self._line.close()

    def fileno(self) -> int:
        return int(self._line.fileno())

    def __setattr__(self, name: str, value: object) -> None:
        if name in ("rts", "dtr"):
            setattr(self._line, name, value)
        else:
            object.__setattr__(self, name, value)


def usb_ports() -> list[str]:
    """List serial ports of this machine that are USB devices, as boards are."""
    return sorted(port.device for port in serial.tools.list_ports.comports() if port.vid is not None)


def _open(port: str, baud: int) -> SerialTransport:
    if "://" not in port and os.name != "nt" and not Path(port).exists():
        there = ", ".join(usb_ports()) or "none: is the cable plugged in, and one for data?"
        raise PortMissing(f"there is no port {port}; USB serial ports here: {there}")
    try:
        return QuietTransport(port, baudrate=baud, timeout=_CHAR_S)
    except TransportError:
        raise PortMissing(f"port {port}: {_why_not(port)}") from None
    except (OSError, ValueError) as error:
        raise PortMissing(f"port {port}: {error}") from None


def _why_not(port: str) -> str:
    """Ask pyserial why a port cannot be opened, which mpremote does not tell."""
    try:
        serial.serial_for_url(port, baudrate=BAUD, exclusive=True).close()
    except (OSError, ValueError) as error:
        code = getattr(error, "errno", None)
        if code in (errno.EAGAIN, errno.EBUSY) or "exclusively lock" in str(error):
            return "another program has it open: close the serial monitor (or the other deploy)"
        if code in (errno.EACCES, errno.EPERM):
            return "no permission: add your user to the group `dialout` and log in again"
        return str(error)
    return "could not be opened; try again"


def _what_it_is(heard: bytes) -> str:
    for voice, meaning in _KNOWN_VOICES:
        if voice in heard:
            return meaning
    if not heard.strip():
        return (
            "nothing answers: is it a board with MicroPython? If so, press its reset and try again; a "
            "program that swallows KeyboardInterrupt goes with the flash alone (esptool erase_flash)"
        )
    return f"no MicroPython prompt, but {_quoted(heard)}: flash MicroPython first (docs/hardware.md)"


def _quoted(heard: bytes) -> str:
    return repr(heard[-60:])[1:] if heard else "nothing"
