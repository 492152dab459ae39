"""The stack over mpremote's transport: what it must never do is print, or wait without end."""

from __future__ import annotations

import contextlib
import io
import socket
import sys
import threading
import time
import types
from collections.abc import Iterator

import pytest
from dcompute_sim.hardware.board_errors import BoardGone, NoAnswer, PortMissing
from dcompute_sim.hardware.serial_link import QuietTransport, SerialLink
from dcompute_sim.virtual_boards.repl import Action, Interrupt, Repl, Run, Say, SoftReset
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from ..conftest import PATIENCE_S


def test_a_prompt_that_does_not_come_is_an_error_and_nothing_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """mpremote prints what it read before it raises; that this is still so shows that the guard guards."""
    with pytest.raises(TransportError):
        SerialTransport("loop://", exclusive=False).enter_raw_repl(timeout_overall=0.05)
    assert capsys.readouterr().out != ""
    with pytest.raises(TransportError, match="no raw prompt, but"):
        QuietTransport("loop://", exclusive=False).enter_raw_repl(timeout_overall=0.05)
    assert capsys.readouterr() == ("", "")


def test_a_step_ends_at_its_deadline_on_a_line_that_is_never_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def babble() -> None:
            peer, _ = server.accept()
            with peer:
                try:
                    while True:
                        peer.sendall(b"." * 64)
                        time.sleep(0.001)
                except OSError:
                    pass

        thread = threading.Thread(target=babble, daemon=True)
        thread.start()
        port = f"socket://127.0.0.1:{server.getsockname()[1]}"
        with SerialLink(port) as link, pytest.raises(BoardGone, match=r"did not answer within 0 s"):
            link.run("print(1)", timeout_s=0.2)
        thread.join(PATIENCE_S)


def test_a_port_that_is_not_there_is_said_with_those_that_are() -> None:
    with pytest.raises(PortMissing, match="there is no port /dev/nowhere; USB serial ports here: "):
        SerialLink("/dev/nowhere")


@contextlib.contextmanager
def board_that_restarts(times: int) -> Iterator[str]:
    """The port of a board that restarts by itself so many times, each time once its raw prompt has shown."""
    repl, left = Repl("a board"), times

    def obey(peer: socket.socket, actions: list[Action]) -> None:
        nonlocal left
        for action in actions:
            match action:
                case Say(data):
                    peer.sendall(data)
                    if b"raw REPL" in data and left:
                        left -= 1
                        repl.power_on()
                        return
                case Run(code):
                    with contextlib.redirect_stdout(io.StringIO()) as printed:
                        exec(code, {})
                    peer.sendall(printed.getvalue().replace("\n", "\r\n").encode())
                    obey(peer, repl.ended(""))
                case Interrupt():
                    obey(peer, repl.ended("KeyboardInterrupt: \n"))
                case SoftReset():
                    repl.started()
                    obey(peer, repl.ended(""))

    def serve() -> None:
        peer, _ = server.accept()
        with peer, contextlib.suppress(OSError):
            while data := peer.recv(4096):
                for byte in data:  # what an interrupt leaves behind it is the prompt's
                    obey(peer, repl.received(bytes([byte])))

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"socket://127.0.0.1:{server.getsockname()[1]}"
        thread.join(PATIENCE_S)


def test_a_board_that_restarts_by_itself_at_its_prompt_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "machine", types.ModuleType("machine"))  # a chip without a watchdog
    with board_that_restarts(times=2) as port, SerialLink(port) as link:
        link.enter(answer_s=0.3)
        assert link.run("print(6 * 7)") == "42\r\n"


def test_a_board_that_restarts_again_and_again_is_said_with_its_words() -> None:
    with (
        board_that_restarts(times=1000) as port,
        SerialLink(port) as link,
        pytest.raises(NoAnswer, match="does not restart at Ctrl-D, but says"),
    ):
        link.enter(answer_s=0.3)
