"""Who answers in the broker's place while a node is turned away: the broker model, with rules of its own.

What such a broker says is so the standard's: a refusal in CONNACK, then the end [MQTT-3.2.2-5]; 0x80 for each
filter [MQTT-3.9.3-2], and nothing that would make the client leave.
"""

from __future__ import annotations

from dcompute_sim.brokers.model.broker import Broker
from dcompute_sim.brokers.model.broker_config import BrokerConfig, ReturnCode
from dcompute_sim.faults.injection import Answer


def stand_in(answer: Answer) -> Broker | None:
    """Return who answers; None: nobody does."""
    if answer == "none":
        return None
    if answer == "connack":
        return Broker(BrokerConfig(authenticate=lambda *_: ReturnCode.SERVER_UNAVAILABLE))
    return Broker(BrokerConfig(authorize=lambda _client, _topic, publishes: publishes))
