"""A broker that speaks TLS, in both times: who refuses it says why, as its library does, and tries again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import pytest
from dcompute_sim import trace as t
from dcompute_sim.brokers.real_broker import BrokerError
from dcompute_sim.interfaces.world import EngineError
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario

PYTHON_SAYS = {
    "other_name": "mismatch, certificate is not valid for",
    "other_authority": "unable to get local issuer certificate",
    "expired": "certificate has expired",
    "not_yet": "certificate is not yet valid",
}
MBEDTLS_SAYS = {
    "other_name": "does not match with the expected CN",
    "other_authority": "is not correctly signed by the trusted CA",
    "expired": "validity has expired",
    "not_yet": "validity starts in the future",
}
Kind = Literal["virtual", "real"]


def scenario(certificate: str, duration: str, **changes: object) -> Scenario:
    return Scenario.model_validate(
        {
            "version": 1,
            "name": "tls",
            "duration": duration,
            "tls": {"certificate": certificate},
            "fleet": {"py": {"keepalive": "5s"}, "esp": {"kind": "firmware", "keepalive": "5s"}},
        }
        | changes
    )


@pytest.mark.parametrize("certificate", PYTHON_SAYS)
@pytest.mark.parametrize("kind", ["virtual", "real"])
def test_a_certificate_with_a_flaw_is_refused_and_the_node_says_why(kind: Kind, certificate: str) -> None:
    events = list(
        run_scenario(
            scenario(certificate, {"virtual": "2min", "real": "3s"}[kind]), RunOptions(time=kind)
        ).trace
    )
    assert not [event for event in events if isinstance(event, t.NodeConnected)]
    why = [
        event.reason for event in events if isinstance(event, t.NodeConnectFailed) and event.node == "py-1"
    ]
    assert why
    assert all(PYTHON_SAYS[certificate] in reason for reason in why)
    printed = [event.text for event in events if isinstance(event, t.NodeOutput)]
    refused = [line for line in printed if "cannot connect" in line]
    assert refused
    assert all(MBEDTLS_SAYS[certificate] in line for line in refused)
    assert not [line for line in printed if "resetting the interface" in line]  # the Wi-Fi is all right


def test_a_handshake_takes_a_board_its_time() -> None:
    """As long as its chip computes; a server takes its round trip for it."""

    def connected_s(**changes: object) -> dict[str, float]:
        events = run_scenario(scenario("valid", "30s", **changes), RunOptions(time="virtual")).trace
        return {event.node: event.t_s for event in events if isinstance(event, t.NodeConnected)}

    plain, secured = connected_s(tls=None), connected_s()
    assert 1.2 < secured["esp-1"] - plain["esp-1"] < 1.4
    assert 0 < secured["py-1"] - plain["py-1"] < 0.1


def test_two_runs_in_virtual_time_are_the_same() -> None:
    digests = {
        run_scenario(scenario("valid", "20s"), RunOptions(time="virtual")).trace.digest() for _ in range(2)
    }
    assert len(digests) == 1


def test_where_it_cannot_be_had_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match="mqtts://"):
        run_scenario(scenario("valid", "1s"), RunOptions(time="real", broker="mqtt://127.0.0.1:1"))
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.delitem(sys.modules, "dcompute_sim.brokers.certificate_authority", raising=False)
    with pytest.raises(BrokerError, match=r"pip install .*tls"):
        run_scenario(scenario("valid", "1s"), RunOptions(time="real"))


def secured(program: str) -> str:
    """A program of the field's, made to check the broker's certificate as umqtt would have it."""
    login = (
        'ssl=True, ssl_params={"server_hostname": config.MQTT_HOST, "cert_reqs": 2, '
        '"cadata": open(config.MQTT_CA_FILE, "rb").read()})'
    )
    return program.replace(
        "keepalive=config.MQTT_KEEPALIVE)", f"keepalive=config.MQTT_KEEPALIVE, {login}"
    ).replace("ID = config", "import ntptime\nntptime.settime()\nID = config")


@pytest.mark.parametrize("kind", ["virtual", "real"])
def test_a_program_of_the_users_is_judged_by_its_wire_with_tls_too(kind: Kind, tmp_path: Path) -> None:
    """What crosses is read in the clear; a certificate with a flaw is refused as ever."""
    program = (Path(__file__).parent / "foreign" / "bare_umqtt" / "main.py").read_text()
    (tmp_path / "main.py").write_text(secured(program))
    group = {"kind": "firmware", "files": str(tmp_path), "keepalive": "20s"}
    work: dict[str, object] = {
        "fleet": {"n": group},
        "workload": [
            {"tasks": 3, "rate": "2/s", "at": {"virtual": "12s", "real": "3s"}[kind], "via": "transport"}
        ],
    }
    duration = {"virtual": "20s", "real": "7s"}[kind]
    events = list(run_scenario(scenario("valid", duration, **work), RunOptions(time=kind)).trace)
    of_node = [event for event in events if getattr(event, "node", "") == "n-1"]
    assert [event for event in of_node if isinstance(event, t.NodeConnected)], events
    received = [event.task for event in of_node if isinstance(event, t.TaskReceived)]
    answered = [event.task for event in events if isinstance(event, t.ResultReceived)]
    assert len(received) == 3
    assert answered == received
    refused = scenario("expired", {"virtual": "12s", "real": "3s"}[kind], fleet={"n": group})
    events = list(run_scenario(refused, RunOptions(time=kind)).trace)
    assert not [event for event in events if isinstance(event, t.NodeConnected)]
    assert any(MBEDTLS_SAYS["expired"] in event.text for event in events if isinstance(event, t.NodeOutput))
