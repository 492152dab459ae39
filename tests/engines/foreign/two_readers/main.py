# As programs in the field are written: a thread reads what comes, and so does the main loop. Whoever of them
# reads a packet whole does no harm.
import _thread
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


def say(status):
    client.publish(NODE + "/status", json.dumps({"node_id": NODE, "status": status}), retain=True, qos=1)


def read():
    while True:
        client.wait_msg()


say("ready")
_thread.start_new_thread(read, ())
while True:
    while tasks:
        task = tasks.pop(0)
        if "id" in task:
            result = {"task_id": task["id"], "node_id": NODE, "result": None, "timestamp": time.time()}
            client.publish("results", json.dumps(result))
    client.check_msg()
    time.sleep_ms(1)
