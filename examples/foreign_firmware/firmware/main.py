# A node with firmware of its own: umqtt.simple and the bare protocol (docs/protocol.md), nothing of dcompute.
import json
import time

import config
import network
from umqtt.simple import MQTTClient

STATUS = config.NODE_ID + "/status"
tasks = []


def say(client, topic, retain=False, **fields):
    fields["node_id"] = config.NODE_ID
    client.publish(topic, json.dumps(fields), retain, 1)


def join():
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    wlan.connect(config.WIFI_SSID, config.WIFI_PASSWORD)
    while not wlan.isconnected():
        time.sleep_ms(100)


def connect():
    client = MQTTClient(config.NODE_ID, config.MQTT_HOST, config.MQTT_PORT, keepalive=config.MQTT_KEEPALIVE)
    client.set_last_will(STATUS, json.dumps({"node_id": config.NODE_ID, "status": "dead"}), True, 1)
    client.set_callback(lambda topic, message: tasks.append(json.loads(message)))
    client.connect()
    client.subscribe(config.NODE_ID, 1)
    say(client, "initialisation", device_type="ESP32", status="connected")
    say(client, STATUS, True, status="ready")
    return client


def serve(client):
    """Does tasks, most urgent first, and pings in time; raises OSError when the connection is lost."""
    pinged = time.ticks_ms()
    while True:
        client.check_msg()
        if tasks:
            tasks.sort(key=lambda task: -task["priority"])
            task = tasks.pop(0)
            say(client, "results", result={"doubled": 2 * len(task["id"])}, task_id=task["id"])
        if time.ticks_diff(time.ticks_ms(), pinged) > config.MQTT_KEEPALIVE * 500:
            client.ping()
            pinged = time.ticks_ms()
        time.sleep_ms(50)


join()
while True:
    try:
        serve(connect())
    except OSError as error:
        print("again:", error)
        time.sleep(1)
