"""The registry against a tiny model of what it promises, through any course of events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dcompute_sim.mutants.classes import master_classes
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from dcompute._master.effects import DeclareDead, Effect, Probe
from dcompute.events import DeathReported, ResultReceived
from dcompute.parts import Registry
from dcompute.protocol import Announcement, ResultMessage, StatusMessage

NODES = st.sampled_from(["a", "b", "old"])  # `old` has no incarnations
INCS = st.sampled_from(["1", "2", "3"])
LIVENESS_S = 10.0


class Model:
    """One node, as the promises describe it."""

    def __init__(self) -> None:
        self.status: str | None = None
        self.inc = ""
        self.deadline_s: float | None = None
        self.heard = False  # live, over this connection
        self.declared: str | None = None
        self.lives: set[str] = set()  # that its statuses have named
        self.only_announced = False
        self.waiting: list[tuple[str, str | None, int]] = []  # results of lives not named yet

    def knows(self, inc: str) -> bool:
        return not self.inc or inc in self.lives


class RegistryMachine(RuleBasedStateMachine):
    registry_class: Callable[..., Registry] = Registry

    def __init__(self) -> None:
        super().__init__()
        self.registry = self.registry_class(liveness_s=LIVENESS_S)
        self.now_s = 100.0
        self.nodes: dict[str, Model] = {}
        self.forgotten: set[str] = set()
        self.dead: list[str] = []
        self.results: dict[str, list[int]] = {}
        self.tasks: set[tuple[str, str | None]] = set()
        self.given: dict[str, set[str]] = {}
        self.number = 0

    # --- what happens

    @rule(node=NODES, inc=INCS, status=st.sampled_from(["ready", "busy"]), retained=st.booleans())
    def speaks(self, node: str, inc: str, status: str, retained: bool) -> None:
        inc = "" if node == "old" else inc
        effects = self._receive(StatusMessage(node, status, inc), retained)
        model = self._model(node)
        if model is None:
            assert effects == []
            return
        self._has_named(model, inc)
        if retained and model.heard:
            assert effects == []
            return
        self._is_alive(model, status, inc, live=not retained)
        assert self._deaths(effects) == []
        waited, model.waiting = model.waiting, []
        for of, task, number in waited:
            if model.knows(of) and not self._is_repeat(node, task):
                assert ResultReceived(node, task or "", number) in effects
                self._counts(node, task, number)
        if retained:
            model.deadline_s = self.now_s + LIVENESS_S
            assert Probe(node) in effects

    @rule(node=NODES, inc=INCS)
    def announces(self, node: str, inc: str) -> None:
        inc = "" if node == "old" else inc
        self.forgotten.discard(node)
        effects = self._receive(Announcement(node, "connected", inc), False)
        known = node in self.nodes
        model = self._model(node)
        assert model is not None
        model.only_announced |= not known
        assert self._deaths(effects) == []
        if model.only_announced:
            model.status, model.inc = "connected", inc
        elif model.knows(inc):
            self._is_alive(model, "connected", inc, live=True)
        else:
            assert effects == []

    @rule(node=NODES, inc=INCS, status=st.sampled_from(["dead", "offline"]), retained=st.booleans())
    def is_gone(self, node: str, inc: str, status: str, retained: bool) -> None:
        inc = "" if node == "old" else inc
        effects = self._receive(StatusMessage(node, status, inc), retained)
        model = self._model(node)
        if model is None:
            assert effects == []
            return
        self._has_named(model, inc)
        stale = bool(inc and model.inc and inc != model.inc)
        if not stale and status == "dead" and not retained and inc == model.declared:
            model.declared = None
            stale = model.status not in ("dead", "offline")
        if stale:
            assert self._deaths(effects) == []
            return
        model.heard |= not retained
        told = [] if model.status in ("dead", "offline") else [(node, inc or model.inc)]
        assert self._deaths(effects) == told
        self.dead += [node] if told and node not in self.dead else []
        model.status, model.inc, model.deadline_s = status, inc or model.inc, None

    @rule(node=NODES, inc=INCS, task=st.sampled_from([None, "t1", "t2", "t3"]), retained=st.booleans())
    def result(self, node: str, inc: str, task: str | None, retained: bool) -> None:
        self.number += 1
        effects = self._receive(ResultMessage(node, self.number, None, task, inc=inc), retained)
        model = self.nodes.get(node)
        if retained or node in self.forgotten or self._is_repeat(node, task):
            assert not any(isinstance(effect, ResultReceived) for effect in effects)
        elif model is not None and not model.only_announced and not model.knows(inc):
            assert effects == []
            model.waiting.append((inc, task, self.number))
        else:
            assert effects == [ResultReceived(node, task or "", self.number)]
            self._counts(node, task, self.number)
            if model is not None and model.inc == inc:
                model.deadline_s = None

    def _is_repeat(self, node: str, task: str | None) -> bool:
        nodes = self.given.get(task or "")
        return (("" if nodes else node, task) in self.tasks) or (nodes is not None and node not in nodes)

    def _counts(self, node: str, task: str | None, number: int) -> None:
        if task is not None:
            self.tasks.add(("" if task in self.given else node, task))
        self.results.setdefault(node, []).append(number)

    @rule(node=NODES, task=st.sampled_from(["t1", "t2"]))
    def is_given(self, node: str, task: str) -> None:
        self.registry.sent(task, self.registry.next_attempt(task), node)
        self.given.setdefault(task, set()).add(node)

    @rule(seconds=st.floats(0, 15))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        overdue = [
            n for n, m in self.nodes.items() if m.deadline_s is not None and m.deadline_s <= self.now_s
        ]
        expected = [(node, self.nodes[node].inc) for node in overdue]
        due_s = self.registry.next_deadline_s()
        assert not overdue or (due_s is not None and due_s <= self.now_s), "nobody would call tick"
        effects = self.registry.tick(self.now_s, self.now_s)
        assert not any(isinstance(e, Probe) and e.node_id in self.forgotten for e in effects)
        assert sorted(self._deaths(effects)) == sorted(expected)
        assert sorted((e.node_id, e.inc) for e in effects if isinstance(e, DeclareDead)) == sorted(expected)
        for node in [node for node, _ in self._deaths(effects)]:
            model = self.nodes[node]
            model.status, model.deadline_s, model.declared = "dead", None, model.inc
            self.dead += [] if node in self.dead else [node]

    @rule()
    def link_is_lost(self) -> None:
        self.registry.link_down()
        for model in self.nodes.values():
            model.deadline_s, model.heard, model.declared = None, False, None

    @rule()
    def link_is_up(self) -> None:
        effects = self.registry.link_up(self.now_s)
        alive = [
            node
            for node, model in self.nodes.items()
            if model.status not in ("dead", "offline") and not model.only_announced
        ]
        assert effects == [Probe(node) for node in alive]
        for node in alive:
            self.nodes[node].deadline_s = self.now_s + LIVENESS_S

    # --- what is asked

    @rule(node=NODES)
    def forget(self, node: str) -> None:
        assert self.registry.forget(node) == (node in self.nodes)
        self.nodes.pop(node, None)
        self.results.pop(node, None)
        self.dead = [other for other in self.dead if other != node]
        self.forgotten.add(node)

    @rule(only=st.none() | st.sets(NODES), remove=st.booleans())
    def collect_results(self, only: set[str] | None, remove: bool) -> None:
        found = self.registry.results(only, remove=remove)
        expected = {n: r for n, r in self.results.items() if only is None or n in only}
        assert {node: [r["result"] for r in results] for node, results in found.items()} == expected
        if remove:
            self.results = {n: r for n, r in self.results.items() if n not in expected}

    @rule()
    def collect_the_dead(self) -> None:
        assert self.registry.dead_nodes(empty=True) == self.dead
        self.dead = []

    # --- what always holds

    @invariant()
    def states_are_right(self) -> None:
        assert {i["node_id"]: (i["status"], i["inc"]) for i in self.registry.infos()} == {
            node: (model.status, model.inc) for node, model in self.nodes.items()
        }
        assert self.registry.dead_nodes(empty=False) == self.dead

    def _receive(self, message: Any, retained: bool) -> list[Effect]:
        return self.registry.receive(message, retained=retained, now_s=self.now_s, wall_s=self.now_s)

    def _model(self, node: str) -> Model | None:
        return None if node in self.forgotten else self.nodes.setdefault(node, Model())

    def _has_named(self, model: Model, inc: str) -> None:
        if model.only_announced:
            model.only_announced, model.status, model.inc = False, None, ""
        model.lives |= {inc} - {""}

    def _is_alive(self, model: Model, status: str, inc: str, *, live: bool) -> None:
        model.status, model.inc, model.deadline_s = status, inc, None
        model.heard |= live

    def _deaths(self, effects: list[Effect]) -> list[tuple[str, str]]:
        return [(e.node, e.inc) for e in effects if isinstance(e, DeathReported)]


TestRegistry = RegistryMachine.TestCase
TestRegistry.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("mutant", ["ignore-incarnation", "no-liveness", "accept-repeats"])
def test_the_model_notices_a_mutant(mutant: str) -> None:
    _, mutated = master_classes((mutant,))

    class Mutated(RegistryMachine):
        registry_class: Callable[..., Registry] = staticmethod(mutated)

    quick = settings(max_examples=200, stateful_step_count=40, deadline=None, phases=[Phase.generate])
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Mutated, settings=quick)
