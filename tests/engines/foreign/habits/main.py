# A node that speaks the bare protocol, with the habits that its config gives it; all are common.
import binascii
import json
import time

import config
import machine
import network
from umqtt.simple import MQTTClient


def habit(name, otherwise):
    return getattr(config, name, otherwise)


NODE = binascii.hexlify(machine.unique_id()).decode() if habit("BY_CHIP", False) else config.NODE_ID
QOS = habit("QOS", 1)
KEEPALIVE = habit("KEEPALIVE", config.MQTT_KEEPALIVE)
tasks = []


def join():
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    wlan.connect(config.WIFI_SSID, config.WIFI_PASSWORD)
    while not wlan.isconnected():
        time.sleep_ms(100)


def on_message(topic, message):
    task = json.loads(message)
    if "task_info" not in task:
        tasks.append(task)


def connect():
    own = habit("CLIENT_ID", habit("CLIENT_PREFIX", "") + NODE)
    client = MQTTClient(
        own.encode(), habit("BROKER", config.MQTT_HOST), config.MQTT_PORT, keepalive=KEEPALIVE
    )
    dead = json.dumps({"node_id": NODE, "status": "dead"}).encode()
    if not habit("MUTE", False):
        client.set_last_will((NODE + "/status").encode(), dead, True, 1)
    client.set_callback(on_message)
    if not client.connect(not habit("KEEPS_SESSION", False)):  # else the broker has our subscription
        client.subscribe(NODE.encode(), QOS)
    if not habit("MUTE", False):
        hello = {"node_id": NODE, "device_type": "bare", "status": "connected"}
        client.publish(b"initialisation", json.dumps(hello).encode(), qos=QOS)
        ready = {"node_id": NODE, "status": "ready"}
        client.publish((NODE + "/status").encode(), json.dumps(ready).encode(), True, QOS)
    return client


def answer(client, task):
    said = {"node_id": NODE, "result": {"doubled": 2}, "timestamp": time.time()}
    if habit("NAMES_TASK", True):
        said["task_id"] = task["id"]
    client.publish(b"results", json.dumps(said).encode(), habit("RETAINS_RESULTS", False), QOS)


def serve(client):
    pinged = time.ticks_ms()
    while True:
        client.check_msg()
        while tasks:
            answer(client, tasks.pop(0))
        if habit("PINGS", True) and time.ticks_diff(time.ticks_ms(), pinged) > KEEPALIVE * 500:
            client.ping()
            pinged = time.ticks_ms()
        time.sleep_ms(50)


join()
while True:
    try:
        serve(connect())
    except OSError:
        time.sleep(1)
