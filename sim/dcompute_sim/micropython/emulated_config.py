"""What a config.py of our firmware says on an emulated board, whose access point takes any password."""

from __future__ import annotations

WIFI_SSID = "dcompute-testbed"


def emulated_config(broker_host: str, broker_port: int, **settings: object) -> dict[str, object]:
    """Return the settings of a board that finds its broker there; `settings` are added, or stand instead."""
    return {
        "WIFI_SSID": WIFI_SSID,
        "WIFI_PASSWORD": "testbed-only",
        "STATIC_IP": None,
        "MQTT_HOST": broker_host,
        "MQTT_PORT": broker_port,
        "MQTT_USER": None,
        "MQTT_PASSWORD": None,
        "MQTT_TLS": False,
        "NODE_TYPE": "ESP32",
        **settings,
    }
