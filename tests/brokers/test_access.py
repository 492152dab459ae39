"""`dcompute acl`, roles in the password file, and the walk of docs/security.md."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dcompute_sim.brokers import passwords
from dcompute_sim.brokers.access import AccessRules, Grant, UserRole, covers, mosquitto_rules, rights_of
from dcompute_sim.commands import app
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from ..conftest import PATIENCE_S

ROOT = Path(__file__).parents[2]

FLEET = """
defaults:
  wifi: {ssid: workshop}
  broker: {host: localhost}
  namespace: plant-1
boards:
  kiln: {port: /dev/ttyUSB0, login: {password: hot}}
  saw: {port: /dev/ttyUSB1, login: {user: saw, password: sharp}}
"""

levels = st.sampled_from(["a", "b", "+", "#", "$SYS", ""])
topics = st.lists(st.sampled_from(["a", "b", "", "$SYS"]), min_size=1, max_size=4).map("/".join)
filters = st.lists(levels, min_size=1, max_size=4).map("/".join)


def matches(topic_filter: str, topic: str) -> bool:
    """MQTT 4.7, told anew."""
    if topic.startswith("$") and topic_filter[:1] in ("+", "#"):
        return False
    pattern = "/".join(
        {"+": "[^/]*", "#": ".*"}.get(level, re.escape(level)) for level in topic_filter.split("/")
    )
    return bool(re.fullmatch(pattern.replace("/.*", "(/.*)?"), topic))


@given(filters, topics)
def test_a_right_covers_the_topics_that_it_matches(right: str, topic: str) -> None:
    if "#" not in right.split("/")[:-1]:
        assert covers(right, topic) == matches(right, topic)


@given(filters, filters, topics)
def test_a_right_that_covers_a_filter_matches_all_of_its_topics(right: str, wanted: str, topic: str) -> None:
    if "#" not in right.split("/")[:-1] + wanted.split("/")[:-1]:
        assert not (covers(right, wanted) and matches(wanted, topic)) or matches(right, topic)


def test_a_node_may_say_its_own_and_hear_its_own() -> None:
    rights = rights_of(Grant("n", namespace="p"))
    said = ("p/n/status", "p/initialisation", "p/results", "p/results/x-1", "p/updates")
    assert all(map(rights.may_publish, said))
    foreign = ("p/m/status", "p/m", "p/n", "p/m/update", "n/status", "p/results/x/y", "$SYS/a")
    assert not any(map(rights.may_publish, foreign))
    assert all(map(rights.may_subscribe, ("p/n", "p/n/status", "p/n/update")))
    strange = ("#", "+/status", "p/+", "p/m", "p/#", "p/results", "p/n/#", "$SYS/#", "p/initialisation")
    assert not any(map(rights.may_subscribe, strange))


def test_client_ids_are_bound_to_users() -> None:
    rules = AccessRules(
        [Grant("n"), Grant("m"), Grant("boss", UserRole.MASTER), Grant("x", UserRole.EXECUTOR)]
    )
    assert rules.may_connect("n", "n")
    assert rules.may_connect("boss", "master-12ab")
    for user, client_id in [("n", "m"), ("n", "master-12ab"), ("boss", "n"), ("boss", "x"), ("nobody", "z")]:
        assert not rules.may_connect(user, client_id)


def invoke(*words: object, said: str = "") -> tuple[int, str, str]:
    environment = {"DCOMPUTE_PASSWORD": said or None}
    result = CliRunner().invoke(app, [str(word) for word in words], env=environment)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    file = tmp_path / "fleet.yaml"
    file.write_text(FLEET)
    return file


def test_the_rules_name_every_board_and_program(fleet: Path, tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    status, rules, _ = invoke("acl", fleet, "--node", "srv", "--executor", "work", "--password-file", file)
    assert status == 0
    grants = [Grant(name, namespace="plant-1") for name in ("kiln", "saw", "srv")]
    grants += [Grant("master", UserRole.MASTER, "plant-1"), Grant("work", UserRole.EXECUTOR, "plant-1")]
    assert rules == mosquitto_rules(grants)
    assert passwords.load_grants(file) == {name: Grant(name, namespace="plant-1") for name in ("kiln", "saw")}
    assert passwords.verify(b"sharp", passwords.load(file)["saw"])
    status, rules, _ = invoke("acl", fleet, "--for", "emqx")
    assert '{allow, {username, "saw"}, subscribe, ["plant-1/saw", "plant-1/saw/status"' in rules
    assert rules.endswith("{deny, all}.\n")


@pytest.mark.parametrize(
    ("edit", "options", "named"),
    [
        (("login: {password: hot}", "type: x"), (), "fleet.yaml:7.*it has no user"),
        (("user: saw", "user: kiln"), (), "fleet.yaml:8.*it logs in as `kiln`"),
        (("password: sharp}", "password: sharp}, namespace: q"), (), "several namespaces"),
        (("", ""), ("--master", "kiln"), "kiln: named twice"),
        (("", ""), ("--node", "a/b"), "a/b"),
        (("boards", "bords"), (), "fleet.yaml:"),
    ],
)
def test_what_cannot_be_held_apart_is_refused(
    fleet: Path, edit: tuple[str, str], options: tuple[str, ...], named: str
) -> None:
    fleet.write_text(fleet.read_text().replace(*edit, 1))
    status, rules, said = invoke("acl", fleet, *options)
    assert (status, rules) == (2, "")
    assert re.search(named, said, re.S), said
    assert "hot" not in said


def test_a_role_that_is_none_is_named(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    passwords.set_user(file, "n", "x")
    file.write_text(f"{file.read_text()}#role n king\n")
    with pytest.raises(passwords.PasswordFileError, match=r"passwords:3: .*roles are node, master"):
        passwords.load_grants(file)
    with pytest.raises(passwords.PasswordFileError, match="known to the broker by its id"):
        passwords.set_user(file, "updates", "x")


# --- the walk ---------------------------------------------------------------------------------------------


def walk() -> tuple[str, list[str]]:
    """The fleet file and the commands of docs/security.md."""
    text = (ROOT / "docs" / "security.md").read_text()
    section = text.split("## TLS, passwords, rules")[1].split("\n## ")[0]
    fleet = section.split("```yaml\n")[1].split("```")[0]
    outside = re.sub(r"^```.*?^```$", "", section, flags=re.M | re.S)
    return fleet, [line[4:].split("  #")[0] for line in outside.splitlines() if line.startswith("    ")]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """A folder with all that the walk makes before it comes to a broker; the commands that are left."""
    fleet, commands = walk()
    with contextlib.chdir(tmp_path_factory.mktemp("walk")):
        Path("fleet.yaml").write_text(fleet)
        Path("secrets.env").write_text("KILN=1\nSAW=2\n")
        first = next(n for n, command in enumerate(commands) if command.startswith("dcompute broker --"))
        for command in commands[:first]:
            run(command, "4")
        yield commands[first:]


@pytest.fixture(params=["embedded", "mosquitto"])
def walked(request: pytest.FixtureRequest, prepared: list[str]) -> Iterator[list[str]]:
    """A broker as the walk starts it, in this folder; the commands that are left."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
    embedded, mosquitto, *left = (command.replace("8883", str(port)) for command in prepared)
    serves = mosquitto if request.param == "mosquitto" else embedded
    broker = subprocess.Popen([sys.executable, "-m", *shlex.split(serves)], stdout=subprocess.PIPE, text=True)
    assert broker.stdout is not None
    assert "listens" in broker.stdout.readline()
    yield left
    broker.terminate()
    broker.wait(PATIENCE_S)


def run(command: str, password: str) -> str:
    """Do as a shell would, which knows `> FILE`."""
    words, _, file = command.partition(" > ")
    program, *options = shlex.split(words)
    if program != "dcompute":
        return subprocess.run([program, *options], check=True, capture_output=True, text=True).stdout
    status, printed, said = invoke(*options, said=password)
    assert status == 0, f"{command}\n{printed}{said}"
    if file:
        Path(file).write_text(printed)
    return " ".join(printed.split())


def test_the_walk_of_the_document_works(walked: list[str]) -> None:
    kiln, master = walked
    assert "may speak and hear for kiln only" in run(kiln, "1")
    assert "may do what a master does" in run(master, "4")


def test_a_check_tells_a_broker_without_rules(tmp_path: Path) -> None:
    """Each thing that a node could do beyond its own is found."""
    from dcompute_sim.brokers.broker_process import BrokerProcess
    from dcompute_sim.brokers.real_broker import BrokerSecurity

    file = tmp_path / "passwords"
    passwords.set_user(file, "kiln", "1", UserRole.ANY)

    async def checked() -> tuple[int, str, str]:
        broker = BrokerProcess("embedded", BrokerSecurity(password_file=file))
        await broker.start()
        try:
            url = f"mqtt://kiln@127.0.0.1:{broker.port}"
            return await asyncio.to_thread(invoke, "broker", "check", url, "--role", "node", said="1")
        finally:
            await broker.stop()

    status, said, _ = asyncio.run(checked())
    assert status == 1
    assert "it can speak for other nodes" in " ".join(said.split())
