"""The list of properties, and the running of them: each bounded in time, independent ones side by side."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from dcompute_sim.brokers.access import UserRole
from dcompute_sim.brokers.conformance import (
    delivery,
    kept_limits,
    retained,
    robustness,
    sessions,
    takeovers,
    wills,
)
from dcompute_sim.brokers.conformance.broker_under_test import BrokerUnderTest, NotUsable
from dcompute_sim.brokers.conformance.client import RefusedByBroker, connect, dial
from dcompute_sim.brokers.conformance.result import NotApplicable, PropertyOutcome, Row, Violation, Warned
from dcompute_sim.brokers.conformance.role_rules import role_rules
from dcompute_sim.brokers.conformance.trial import Trial
from dcompute_sim.brokers.external import unreachable
from dcompute_sim.brokers.real_broker import BrokerError


class Property(NamedTuple):
    name: str
    test: Callable[[Trial], Awaitable[str]]  # returns what it measured; raises Violation or NotApplicable
    # `first` and `last` run alone, one by one, because they measure times or load the machine
    when: Literal["first", "together", "last"] = "together"
    limit_s: float = 60.0
    limit_keepalives: float = 0.0  # on top, for properties that wait for keepalives to pass


async def _access_rules(bench: Trial) -> str:
    return await (kept_limits.access_rules if bench.target.role is UserRole.ANY else role_rules)(bench)


PROPERTIES: tuple[Property, ...] = (
    Property("will-on-reset", wills.will_on_reset, "first"),
    Property("will-on-fin", wills.will_on_fin, "first"),
    Property("large-payload", robustness.large_payload, "first"),
    Property("no-will-after-disconnect", wills.no_will_after_disconnect),
    Property("will-on-silence", wills.will_on_silence, limit_keepalives=2.0),
    Property("healthy-client-is-kept", wills.healthy_client_is_kept, limit_keepalives=13.0),
    Property("takeover-clean-session", takeovers.takeover_clean_session),
    Property("takeover-kept-session", takeovers.takeover_kept_session),
    Property("successor-stays-connected", takeovers.successor_stays_connected),
    Property("successors-status-stays", takeovers.successors_status_stays),
    Property("retained-set", retained.retained_set),
    Property("retained-replaced", retained.retained_replaced),
    Property("retained-cleared", retained.retained_cleared),
    Property("retained-will", retained.retained_will),
    Property("only-matching-retained", retained.only_matching_retained),
    Property("qos-is-the-lower", delivery.qos_is_the_lower),
    Property("resubscribing-replaces", delivery.resubscribing_replaces),
    Property("unsubscribing-ends", delivery.unsubscribing_ends),
    Property("wildcards", delivery.wildcards),
    Property("nothing-unsolicited", delivery.nothing_unsolicited),
    Property("order-of-a-topic", delivery.order_of_a_topic),
    Property("late-acknowledgements", delivery.late_acknowledgements),
    Property("exactly-once", delivery.exactly_once),
    Property("non-ascii", delivery.non_ascii),
    Property("redelivery", sessions.redelivery),
    Property("patience", sessions.patience),
    Property("kept-session-queues", sessions.kept_session_queues),
    Property("clean-session-forgets", sessions.clean_session_forgets),
    Property("split-and-joined-packets", robustness.split_and_joined_packets),
    Property("malformed-client", robustness.malformed_client),
    Property("wrong-password", robustness.wrong_password),
    Property("in-flight-limit", kept_limits.in_flight_limit),
    Property("packet-limit", kept_limits.packet_limit),
    Property("access-rules", _access_rules),
    Property("queue-limit", kept_limits.queue_limit, "last", limit_s=120.0),
    Property("retained-replay", kept_limits.retained_replay, "last", limit_s=120.0),
    Property("mass-death", kept_limits.mass_death, "last", limit_s=120.0),
    Property("many-connections", robustness.many_connections, "last", limit_s=60.0),
)


def select(names: Sequence[str] | None) -> list[Property]:
    """Return the properties of these names, all for None; BrokerError names the unknown ones and what there
    is."""
    if names is None:
        return list(PROPERTIES)
    known = [each.name for each in PROPERTIES]
    if unknown := [name for name in names if name not in known]:
        raise BrokerError(f"no such row: {', '.join(unknown)}; there are: {', '.join(known)}")
    if not names:
        raise BrokerError(f"no rows named; there are: {', '.join(known)}")
    return [each for each in PROPERTIES if each.name in names]


async def check(
    target: BrokerUnderTest,
    rows: Sequence[str] | None = None,
    on_row: Callable[[Row], None] | None = None,
    *,
    side_by_side: bool = True,
) -> list[Row]:
    """Test the broker; a row a property, in the order of PROPERTIES. `on_row` hears of each at once.

    NotUsable when the broker cannot be reached or does not let us in. Ends by itself. One faulty property can
    disturb the others (plain amqtt drops clients while others connect); one by one, each fails for itself.
    """
    chosen = select(rows)
    if target.role is not UserRole.ANY:
        chosen = [each for each in chosen if each.name == "access-rules"]
    await _log_in_once(target)
    results: dict[str, Row] = {}
    turn = asyncio.Semaphore(len(chosen) if side_by_side else 1)

    async def judge(each: Property) -> None:
        async with turn:
            row = results[each.name] = await _test(each, target)
        if on_row is not None:
            on_row(row)

    for each in chosen:
        if each.when == "first":
            await judge(each)
    async with asyncio.TaskGroup() as together:
        for each in chosen:
            if each.when == "together":
                together.create_task(judge(each))
    for each in chosen:
        if each.when == "last":
            await judge(each)
    return [results[each.name] for each in chosen]


async def _test(each: Property, target: BrokerUnderTest) -> Row:
    limit_s = each.limit_s + each.limit_keepalives * target.keepalive_s
    try:
        async with asyncio.timeout(limit_s), Trial(target, each.name) as bench:
            return Row(each.name, PropertyOutcome.PASSED, figure=await each.test(bench))
    except NotApplicable as reason:
        return Row(each.name, PropertyOutcome.NOT_APPLICABLE, detail=str(reason))
    except Warned as warning:
        return Row(each.name, PropertyOutcome.WARNING, figure=warning.figure, detail=str(warning))
    except Violation as violation:
        return Row(each.name, PropertyOutcome.FAILED, figure=violation.figure, detail=str(violation))
    except TimeoutError as error:
        detail = str(error) or f"not done within {limit_s:g} s"
        return Row(each.name, PropertyOutcome.FAILED, detail=detail)
    except OSError as error:
        return Row(each.name, PropertyOutcome.FAILED, detail=f"no connection: {error}")


async def _log_in_once(target: BrokerUnderTest) -> None:
    """Find out whether the suite can begin; NotUsable says why not."""
    where = f"{target.host}:{target.port}"
    try:
        if target.tls is not None:
            await _await_certificate_refused(target)
        client = await connect(target, "first")
    except RefusedByBroker as refused:
        raise NotUsable(f"{where}: {_REFUSALS.get(refused.code, str(refused))}") from None
    except Violation as violation:
        if target.tls is None and await _speaks_tls(target):
            raise NotUsable(f"{where}: {_TLS_PORT}") from None
        raise NotUsable(f"{where}: what listens there does not speak MQTT: {violation}") from None
    except TimeoutError:
        if target.tls is None and await _speaks_tls(target):
            raise NotUsable(f"{where}: {_TLS_PORT}") from None
        raise NotUsable(f"{where}: no answer: is a firewall in between?") from None
    except OSError as error:
        if target.tls is None and await _speaks_tls(target):
            raise NotUsable(f"{where}: {_TLS_PORT}") from None
        if target.tls is not None and await _speaks_plain(target):
            raise NotUsable(f"{where}: {_PLAIN_PORT}") from None
        raise NotUsable(f"{where}: {unreachable(error)}") from None
    await client.disconnect()


async def _speaks_tls(target: BrokerUnderTest) -> bool:
    """Say whether a TLS handshake gets anywhere on that port, whatever certificates are wanted."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        connection = await dial(replace(target, tls=context), "without-login")
    except OSError:
        return False
    await connection.reset()
    return True


async def _speaks_plain(target: BrokerUnderTest) -> bool:
    """Say whether MQTT without TLS is answered there; asked without the password."""
    try:
        client = await connect(replace(target, tls=None, username=None, password=None), "without-login")
    except RefusedByBroker:
        return True
    except (OSError, Violation):
        return False
    await client.disconnect()
    return True


async def _await_certificate_refused(target: BrokerUnderTest) -> None:
    """Wait for it: TLS 1.3 refuses a client's certificate after the handshake; had we spoken, the reason
    would be lost."""
    connection = await dial(target, "without-certificate")
    if await connection.closed_by_broker(_REFUSAL_WAIT_S):
        if isinstance(connection.failure, ssl.SSLError):
            raise connection.failure
        raise NotUsable(f"{target.host}:{target.port}: {_CLOSED_AFTER_TLS}")
    await connection.fin()


_REFUSAL_WAIT_S = 0.3
_PLAIN_PORT = "that port speaks MQTT without TLS: write mqtt:// instead of mqtts://, or name the TLS port"
_TLS_PORT = "that port speaks TLS: write mqtts:// instead of mqtt://"
_CLOSED_AFTER_TLS = "closed after the TLS handshake: does it want a client certificate, or another one?"

_REFUSALS = {
    1: "does not speak MQTT 3.1.1",
    2: "does not accept our client ids",
    3: "says that it is unavailable: try again later",
    4: "wrong user name or password",
    5: "not authorised: wrong user name or password, or credentials are needed and the URL has none",
}
