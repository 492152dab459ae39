"""What may stand behind `--broker`: kinds and addresses, and the words for what may not."""

from __future__ import annotations

import asyncio
import socket

import pytest
from dcompute_sim.brokers.external import ExternalBroker, unreachable
from dcompute_sim.brokers.factory import make_broker
from dcompute_sim.brokers.names import KINDS, not_in_real_time, not_in_virtual_time
from dcompute_sim.brokers.real_broker import BrokerError

from dcompute.broker_url import BadBrokerUrl, BrokerUrl


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_known_by_its_name(kind: str) -> None:
    broker = make_broker(kind)
    assert broker.name == kind
    assert broker.can_restart


def test_anything_else_is_answered_with_what_there_is() -> None:
    with pytest.raises(BrokerError, match=r"'mosquito'.*embedded, model, amqtt-plain, mosquitto.*mqtt://"):
        make_broker("mosquito")
    for told in (not_in_virtual_time("mosquito"), not_in_real_time("mosquito")):
        assert "no broker 'mosquito': did you mean mosquitto?" in told
        assert "aws-iot" in told, "what the other kind of time has"
        assert "amqtt-plain" in told
    assert not_in_virtual_time("foo").startswith("no broker 'foo'"), "a slip is no real broker"


def test_a_broker_of_the_other_kind_of_time_is_sent_there() -> None:
    for real in ("amqtt-plain", "mqtt://10.0.0.7"):
        assert "is a real one" in not_in_virtual_time(real)
        assert "--time real" in not_in_virtual_time(real)
    with pytest.raises(BrokerError, match=r"'emqx' is a model.*--time virtual"):
        make_broker("emqx")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://broker", BrokerUrl("broker", 1883)),
        ("mqtts://broker", BrokerUrl("broker", 8883, tls=True)),
        ("mqtt://me:p%40ss@10.0.0.7:1884/", BrokerUrl("10.0.0.7", 1884, username="me", password="p@ss")),
        ("mqtt://me@[::1]:1884", BrokerUrl("::1", 1884, username="me")),
    ],
)
def test_addresses(url: str, address: BrokerUrl) -> None:
    assert BrokerUrl.parse(url) == address


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://broker", "begins with mqtt://"),
        ("broker:1883", "begins with mqtt://"),
        ("mqtt://", "names no host"),
        ("mqtt://broker:notaport", "ort"),
        ("mqtt://broker:70000", "ort"),
        ("mqtt://broker:0", "port 0"),
        ("mqtt://broker/topic", "ends after its port"),
        ("mqtt://:secret@broker", "password without a user"),
    ],
)
def test_wrong_addresses(url: str, word: str) -> None:
    with pytest.raises(BadBrokerUrl, match=word) as caught:
        BrokerUrl.parse(url)
    assert "secret" not in str(caught.value)


def test_an_address_never_shows_its_password() -> None:
    address = BrokerUrl.parse("mqtts://me:secret@[::1]:8884")
    assert str(address) == "mqtts://me@[::1]:8884"
    assert "secret" not in repr(address)


def test_an_external_broker_is_left_alone() -> None:
    broker = ExternalBroker.from_url("mqtt://127.0.0.1:1")
    assert not broker.can_restart
    with pytest.raises(BrokerError, match="did not start"):
        asyncio.run(broker.restart(keep_memory=True))
    with pytest.raises(BrokerError, match="nothing listens there"):
        asyncio.run(broker.start())


def test_an_external_broker_that_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        asyncio.run(ExternalBroker.from_url(f"mqtt://127.0.0.1:{server.getsockname()[1]}").start())


def test_reasons_for_not_being_reachable() -> None:
    assert "no such host" in unreachable(socket.gaierror(-2, "Name or service not known"))
    assert "No route to host" in unreachable(OSError(113, "No route to host"))
