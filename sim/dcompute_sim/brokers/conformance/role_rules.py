"""Properties: whether the broker holds a user to its role: all that it needs, and nothing of the others'."""

from __future__ import annotations

import asyncio

from dcompute.node_core import Topics
from dcompute_sim.brokers.access import Grant, UserRole, rights_of
from dcompute_sim.brokers.conformance.client import Client
from dcompute_sim.brokers.conformance.result import NotApplicable, Violation
from dcompute_sim.brokers.conformance.trial import Trial

_REFUSED = 0x80
_SETTLE_S = 0.5  # what does not come back in so long is not let through
_SOMEBODY = "dcompute-check-somebody"


async def role_rules(bench: Trial) -> str:
    """Check whether the user can do what its role needs, and cannot speak for, or listen to, a node that is
    not it. All that is published is empty and not retained: nobody can mistake it."""
    target = bench.target
    if not target.username:
        raise NotApplicable("a role is a user's: put its name into the URL")
    grant = Grant(target.username, target.role, target.namespace)
    rights = rights_of(grant)
    topics = Topics(target.namespace)
    client = await bench.client("client")
    for topic_filter in rights.reads:
        if not topic_filter.startswith("$") and (await client.subscribe(topic_filter))[0] == _REFUSED:
            raise Violation(f"it may not subscribe to {topic_filter}, which a {target.role} needs")
    other = topics.status_of(_SOMEBODY)
    own = topics.status_of(target.username) if target.role is UserRole.NODE else other
    if not await _comes_back(client, own):
        raise Violation(f"what it publishes to {own} does not come back, which a {target.role} needs")
    if target.role is not UserRole.NODE:
        return f"may do what a {target.role} does"
    for strange in (other, topics.task_of(_SOMEBODY)):
        await client.subscribe(strange)  # some brokers grant what they then do not deliver
        if await _comes_back(client, strange):
            raise Violation(f"it may publish to {strange} and read it: it can speak for other nodes")
    everything = f"{topics.prefix}#"
    await client.subscribe(everything)
    await asyncio.sleep(_SETTLE_S)
    heard = [m.topic for m in client.messages if not rights.may_subscribe(m.topic)]
    if heard:
        raise Violation(f"it may read {heard[0]}: it can listen to other nodes")
    return f"may speak and hear for {target.username} only"


async def _comes_back(client: Client, topic: str) -> bool:
    await client.publish(topic, b"", qos=1)
    try:
        await client.message(topic, within_s=_SETTLE_S)
    except Violation:
        return False
    return True
