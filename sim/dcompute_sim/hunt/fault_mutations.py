"""Changes of what befalls a scenario: when faults strike, whom, and which do. Some find nothing to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dcompute_sim.faults import KINDS, Fault, NodeFault
from dcompute_sim.faults.schedule import Select
from dcompute_sim.hunt.draft import CLOSE_S, Draft, ends_at_once, is_for_good, lasting
from dcompute_sim.hunt.moments import STAGES, Moment
from dcompute_sim.scenario.swarm import NOISE, draw_noise, longest_s
from dcompute_sim.yamlfile.units import format_duration

_IN_A_ROW_S = 1.5  # how soon after the one before, and for how long, at most
_ROOM_S = 2.0  # that each of a row takes, about
_WAITING = 0.2  # share of a row that waits for a state: the more do, the fewer of them come
_AT_WORK = ("task_received", "task_taken", "result_held")
_STEPS = (2, 3, 4, 4)
_AT_ONCE = 0.2  # share of the steps that wait for no other state


def near_another(draft: Draft) -> None:
    """Let a fault strike just before or after another one."""
    index, fault = draft.fault()
    _, other = draft.fault()
    if fault is not None and other is not None and fault is not other:
        offset_s = draft.close_s() * draft.rng.choice([1, 1, -1])
        draft.replace(index, draft.at(fault, draft.begin_s(other) + offset_s))


def at_a_state(draft: Draft) -> None:
    """Let a fault strike when somebody is in between two states, mostly that very node."""
    index, fault = draft.fault()
    if fault is not None:
        draft.replace(index, draft.at_an_event(fault))


def elsewhere_in_time(draft: Draft) -> None:
    """Let a fault strike at another time."""
    index, fault = draft.fault()
    if fault is not None:
        draft.replace(index, draft.at(fault, draft.rng.uniform(0.05 * draft.swarm.span, draft.last_s)))


def in_another_order(draft: Draft) -> None:
    """Let two faults change places."""
    index, fault = draft.fault()
    other_index, other = draft.fault()
    if fault is not None and other is not None and index != other_index:
        draft.replace(index, draft.at(fault, draft.begin_s(other)))
        draft.replace(other_index, draft.at(other, draft.begin_s(fault)))


def another_victim(draft: Draft) -> None:
    """Let a fault strike another node; often one that another fault strikes."""
    index, fault = draft.fault()
    if isinstance(fault, NodeFault) and not is_for_good(fault):
        draft.replace(index, fault.model_copy(update={"select": Select(names=[draft.victim()])}))


def the_same_victim(draft: Draft) -> None:
    """Let two faults strike one node, the second soon after the first."""
    index, fault = draft.fault()
    other_index, other = draft.fault()
    if not (isinstance(fault, NodeFault) and isinstance(other, NodeFault)) or fault is other:
        return
    if is_for_good(fault) or is_for_good(other):
        return
    select = Select(names=[draft.victim()])
    draft.replace(index, fault.model_copy(update={"select": select}))
    at_s = draft.begin_s(fault) + draft.close_s()
    draft.replace(other_index, draft.at(other.model_copy(update={"select": select}), at_s))


def in_a_row(draft: Draft) -> None:
    """Let faults strike one node, its broker or its master one soon after the other, or when that node next
    comes to some state: what random draws hardly ever do twice in a row."""
    drawn = [at for at, fault in enumerate(draft.scenario.faults) if draft.is_drawn(fault)]
    if not drawn:
        return
    chosen = draft.rng.sample(drawn, draft.rng.randint(min(2, len(drawn)), len(drawn)))
    select = Select(names=[draft.victim()])
    soon = draft.soon(select.names)
    # Each waits until the one before is over: else the last of many would find the storm over.
    late_s = max(draft.last_s - _ROOM_S * len(chosen), 0.05 * draft.swarm.span)
    at_s = min(draft.begin_s(draft.scenario.faults[chosen[0]]), late_s)
    for index in chosen:
        fault = draft.scenario.faults[index]
        if isinstance(fault, NodeFault):
            if is_for_good(fault):
                continue
            fault = fault.model_copy(update={"select": select})
        after_s = draft.log_uniform(CLOSE_S[0], _IN_A_ROW_S)
        later = [moment for moment in soon if moment.t_s >= at_s]
        if later and draft.rng.random() < _WAITING:
            moment = min(later, key=lambda moment: moment.t_s + draft.rng.expovariate(0.2))
            at_s = moment.t_s + after_s
            fault = draft.after(fault, moment, after_s)
        else:
            at_s = min(at_s + after_s, draft.last_s)
            fault = draft.at(fault, at_s)
        if fault.lasts is not None:
            fault = lasting(fault, min(fault.lasts, draft.log_uniform(0.1, _IN_A_ROW_S)))
        draft.replace(index, fault)


def step_by_step(draft: Draft) -> None:
    """Let faults strike nodes in rows, each at a state to which a node only comes by the one before: it loses
    its connection, connects anew, and is struck while it does. No parent has to have been there. Every other
    row is of one kind that ends a connection there and then: with others a row goes on by chance."""
    free = [at for at, fault in enumerate(draft.scenario.faults) if draft.is_drawn(fault)]
    free = [at for at in free if not is_for_good(draft.scenario.faults[at])]
    draft.rng.shuffle(free)
    nodes = draft.staying()
    alike = True
    for node in dict.fromkeys([draft.victim(), *draft.rng.sample(nodes, len(nodes))]):
        soon = draft.soon([node])
        if len(free) < 2 or not soon:
            continue
        count = draft.rng.choice(_STEPS)
        chosen, free = sorted(free[:count]), free[count:]
        # What comes late in the parent's run, or was the fourth of its kind, may not come in the child's.
        moment = min(
            (draft.rng.choice(soon) for _ in range(3)), key=lambda moment: (moment.count, moment.t_s)
        )
        faults: Sequence[Fault] = [draft.scenario.faults[index] for index in chosen]
        faults = _alike(draft, faults) if alike else faults
        for index, fault in zip(chosen, _stepping(draft, moment, faults), strict=True):
            draft.replace(index, fault)
        alike = not alike


def _alike(draft: Draft, faults: Sequence[Fault]) -> Sequence[Fault]:
    """Return as many of one kind that ends a connection at once, if the swarm draws any."""
    quick = [kind for kind in draft.kinds if ends_at_once(KINDS[kind])]
    if not quick:
        return faults
    kind = draft.rng.choice(quick)
    return [draft.new(kind, draft.begin_s(fault)).model_copy(update={"id": fault.id}) for fault in faults]


def _stepping(draft: Draft, moment: Moment, faults: Iterable[Fault]) -> Iterator[Fault]:
    """Yield the faults at one node, the first soon after this moment, each other soon after the one before or
    at a state that comes next."""
    after_s = _soon_after(draft, moment)
    for fault in faults:
        if isinstance(fault, NodeFault):
            fault = fault.model_copy(update={"select": Select(names=[moment.node])})
        fault = draft.after(fault, moment, after_s)
        if fault.lasts is not None:
            fault = lasting(fault, min(fault.lasts, draft.log_uniform(0.1, _IN_A_ROW_S)))
        yield fault
        if draft.rng.random() < _AT_ONCE:
            after_s += draft.log_uniform(CLOSE_S[0], _IN_A_ROW_S)
        else:
            moment = _next(draft, moment)
            after_s = _soon_after(draft, moment)


def _next(draft: Draft, moment: Moment) -> Moment:
    """Draw a state to which the node comes next: some way into its next connection, or its work goes on."""
    event = draft.rng.choice([*STAGES, draft.rng.choice(_AT_WORK)])
    passed = STAGES[: STAGES.index(event) + 1] if event in STAGES else (event,)
    came = {**moment.came, **{word: moment.came.get(word, 0) + 1 for word in passed}}
    return Moment(event, moment.node, came[event], moment.t_s, came)


def _soon_after(draft: Draft, moment: Moment) -> float:
    """Draw how long after a moment: what goes on between node and broker then takes a round trip."""
    if moment.event in STAGES[:2]:
        return draft.rng.uniform(0.0, draft.round_trip_s(moment.node))
    return draft.log_uniform(CLOSE_S[0], _IN_A_ROW_S)


def again_there(draft: Draft) -> None:
    """Let a fault that waits for a state strike again when it comes to that state the next time."""
    drawn = filter(draft.is_drawn, draft.scenario.faults)
    waiting = [(fault, fault.when) for fault in drawn if fault.when is not None]
    if waiting:
        fault, when = draft.rng.choice(waiting)
        again = when.model_copy(update={"count": when.count + 1})
        draft.add([fault.model_copy(update={"id": None, "when": again})])


def as_long(draft: Draft) -> None:
    """Let a fault last longer or shorter."""
    index, fault = draft.fault()
    if fault is not None and fault.lasts is not None:
        most_s = longest_s(draft.swarm, fault.kind, draft.begin_s(fault))
        if most_s > 0.1:
            draft.replace(index, lasting(fault, draft.log_uniform(0.1, most_s)))


def another_kind(draft: Draft) -> None:
    """Let another fault strike there and then."""
    index, fault = draft.fault()
    kind = draft.kind()
    if fault is None or kind is None:
        return
    new = draft.new(kind, draft.begin_s(fault))
    if isinstance(new, NodeFault) and isinstance(fault, NodeFault) and not is_for_good(fault):
        new = new.model_copy(update={"select": fault.select, "when": fault.when})
        new = new.model_copy(update={"at": new.at if fault.when is None else None})
    draft.replace(index, draft.named(new))


def one_more(draft: Draft) -> None:
    """Let one more fault strike, mostly close to another; none if no kind may come again."""
    kind = draft.kind()
    if kind is None:
        return
    _, fault = draft.fault()
    at_s = draft.rng.uniform(0.05 * draft.swarm.span, draft.last_s)
    if fault is not None and draft.rng.random() < 0.7:
        at_s = draft.begin_s(fault) + draft.close_s()
    new = draft.new(kind, at_s)
    if isinstance(new, NodeFault) and isinstance(fault, NodeFault) and draft.rng.random() < 0.5:
        if fault.select.names and not is_for_good(fault):
            new = new.model_copy(update={"select": fault.select})
    elif draft.moments and draft.rng.random() < 0.3:
        new = draft.at_an_event(new)
    draft.add([new])


def once_again(draft: Draft) -> None:
    """Let a fault strike again soon after."""
    _, fault = draft.fault()
    if fault is not None and not is_for_good(fault):
        again = fault.model_copy(update={"id": None})
        draft.add([draft.at(again, draft.begin_s(fault) + (fault.lasts or 0.0) + draft.close_s())])


def one_less(draft: Draft) -> None:
    """Leave a fault out."""
    index, fault = draft.fault()
    if fault is not None:
        faults = [entry for at, entry in enumerate(draft.scenario.faults) if at != index]
        draft.scenario = draft.scenario.model_copy(update={"faults": faults})


def spliced(draft: Draft) -> None:
    """Let some faults of another scenario strike as well, or instead of as many."""
    theirs = [fault for fault in draft.other.faults if draft.is_drawn(fault)]
    if not theirs:
        return
    start = draft.rng.randrange(len(theirs))
    chosen = theirs[start : start + draft.rng.randint(1, 3)]
    for _ in range(len(chosen) if draft.rng.random() < 0.5 else 0):
        one_less(draft)
    draft.add([draft.moved_here(fault).model_copy(update={"id": None}) for fault in chosen])


def other_noise(draft: Draft) -> None:
    """Let a probe client publish one thing more, or something else if there are as many as may be; often just
    before or after a fault."""
    noise = [
        at
        for at, entry in enumerate(draft.scenario.faults)
        if entry.kind in NOISE and entry.id not in draft.fixed
    ]
    most = draft.swarm.noise[1]
    if not most:
        return
    number = len(noise) if len(noise) < most else draft.rng.randrange(len(noise))
    drawn = draw_noise(draft.swarm, draft.rng, number)
    _, fault = draft.fault()
    if fault is not None and draft.rng.random() < 0.7:
        at_s = draft.begin_s(fault) + draft.close_s() * draft.rng.choice([1, -1])
        drawn["at"] = format_duration(round(min(max(at_s, 0.1), draft.last_s), 3))
    made = draft.named(KINDS[drawn["kind"]].model_validate(drawn))
    if number == len(noise):
        draft.scenario = draft.scenario.model_copy(update={"faults": [*draft.scenario.faults, made]})
    else:
        draft.replace(noise[number], made)
