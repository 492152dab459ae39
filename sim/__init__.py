"""The testbed: scenarios, engines, brokers, nodes, checks and reports."""
