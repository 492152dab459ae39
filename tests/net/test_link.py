"""A link: what it does to segments, and what it refuses to be."""

from __future__ import annotations

import pytest
from dcompute_sim.net.link import Link


def _link(seed_name: str = "1/link/node") -> Link:
    return Link(seed_name, lambda: None)


@pytest.mark.parametrize(
    "settings",
    [{"latency_s": -1}, {"jitter_s": -0.1}, {"loss": 1.0}, {"loss": -0.1}, {"bytes_per_s": 0}],
)
def test_impossible_settings_are_refused_by_name(settings: dict[str, float]) -> None:
    link = _link()
    with pytest.raises(ValueError, match=next(iter(settings))):
        link.configure(**settings)
    assert link.ideal


def test_an_ideal_link_takes_no_time_and_needs_no_generator() -> None:
    link = _link()
    assert link.ideal
    link.configure(latency_s=0.5)
    assert not link.ideal
    assert link.delay_s(100, 7.0) == 0.5
    link.configure()
    assert link.ideal


def test_jitter_stays_within_its_bounds_and_depends_on_the_name_alone() -> None:
    def delays(name: str) -> list[float]:
        link = _link(name)
        link.configure(0.1, 0.2)
        return [link.delay_s(1, 0.0) for _ in range(200)]

    first = delays("1/link/a")
    assert min(first) >= 0.1
    assert max(first) < 0.3
    assert max(first) - min(first) > 0.15
    assert delays("1/link/a") == first
    assert delays("1/link/b") != first
    assert delays("2/link/a") != first


def test_loss_comes_as_often_as_asked() -> None:
    link = _link()
    link.configure(loss=0.25)
    assert 400 < sum(link.loses() for _ in range(2000)) < 600


def test_a_narrow_link_queues_and_recovers() -> None:
    link = _link()
    link.configure(bytes_per_s=1_000)
    assert [link.delay_s(500, 0.0), link.delay_s(500, 0.0), link.delay_s(500, 10.0)] == [0.5, 1.0, 0.5]


def test_a_change_is_told_once() -> None:
    told: list[str] = []
    link = Link("1/link/node", lambda: told.append(link.state))
    for change in (link.down, link.down, link.drop, link.up, link.up):
        change()
    assert told == ["silent", "off", "up"]
    assert link.is_up
