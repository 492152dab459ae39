"""Prioritised tasks for microcontrollers and servers over MQTT; production code, free of the testbed."""

__version__ = "0.1.0"
