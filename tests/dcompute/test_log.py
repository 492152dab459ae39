"""What anybody on the broker sends is shown as text, and forges nothing."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dcompute.master_transport  # noqa: F401 - whose log it is


@given(st.text())
def test_a_line_of_the_log_is_one_line_whatever_a_reason_says(reason: str) -> None:
    records: list[logging.LogRecord] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    log = logging.getLogger("dcompute")
    handler = Kept()
    log.addHandler(handler)
    try:
        log.warning("master: connection lost: %s; reconnecting", reason)
    finally:
        log.removeHandler(handler)
    assert records[0].getMessage().isprintable()


def test_a_newline_in_a_reason_forges_no_line(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("dcompute").warning("rejected: %s", "so\n12:00 node esp-1: dead\x1b[2J")
    assert caplog.messages == ["rejected: so\\n12:00 node esp-1: dead\\x1b[2J"]
