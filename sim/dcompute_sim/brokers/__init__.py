"""The MQTT brokers a run can use."""
