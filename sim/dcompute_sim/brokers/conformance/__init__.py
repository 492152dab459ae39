"""Does a broker do what the transports rely on? One small function a property, run against any broker."""

from dcompute_sim.brokers.conformance.broker_under_test import BrokerUnderTest, NotUsable
from dcompute_sim.brokers.conformance.result import PropertyOutcome, Row
from dcompute_sim.brokers.conformance.suite import PROPERTIES, check, select
from dcompute_sim.brokers.conformance.table import print_table

__all__ = [
    "PROPERTIES",
    "BrokerUnderTest",
    "NotUsable",
    "PropertyOutcome",
    "Row",
    "check",
    "print_table",
    "select",
]
