# A sensor on a battery: wakes, joins, says what it measures and that it goes, and sleeps again.
import json
import time

import config
import dht
import machine
import network
from umqtt.simple import MQTTClient

EVERY_MS = 600_000
PATIENCE_MS = 15_000  # a network that is away must not cost the battery


def join():
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    wlan.connect(config.WIFI_SSID, config.WIFI_PASSWORD)
    while not wlan.isconnected():
        if time.ticks_ms() > PATIENCE_MS:
            raise OSError("no network")
        time.sleep_ms(20)


def status(word):
    return json.dumps({"node_id": config.NODE_ID, "status": word}).encode()


def measured():
    sensor = dht.DHT22(machine.Pin(15))
    sensor.measure()
    return json.dumps({"temperature": sensor.temperature(), "humidity": sensor.humidity()}).encode()


def publish(measurement):
    client = MQTTClient(config.NODE_ID, config.MQTT_HOST, config.MQTT_PORT, keepalive=config.MQTT_KEEPALIVE)
    topic = config.NAMESPACE + config.NODE_ID + "/status"
    client.set_last_will(topic, status("dead"), retain=True, qos=1)
    client.connect()
    client.publish(topic, status("ready"), retain=True, qos=1)
    client.publish("sensors/" + config.NODE_ID, measurement, qos=1)
    client.publish(topic, status("offline"), retain=True, qos=1)
    client.disconnect()


try:
    measurement = measured()
    join()
    publish(measurement)
except OSError as error:
    print(error)
machine.deepsleep(EVERY_MS - time.ticks_ms())
