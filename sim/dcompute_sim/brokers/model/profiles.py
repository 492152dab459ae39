"""What brokers of the field do by default, for the model to do as well: `--broker NAME` in virtual time.

A broker's PUBACK says that it took a message, no more. Behind it stand limits that few people have looked up:
how much may be under way to a subscriber, how much waits, which of two is dropped then, how large a packet
may be. A run on a kinder broker than the user's is worth little, so no profile is kinder than its broker's
defaults.

Sources: mosquitto.conf(5) and measurements with Debian's 2.0.11; our embedded broker's own constants; EMQX 5,
"In-flight and Message Queue" and its configuration reference, its issue 15176 (retained messages are read and
sent by a process of their own, so what is published meanwhile comes before what it replaced; how late, nobody
says: 20 ms are ours); AWS IoT Core, message broker quotas (a limit of
128 KB a message, 100 unacknowledged messages each way; a message too large or not allowed ends the
connection), reserved topics, and the issues 125 and 191 of aws-iot-device-sdk-js and 17 of MQTT-Explorer (so
does a subscription that is not allowed, and `$SYS` is to nobody).
"""

from __future__ import annotations

from dataclasses import dataclass

from dcompute_sim.brokers.model.broker_config import MOSQUITTO_KEEPALIVE_STEP_S, BrokerConfig

_KIB = 1024


@dataclass(frozen=True, slots=True)
class BrokerProfile:
    """The limits and habits of one broker.

    Attributes:
        wills_at_stop: it publishes them when it is stopped.
        refuses_subscriptions: by its access rules; otherwise it withholds what may not be read.
    """

    config: BrokerConfig
    wills_at_stop: bool = True
    refuses_subscriptions: bool = True


PROFILES: dict[str, BrokerProfile] = {
    "model": BrokerProfile(BrokerConfig(), refuses_subscriptions=False),
    "embedded": BrokerProfile(BrokerConfig(queue_limit=100_000), wills_at_stop=False),
    "mosquitto": BrokerProfile(
        BrokerConfig(keepalive_step_s=MOSQUITTO_KEEPALIVE_STEP_S), refuses_subscriptions=False
    ),
    "emqx": BrokerProfile(
        BrokerConfig(
            inflight_window=32,
            drops_oldest=True,
            max_packet_bytes=1024 * _KIB,
            release_limit=100,
            retained_late_s=0.02,
        )
    ),
    "aws-iot": BrokerProfile(
        BrokerConfig(
            inflight_window=100,
            max_packet_bytes=128 * _KIB,
            release_limit=100,
            closes_on_refusal=True,
            refuses_sys=True,
        )
    ),
}
"""By the name that a user writes after `--broker`. "model" has mosquitto's limits and notices silence at
once."""
