"""The model of TLS: what a client refuses and how it says so, in pieces of any size; what the bytes take."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import replace

import pytest
from dcompute_sim.net.tls_model import (
    Certificate,
    Flaw,
    NoTls,
    TlsClient,
    TlsServer,
    Trust,
    Version,
    python_error,
)
from hypothesis import given
from hypothesis import strategies as st

SHOWN = Certificate(("broker",), "us", 1000, 2000)
TRUST = Trust(("us",), "broker", 1500)


@pytest.mark.parametrize(
    ("trust", "flaws", "said"),
    [
        (TRUST, Flaw(0), ""),
        (replace(TRUST, authorities=None, name="elsewhere", now_s=0), Flaw(0), ""),
        (replace(TRUST, authorities=("them",)), Flaw.NOT_TRUSTED, "unable to get local issuer certificate"),
        (replace(TRUST, name="elsewhere"), Flaw.OTHER_NAME, "not valid for 'elsewhere'"),
        (replace(TRUST, now_s=2001), Flaw.EXPIRED, "certificate has expired"),
        (replace(TRUST, now_s=0), Flaw.FUTURE, "certificate is not yet valid"),
        (replace(TRUST, name="elsewhere", now_s=0), Flaw.OTHER_NAME | Flaw.FUTURE, "Hostname mismatch"),
    ],
)
def test_a_certificate_is_judged_by_authority_name_and_clock(trust: Trust, flaws: Flaw, said: str) -> None:
    assert trust.flaws(SHOWN) == flaws
    if flaws:
        error = python_error(flaws, trust.name)
        assert isinstance(error, ssl.SSLCertVerificationError)
        assert said in error.verify_message
        assert said in str(error)


def _shaken(version: Version) -> tuple[TlsClient, TlsServer]:
    client, server = TlsClient(version), TlsServer(SHOWN)
    _, flight = server.received(client.begin())
    assert client.received(flight) == b""
    assert client.shown == SHOWN
    _, done = server.received(client.finish())
    assert client.open == (version == "1.3")  # the other one waits for the server's answer
    assert client.received(done) == b""
    assert client.open
    assert server.open
    return client, server


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@given(
    said=st.lists(st.binary(min_size=1, max_size=40_000), max_size=3), sizes=st.lists(st.integers(1, 5000))
)
def test_what_one_program_says_the_other_hears_however_it_is_cut(
    version: Version, said: Sequence[bytes], sizes: Sequence[int]
) -> None:
    client, server = _shaken(version)
    for data in said:
        wire = client.sealed(data)
        assert len(data) + 22 <= len(wire) <= len(data) + 29 * (1 + len(data) // 16384)
        heard = b""
        for size in [*sizes, len(wire)]:
            plain, answer = server.received(wire[:size])
            wire = wire[size:]
            heard += plain
            assert not answer
        assert heard == data
        assert client.received(server.sealed(data)) == data


def test_a_refusal_ends_it_for_the_server() -> None:
    client, server = TlsClient("1.3"), TlsServer(SHOWN)
    server.received(client.begin())
    with pytest.raises(NoTls):
        server.received(client.refuse())


@pytest.mark.parametrize("said", [b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0", b"HTTP/1.1 400\r\n"])
def test_who_speaks_no_tls_is_found_out_by_the_first_byte(said: bytes) -> None:
    with pytest.raises(NoTls):
        TlsServer(SHOWN).received(said)
    with pytest.raises(NoTls):
        TlsClient("1.3").received(said)


def test_a_client_that_gets_its_own_greeting_back_knows() -> None:
    client = TlsClient("1.2")
    with pytest.raises(NoTls):
        client.received(client.begin())
