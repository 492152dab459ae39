"""Links over which a healthy node cannot keep its connection: said before the run, for the run cannot say
whose fault it was.

An idle node is heard of once a keepalive, by its PINGREQ; the broker gives it up half a keepalive after one
is due [MQTT-3.1.2-24]. In that time TCP must get it across: it sends at once and then each time its timer
expires, which doubles [RFC 6298]. What none of these times gets through is a death, of a node that nothing is
wrong with.
"""

from __future__ import annotations

from collections.abc import Iterator

from dcompute_sim.net.profile import LINUX, LWIP_ESP32, TcpProfile
from dcompute_sim.scenario.network_settings import NetworkSettings
from dcompute_sim.scenario.scenario_model import Scenario
from dcompute_sim.yamlfile.units import format_duration, format_fraction

_WORTH_SAYING = 0.5  # deaths to be expected in the run
_LONGEST_KEEPALIVE_S = 600.0


def warnings(scenario: Scenario) -> list[str]:
    """Return one for each group of a concrete scenario that is too far away, or loses too much, for its
    keepalive."""
    return [said for name in scenario.fleet for said in _of_group(scenario, name)]


def _of_group(scenario: Scenario, name: str) -> Iterator[str]:
    group, link = scenario.fleet[name], scenario.network_of(name)
    kernel = LWIP_ESP32 if group.kind == "firmware" else LINUX
    pings_s = group.count * scenario.length_s  # of a keepalive of 1 s
    round_trip_s = 2 * link.latency + link.jitter
    if round_trip_s >= group.keepalive:
        yield (
            f"{name}: a round trip takes {format_duration(round_trip_s)} and the keepalive is "
            f"{format_duration(group.keepalive)}: no PINGRESP comes in time, no node keeps its connection"
        )
        return
    expected = pings_s * _lost_pings_per_s(link, group.keepalive, kernel)
    if expected < _WORTH_SAYING:
        return
    enough_s = group.keepalive
    while enough_s < _LONGEST_KEEPALIVE_S:
        enough_s *= 2
        if pings_s * _lost_pings_per_s(link, enough_s, kernel) < _WORTH_SAYING:
            break
    tries = _tries(link, group.keepalive, kernel)
    yield (
        f"{name}: about {max(1.0, expected):,.0f} of its connections will be given up though nothing is "
        f"wrong with the nodes: with {format_fraction(link.loss)} loss and a round trip of "
        f"{format_duration(round_trip_s)}, TCP sends a PINGREQ {tries} time{'' if tries == 1 else 's'} "
        f"before the broker's patience ends; a keepalive of {format_duration(enough_s)} would do"
    )


def _lost_pings_per_s(link: NetworkSettings, keepalive_s: float, kernel: TcpProfile) -> float:
    """Return those of one idle node."""
    return float(link.loss ** _tries(link, keepalive_s, kernel)) / keepalive_s


def _tries(link: NetworkSettings, keepalive_s: float, kernel: TcpProfile) -> int:
    """Tell how often a PINGREQ is sent so early that it arrives in time."""
    measured = kernel.round_trip()
    measured.settled(2 * link.latency + link.jitter, link.jitter / 3)
    sent_s, tries = 0.0, 0
    while sent_s + link.latency + link.jitter / 2 <= keepalive_s / 2:
        sent_s += kernel.wait_s(measured.timeout_s, tries)
        tries += 1
    return tries
