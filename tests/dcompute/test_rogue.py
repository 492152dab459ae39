"""A node that turned against the others, on brokers with the rules of `dcompute acl`; denial that is told.

DCOMPUTE_ROGUE_MESSAGES says how many hostile messages it sends (10,000 are to change nothing).
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.brokers import passwords
from dcompute_sim.brokers.access import Grant, UserRole, mosquitto_rules
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.wire import PacketKind
from dcompute_sim.brokers.real_broker import BrokerSecurity

from dcompute import FleetExecutor
from dcompute.master_transport import MasterNodeTransport
from dcompute.node_transport import ComputeNodeTransport
from dcompute.parts import Outgoing
from dcompute.protocol import HEARD_S

from ..conftest import PATIENCE_S
from .conftest import Eventually, Loop, ProbeClient, Served, World

MESSAGES = int(os.environ.get("DCOMPUTE_ROGUE_MESSAGES", "500"))
PASSWORD = "secret"
USERS = {
    "victim": UserRole.NODE,
    "rogue": UserRole.NODE,
    "boss": UserRole.MASTER,
    "boss-2": UserRole.MASTER,
    "work": UserRole.EXECUTOR,
}


@pytest.fixture(scope="module", params=["mosquitto", "embedded"])
def guarded(
    request: pytest.FixtureRequest, loop: Loop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A broker that holds each user to its role."""
    folder: Path = tmp_path_factory.mktemp("guarded")
    for user, role in USERS.items():
        passwords.set_user(folder / "passwords", user, PASSWORD, role)
    rules = folder / "acl"
    rules.write_text(mosquitto_rules(Grant(user, role) for user, role in USERS.items()))
    security = BrokerSecurity(folder / "passwords", acl_file=rules if request.param == "mosquitto" else None)
    served = Served(loop, request.param, security)
    yield served
    served.stop()


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def hostile(rng: random.Random, task: str, inc: str) -> Outgoing:
    """Something that an attacker would say; `inc` is what it has guessed."""
    status = rng.choice(["dead", "offline", "ready", "connected", "x"])
    forged: dict[str, Any] = {"node_id": rng.choice(["victim", "rogue"]), "inc": inc, "status": status}
    kinds: list[Callable[[], tuple[str, bytes]]] = [
        lambda: ("victim/status", body(**forged)),
        lambda: ("victim/status", b""),
        lambda: ("initialisation", body(**{**forged, "node_id": "victim"}, capabilities={"keepalive": 1})),
        lambda: ("initialisation", body(**{**forged, "node_id": f"ghost-{rng.random()}"})),
        lambda: (f"ghost-{rng.randrange(99)}/status", body(**{**forged, "node_id": "ghost"})),
        lambda: ("results", body(node_id="victim", inc=inc, task_id=task, result="forged")),
        lambda: ("results", body(node_id="victim", task_id=task, result="forged")),
        lambda: ("results", body(node_id="rogue", inc=inc, task_id=task, result="forged")),
        lambda: (
            "results/work",
            body(node_id="victim", inc=inc, task_id=task, attempt=1, n=1, ok=True, result="forged"),
        ),
        lambda: ("victim", body(id=f"evil-{rng.random()}", function="evil", priority=10)),
        lambda: ("victim", body(task_info={"command": "init"})),
        lambda: ("victim/update", rng.randbytes(80)),
        lambda: ("updates", b"DCU2H" + rng.randbytes(100)),
        lambda: (rng.choice(["results", "initialisation", "updates"]), rng.randbytes(50)),
        lambda: ("rogue/status", body(node_id="victim", status=status, inc=inc)),
    ]
    topic, payload = rng.choice(kinds)()
    return topic, payload, rng.random() < 0.3


def test_a_rogue_node_changes_nothing_of_another(guarded: Served, eventually: Eventually) -> None:
    node = ComputeNodeTransport(
        *("127.0.0.1", guarded.port, "victim"),
        username="victim",
        password=PASSWORD,
        install_signal_handlers=False,
    )
    assert node.start(timeout_s=PATIENCE_S), node.last_error
    master = MasterNodeTransport("127.0.0.1", guarded.port, username="boss", password=PASSWORD)
    other = MasterNodeTransport("127.0.0.1", guarded.port, username="boss-2", password=PASSWORD)
    deaths: list[str] = []
    master.set_dead_nodes_callback(deaths.extend)
    fleet = FleetExecutor("127.0.0.1", guarded.port, username="work", password=PASSWORD, name="work")
    rogue = ProbeClient(guarded.port, "rogue", ["rogue"], login=("rogue", PASSWORD))
    try:
        assert master.start(timeout_s=PATIENCE_S), master.last_error
        assert other.start(timeout_s=PATIENCE_S), other.last_error
        eventually(lambda: len(master.get_nodes_by_status("ready")) == 1)
        before = master.get_node_info("victim")
        sent = master.send_task("victim", {"id": "t-1", "function": "f"})
        promised = fleet.submit_task({"function": "g"}, key="t-2")
        eventually(lambda: node.counters()["tasks_waiting"] == 2)
        rng = random.Random(7)
        rogue.flood([hostile(rng, rng.choice(["t-1", "t-2"]), f"{n:012x}.1") for n in range(MESSAGES)])
        # Its turn is over when what it says last has come.
        rogue.publish("rogue/status", body(node_id="rogue", status="done", inc="r.1"), retain=True)
        eventually(lambda: "rogue" in [info["node_id"] for info in master.get_nodes_by_status("done")])
        after = master.get_node_info("victim")
        assert before is not None
        assert after is not None
        assert {**after, "last_seen": 0} == {**before, "last_seen": 0}
        assert "victim" not in deaths
        assert master.get_results().get("victim", []) == []
        assert not promised.done()
        waiting = {str((node.get_task() or {})["id"]) for _ in range(2)}
        assert waiting == {"t-1", "t-2"}
        assert node.get_task() is None, "of its own topic nobody else can write"
        node.send_result("genuine", sent)
        node.send_result("genuine", "t-2")
        eventually(lambda: master.get_results().get("victim"))
        assert [record["result"] for record in master.get_results()["victim"]] == ["genuine"]
        assert promised.result(PATIENCE_S) == "genuine"
        late = MasterNodeTransport("127.0.0.1", guarded.port, username="boss-2", password=PASSWORD)
        other.stop()
        assert late.start(timeout_s=PATIENCE_S), late.last_error  # reads what is retained
        eventually(lambda: {"victim", "rogue"} <= {info["node_id"] for info in late.get_node_info()})
        assert {info["node_id"] for info in late.get_node_info()} == {"victim", "rogue"}
        late.kill()
        node.kill()
        eventually(lambda: "victim" in deaths)
        assert deaths.count("victim") == 1, "a real death is told, once"
    finally:
        for member in (node, master, other):
            member.kill()
        fleet.close()
        rogue.close()


def test_a_rogue_throws_nobody_out_and_dies_for_nobody(guarded: Served, eventually: Eventually) -> None:
    node = ComputeNodeTransport("127.0.0.1", guarded.port, "victim", username="victim", password=PASSWORD)
    master = MasterNodeTransport("127.0.0.1", guarded.port, username="boss", password=PASSWORD)
    deaths: list[str] = []
    master.set_dead_nodes_callback(deaths.extend)
    try:
        assert node.start(timeout_s=PATIENCE_S), node.last_error
        assert master.start(timeout_s=PATIENCE_S), master.last_error
        eventually(lambda: master.get_nodes_by_status("ready"))
        inc = node.inc
        for client_id in ("victim", "boss", "master-1"):
            will = ("victim/status", body(node_id="victim", status="dead"), True)
            try:
                rogue = ProbeClient(guarded.port, client_id, ["#"], will, login=("rogue", PASSWORD))
            except AssertionError:  # refused, as the embedded broker does
                continue
            rogue.publish("rogue/status", b"", retain=True)
            assert all(topic.startswith("rogue") for topic, *_ in rogue.got), "it hears of nobody"
            rogue.kill()
        task = master.send_task("victim", {"function": "f"})
        eventually(lambda: node.get_task())
        node.send_result(1, task)
        eventually(lambda: master.get_results().get("victim"))
        assert (node.inc, deaths) == (inc, [])
        assert (node.counters()["connections"], master.counters()["connections"]) == (1, 1)
    finally:
        node.kill()
        master.kill()


# --- denial is told ---------------------------------------------------------------------------------------


def test_a_node_whose_status_does_not_come_back_says_so(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    node = ComputeNodeTransport(node_id="n", driver=world, install_signal_handlers=False)
    node.start()
    broker = world.wires[-1].accept()
    broker.published()
    world.run(HEARD_S + 1)
    assert node.is_connected()
    assert "access rules" in node.last_error
    assert "n/status" in caplog.text
    broker.say(wire.publish("n/status", body(node_id="n", status="ready", inc=node.inc)))
    assert node.last_error == ""


def test_a_node_that_hears_itself_suspects_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    node = ComputeNodeTransport(node_id="n", driver=world, install_signal_handlers=False)
    node.start()
    broker = world.wires[-1].accept()
    broker.published()
    broker.say(wire.publish("n/status", body(node_id="n", status="ready", inc=node.inc)))
    world.run(HEARD_S + 1)
    assert node.last_error == caplog.text == ""


def test_a_master_that_hears_nothing_asks_and_then_says_so(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    master = MasterNodeTransport(client_id="boss", driver=world)
    master.start()
    broker = world.wires[-1].accept()
    broker.heard()
    world.run(HEARD_S + 1)
    assert master.last_error == "", "a fleet may be empty"
    (asked,) = (packet for packet in broker.heard() if packet.kind is PacketKind.PUBLISH)
    message = wire.read_publish(asked)
    assert (message.topic, message.payload, message.retain) == ("boss/status", b"", False)
    broker.say(wire.acknowledgement(PacketKind.PUBACK, message.packet_id))
    world.run(HEARD_S)
    assert "+/status" in master.last_error
    assert "access rules" in caplog.text
    broker.say(wire.publish("n/status", b""))
    assert master.last_error == ""


def test_a_master_says_of_a_node_that_it_never_answers(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Its results are denied, or its tasks: a question tells them apart; one that is at work is let be."""
    master = MasterNodeTransport(client_id="boss", driver=world)
    master.start()
    broker = world.wires[-1].accept()

    def says(node_id: str, status: str) -> None:
        topic = f"{node_id}/status"
        broker.say(wire.publish(topic, body(node_id=node_id, status=status, inc="a.1")))

    def asked() -> list[str]:
        heard = [wire.read_publish(p) for p in broker.heard() if p.kind is PacketKind.PUBLISH]
        for message in heard:
            if message.qos:
                broker.say(wire.acknowledgement(PacketKind.PUBACK, message.packet_id))
        return [message.topic for message in heard if b"init" in message.payload]

    for node_id in ("deaf", "dumb", "busy", "fine"):
        says(node_id, "ready")
        master.send_task(node_id, {"id": f"t-{node_id}", "function": "f"})
    broker.say(wire.publish("results", body(node_id="fine", inc="a.1", task_id="t-fine", result=1)))
    world.run(1)
    asked()
    world.run(HEARD_S)
    assert sorted(asked()) == ["busy", "deaf", "dumb"]
    says("dumb", "ready")
    says("busy", "busy")
    assert "dumb was given work" in master.last_error
    assert "keep it from writing its results" in caplog.text
    world.run(HEARD_S + 1)
    assert "deaf was given work and then asked, and has said nothing" in caplog.text
    assert "busy was" not in caplog.text
    for node_id in ("dumb", "deaf"):
        broker.say(
            wire.publish("results", body(node_id=node_id, inc="a.1", task_id=f"t-{node_id}", result=1))
        )
    assert master.last_error == ""


def test_a_node_whose_status_never_comes_is_named(world: World, caplog: pytest.LogCaptureFixture) -> None:
    master = MasterNodeTransport(client_id="boss", driver=world)
    master.start()
    broker = world.wires[-1].accept()
    broker.say(wire.publish("initialisation", body(node_id="n", status="connected", inc="a.1")))
    world.run(HEARD_S + 1)
    assert "n has announced itself, but its status does not come" in master.last_error
    broker.say(wire.publish("n/status", body(node_id="n", status="ready", inc="a.1")))
    assert master.last_error == ""


def test_an_executor_that_may_read_nothing_says_so(world: World, caplog: pytest.LogCaptureFixture) -> None:
    fleet = FleetExecutor(name="work", driver=world)
    broker = world.wires[-1].accept()
    broker.heard()
    fleet.submit_task({"function": "f"})
    world.run(HEARD_S + 1)
    assert fleet.last_error == "", "a fleet may be empty"
    said = [wire.read_publish(packet) for packet in broker.heard() if packet.kind is PacketKind.PUBLISH]
    (asked,) = (message for message in said if message.topic == "work/status")
    assert (asked.payload, asked.retain) == (b"", False)
    broker.say(wire.acknowledgement(PacketKind.PUBACK, asked.packet_id))
    world.run(HEARD_S)
    assert "not to let this user write and read +/status" in fleet.last_error
    assert "executor: nothing comes" in caplog.text
    broker.say(wire.publish("n/status", body(node_id="n", status="ready", inc="a.1")))
    assert fleet.last_error == ""
    fleet.close()


def test_an_executor_says_whose_answers_do_not_come(world: World, caplog: pytest.LogCaptureFixture) -> None:
    fleet = FleetExecutor(name="work", driver=world)
    broker = world.wires[-1].accept()

    def ready(inc: str) -> None:
        said = body(node_id="n", status="ready", inc=inc, capabilities={"credit": 4})
        broker.say(wire.publish("n/status", said))

    ready("a.1")
    fleet.submit_task({"function": "f"})
    world.run(HEARD_S + 1)
    assert fleet.last_error == ""
    ready("a.1")
    assert "n was given work, says that it is 'ready' and has not answered" in fleet.last_error
    assert "executor: n was given work" in caplog.text
    fleet.close()
