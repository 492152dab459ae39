"""Does a broker do what the transports rely on? One small function a property, run against any broker."""

from sim.brokers.conformance.result import Outcome, Row
from sim.brokers.conformance.suite import PROPERTIES, check, select
from sim.brokers.conformance.table import print_table
from sim.brokers.conformance.target import NotUsable, Target

__all__ = ["PROPERTIES", "NotUsable", "Outcome", "Row", "Target", "check", "print_table", "select"]
