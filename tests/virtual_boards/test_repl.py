"""The REPL protocols, byte by byte, without a chip."""

from __future__ import annotations

import pytest
from dcompute_sim.virtual_boards.repl import Action, Feed, Interrupt, Repl, Run, Say, SoftReset

PROMPT = b'Type "help()" for more information.\r\n>>> '


def booted() -> Repl:
    repl = Repl("MicroPython")
    repl.ended("")
    return repl


def said(actions: list[Action]) -> bytes:
    return b"".join(action.data for action in actions if isinstance(action, Say))


def done(actions: list[Action]) -> list[Action]:
    return [action for action in actions if not isinstance(action, Say)]


def test_friendly_prompt_echoes_and_runs_a_line() -> None:
    repl = booted()
    actions = repl.received(b"1+2x\x7f\r")
    assert said(actions) == b"1+2x\x08 \x08\r\n"
    assert done(actions) == [Run(b"1+2\n", single=True)]
    assert said(repl.ended("Oops\n")) == b"Oops\r\n>>> "


@pytest.mark.parametrize(
    "typed",
    [
        b"for i in x:\r  i\r\r",
        b"f(1,\r2)\r",
        b"'''a\rb'''\r",
        b"x = 1 + \\\r2\r",
        b"@wraps\rdef f():\r pass\r\r",
    ],
)
def test_statements_of_several_lines_run_once_whole(typed: bytes) -> None:
    repl = booted()
    for at in range(len(typed) - 1):
        assert done(repl.received(typed[at : at + 1])) == []
    assert done(repl.received(typed[-1:])) == [Run(typed.replace(b"\r", b"\n"), single=True)]


@pytest.mark.parametrize("typed", [b"x = '('\r", b"x # (\r", b"x = \"'''\"\r", b"format(1)\r"])
def test_what_only_looks_unfinished_runs_at_once(typed: bytes) -> None:
    assert done(booted().received(typed)) == [Run(typed.replace(b"\r", b"\n"), single=True)]


def test_ctrl_c_at_the_prompt_forgets_the_line() -> None:
    repl = booted()
    assert said(repl.received(b"for i in x:\r1\x03")).endswith(b"\r\n>>> ")
    assert done(repl.received(b"2\r")) == [Run(b"2\n", single=True)]


def test_paste_mode() -> None:
    repl = booted()
    assert said(repl.received(b"\x05")).endswith(b"=== ")
    assert done(repl.received(b"if 1:\r  2\r\x04")) == [Run(b"if 1:\n  2\n", single=False)]
    repl.ended("")
    assert done(repl.received(b"\x05x\x03")) == []


def test_raw_repl() -> None:
    repl = booted()
    assert said(repl.received(b"\r\x01")).endswith(b"raw REPL; CTRL-B to exit\r\n>")
    actions = repl.received(b"print(1)\x04")
    assert actions == [Say(b"OK"), Run(b"print(1)", single=False)]
    assert said(repl.ended("E\n")) == b"\x04E\r\n\x04>"
    assert said(repl.received(b"\x02")).endswith(PROMPT)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 1000])
def test_raw_paste_grants_a_window_for_each_that_is_used_up(size: int) -> None:
    repl = booted()
    repl.received(b"\x01")
    header = said(repl.received(b"\x05A\x01"))
    assert header == b"R\x01\x80\x00\x01"  # half of 256 bytes, and the other half granted with it
    code = b"#" * size
    granted = b""
    for at in range(0, size, 50):
        granted += said(repl.received(code[at : at + 50]))
    assert granted == b"\x01" * (size // 128)
    assert repl.received(b"\x04") == [Say(b"\x04"), Run(code, single=False)]
    assert said(repl.ended("")) == b"\x04\x04>"


def test_an_unknown_way_to_paste_is_refused_so_that_clients_fall_back() -> None:
    repl = booted()
    repl.received(b"\x01")
    assert said(repl.received(b"\x05Z\x01")) == b"R\x00>"
    assert done(repl.received(b"1\x04")) == [Run(b"1", single=False)]


def test_raw_paste_ended_by_ctrl_c_runs_nothing() -> None:
    repl = booted()
    repl.received(b"\x01\x05A\x01")
    actions = repl.received(b"half\x03")
    assert done(actions) == []
    assert b"KeyboardInterrupt" in said(actions)
    assert repl.received(b"2\x04")[1:] == [Run(b"2", single=False)]


def test_soft_reset_keeps_the_mode() -> None:
    repl = booted()
    actions = repl.received(b"\x04")
    assert done(actions) == [SoftReset()]
    assert said(actions).endswith(b"MPY: soft reboot\r\n")
    repl.started()
    assert said(repl.ended("")).endswith(PROMPT)
    repl.received(b"\x01")
    assert done(repl.received(b"\x04")) == [SoftReset()]
    assert repl.raw
    repl.started()
    assert said(repl.ended("")) == b"raw REPL; CTRL-B to exit\r\n>"


def test_input_of_a_running_program_and_what_it_leaves() -> None:
    repl = booted()
    repl.received(b"run()\r")
    assert repl.received(b"ab\x03\r\x01") == [Feed(b"ab"), Interrupt(), Feed(b"\r\x01")]
    assert said(repl.ended("", unread=b"\r\x01")).endswith(b"raw REPL; CTRL-B to exit\r\n>")


def test_ctrl_c_is_data_while_the_program_says_so() -> None:
    repl = booted()
    repl.received(b"run()\r")
    repl.interrupt_char = -1
    assert repl.received(b"\x18\x03\x04") == [Feed(b"\x18\x03\x04")]
    repl.ended("")
    repl.received(b"run()\r")  # the next program starts with Ctrl-C as it was
    assert repl.received(b"\x03") == [Interrupt()]


def test_any_bytes_whatever_leave_a_board_that_answers() -> None:
    repl = booted()
    for _ in range(3):
        for action in repl.received(bytes(range(256)) * 2):
            if isinstance(action, Run | SoftReset):
                repl.ended("")
    if repl.running:
        repl.ended("")
    repl.received(b"\x03\x02\x03\r\x01\x02")
    if repl.running:
        repl.ended("")
    assert said(repl.received(b"\r\x03")).endswith(b">>> ")
