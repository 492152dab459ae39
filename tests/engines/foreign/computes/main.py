# One loop for everything: while it computes, nobody sends a PINGREQ.
import json
import time

import config
import network
from umqtt.simple import MQTTClient

NODE = config.NODE_ID
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect(config.WIFI_SSID, config.WIFI_PASSWORD)
while not wlan.isconnected():
    time.sleep_ms(100)

tasks = []
client = MQTTClient(NODE, config.MQTT_HOST, config.MQTT_PORT, keepalive=config.MQTT_KEEPALIVE)
client.set_callback(lambda topic, message: tasks.append(json.loads(message)))
client.set_last_will(NODE + "/status", json.dumps({"node_id": NODE, "status": "dead"}), retain=True, qos=1)
client.connect()
client.subscribe(NODE, 1)
client.publish(NODE + "/status", json.dumps({"node_id": NODE, "status": "ready"}), retain=True, qos=1)
pinged = time.ticks_ms()
while True:
    client.check_msg()
    if time.ticks_diff(time.ticks_ms(), pinged) > config.MQTT_KEEPALIVE * 500:
        pinged = time.ticks_ms()
        client.ping()
    while tasks:
        task = tasks.pop(0)
        if "id" in task:
            total = 0
            for number in range(config.TURNS):
                total += number
            result = {"task_id": task["id"], "node_id": NODE, "result": None, "timestamp": time.time()}
            client.publish("results", json.dumps(result), qos=1)
    time.sleep_ms(20)
