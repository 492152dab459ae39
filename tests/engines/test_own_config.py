"""A program's own config.py: the run's settings come after it, or the scenario is refused where it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from dcompute_sim import trace as t
from dcompute_sim.interfaces.world import EngineError
from dcompute_sim.nodes.firmware_node import config_for
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import ScenarioError, load
from dcompute_sim.scenario.own_config import SETTINGS

PROGRAM = """
import config
print(config.COLOUR, config.MQTT_PORT + 0, config.url(), config.BROKER == config.MQTT_HOST, config.PORT + 1)
"""
SCENARIO = """
version: 1
name: own
duration: 2s
fleet:
  n: {kind: firmware, files: program, config: {BROKER: '{MQTT_HOST}', PORT: '{MQTT_PORT}'}}
"""


def write(folder: Path, config: str, name: str = "config.py") -> Path:
    program = folder / "program"
    program.mkdir()
    (program / "main.py").write_text(PROGRAM)
    (program / name).write_text(config)
    file = folder / "own.yaml"
    file.write_text(SCENARIO)
    return file


def test_it_comes_first_and_the_run_after_it(tmp_path: Path) -> None:
    own = """
MQTT_HOST, COLOUR = "192.168.1.7", "blue"
MQTT_PORT = 8883
def url():
    return MQTT_HOST
"""
    outcome = run_scenario(load(write(tmp_path, own)))
    said = [event.text for event in outcome.trace if isinstance(event, t.NodeOutput)]
    assert said == ["blue 1883 broker True 1884"]


@pytest.mark.parametrize(
    ("name", "config", "why"),
    [
        ("config.py", 'A = 1\nURL = "mqtt://" + MQTT_HOST\n', "config.py, line 2: URL is made of MQTT_HOST"),
        ("config.py", "if MQTT_TLS:\n    HOW = 2\n", "config.py, line 1: HOW is made of MQTT_TLS"),
        ("config.py", "A = 1\nB = (\n", "config.py, line 2:"),
        ("config.mpy", "M", "config.mpy is compiled"),
    ],
)
def test_what_cannot_be_merged_is_refused_where_the_scenario_says_files(
    tmp_path: Path, name: str, config: str, why: str
) -> None:
    with pytest.raises(ScenarioError) as refused:
        load(write(tmp_path, config, name))
    (problem,) = refused.value.problems
    assert why in problem.message
    assert (problem.where.line, problem.where.column) == (6, 30)


def test_what_the_group_gives_itself_stands_in_nobodys_way(tmp_path: Path) -> None:
    load(write(tmp_path, "PORT = MQTT_PORT\n"))


def test_the_settings_are_those_that_a_board_gets() -> None:
    class Machine:
        address = ("h", 1)

        class login:  # as a machine has it
            username = password = tls = authority = None

    from dcompute_sim.interfaces.node import NodeSpec
    from dcompute_sim.scenario import Group

    spec = NodeSpec("n-1", "n-1", "n", Group())
    assert tuple(config_for(spec, Machine())) == SETTINGS  # type: ignore[arg-type]


CREDENTIALS = """
version: 1
name: credentials
duration: 20s
users: {{plant: the broker's}}
fleet:
  n: {{kind: firmware{more}}}
expect: [{{final_status: {{status: ready}}}}]
"""


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", None),
        (", config: {WIFI_PASSWORD: '{WIFI_PASSWORD}'}", None),
        (", config: {WIFI_PASSWORD: not the one}", "Wi-Fi"),
        (", wifi_password: the plant's", None),
        (", wifi_password: the plant's, config: {WIFI_PASSWORD: the plant's}", None),
        (", wifi_password: the plant's, config: {WIFI_PASSWORD: testbed-only}", "Wi-Fi"),
        (", config: {MQTT_USER: plant, MQTT_PASSWORD: the broker's}", None),
        (", config: {MQTT_USER: plant, MQTT_PASSWORD: another}", "cannot connect: MQTTException(5,)"),
        (", config: {MQTT_USER: somebody, MQTT_PASSWORD: the broker's}", "cannot connect: MQTTException(5,)"),
    ],
)
def test_a_wrong_password_lets_no_board_in(tmp_path: Path, more: str, said: str | None) -> None:
    path = tmp_path / "credentials.yaml"
    path.write_text(CREDENTIALS.format(more=more))
    outcome = run_scenario(load(path))
    output = "\n".join(event.text for event in outcome.trace if isinstance(event, t.NodeOutput))
    connected = any(isinstance(event, t.NodeStatusSeen) for event in outcome.trace)
    assert connected is (said is None), output
    assert said is None or said in output


def test_users_of_a_broker_are_those_of_virtual_time(tmp_path: Path) -> None:
    path = tmp_path / "credentials.yaml"
    path.write_text(CREDENTIALS.format(more=", config: {COLOUR: blue}"))
    with pytest.raises(EngineError, match="a real one has a password file"):
        run_scenario(load(path), RunOptions(time="real"))
