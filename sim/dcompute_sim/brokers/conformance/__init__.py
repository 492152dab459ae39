"""Does a broker do what the transports rely on? One small function a property, run against any broker."""

from dcompute_sim.brokers.conformance.result import Outcome, Row
from dcompute_sim.brokers.conformance.suite import PROPERTIES, check, select
from dcompute_sim.brokers.conformance.table import print_table
from dcompute_sim.brokers.conformance.target import NotUsable, Target

__all__ = ["PROPERTIES", "NotUsable", "Outcome", "Row", "Target", "check", "print_table", "select"]
