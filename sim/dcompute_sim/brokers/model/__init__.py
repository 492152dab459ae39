"""A model MQTT 3.1.1 broker: the broker of virtual time, and over TCP one more real broker."""

from dcompute_sim.brokers.model.broker import Broker
from dcompute_sim.brokers.model.broker_config import MOSQUITTO_KEEPALIVE_STEP_S, BrokerConfig, ReturnCode
from dcompute_sim.brokers.model.edge import Observer, Port
from dcompute_sim.brokers.model.session import Connection
from dcompute_sim.brokers.model.snapshot import SnapshotError

__all__ = [
    "MOSQUITTO_KEEPALIVE_STEP_S",
    "Broker",
    "BrokerConfig",
    "Connection",
    "Observer",
    "Port",
    "ReturnCode",
    "SnapshotError",
]
