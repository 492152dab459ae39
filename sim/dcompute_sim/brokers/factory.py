"""From what a user writes after `--broker` to the broker of a run."""

from __future__ import annotations

from dcompute_sim.brokers.external import ExternalBroker
from dcompute_sim.brokers.mosquitto import MosquittoBroker
from dcompute_sim.brokers.names import PROCESS_KINDS, not_in_real_time
from dcompute_sim.brokers.real_broker import BrokerError, BrokerSecurity, RealBroker
from dcompute_sim.scenario.broker_limits import AS_IT_COMES, BrokerLimits


def make_broker(
    kind_or_url: str,
    *,
    security: BrokerSecurity | None = None,
    limits: BrokerLimits = AS_IT_COMES,
    acl: str | None = None,
) -> RealBroker:
    """Return the broker meant, not started yet. `security` is for those we start; a URL has its own.
    `limits`: instead of those it comes with; `acl`: its access rules, as mosquitto reads them; BrokerError
    where they cannot be set."""
    security = security or BrokerSecurity()
    if limits != AS_IT_COMES and kind_or_url != "mosquitto":
        raise BrokerError(
            f"`limits:` of a scenario can be set for mosquitto and in virtual time, not for {kind_or_url}: "
            "take --broker mosquitto or --time virtual, or leave them out"
        )
    if acl is not None and kind_or_url != "mosquitto":
        raise BrokerError(
            f"`acl:` of a scenario can be set for mosquitto and in virtual time, not for {kind_or_url}: "
            "take --broker mosquitto or --time virtual, or leave them out"
        )
    if kind_or_url in PROCESS_KINDS:
        from dcompute_sim.brokers.broker_process import (
            BrokerProcess,  # amqtt takes a third of a second to import
        )

        return BrokerProcess(kind_or_url, security)
    if kind_or_url == "mosquitto":
        mosquitto = MosquittoBroker(security)
        mosquitto.limits = limits
        mosquitto.acl = acl
        return mosquitto
    if "://" in kind_or_url:
        return ExternalBroker.from_url(kind_or_url)
    raise BrokerError(not_in_real_time(kind_or_url))
