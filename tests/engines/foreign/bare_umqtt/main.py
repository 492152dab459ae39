# A node as found in the field: umqtt.simple as it comes, no ping, no reconnection.
import json
import time

import config
import network
from umqtt.simple import MQTTClient

w = network.WLAN(network.STA_IF)
w.active(True)
w.connect(config.WIFI_SSID, config.WIFI_PASSWORD)
while not w.isconnected():
    time.sleep(0.1)
ID = config.NODE_ID
c = MQTTClient(ID, config.MQTT_HOST, config.MQTT_PORT, keepalive=config.MQTT_KEEPALIVE)
c.set_last_will(ID + "/status", json.dumps({"node_id": ID, "status": "dead"}), True, 1)
tasks = []


def got(t, m):
    tasks.append(json.loads(m))


c.set_callback(got)
c.connect()
c.subscribe(ID)
c.publish("initialisation", json.dumps({"node_id": ID, "device_type": "ESP32", "status": "connected"}))
c.publish(ID + "/status", json.dumps({"node_id": ID, "status": "ready"}), True, 1)
print("up")
while True:
    c.check_msg()
    if tasks:
        tasks.sort(key=lambda t: -t["priority"])
        t = tasks.pop(0)
        c.publish(
            "results",
            json.dumps({"node_id": ID, "result": {"task_id": t["id"]}, "timestamp": time.time()}),
            True,
            1,
        )
    time.sleep(0.1)
