"""One lasting MQTT connection: paho without its input and output, reconnection, what is held meanwhile."""
