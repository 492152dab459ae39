"""The stack over mpremote's transport: what it must never do is print, or wait without end."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from dcompute_sim.hardware.board_errors import BoardGone, PortMissing
from dcompute_sim.hardware.serial_link import QuietTransport, SerialLink
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport


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
        with SerialLink(f"socket://127.0.0.1:{server.getsockname()[1]}") as link:
            began_s = time.monotonic()
            with pytest.raises(BoardGone, match=r"did not answer within 0 s"):
                link.run("print(1)", timeout_s=0.2)
            assert time.monotonic() - began_s < 5
        thread.join(5)


def test_a_port_that_is_not_there_is_said_with_those_that_are() -> None:
    with pytest.raises(PortMissing, match="there is no port /dev/nowhere; USB serial ports here: "):
        SerialLink("/dev/nowhere")
